/**
 * The guest's own files, laid over the host's at every start: identity, the few units of a minimal boot, udev rules,
 * the agent's units from the checkout's systemd folder, and what the caller adds.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { checkout } from './place.ts';
import { program } from './program.ts';
import { recorderFiles } from './recorder.ts';
import { shellReady } from './shell.ts';

export interface GuestFile {
  readonly content: string | Uint8Array;
  /** Default 0o644. The owner is the guest's root. */
  readonly mode?: number;
}

export interface GuestLink {
  readonly linkTo: string;
}

/** Absolute path in the guest → file. */
export type GuestFiles = Readonly<Record<string, string | GuestFile | GuestLink>>;

export interface TreeOptions {
  readonly hostname: string;
  readonly files: GuestFiles;
  readonly wantedUnits: readonly string[];
  readonly recordPrograms: readonly string[];
}

const units = '/usr/lib/systemd/system';

/** udev makes no by-id links for ubd disks; these give the names that virtio disks have. */
const diskRules = `\
KERNEL=="ubd[a-p]", ATTR{serial}=="?*", ATTR{serial}!="(null)", SYMLINK+="disk/by-id/virtio-$attr{serial}"
KERNEL=="ubd[a-p][0-9]*", ATTRS{serial}=="?*", ATTRS{serial}!="(null)", SYMLINK+="disk/by-id/virtio-$attr{serial}-part%n"
`;

const shellUnit = `\
[Unit]
Description=Shell of the test driver
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
ExecStart=/bin/sh -c "stty raw -echo; printf ${shellReady}; exec /bin/sh +i -s"
StandardInput=tty-force
StandardOutput=tty
StandardError=journal
TTYPath=/dev/tty1
Restart=always
RestartSec=0
TimeoutStopSec=1
`;

/** Mounts made by init. They stay to the end of a shutdown, so that whatever a unit does when it is stopped still works. */
const lastingMounts = ['opt-triseed', 'opt-commands', 'opt-unrecorded', 'var-lib-recorded', 'usr-lib-modules', 'tmp'];

const targetOf = (wanted: readonly string[]): string => `\
[Unit]
Description=Everything a test case asks for
Requires=basic.target
After=basic.target
Wants=${wanted.join(' ')}
`;

/** The user of systemd/sysusers.conf: systemd-sysusers(8) does not run in such a short boot. */
const daemonUser = 'triseed-keyd';
const daemonId = 951;
const withDaemonUser = (path: string, line: string): string => {
  const others = readFileSync(path, 'utf8').split('\n');
  return [...others.filter((other) => other !== '' && !other.startsWith(`${daemonUser}:`)), line, ''].join('\n');
};

const ownFiles = (options: TreeOptions): GuestFiles => ({
  '/etc/passwd': withDaemonUser('/etc/passwd', `${daemonUser}:x:${daemonId}:${daemonId}::/:/usr/sbin/nologin`),
  '/etc/group': withDaemonUser('/etc/group', `${daemonUser}:x:${daemonId}:`),
  '/etc/machine-id': '5eed5eed5eed5eed5eed5eed5eed5eed\n',
  '/etc/hostname': `${options.hostname}\n`,
  '/etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${options.hostname}\n`,
  '/etc/resolv.conf': '# no name server: names come from /etc/hosts\n',
  // The kernel's /dev/watchdog needs a program of the host that is not installed.
  '/etc/systemd/system.conf': '[Manager]\nRebootWatchdogSec=off\nKExecWatchdogSec=off\n',
  '/etc/udev/rules.d/61-ubd.rules': diskRules,
  '/usr/bin/triseed': { content: program(), mode: 0o755 },
  [`${units}/e2e-shell.service`]: shellUnit,
  [`${units}/e2e.target`]: targetOf(options.wantedUnits),
  // Only what can matter to a disk or network test: triggering every device costs half a second.
  [`${units}/systemd-udev-trigger.service.d/e2e.conf`]: `\
[Service]
ExecStart=
ExecStart=udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=misc
`,
  ...Object.fromEntries(
    lastingMounts.map((mount) => [`${units}/${mount}.mount.d/e2e.conf`, '[Unit]\nDefaultDependencies=no\n']),
  ),
  ...recorderFiles(options.recordPrograms),
});

const wants: Readonly<Record<string, readonly string[]>> = {
  'sysinit.target.wants': [
    'systemd-journald.service',
    'systemd-udevd.service',
    'systemd-udev-trigger.service',
    'e2e-shell.service',
  ],
  'sockets.target.wants': [
    'systemd-journald.socket',
    'systemd-journald-dev-log.socket',
    'systemd-udevd-kernel.socket',
    'systemd-udevd-control.socket',
  ],
};

const masked = ['systemd-remount-fs.service', 'systemd-journald-audit.socket'];

const put = (folder: string, path: string, file: string | GuestFile | GuestLink): void => {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  if (typeof file === 'object' && 'linkTo' in file) {
    symlinkSync(file.linkTo, target);
    return;
  }
  const { content, mode = 0o644 } = typeof file === 'string' ? { content: file } : file;
  writeFileSync(target, content, { mode });
};

/** Writes the tree into the new folder `folder`. */
export const writeTree = (folder: string, options: TreeOptions): void => {
  mkdirSync(join(folder, units), { recursive: true });
  mkdirSync(join(folder, 'etc/systemd/system'), { recursive: true });
  const source = join(checkout, 'systemd');
  for (const name of existsSync(source) ? readdirSync(source) : []) {
    if (/\.(service|socket|target|timer|path|slice|mount|d|wants|requires)$/.test(name)) {
      cpSync(join(source, name), join(folder, units, name), { recursive: true });
    }
  }
  for (const [wanting, names] of Object.entries(wants)) {
    mkdirSync(join(folder, units, wanting), { recursive: true });
    for (const name of names) symlinkSync(`../${name}`, join(folder, units, wanting, name));
  }
  for (const name of masked) symlinkSync('/dev/null', join(folder, 'etc/systemd/system', name));
  for (const [path, file] of Object.entries({ ...ownFiles(options), ...options.files })) put(folder, path, file);
};
