/** Disks that the agent made, changed behind its back: refused and left alone, or mended. */
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { linesWith } from '../journal.ts';
import { judge } from '../judge.ts';
import { refuseAll } from '../refuse.ts';
import type { Stage } from '../stage.ts';
import { damagedFrom, originals, tamperedWith } from '../tampering.ts';
import { type MadeVolume, makeVolume, seeds, type VolumeCase, volumeText } from '../volume-case.ts';
import { up } from './root-keys.ts';

/** A guest with these volumes that comes up, is given a file on each, and is shut down. */
const run = async (stage: Stage, name: string, volumes: readonly VolumeCase[]) => {
  const scratch = stage.folder(name);
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const guest = await stage.guest(scratch, {
    name,
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    // Every header that is being made takes 16 MiB of the guest's /run.
    options: { memoryMiB: 1536 },
  });
  guest.start();
  const end = await up(guest);
  if (!/HPL10001I/.test(end)) throw new Error(guest.lastLines(60));
  await guest.check(volumes.map(({ key }) => `echo ${key} >>/mnt/${key}/boots; `).join(''));
  await guest.powerOff();
  return { guest, fileOf: (key: string): string => scratch.path(`${key}.img`) };
};

export const tampering = async (t: Test, stage: Stage): Promise<void> => {
  const { fileOf } = await run(stage, 'originals', originals);
  await t.test('refused', (t) => refuseAll(t, stage, 'tampered', tamperedWith(fileOf)));
  const damaged = damagedFrom(fileOf);
  const { guest, fileOf: mended } = await run(stage, 'mended', damaged);
  const said = linesWith(guest, messages.STORED_SEED_FROM_KEYFILE.id);
  t.match(said, [/volume keyslot /], 'the keyfile has the seed that belongs to the volume, and that is said');
  for (const { key } of damaged) {
    t.match(linesWith(guest, 'TSD07001I', `volume ${key}:`), [/open-kms: /], key);
    const content = { boots: `${key}\n${key}\n` };
    await t.test(key, async (t) => {
      await judge(t, stage, { key, file: mended(key), seeds, keyName: 'main', madeHere: true, content });
    });
  }
};
