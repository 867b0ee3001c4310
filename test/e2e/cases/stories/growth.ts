/** Disks that became larger between two boots: partition, mapping and file system follow, the data stays. */
import { statSync, truncateSync } from 'node:fs';
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { MiB, partitionOf } from '../image.ts';
import { linesWith, stackTraces } from '../journal.ts';
import { judge } from '../judge.ts';
import type { Stage } from '../stage.ts';
import { luksIn, type MadeVolume, makeVolume, quick, type VolumeCase, volumeText } from '../volume-case.ts';

const volumes: readonly (VolumeCase & { readonly keyName?: string })[] = [
  { key: 'two' },
  { key: 'three', kms: (stage) => [stage.entry('main')], keyName: 'main' },
  { key: 'whole', sizeMiB: 32, disk: luksIn(0, quick) },
  // mkfs.xfs(8) makes nothing below 300 MiB, mkfs.btrfs(8) nothing below 109 MiB.
  { key: 'xfs', sizeMiB: 448, kms: (stage) => [stage.entry('main')], contract: { filesystem: 'xfs' } },
  { key: 'btrfs', sizeMiB: 288, kms: (stage) => [stage.entry('main')], contract: { filesystem: 'btrfs' } },
];
const addedMiB = 96;

export const grownDisks = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('grown');
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const guest = await stage.guest(scratch, {
    name: 'grown',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    options: { wantedUnits: ['triseed-volumes.target'] },
  });
  const boot = async (): Promise<void> => {
    guest.start();
    await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 360_000);
    t.strictSame(linesWith(guest, 'HPL10000E'), []);
  };
  const bytesOf = async (key: string): Promise<number> =>
    Number((await guest.check(`df --block-size=1 --output=size /mnt/${key} | tail -1`)).trim());

  await boot();
  const before = new Map<string, number>();
  for (const { key } of volumes) before.set(key, await bytesOf(key));
  for (const { key, contract } of volumes) {
    const found = await guest.check(`findmnt -no FSTYPE,OPTIONS /mnt/${key}`);
    t.match(found, new RegExp(`^${contract?.filesystem ?? 'ext4'} .*nosuid,nodev`), `${key}: type and options`);
  }
  await guest.check(volumes.map(({ key }) => `printf kept-${key} >/mnt/${key}/written; `).join(''));
  t.equal(await guest.powerOff(), 'poweredOff');
  for (const { file } of made) truncateSync(file, statSync(file).size + addedMiB * MiB);

  await boot();
  await guest.check('triseed volume verify');
  for (const { key } of volumes) {
    const plan = linesWith(guest, messages.VOLUME_PLAN.id, `volume ${key}:`);
    t.match(plan, [key === 'whole' ? /: open → mount / : /: grow-partition → open → mount /], `${key}: plan`);
    t.equal(linesWith(guest, messages.VOLUME_FILESYSTEM_GROWN.id, `volume ${key} `).length, 1, `${key}: told`);
    const gained = ((await bytesOf(key)) - (before.get(key) ?? 0)) / MiB;
    t.ok(gained > addedMiB * 0.9, `${key}: ${gained} MiB more`);
    t.equal(await guest.check(`cat /mnt/${key}/written`), `kept-${key}`);
  }
  t.equal(await guest.powerOff(), 'poweredOff');

  await boot();
  for (const { key } of volumes)
    t.match(
      linesWith(guest, messages.VOLUME_PLAN.id, `volume ${key}:`),
      [/: open → mount /],
      `${key}: nothing is left`,
    );
  t.equal(await guest.powerOff(), 'poweredOff');
  for (const number of [1, 2, 3]) t.strictSame(stackTraces(guest, number), []);

  for (const { volume, file, seeds } of made) {
    const { key } = volume;
    if (volume.disk !== undefined || volume.contract?.filesystem !== undefined) continue;
    const { offset, length } = partitionOf(file, 2);
    t.ok(statSync(file).size - offset - length <= 2 * MiB, `${key}: the partition reaches the end`);
    const keyName = volumes.find((entry) => entry.key === key)?.keyName;
    await t.test(`stock tools on ${key}`, async (t) => {
      const content = { written: `kept-${key}` };
      await judge(t, stage, {
        key,
        file,
        seeds,
        madeHere: true,
        content,
        ...(keyName === undefined ? {} : { keyName }),
      });
    });
  }
};
