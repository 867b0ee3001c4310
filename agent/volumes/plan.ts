/**
 * From facts to a plan. Pure and total: every observation and contract either yields the steps of one scenario or one
 * refusal. `apply` carries the steps out and has no choices left; a dry run prints these very steps.
 */
import { createHash } from 'node:crypto';
import type { ContractVolume, Filesystem } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import { mebibyte } from './device-bytes.ts';
import { guidsOf, type PlannableObservation as Observation } from './observation.ts';
import { minimumDiskBytes } from './partition-table.ts';
import { type Facts, type KmsFact, type Outcome, type RefusalName, rowFor } from './scenarios.ts';
import { canonicalJson, type Json } from './strict-json.ts';
import type { Scheme } from './token.ts';

export type Step =
  | {
      readonly do: 'partition';
      readonly diskGuid: string;
      readonly metadataGuid: string;
      readonly dataGuid: string;
      readonly sizeBytes: number;
      readonly sectorSize: 512 | 4096;
    }
  /** The disk has grown: the data partition follows, up to this byte of the disk. */
  | { readonly do: 'grow-partition'; readonly endBytes: number }
  | { readonly do: 'mark-formatting'; readonly partitionGuid: string }
  | {
      readonly do: 'format';
      readonly luksUuid: string;
      readonly kdf: 'argon2id' | 'pbkdf2';
      readonly sectorBytes: 512 | 4096;
      readonly scheme: Scheme;
    }
  | { readonly do: 'open'; readonly mapping: string }
  | { readonly do: 'make-filesystem'; readonly filesystem: Filesystem }
  | { readonly do: 'commit-header' }
  /** Writes our token: adoption of a volume made elsewhere, or a seed that was wrapped anew. */
  | { readonly do: 'commit-token' }
  /** One commit: a keyslot for the present seeds and our token, and no other keyslot any more. */
  | { readonly do: 'change-passphrase'; readonly kdf: 'argon2id' | 'pbkdf2'; readonly why: 'roll' | 'rekey' }
  /** Rewrites the copy of the header that a cut left old or torn. */
  | { readonly do: 'mend-header' }
  | { readonly do: 'make-metadata' }
  /** A file system that is smaller than the opened volume is grown right after. */
  | { readonly do: 'mount'; readonly filesystem: Filesystem; readonly mount: string };

/** The steps after which data that was on the disk before is gone: marked in every print of a plan. */
export const destructive: ReadonlySet<Step['do']> = new Set([
  'partition',
  'mark-formatting',
  'format',
  'make-filesystem',
]);

export interface Plan {
  readonly volume: string;
  readonly scenario: string;
  readonly seeds: 2 | 3;
  readonly kind: 'formats' | 'opens';
  readonly disk: string;
  readonly serial: string | null;
  readonly target: { readonly path: string; readonly sizeBytes: number };
  /** GUIDs the token's MAC binds; null for whole-disk volumes. */
  readonly partitions: { readonly disk: string; readonly metadata: string; readonly data: string } | null;
  readonly steps: readonly Step[];
  /** SHA-256 of the canonical plan, first 16 hex digits: what the journal and a dry run can be compared by. */
  readonly digest: string;
}

/** Fresh identities, drawn by the caller, so that planning stays a function. */
export interface NewIdentities {
  readonly diskGuid: string;
  readonly metadataGuid: string;
  readonly dataGuid: string;
  readonly luksUuid: string;
}

/** What planning needs to know of a contract's volume: no seed and no key is among it. */
export type PlannedVolume = Pick<
  ContractVolume,
  'key' | 'mount' | 'filesystem' | 'intent' | 'unsupportedSeedSource'
> & {
  readonly kms: readonly unknown[];
};

const kmsFact = (entries: number): KmsFact => (entries === 0 ? 'none' : entries === 1 ? 'one' : 'several');

export const factsOf = (volume: PlannedVolume, observation: Observation): Facts => ({
  seedSource: volume.unsupportedSeedSource === null ? 'contract' : 'other',
  partitioning: observation.partitioning,
  seed: observation.seed.fact,
  kms: kmsFact(volume.kms.length),
  target: observation.target.fact,
});

const refusal = (name: RefusalName, volume: string, detail: string): AgentError =>
  new AgentError(name, { volume, detail });

