/**
 * Volumes that the benchmark opens on this machine are opened as far as it says: passphrases are proved, the mapping is compared, file
 * systems are mounted. Nothing is left behind, not even when the benchmark is ended.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { openNatively } from '../../bench/native-rows.ts';
import { nativeObstacle } from '../../bench/native-world.ts';
import { makeShipped } from '../../bench/shipped.ts';
import { processesOf } from '../e2e/leftovers.ts';

t.setTimeout(400_000);
const root = join(import.meta.dirname, '..', '..');
const obstacle = nativeObstacle();
const given = obstacle === null ? {} : { skip: obstacle };

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
};

/** Loop devices over disks below `folder`. */
const loopsOver = (folder: string): readonly string[] =>
  readdirSync('/sys/block').filter((name) => read(`/sys/block/${name}/loop/backing_file`).startsWith(folder));

interface Own {
  readonly session: number;
  readonly folder: string;
}

/** Places for volumes that the process `parent` has opened. */
const placesOf = (parent: number): readonly Own[] =>
  readdirSync('/proc').flatMap((name) => {
    if (!/^\d+ \(.*\) \S (\d+) /.exec(read(`/proc/${name}/stat`))?.[1]?.match(`^${parent}$`)) return [];
    const [folder] = /[^\0]*\/bench-natively-[^/\0]+/.exec(read(`/proc/${name}/cmdline`)) ?? [];
    return folder === undefined ? [] : [{ session: Number(name), folder }];
  });

const remainsOf = (own: Own | undefined): readonly string[] =>
  own === undefined ? [] : [...processesOf(own.session), ...loopsOver(own.folder)];

/** The kernel detaches a loop device when the last user of it is gone, a moment after that. */
const untilNone = async (left: () => readonly unknown[]): Promise<readonly unknown[]> => {
  for (let tries = 0; tries < 100 && left().length > 0; tries += 1) await sleep(100);
  return left();
};

t.test('volumes opened natively', given, async (t) => {
  await using place = await openNatively(makeShipped(t.testdir()), 2);
  const { world, contracts } = place;
  const folders = '/data1 /var/hyperprotect /root/.docker';
  const close = (mapping: string): Promise<string> =>
    world.check(`umount /mnt/volume_0 && dmsetup remove ${mapping} && find ${folders} -xdev -mindepth 1 -delete`);
  const boot = 'triseed boot --config /etc/triseed/one.yaml';
  /** cryptsetup itself makes a node `control`. */
  const mappings = (): Promise<string> => world.check('ls -A --ignore=control /dev/mapper');
  const fails = (command: string): Promise<string> => world.check(`! { ${command}; }`);

  await t.test('what one side writes the other one reads', async (t) => {
    await world.check(boot);
    t.match(await world.check('findmnt --noheadings --output FSTYPE,OPTIONS /mnt/volume_0'), /^ext4 +rw,nosuid,nodev/);
    const mapping = await mappings();
    await world.check('echo kept >/mnt/volume_0/file');
    await close(mapping);
    const [disk] = contracts.one.volumes.map((volume) => volume.disk);
    const url = /iam: (\S+)/.exec(await world.check('cat /etc/triseed/one.yaml'))?.[1];
    const said = await world.check(`open-by-hand /etc/triseed/one.contract volume_0 ${disk} /mnt/volume_0 ${url}`);
    for (const part of ['contract', 'keyfile', 'key-service', 'cryptsetup', 'mount'])
      t.match(said, new RegExp(`^${part} \\d+$`, 'm'), part);
    t.equal(await world.check('cat /mnt/volume_0/file'), 'kept');
    await close('by-hand-volume_0');
  });

  await t.test('a wrong passphrase opens nothing', async (t) => {
    const said = await fails('printf wrong | cryptsetup open --type=luks2 --key-file=- /dev/vdb2 wrong');
    t.match(said, /No key available with this passphrase/);
    t.equal(await mappings(), '');
  });

  await t.test('a mapping that is not what the header says is refused', async (t) => {
    const wrongs: readonly (readonly [string, RegExp])[] = [
      ['s/$length crypt/$((length - 8)) crypt/', /length is \d+ sectors/],
      ['s/crypt $3/crypt aes-cbc-plain/', /cipher is aes-cbc-plain/],
      ['s/:$1:logon/:32:logon/', /key has 32 bytes/],
      ['s,$2 / 512,$2 / 512 + 8,', /data starts at sector 32776/],
      ['s/sector_size:$4/sector_size:1024/', /options are sector_size:1024/],
    ];
    for (const [wrong, expected] of wrongs) {
      await world.check(`sed '${wrong}' /usr/sbin/dmsetup >/native/wrong && chmod 755 /native/wrong`);
      await world.check('mount --bind /native/wrong /usr/sbin/dmsetup');
      t.match(await fails(boot), expected, wrong);
      await world.check('umount /usr/sbin/dmsetup');
      t.equal(`${await mappings()}${await world.check('find /mnt -mindepth 2')}`, '');
    }
    await world.check(boot);
  });

  await t.test('open volumes go with their place', async (t) => {
    const [own] = placesOf(process.pid);
    t.equal(loopsOver(own?.folder ?? '').length, 4);
    await place[Symbol.asyncDispose]();
    t.strictSame(await untilNone(() => remainsOf(own)), []);
    t.notOk(existsSync(own?.folder ?? ''), 'its folder is gone');
  });
});

t.test('a benchmark that is ended leaves nothing behind', given, async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const args = [join(root, 'bench/run.ts'), '--smoke', '--natively'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const parent = child.pid ?? 0;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // A row: the next one is under way.
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const [own] = placesOf(parent);
    t.ok(own !== undefined && remainsOf(own).length > 16, 'processes and loop devices');
    child.kill(signal);
    await ended;
    t.strictSame(await untilNone(() => remainsOf(own)), [], signal);
    t.notOk(existsSync(own?.folder ?? ''), 'its folder is gone');
  }
});
