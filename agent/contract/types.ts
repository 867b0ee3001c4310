/**
 * The contract at each step of the line. Every arrow changes the type, so no step can be skipped:
 * SealedContract → OpenedContract → VerifiedContract → Contract.
 */
import type { Secret } from '../secret.ts';

export type Profile = 'hpvs' | 'ccrt' | 'ccrv' | 'ccco';
export type Filesystem = 'ext4' | 'xfs' | 'btrfs';
export type Intent = 'auto' | 'open' | 'create';

/** A customer root key named by a contract `kms` entry. Grammar: IBM Cloud CRN, ten colon-separated segments. */
export interface KmsEntry {
  /** The CRN as written; it names the key and is not secret. */
  readonly crn: string;
  readonly type: 'public' | 'private';
  readonly apiKey: Secret;
}

/** One volume after env and workload halves were matched. */
export interface ContractVolume {
  /** Volume key, the same in both sections. */
  readonly key: string;
  readonly mount: string;
  readonly filesystem: Filesystem;
  /** seed1: env section. */
  readonly envSeed: Secret;
  /** seed2: workload section. */
  readonly workloadSeed: Secret;
  readonly previousEnvSeed: Secret | null;
  readonly previousWorkloadSeed: Secret | null;
  /** 0 to 5 entries; the first wraps, the others only unwrap. */
  readonly kms: readonly KmsEntry[];
  /** 0 to 1000 minutes. */
  readonly kmsTimeoutMinutes: number;
  readonly volumeName: string | null;
  readonly volumeID: string | null;
  readonly intent: Intent;
  /** Set when the env half uses a seed source that is not built: refused with its own code before a disk is read. */
  readonly unsupportedSeedSource: 'uv-secret-id' | 'grep11' | null;
}

/** The contract as it arrived: bytes, and where from. */
export interface SealedContract {
  readonly kind: 'sealed';
  readonly bytes: Buffer;
  readonly source: string;
}
