/**
 * The LUKS passphrase from the seeds: 64 lower-case hex characters, no newline (docs/volumes.md).
 * Two seeds: hex(sha256(seed1 ‖ seed2)), seed1 from env, seed2 from workload (IBM Cloud docs "Securing your data on
 * Hyper Protect Virtual Servers for VPC"). Three: hex(sha256(interim ‖ seed3)), interim being the two-seed hex, as the
 * product's figure draws it; the other readings are only tried on volumes made elsewhere.
 */
import { createHash } from 'node:crypto';
import type { ContractVolume } from '../contract/types.ts';
import { privateBuffer, Secret } from '../secret.ts';
import type { Scheme } from './token.ts';

export interface Seeds {
  /** seed1: env section. */
  readonly env: Secret;
  /** seed2: workload section. */
  readonly workload: Secret;
  /** seed3: the base64 text the key management service returned; null for two-seed volumes. */
  readonly kms: Secret | null;
}

/**
 * The present seeds, then every mix in which a previousSeed takes the place of the seed of its side: the owners of the two
 * sections roll their seeds at different times.
 */
export const mixesOf = (
  volume: ContractVolume,
): readonly { readonly env: Secret; readonly workload: Secret; readonly isCurrent: boolean }[] => {
  const { envSeed, previousEnvSeed, workloadSeed, previousWorkloadSeed } = volume;
  const envs = previousEnvSeed === null ? [envSeed] : [envSeed, previousEnvSeed];
  const workloads = previousWorkloadSeed === null ? [workloadSeed] : [workloadSeed, previousWorkloadSeed];
  return envs.flatMap((env) =>
    workloads.map((workload) => ({ env, workload, isCurrent: env === envSeed && workload === workloadSeed })),
  );
};

const hexDigits = Buffer.from('0123456789abcdef', 'latin1');

/** hex(sha256(parts…)) without a JS string ever holding it. */
const hexDigest = (parts: readonly Secret[]): Secret => {
  const hash = createHash('sha256');
  for (const part of parts) part.expose((bytes) => hash.update(bytes));
  const digest = privateBuffer(32);
  digest.set(hash.digest());
  const hex = Secret.build(64, (out) => {
    for (const [at, byte] of digest.entries()) {
      out[2 * at] = hexDigits[byte >> 4] ?? 0;
      out[2 * at + 1] = hexDigits[byte & 15] ?? 0;
    }
  });
  digest.fill(0);
  return hex;
};

const decoded = (base64: Secret): Secret =>
  base64.expose((bytes) => {
    const raw = Buffer.from(bytes.toString('latin1'), 'base64');
    return Secret.take(raw);
  });

/** The passphrase of one scheme. The caller wipes it. Throws TypeError when a three-seed scheme has no seed3. */
export const derivePassphrase = (seeds: Seeds, scheme: Scheme): Secret => {
  const [first, second] = scheme.endsWith('-swapped') ? [seeds.workload, seeds.env] : [seeds.env, seeds.workload];
  const base = scheme.replace(/-swapped$/, '');
  if (base === 'two-seed') return hexDigest([first, second]);
  if (seeds.kms === null) throw new TypeError(`scheme ${scheme} needs seed3`);
  const raw = base.endsWith('-raw') ? decoded(seeds.kms) : null;
  const third = raw ?? seeds.kms;
  const interim = base.startsWith('interim') ? hexDigest([first, second]) : null;
  const passphrase = hexDigest(interim === null ? [first, second, third] : [interim, third]);
  raw?.wipe();
  interim?.wipe();
  return passphrase;
};

const twoSeedOrder: readonly Scheme[] = ['two-seed', 'two-seed-swapped'];
const threeSeedOrder: readonly Scheme[] = [
  'interim',
  'interim-raw',
  'flat',
  'flat-raw',
  'interim-swapped',
  'interim-raw-swapped',
  'flat-swapped',
  'flat-raw-swapped',
];

/** Schemes to try, in order, on a volume that records none (design decision in docs/volumes.md). Never for formatting. */
export const candidateSchemes = (hasSeed3: boolean): readonly Scheme[] => (hasSeed3 ? threeSeedOrder : twoSeedOrder);