/**
 * The outcome of the table for this volume, after intent and previousSeed had their say.
 * Throws the refusal as an AgentError (scenarios.ts RefusalName, VOLUME_INTENT_REFUSED, VOLUME_DISK_TOO_SMALL).
 */
export const decide = (volume: PlannedVolume, observation: Observation): Exclude<Outcome, { kind: 'refuses' }> => {
  const { outcome } = rowFor(factsOf(volume, observation));
  if (outcome.kind === 'refuses') {
    throw refusal(outcome.refusal, volume.key, volume.unsupportedSeedSource ?? observation.target.detail);
  }
  const forbidden = { auto: null, open: 'formats', create: 'opens' }[volume.intent];
  if (outcome.kind === forbidden) {
    const { intent, key } = volume;
    throw new AgentError('VOLUME_INTENT_REFUSED', { volume: key, intent, scenario: outcome.scenario });
  }
  if (outcome.kind === 'formats' && (observation.metadata === 'foreign' || observation.metadata === 'scrap'))
    throw refusal('VOLUME_FOREIGN_DATA', volume.key, 'the metadata partition is in use for something else');
  const room = roomFor(outcome, observation);
  if (room !== null) throw new AgentError('VOLUME_DISK_TOO_SMALL', { volume: volume.key, detail: room });
  return outcome;
};

/**
 * A LUKS2 header of 16 MiB, and a file system worth the name behind it. Less than the 27 MiB which our own table gives the smallest
 * disk: what a power cut leaves of a fresh volume must not be refused by the next boot.
 */
const minimumDataBytes = 24 * mebibyte;

/** Why a new volume does not fit, or null. Asked before the key service is, and before anything is written. */
const roomFor = (outcome: Outcome, { disk, target }: Observation): string | null => {
  if (outcome.kind !== 'formats') return null;
  const [found, needed] = outcome.partitions
    ? [disk.sizeBytes, minimumDiskBytes]
    : [target.sizeBytes, minimumDataBytes];
  return found < needed ? `it has ${found} bytes and at least ${needed} are needed` : null;
};

/** Throws VOLUME_SEED_SOURCE_NOT_BUILT before any disk is looked for. */
export const refuseUnusableSeedSource = ({ key, unsupportedSeedSource: source }: PlannedVolume): void => {
  if (source !== null) throw refusal('VOLUME_SEED_SOURCE_NOT_BUILT', key, source);
};

/** Device-mapper name of a volume. */
export const mappingOf = (volume: string): string => `triseed-${volume}`;

/** A third seed has 256 random bits, so nothing is gained by a slow derivation (docs/volumes.md, "Key derivation"). */
const kdfFor = (seeds: 2 | 3): 'argon2id' | 'pbkdf2' => (seeds === 3 ? 'pbkdf2' : 'argon2id');

const formattingSteps = (
  outcome: Extract<Outcome, { kind: 'formats' }>,
  volume: PlannedVolume,
  observation: Observation,
  fresh: NewIdentities,
): readonly Step[] => {
  const identities = { ...fresh, ...withoutNull(observation.resume ?? {}) };
  const { diskGuid, metadataGuid, dataGuid } = identities;
  const { sizeBytes, sectorBytes: sectorSize } = observation.disk;
  const partitionGuid = observation.partitions?.data.guid ?? dataGuid;
  const kdf = kdfFor(outcome.seeds);
  const scheme: Scheme = outcome.seeds === 3 ? 'interim' : 'two-seed';
  // Our own data partitions are whole MiBs; one made elsewhere may end at an odd sector.
  const sectorBytes = observation.target.sizeBytes % 4096 === 0 || outcome.partitions ? 4096 : 512;
  return [
    ...(outcome.partitions
      ? [{ do: 'partition', diskGuid, metadataGuid, dataGuid, sizeBytes, sectorSize } as const]
      : []),
    { do: 'mark-formatting', partitionGuid },
    { do: 'format', luksUuid: fresh.luksUuid, kdf, sectorBytes, scheme },
    { do: 'open', mapping: mappingOf(volume.key) },
    { do: 'make-filesystem', filesystem: volume.filesystem },
    { do: 'commit-header' },
    { do: 'make-metadata' },
    { do: 'mount', filesystem: volume.filesystem, mount: volume.mount },
  ];
};

