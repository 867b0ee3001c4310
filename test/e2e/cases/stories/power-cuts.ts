/** Power fails while volumes are being made or changed, again and again; in the end the guest is up and stock tools agree. */
import { statSync, truncateSync } from 'node:fs';
import type { Test } from 'tap';
import { passphraseOf } from '../by-hand.ts';
import { agentHeldAtMoments, cutAt, digestOnDisk } from '../cuts.ts';
import type { Moments } from '../effects.ts';
import { MiB } from '../image.ts';
import { linesWith, stackTraces } from '../journal.ts';
import { type Expected, judge } from '../judge.ts';
import { changes, scenarios } from '../scenarios.ts';
import type { Stage } from '../stage.ts';
import {
  contentMadeElsewhere,
  handMadeKms,
  luksIn,
  type MadeVolume,
  makeVolume,
  metadata,
  quick,
  steps,
  table,
  type VolumeCase,
  volumeText,
} from '../volume-case.ts';

interface CutVolume extends VolumeCase {
  readonly madeElsewhere?: boolean;
  readonly judged: Partial<Expected>;
}

const kms: VolumeCase['kms'] = (stage) => [stage.entry('main')];
const three = { kms, judged: { keyName: 'main' } };
const first: CutVolume = { key: 'first', ...three };
const second: CutVolume = { key: 'second', sizeMiB: 160, ...three };
/** The smallest disk that is taken; two seeds, whose key derivation takes longest. */
const small: CutVolume = { key: 'small', sizeMiB: 128, judged: {} };
const parted: CutVolume = { key: 'parted', ...three, disk: table('metadata', 'data') };
const adopted: CutVolume = {
  key: 'adopted',
  ...three,
  disk: handMadeKms('main', passphraseOf, quick),
  madeElsewhere: true,
};

const found = (key: string): CutVolume => {
  const volume = [...scenarios, ...changes].find((scenario) => scenario.key === key);
  if (volume === undefined) throw new Error(`no scenario has the key ${key}`);
  return volume;
};

/** A volume made elsewhere, on a disk that has become larger since. */
const grown = (key: string, luksUuid: string): CutVolume => ({
  key,
  madeElsewhere: true,
  judged: { token: false, grown: true },
  disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, [...quick, `--uuid=${luksUuid}`]), ({ file }) =>
    truncateSync(file, statSync(file).size + 64 * MiB),
  ),
});

interface Chain {
  /** At most four: no more are changed at the same time, and a fifth would wait for one that is held. */
  readonly volumes: readonly CutVolume[];
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
  'while passphrases change': {
    volumes: ['rolled_env', 'rolled_kms', 'rekey', 'migrated'].map(found),
    boots: [
      {
        rolled_env: 'torn keyslot area',
        rolled_kms: 'after keyslot area',
        rekey: 'torn secondary header',
        migrated: 'torn secondary header',
      },
      {
        rolled_env: 'unsynced keyslot area',
        rolled_kms: 'unsynced secondary header',
        rekey: 'after secondary header',
        migrated: 'after secondary header',
      },
      {
        rolled_env: 'torn primary header',
        rolled_kms: 'after primary header',
        rekey: 'torn primary header',
        migrated: 'torn primary header',
      },
      {
        rolled_env: 'after primary header',
        rolled_kms: 'after mount',
        rekey: 'torn metadata image',
        migrated: 'after metadata cleared',
      },
    ],
  },
  'while stored seeds format, disks grow and an old keyslot goes': {
    volumes: [
      found('stored_seed'),
      found('rolled_both'),
      grown('grown_early', '11111111-2222-4333-8444-555555555551'),
      grown('grown_late', '11111111-2222-4333-8444-555555555552'),
    ],
    boots: [
      {
        stored_seed: 'after formatting mark',
        rolled_both: 'unsynced keyslot wiped',
        grown_early: 'unsynced backup entries',
        grown_late: 'unsynced table at second entries',
      },
      {
        stored_seed: 'torn secondary header',
        rolled_both: 'during mount',
        grown_early: 'after backup table',
        grown_late: 'during resize2fs',
      },
      {
        stored_seed: 'torn primary header',
        rolled_both: 'after mount',
        grown_early: 'after second entries',
        grown_late: 'during mount',
      },
      {
        stored_seed: 'after primary header',
        rolled_both: 'during mount',
        grown_early: 'unsynced old backup cleared',
        grown_late: 'after mount',
      },
    ],
  },
};

/** Of each boot: the wait for its moments, and for the volumes in the end. */
const limitSeconds = 720;

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
  for (const [at, volume] of volumes.entries()) {
    const { key, madeElsewhere = false, judged } = volume;
    const { file, seeds } = made[at] as MadeVolume;
    const content = { last: key, ...(madeElsewhere ? contentMadeElsewhere : {}) };
    await t.test(key, async (t) => {
      await judge(t, stage, { ...judged, key, file, seeds, madeHere: !madeElsewhere, content });
    });
  }
};
