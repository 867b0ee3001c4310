/**
 * Records with which arguments and environment host programs are started inside a guest: each is covered by a small script
 * that appends its own /proc/PID/cmdline and environ to /var/lib/recorded (a folder of the host, so that it outlives
 * a power cut) and then becomes the real program. A script that cannot record refuses to run: nothing goes unseen.
 *
 * A unit with ProtectSystem=strict needs `ReadWritePaths=/var/lib/recorded` in a drop-in of the test.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestFiles } from './tree.ts';

/** What the agent and its units start on a host. */
export const hostPrograms: readonly string[] = [
  'blkid',
  'blockdev',
  'cryptsetup',
  'dmsetup',
  'lsblk',
  'mkfs.ext4',
  'mount',
  'resize2fs',
  'systemctl',
  'systemd-notify',
  'udevadm',
  'umount',
];

export interface Recorded {
  readonly argv: readonly string[];
  readonly environment: readonly string[];
}

const searched = ['/usr/sbin', '/usr/bin'];
const separator = '\0--environment--\0';
const terminator = '\0--end--\0';

const coverOf = (path: string): string => `\
#!/bin/sh
cat /proc/$$/cmdline /var/lib/recorded/separator /proc/$$/environ /var/lib/recorded/terminator >>/var/lib/recorded/$$ || {
  echo "recorder: cannot record $0" >&2
  exit 97
}
# A program reached through a link goes by the link's name.
case $0 in /*) exec "/opt/unrecorded$0" "$@" ;; esac
exec /opt/unrecorded${path} "$@"
`;

/** The covering scripts for `programs`. Throws an Error for a program that the host does not have. */
export const recorderFiles = (programs: readonly string[]): GuestFiles =>
  Object.fromEntries(
    programs.map((program) => {
      const found = searched.map((folder) => join(folder, program)).find((path) => existsSync(path));
      if (found === undefined) throw new Error(`cannot record ${program}: not in ${searched.join(' or ')}`);
      const path = realpathSync(found);
      return [path, { content: coverOf(path), mode: 0o755 }];
    }),
  );

/** What the scripts need in the recording folder, beside their own records. */
export const recordingMarks: Readonly<Record<string, string>> = { separator, terminator };

const words = (text: string): readonly string[] => text.split('\0').filter((word) => word !== '');

/** Every start recorded in `folder`; `argv` begins with the path of the program as it was called. */
export const readRecorded = (folder: string): readonly Recorded[] =>
  readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split(terminator).slice(0, -1))
    .map((record) => {
      const [commandLine = '', environment = ''] = record.split(separator);
      return { argv: words(commandLine).slice(1), environment: words(environment) };
    });
