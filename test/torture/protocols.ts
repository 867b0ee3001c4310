/** The write protocols that are cut, and four volumes for each: no more are changed at the same time, and all four are in one guest. */
import { statSync, truncateSync } from 'node:fs';
import { mixOfTwo, passphraseOf, type SeedTexts } from '../e2e/cases/by-hand.ts';
import { type Content, MiB } from '../e2e/cases/image.ts';
import type { Expected } from '../e2e/cases/judge.ts';
import { type DiskMaker, luksIn, metadata, quick, steps, table, type VolumeCase } from '../e2e/cases/volume-case.ts';
import { seeded } from '../fakes/seeded.ts';

export interface TorturedVolume extends VolumeCase {
  /** By the agent; else by stock tools, with the payload. */
  readonly madeHere: boolean;
  readonly judged: Partial<Expected>;
}

export interface Protocol {
  /** The message that comes for each volume when its change is done. */
  readonly doneBy: 'VOLUME_MOUNTED' | 'VOLUME_PASSPHRASE_CHANGED' | 'VOLUME_FILESYSTEM_GROWN' | 'KEY_ROTATED';
  readonly volumes: readonly TorturedVolume[];
  /** `boot`: a boot changes the volumes. `rotation`: the daemon does, after the root key was rotated. */
  readonly changedBy: 'boot' | 'rotation';
  /** An undisturbed boot makes the volumes first, and the payload is written then. */
  readonly madeByABoot?: true;
  /** Done to each disk before a round, when it is as it was made. */
  readonly prepare?: (file: string) => void;
}

/** Data that is on a volume before its header or table is changed. */
export const payload: Content = {
  payload: `${seeded('payload')
    .bytes(128 * 1024)
    .toString('hex')}\n`,
};

const main: VolumeCase['kms'] = (stage) => [stage.entry('main')];
const byMain = { kms: main, judged: { keyName: 'main' } };

const four = (name: string, volume: (at: number) => Omit<TorturedVolume, 'key'>): readonly TorturedVolume[] =>
  [0, 1, 2, 3].map((at) => ({ key: `${name}_${at}`, ...volume(at) }));

/** One identity a volume: two with the same are taken for copies. */
const settings = (group: number, at: number): readonly string[] => [
  ...quick,
  `--uuid=11111111-2222-4333-8444-5555555555${group}${at}`,
];

const twoSeeds = (group: number, at: number, passphrase: (seeds: SeedTexts) => string = mixOfTwo): DiskMaker =>
  steps(table('metadata', 'data'), metadata({}), luksIn(2, settings(group, at), passphrase, payload));

/** A stored seed on an otherwise empty disk. */
const storedSeed: DiskMaker = async (disk) => {
  const { wrapped, seed3 } = await disk.stage.wrap('main');
  await steps(table('metadata', 'data'), metadata({ keyfile: wrapped }))(disk);
  return seed3;
};

const threeSeeds =
  (group: number, at: number, keyName: string, passphrase: (seeds: SeedTexts) => string = passphraseOf): DiskMaker =>
  async (disk) => {
    const { wrapped, seed3 } = await disk.stage.wrap(keyName);
    const withThird = (seeds: SeedTexts): string => passphrase({ ...seeds, third: seed3 });
    await steps(
      table('metadata', 'data'),
      metadata({ keyfile: `${wrapped}\n` }),
      luksIn(2, settings(group, at), withThird, payload),
    )(disk);
    return seed3;
  };

const oldSeed = 'an_older_seed_of_this_side';
const previously =
  (...sides: readonly ('env' | 'workload')[]) =>
  (seeds: SeedTexts): string =>
    passphraseOf({ ...seeds, ...Object.fromEntries(sides.map((side) => [side, oldSeed])) });
const contractRolls = (...sides: readonly ('env' | 'workload')[]) =>
  Object.fromEntries(sides.map((side) => [side, [`previousSeed: ${oldSeed}`]]));

/** Seeds roll on one side or on both, with two seeds and with three. */
const rolled = (at: number): Omit<TorturedVolume, 'key'> => {
  const sides = (
    [['env'], ['workload'], ['env', 'workload'], ['env', 'workload']] as const satisfies readonly (
      | 'env'
      | 'workload'
    )[][]
  )[at] ?? ['env'];
  const closedTo = previously(...sides);
  const changed = { madeHere: false, contract: contractRolls(...sides) };
  const judged = { token: true, keyslot: '1', closedTo };
  return at % 2 === 0
    ? { ...changed, judged, disk: twoSeeds(1, at, closedTo) }
    : { ...changed, kms: main, judged: { ...judged, keyName: 'main' }, disk: threeSeeds(1, at, 'main', closedTo) };
};

const grow = (file: string): void => truncateSync(file, statSync(file).size + 64 * MiB);

export const protocols = {
  fresh: {
    changedBy: 'boot',
    doneBy: 'VOLUME_MOUNTED',
    volumes: four('fresh', (at) => ({ madeHere: true, judged: {}, sizeMiB: 128 + at })),
  },
  'fresh-kms': {
    changedBy: 'boot',
    doneBy: 'VOLUME_MOUNTED',
    volumes: four('fresh_kms', () => ({ madeHere: true, ...byMain })),
  },
  'format-stored-seed': {
    changedBy: 'boot',
    doneBy: 'VOLUME_MOUNTED',
    volumes: four('stored', () => ({ madeHere: true, ...byMain, disk: storedSeed })),
  },
  rekey: {
    changedBy: 'boot',
    doneBy: 'VOLUME_MOUNTED',
    volumes: four('rekey', (at) => ({
      madeHere: false,
      kms: main,
      judged: { keyName: 'main', keyslot: '1', closedTo: mixOfTwo },
      disk: twoSeeds(0, at),
    })),
  },
  roll: { changedBy: 'boot', doneBy: 'VOLUME_PASSPHRASE_CHANGED', volumes: four('roll', rolled) },
  migrate: {
    changedBy: 'boot',
    doneBy: 'VOLUME_MOUNTED',
    volumes: four('migrate', (at) => ({
      madeHere: false,
      kms: (stage) => [stage.entry('main'), stage.entry('other')],
      judged: { keyName: 'main' },
      disk: threeSeeds(2, at, 'other'),
    })),
  },
  rewrap: {
    changedBy: 'rotation',
    doneBy: 'KEY_ROTATED',
    madeByABoot: true,
    volumes: four('rewrap', () => ({ madeHere: true, ...byMain })),
  },
  growth: {
    changedBy: 'boot',
    doneBy: 'VOLUME_FILESYSTEM_GROWN',
    madeByABoot: true,
    prepare: grow,
    volumes: four('growth', (at) => ({ madeHere: true, ...(at % 2 === 0 ? { judged: {} } : byMain) })),
  },
} as const satisfies Readonly<Record<string, Protocol>>;

export type ProtocolName = keyof typeof protocols;
export const protocolNames = Object.keys(protocols) as readonly ProtocolName[];
