/**
 * The contract at each step of the line. Every arrow changes the type, so no step can be skipped:
 * SealedContract → OpenedContract → VerifiedContract → Contract.
 *
 * The last three carry a brand that only their step can give (decrypt.ts, verify.ts, validate.ts); the next step also
 * checks at run time that the object came from there, so a cast does not help.
 */
import type { Secret } from '../secret.ts';
import type { OpenedSection } from './section.ts';

export type Profile = 'hpvs' | 'ccrt' | 'ccrv' | 'ccco';
export type Filesystem = 'ext4' | 'xfs' | 'btrfs';
export type Intent = 'auto' | 'open' | 'create';
export type SectionName = 'workload' | 'env';
export type WorkloadKind = 'compose' | 'play' | 'confidential-containers';
export type LoggingBackend = 'logRouter' | 'syslog';

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

export type Severity = 'error' | 'warning' | 'note';

/** Something to say about a contract. Never holds a secret: `excerpt` is masked when it is made. */
export interface Finding {
  /** Stable name of the rule, such as UNKNOWN_KEY. */
  readonly code: string;
  /** Message id that monitoring greps for, such as HPL05001E. */
  readonly id: string;
  readonly severity: Severity;
  /** Dotted path from the contract's root, such as env.volumes.data.kms[0].crn; empty for the whole contract. */
  readonly path: string;
  /** 1-based position in the document as delivered. For text inside a token: where the token begins. */
  readonly line: number;
  readonly column: number;
  /** 1-based position in the section's own text, when the finding is inside a section. */
  readonly within: { readonly section: SectionName; readonly line: number; readonly column: number } | null;
  readonly message: string;
  readonly hint: string;
  /** The source line with secrets masked and a caret line below it, or null when there is nothing to show. */
  readonly excerpt: string | null;
}

/** The contract as it arrived: bytes, and where from. */
export interface SealedContract {
  readonly kind: 'sealed';
  readonly bytes: Buffer;
  readonly source: string;
  /** `local-hostname` of the NoCloud meta-data, or null when there is none. */
  readonly localHostname: string | null;
  /** Files beside the contract as read, null when absent; only a NoCloud disk has them. */
  readonly cidata?: { readonly metaData: Buffer | null; readonly vendorData: Buffer | null };
}

declare const openedBrand: unique symbol;
declare const verifiedBrand: unique symbol;
declare const validatedBrand: unique symbol;

export interface ContractSections {
  readonly workload: OpenedSection;
  readonly env: OpenedSection;
}

/** Decrypted and parsed, not yet believed. The delivered text stays beside the opened one: the signature covers it. */
export interface OpenedContract {
  readonly kind: 'opened';
  readonly [openedBrand]: true;
  readonly sealed: SealedContract;
  readonly sections: ContractSections;
  /** As delivered: base64 text, or null when the contract carries none. */
  readonly envWorkloadSignature: string | null;
  /** Opened value of attestationPublicKey (PEM, or base64 of it), or null. */
  readonly attestationPublicKey: string | null;
  /** The same as delivered, possibly a token: what the contract's hashes cover. */
  readonly deliveredAttestationPublicKey: string | null;
  readonly findings: readonly Finding[];
}

/** Who signed. The key lies in the deployer's own section: only trustedSigners says who it belongs to. */
export interface Signer {
  /** Lower-case hex SHA-256 of the SubjectPublicKeyInfo. */
  readonly fingerprint: string;
  /** End of the signing certificate, which is the contract's expiry; null when the key came without a certificate. */
  readonly certificateNotAfter: Date | null;
  readonly trusted: boolean;
}

export interface VerifiedContract {
  readonly kind: 'verified';
  readonly [verifiedBrand]: true;
  readonly opened: OpenedContract;
  /** null: unsigned, accepted because no signer was pinned. */
  readonly signer: Signer | null;
  readonly findings: readonly Finding[];
}

export interface Contract {
  readonly kind: 'contract';
  readonly [validatedBrand]: true;
  readonly profile: Profile;
  readonly source: string;
  readonly localHostname: string | null;
  readonly volumes: readonly ContractVolume[];
  readonly signer: Signer | null;
  /** Warnings and notes of every step; errors never get here. */
  readonly findings: readonly Finding[];
  /** `triseed.serial`; 0 when the contract has none. */
  readonly serial: number;
  readonly loggingConfigured: LoggingBackend | null;
  readonly workloadKind: WorkloadKind;
  /** The sections as delivered, their SHA-256 and their parsed documents. */
  readonly sections: ContractSections;
  readonly attestationPublicKey: string | null;
  readonly deliveredAttestationPublicKey: string | null;
  readonly envWorkloadSignature: string | null;
}
