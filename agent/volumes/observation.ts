/** What inspection found on one volume's disk, as plain facts: nothing here is a decision, and nothing is secret. */
import type { GatedHeader } from './gate.ts';
import type { GatedLuks1 } from './luks1-gate.ts';
import type { MetadataState } from './metadata-state.ts';

export const partitionings = ['none', 'halfWritten', 'one', 'two', 'twoOther', 'more', 'damaged'] as const;
/**
 * `two` means GPT with exactly `metadata` and `data`, in that order, without overlap; `twoOther` any other two;
 * `halfWritten` a cut-off table of our own on an otherwise blank disk.
 */
export type Partitioning = (typeof partitionings)[number];

export const seedFacts = ['none', 'present', 'bad', 'unreadable', 'no-fs'] as const;
export type SeedFact = (typeof seedFacts)[number];

export const targetFacts = ['blank', 'formatting', 'luks', 'luks1', 'luks-damaged', 'foreign'] as const;
/** `luks1` only when the agent configuration lets such volumes be opened. */
export type TargetFact = (typeof targetFacts)[number];

export interface ObservedPartition {
  readonly path: string;
  readonly guid: string;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

export interface Observation {
  readonly volume: string;
  readonly disk: {
    readonly path: string;
    readonly sizeBytes: number;
    readonly serial: string | null;
    readonly readOnly: boolean;
    readonly sectorBytes: 512 | 4096;
    /** Stacked devices and mount points that show the disk is in use. */
    readonly inUseBy: readonly string[];
  };
  readonly partitioning: Partitioning;
  /** Set exactly when partitioning is `two`. */
  readonly partitions: {
    readonly diskGuid: string;
    readonly metadata: ObservedPartition;
    readonly data: ObservedPartition;
  } | null;
  /** Where the data partition could end now that the disk has grown, in bytes; null when there is nothing to gain. */
  readonly growsTo: number | null;
  /** Set exactly when partitioning is `halfWritten`: the GUIDs with which our cut-off table must be finished. */
  readonly resume: {
    readonly diskGuid: string | null;
    readonly metadataGuid: string;
    readonly dataGuid: string;
  } | null;
  /** The data partition when there are two, else the whole disk. */
  readonly target: {
    readonly fact: TargetFact;
    readonly path: string;
    readonly sizeBytes: number;
    /** For people: which signature, which reason. */
    readonly detail: string;
  };
  /** Set exactly when target.fact is `luks`. */
  readonly header: {
    readonly gated: GatedHeader;
    readonly primaryIsCurrent: boolean;
    readonly secondaryIsCurrent: boolean;
  } | null;
  /** Set exactly when target.fact is `luks1`. */
  readonly luks1: GatedLuks1 | null;
  /** Set exactly when partitioning is `two`. */
  readonly metadata: MetadataState | null;
  readonly seed: {
    readonly fact: SeedFact;
    /** Wrapped seeds in the order in which they are tried: our token first, then the keyfile. */
    readonly wrapped: readonly string[];
    /** False when the metadata partition does not mirror our token; the token wins. True without a token of ours. */
    readonly mirrorIsCurrent: boolean;
  };
}

/** As much of an observation as table and plan look at: an observation, or one that was saved without wrapped seeds. */
export type PlannableObservation = Omit<Observation, 'header' | 'luks1' | 'seed'> & {
  readonly header: {
    readonly gated: { readonly token: object | null };
    readonly primaryIsCurrent: boolean;
    readonly secondaryIsCurrent: boolean;
  } | null;
  readonly seed: Pick<Observation['seed'], 'fact' | 'mirrorIsCurrent'>;
};

/** The GUIDs that a token's MAC binds; null for a whole-disk volume. */
export const guidsOf = ({ partitions }: Pick<Observation, 'partitions'>) =>
  partitions && { disk: partitions.diskGuid, metadata: partitions.metadata.guid, data: partitions.data.guid };
