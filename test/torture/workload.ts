/** What a workload would do in a tortured guest: as soon as a volume is mounted it writes a file, waits until that is on the disk, and says so. */
import type { Guest } from '../e2e/guest/guest.ts';
import type { GuestFiles } from '../e2e/guest/tree.ts';

export const workloadUnit = 'torture-workload.service';

const mark = 'torture: on the disk:';

/** One file a boot and volume, named by the boot's number on the kernel's command line. The number ends in a dot, so that a line that was cut off shows. */
const program = `\
#!/bin/sh
for word in $(cat /proc/cmdline); do
  case $word in torture.boot=*) boot=\${word#*=} ;; esac
done
findmnt --poll=mount --noheadings --raw --output=TARGET | while read -r mount; do
  case $mount in /mnt/*) ;; *) continue ;; esac
  key=\${mount#/mnt/}
  printf '%s %s' "$key" "$boot" >"$mount/promised-$boot" && sync "$mount/promised-$boot" &&
    echo "${mark} $key $boot" >/dev/console
done
`;

export const workloadFiles: GuestFiles = {
  '/usr/bin/torture-workload': { content: program, mode: 0o755 },
  [`/usr/lib/systemd/system/${workloadUnit}`]: '[Service]\nExecStart=/usr/bin/torture-workload\n',
};

export const bootArgument = (boot: string): string => `torture.boot=${boot}`;

/** What was said to be on the disks during the guest's present boot: volume key → name and content of the file. */
export const promisedIn = (
  guest: Guest,
): readonly { readonly key: string; readonly name: string; readonly text: string }[] =>
  guest
    .consoleText()
    .split('\n')
    .flatMap((line) => {
      const [, key, boot] = new RegExp(`${mark} (\\S+) (\\d+\\.\\d+\\.)$`).exec(line) ?? [];
      return key === undefined || boot === undefined ? [] : [{ key, name: `promised-${boot}`, text: `${key} ${boot}` }];
    });
