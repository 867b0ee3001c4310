/** Power fails while volumes are being made, again and again; in the end the guest is up and stock tools agree. */
import type { Test } from 'tap';
import { passphraseOf } from '../by-hand.ts';
import { agentHeldAtMoments, cutAt, digestOnDisk } from '../cuts.ts';
import type { Moments } from '../effects.ts';
import { linesWith, stackTraces } from '../journal.ts';
import { judge } from '../judge.ts';
import type { Stage } from '../stage.ts';
import {
  contentMadeElsewhere,
  handMadeKms,
  type MadeVolume,
  makeVolume,
  quick,
  seeds,
  table,
  type VolumeCase,
  volumeText,
} from '../volume-case.ts';

const kms: VolumeCase['kms'] = (stage) => [stage.entry('main')];
const first: VolumeCase = { key: 'first', kms };
const second: VolumeCase = { key: 'second', sizeMiB: 160, kms };
/** The smallest disk that is taken; two seeds, whose key derivation takes longest. */
const small: VolumeCase = { key: 'small', sizeMiB: 128 };
const parted: VolumeCase = { key: 'parted', kms, disk: table('metadata', 'data') };
const adopted: VolumeCase = { key: 'adopted', kms, disk: handMadeKms('main', passphraseOf, quick) };

interface Chain {
  readonly volumes: readonly VolumeCase[];
  /**
   * One boot each, cut when every volume is at its moment. Each resumes what the one before left. After `unsynced` a volume has that
   * write or has not, so its next moment is one that comes either way.
   */
  readonly boots: readonly Moments[];
}

export const chains: Readonly<Record<string, Chain>> = {
  'from the table on': {
    volumes: [first, second],
    boots: [
      { first: 'unsynced backup entries', second: 'after backup entries' },
      { first: 'unsynced backup table', second: 'after backup table' },
      { first: 'after primary entries', second: 'unsynced primary entries' },
      { first: 'after primary table', second: 'after protective MBR' },
      { first: 'unsynced protective MBR', second: 'during mkfs' },
    ],
  },
  'from the formatting mark on': {
    volumes: [second, small, parted],
    boots: [
      { second: 'unsynced primary table', small: 'unsynced protective MBR', parted: 'after formatting mark' },
      { second: 'after protective MBR', small: 'unsynced formatting mark', parted: 'torn keyslot area' },
      { second: 'after mkfs', small: 'unsynced secondary header', parted: 'torn secondary header' },
      { second: 'after keyslot area', small: 'torn primary header', parted: 'after secondary header' },
    ],
  },
  'around the commit': {
    volumes: [adopted, first, parted, small],
    boots: [
      {
        adopted: 'torn secondary header',
        first: 'after secondary header',
        parted: 'after primary header',
        small: 'unsynced primary header',
      },
      {
        adopted: 'after secondary header',
        first: 'torn metadata image',
        parted: 'after metadata image',
        small: 'after metadata cleared',
      },
      {
        adopted: 'torn primary header',
        first: 'unsynced metadata magic',
        parted: 'during mount',
        small: 'after mount',
      },
    ],
  },
};

/** Of each boot: the wait for its moments, and for the volumes in the end. */
const limitSeconds = 240;

/** Cuts the power of one guest again and again, then lets it come up and asks stock tools about every volume. */
export const powerCuts = async (t: Test, stage: Stage, { volumes, boots }: Chain): Promise<void> => {
  const scratch = stage.folder('cuts');
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const fileOf = (key: string): string => made.find(({ volume }) => volume.key === key)?.file ?? '';
  const guest = await stage.guest(scratch, {
    name: 'cuts',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    options: { wantedUnits: ['triseed-volumes.target'], files: agentHeldAtMoments, limitSeconds },
  });
  for (const moments of boots) {
    const held = await cutAt(guest, moments, limitSeconds * 1000);
    const reached = held.map(({ volume, moment }) => `${volume}: ${moment}`);
    const missed = Object.entries(moments)
      .map(([volume, moment]) => `${volume}: ${moment}`)
      .filter((moment) => !reached.includes(moment));
    t.strictSame(missed, [], `boot ${guest.boots}: no moment was missed`);
    t.strictSame(linesWith(guest, 'HPL10000E'), [], `boot ${guest.boots}: nothing that a cut leaves behind is refused`);
    if (missed.length > 0) {
      t.comment(`boot ${guest.boots} ended with:\n${guest.lastLines(60)}`);
      return;
    }
    for (const { volume, moment, onDisk } of held) {
      const what = `cut at ${volume}: ${moment}`;
      if (onDisk === null) t.pass(what);
      else t.equal(digestOnDisk(fileOf(volume), onDisk), onDisk.sha256, `${what}, and its disk says so`);
    }
  }
  guest.start({ kernelArguments: [] });
  await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, limitSeconds * 1000);
  t.strictSame(linesWith(guest, 'HPL10000E'), []);
  t.equal(linesWith(guest, 'HPL02002I').length, volumes.length, 'every volume is mounted');
  await guest.check(volumes.map(({ key }) => `printf ${key} >/mnt/${key}/last; `).join(''));
  t.equal(await guest.powerOff(), 'poweredOff');
  for (let boot = 1; boot <= guest.boots; boot += 1) t.strictSame(stackTraces(guest, boot), []);
  for (const { volume, file } of made) {
    const { key } = volume;
    const madeHere = volume !== adopted;
    const content = { last: key, ...(madeHere ? {} : contentMadeElsewhere) };
    const keyName = volume.kms === undefined ? {} : { keyName: 'main' };
    await t.test(key, async (t) => {
      await judge(t, stage, { key, file, seeds, ...keyName, madeHere, content });
    });
  }
};
