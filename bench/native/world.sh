#!/bin/bash
# A root of its own for `triseed boot`, in mount and process namespaces that end with this process: the machine's programs
# and kernel, disks on loop devices, and nothing of the machine's own folders. Reads commands, answers status and output.
#
#   unshare --mount --pid --fork --propagation private world.sh ROOT TREE DISKS NAME=SERIAL…
#
# TREE is laid over the root. DISKS holds SERIAL.img for each disk, which appears as /dev/NAME; SERIAL.img.plain, made here,
# stands for what device-mapper would show of its volume.
set -euo pipefail
root=$1 tree=$2 disks=$3
shift 3
here=$(dirname "$0")

mount -t tmpfs -o mode=755 triseed-bench "$root"
cd "$root"
mkdir -p dev/mapper dev/plain dev/shm etc/ssl mnt native/{real,disks,loops,opened,plain} proc root/.docker run sys tmp usr
mkdir -p data1 var/hyperprotect
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
for file in ld.so.cache passwd group nsswitch.conf mke2fs.conf ssl/openssl.cnf; do
  [ ! -e "/etc/$file" ] || cp "/etc/$file" "etc/$file"
done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount -t tmpfs triseed-bench usr/local
cp -R "$tree/." .
mount -t proc proc proc
# Swap is the machine's affair; a guest with unencrypted swap is refused.
head -n 1 proc/swaps >native/swaps
mount --bind native/swaps proc/swaps
mount --bind /sys sys
mount -t tmpfs triseed-bench sys/block
mount --bind "$disks" native/disks

for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<<"$node"
  mknod -m 666 "dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd dev/fd

# Makes a loop device that is detached when nobody has it open any more: this process has, as long as it lives.
loop() { # FILE NODE NAME
  local device descriptor
  device=$(losetup --find --show --partscan "$1")
  exec {descriptor}<"$device"
  losetup --detach "$device"
  mknod -m 600 "dev/$2" b $((0x$(stat -c %t "$device"))) $((0x$(stat -c %T "$device")))
  ln -s "/sys/devices/virtual/block/${device#/dev/}" "native/loops/$3"
}
for disk; do
  IFS== read -r name serial <<<"$disk"
  truncate -s 1M "native/disks/$serial.img.plain"
  loop "$disks/$serial.img" "$name" "$name"
  loop "$disks/$serial.img.plain" "plain/$name" "$name.plain"
  ln -s "../disks/$serial.img.plain" "native/plain/$name"
  mkdir "sys/block/$name"
  for entry in dev holders queue ro size; do ln -s "/native/loops/$name/$entry" "sys/block/$name/$entry"; done
  echo "$serial" >"sys/block/$name/serial"
done

for program in usr/sbin/cryptsetup usr/sbin/dmsetup usr/sbin/blockdev usr/bin/udevadm; do
  name=${program##*/}
  : >"native/real/$name"
  mount --bind "$program" "native/real/$name"
  mount --bind "$here/$name" "$program"
done

# Nothing of the machine's environment either.
exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 chroot . bash -c '
  cd /
  printf "0\0ready\0"
  while IFS= read -r -d "" command; do
    status=0
    output=$(bash -c "$command" 2>&1 </dev/null) || status=$?
    printf "%s\0%s\0" "$status" "$output"
  done'
