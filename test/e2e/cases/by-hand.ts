/** Passphrases computed with sha256sum(1), as docs/volumes.md tells a person to do it: the judge of the agent's own derivation. */
import { execFileSync } from 'node:child_process';

const sha256sum = (input: string | Uint8Array): string =>
  execFileSync('sha256sum', { input }).toString('latin1').slice(0, 64);

export interface SeedTexts {
  readonly env: string;
  readonly workload: string;
  /** The base64 text that the key service unwraps to; null for volumes with two seeds. */
  readonly third: string | null;
}

/** `printf %s%s ENV WORKLOAD | sha256sum`: the passphrase of two seeds, and the first half of three. */
export const mixOfTwo = ({ env, workload }: SeedTexts): string => sha256sum(env + workload);

/** The passphrase with which this project formats. */
export const passphraseOf = (seeds: SeedTexts): string =>
  seeds.third === null ? mixOfTwo(seeds) : sha256sum(mixOfTwo(seeds) + seeds.third);

/** Another reading of "three seeds", which a volume made elsewhere may follow: one hash over all, the third as raw bytes. */
export const flatRawPassphrase = ({ env, workload, third }: SeedTexts): string =>
  sha256sum(Buffer.concat([Buffer.from(env + workload), Buffer.from(third ?? '', 'base64')]));
