#!/bin/bash
# One volume opened with the bare tools, as a person would write it who has nothing else: contract (openssl), third seed
# (curl), LUKS (cryptsetup), mount. Volumes are as README.md of the agent makes them: metadata in partition 1, data in 2.
#
#   open-by-hand.sh [--prove] CONTRACT VOLUME DISK MOUNT [KEY-SERVICE-URL]      prints the microseconds of each part
#
# --prove: the passphrase is proved before the volume is opened, a part of its own, as triseed does it and hardly a person would.
set -euo pipefail
prove=''
if [ "$1" = --prove ]; then
  prove=1
  shift
fi
contract=$1 volume=$2 disk=$3 mount=$4 service=${5-}
key=/etc/triseed/contract-key.pem authority=/etc/triseed/ca.pem

umask 077
work=/run/by-hand/$volume
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
cd "$work"

began=${EPOCHREALTIME/./}
part() { # NAME: what has passed since the last part
  local now=${EPOCHREALTIME/./}
  printf '%s %s\n' "$1" $((now - began))
  began=$now
}

member() { sed -n "s/^$1: //p" "$2"; }
# The string at NAME: below the volume, whose own line is indented by two.
of_volume() { sed -n "/^  $volume:/,/^  [^ ]/s/^ *\(- \)\?$1: \"\?\([^\"]*\)\"\?\$/\2/p" "$2" | head -n 1; }

for section in workload env; do
  IFS=. read -r _ wrapped body < <(member $section "$contract")
  base64 -d <<<"$wrapped" >wrapped
  base64 -d <<<"$body" >body
  openssl pkeyutl -decrypt -inkey $key -in wrapped -out passphrase
  openssl enc -d -aes-256-cbc -pbkdf2 -pass file:passphrase -in body -out $section
done
member signingKey env | tr -d '"' | base64 -d >signer.pem
member envWorkloadSignature "$contract" | base64 -d >signature
printf %s%s "$(member workload "$contract")" "$(member env "$contract")" >delivered
openssl dgst -sha256 -verify signer.pem -signature signature delivered >/dev/null
digest() { sha256sum | cut -c1-64; }
passphrase=$(printf %s%s "$(of_volume seed env)" "$(of_volume seed workload)" | digest)
part contract

if [ -n "$service" ]; then
  mkdir metadata
  mount -o ro "${disk}1" metadata
  wrapped=$(cat metadata/keyfile)
  umount metadata
  part keyfile
  of_volume apiKey env >api-key
  IFS=: read -ra crn < <(of_volume crn env)
  ask() { curl --silent --show-error --fail --cacert $authority "$@"; }
  text() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
  grant=urn:ibm:params:oauth:grant-type:apikey
  token=$(ask -d grant_type=$grant --data-urlencode "apikey=$(cat api-key)" "$service/identity/token" | text access_token)
  root="$service/api/v2/keys/${crn[9]}"
  headers=(-H "authorization: Bearer $token" -H "bluemix-instance: ${crn[7]}")
  ask "${headers[@]}" "$root/metadata" | grep -q '"state": *1\b'
  seed=$(ask "${headers[@]}" -d "{\"ciphertext\":\"$wrapped\"}" "$root/actions/unwrap" | text plaintext)
  passphrase=$(printf %s%s "$passphrase" "$seed" | digest)
  part key-service
fi

if [ -n "$prove" ]; then
  printf %s "$passphrase" | cryptsetup open --test-passphrase --type=luks2 --key-file=- "${disk}2"
  part proof
fi

printf %s "$passphrase" | cryptsetup open --type=luks2 --key-file=- "${disk}2" "by-hand-$volume"
part cryptsetup
mkdir -p "$mount"
mount -o nosuid,nodev "/dev/mapper/by-hand-$volume" "$mount"
part mount
