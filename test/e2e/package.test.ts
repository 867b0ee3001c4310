/**
 * The amd64 package in a guest without Node and without the checkout: a sealed contract, a new volume with a root key, and
 * the same volume after a restart, by the files of the package alone.
 */
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Stage } from './cases/stage.ts';
import { checkout } from './guest/place.ts';
import { createDisk } from './guest/scratch.ts';
import type { GuestFile, GuestFiles, GuestLink } from './guest/tree.ts';

t.setTimeout(1_200_000);
const stage = await new Stage('package').open('main');
t.teardown(() => stage.close());

/** Every file of a package as dpkg would put it into a guest. */
const packageFiles = (folder: string): GuestFiles => {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return Object.fromEntries(
    names.flatMap((name): readonly (readonly [string, GuestFile | GuestLink])[] => {
      const path = join(folder, name);
      const status = lstatSync(path);
      if (status.isSymbolicLink()) return [[`/${name}`, { linkTo: readlinkSync(path) }]];
      return status.isFile() ? [[`/${name}`, { content: readFileSync(path), mode: status.mode & 0o777 }]] : [];
    }),
  );
};

const dist = stage.scratch.path('dist');
const unpacked = stage.scratch.path('unpacked');
execFileSync(process.execPath, ['scripts/build/main.ts', '--out', dist, '--level', '0'], {
  cwd: checkout,
  stdio: ['ignore', 'ignore', 'inherit'],
});
const [debian = ''] = readdirSync(dist).filter((name) => name.endsWith('_amd64.deb'));
execFileSync('dpkg-deb', ['--extract', join(dist, debian), unpacked]);

/** The guest shows the host's programs, and the checkout with a Node of its own: both go before the boot begins. */
const withoutNode: GuestFiles = {
  '/etc/systemd/system/without-node.service': `\
[Unit]
DefaultDependencies=no
Before=triseed-boot.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/rm -f /usr/bin/node /usr/bin/nodejs /usr/local/bin/node /usr/local/bin/nodejs
ExecStart=/usr/bin/mount -t tmpfs -o size=4k none /opt/triseed
`,
};

t.test('boots a sealed contract, and again', async (t) => {
  const scratch = stage.folder('installed');
  const disk = createDisk(scratch, { name: 'data', sizeBytes: 128 << 20, serial: 'data' });
  const guest = await stage.guest(scratch, {
    name: 'installed',
    wholeStart: true,
    disks: [disk],
    volumes: [
      {
        key: 'data',
        mount: '/mnt/data',
        envSeed: 'env_seed_of_the_package',
        workloadSeed: 'workload_seed_of_the_package',
        filesystem: 'ext4',
        kms: [stage.entry('main')],
      },
    ],
    options: {
      files: { ...packageFiles(unpacked), ...stage.deployment.guestFiles(stage.service), ...withoutNode },
      wantedUnits: ['without-node.service', 'triseed.target'],
    },
  });
  for (const [boot, expected] of [
    ['first', 'written in the first boot'],
    ['second', 'written in the first boot\nwritten in the second boot'],
  ] as const) {
    guest.start();
    await guest.waitForText(/HPL10001I/, 360_000);
    t.equal(await guest.check('ls -A /opt/triseed'), '', 'the checkout is out of reach');
    t.not((await guest.run('node --version || nodejs --version')).status, 0, 'there is no Node');
    t.equal((await guest.check('readlink -f /usr/bin/triseed')).trim(), '/usr/lib/triseed/triseed');
    t.match(await guest.check('systemctl show --property=ExecStart triseed-keyd.service'), '/usr/bin/triseed');
    const daemon = (await guest.check('systemctl show --property=MainPID --value triseed-keyd.service')).trim();
    t.equal((await guest.check(`readlink /proc/${daemon}/exe`)).trim(), '/usr/lib/triseed/triseed', 'the key daemon');
    t.equal((await guest.run('triseed volume verify')).status, 0, 'the volume is encrypted');
    const written = await guest.check(`echo written in the ${boot} boot >>/mnt/data/log; cat /mnt/data/log`);
    t.equal(written.trim(), expected);
    t.equal(await guest.powerOff(), 'poweredOff');
  }
});