/**
 * A cut may leave one copy of our header old or torn, or our formatting mark in its place. It is mended before the volume
 * is mounted: a mark must never lie on a volume that holds data. Headers made elsewhere are left as they are.
 */
const mendsHeader = ({ header }: Observation): boolean =>
  header !== null && header.gated.token !== null && !(header.primaryIsCurrent && header.secondaryIsCurrent);

const openingSteps = (
  outcome: Extract<Outcome, { kind: 'opens' }>,
  volume: PlannedVolume,
  observation: Observation,
  { seedWasRewrapped, opensWithPrevious }: ProvenFacts,
): readonly Step[] => {
  const why = outcome.rekeys ? 'rekey' : opensWithPrevious ? 'roll' : null;
  const adopts = outcome.seeds === 3 && observation.header?.gated.token === null;
  const storesSeed = adopts || (outcome.seeds === 3 && seedWasRewrapped);
  const mirrors = !observation.seed.mirrorIsCurrent || outcome.rekeys || (outcome.seeds === 3 && seedWasRewrapped);
  const mayMirror = mirrors && observation.metadata !== null && observation.metadata !== 'foreign';
  const kdf = kdfFor(outcome.seeds);
  const { growsTo: endBytes } = observation;
  return [
    ...(endBytes === null ? [] : [{ do: 'grow-partition', endBytes } as const]),
    ...(mendsHeader(observation) ? [{ do: 'mend-header' } as const] : []),
    ...(why !== null
      ? [{ do: 'change-passphrase', kdf, why } as const]
      : storesSeed
        ? [{ do: 'commit-token' } as const]
        : []),
    { do: 'open', mapping: mappingOf(volume.key) },
    ...(mayMirror ? [{ do: 'make-metadata' } as const] : []),
    { do: 'mount', filesystem: volume.filesystem, mount: volume.mount },
  ];
};

const withoutNull = (guids: { readonly [name: string]: string | null }): { readonly [name: string]: string } =>
  Object.fromEntries(Object.entries(guids).flatMap(([name, guid]) => (guid === null ? [] : [[name, guid]])));

/** What the proof found out that the plan depends on. */
export interface ProvenFacts {
  /** The key service handed out a newer wrapping than the stored one. */
  readonly seedWasRewrapped: boolean;
  /** Only a mix with a previousSeed opens the volume. */
  readonly opensWithPrevious: boolean;
}

/** The plan of one volume. Throws the refusal of `decide`, and VOLUME_LUKS1_UNCHANGED instead of rolling a seed there. */
export const planVolume = (
  volume: PlannedVolume,
  observation: Observation,
  proven: ProvenFacts,
  fresh: NewIdentities,
): Plan => {
  const outcome = decide(volume, observation);
  if (observation.target.fact === 'luks1' && proven.opensWithPrevious)
    throw new AgentError('VOLUME_LUKS1_UNCHANGED', { volume: volume.key, detail: 'only a previousSeed opens it' });
  const steps =
    outcome.kind === 'formats'
      ? formattingSteps(outcome, volume, observation, fresh)
      : openingSteps(outcome, volume, observation, proven);
  const created = steps.find((step) => step.do === 'partition');
  const partitions =
    created !== undefined
      ? { disk: created.diskGuid, metadata: created.metadataGuid, data: created.dataGuid }
      : guidsOf(observation);
  const plan = {
    volume: volume.key,
    scenario: outcome.scenario,
    seeds: outcome.seeds,
    kind: outcome.kind,
    disk: observation.disk.path,
    serial: observation.disk.serial,
    target: { path: observation.target.path, sizeBytes: observation.target.sizeBytes },
    partitions,
    steps,
  };
  const digest = createHash('sha256')
    .update(canonicalJson(plan as unknown as Json))
    .digest('hex')
    .slice(0, 16);
  return { ...plan, digest };
};

/** One line of a plan for people and the journal, destructive steps in capitals: `PARTITION → … → mount`. */
export const renderSteps = (steps: readonly Step[]): string =>
  steps.map((step) => (destructive.has(step.do) ? step.do.toUpperCase() : step.do)).join(' → ');
