/** Ciphers that a header may name, written as in /proc/crypto and dm-crypt tables (kernel docs, dm-crypt.rst). */
import type { LegacyProfile } from '../configuration.ts';

/** What we format with, and all that is opened without a setting. */
export const cipherName = 'aes-xts-plain64';
/** The default of cryptsetup before 1.6; opened when `volumes.legacyProfiles` names `cbc-essiv`. */
export const legacyCipherName = 'aes-cbc-essiv:sha256';
export type Cipher = typeof cipherName | typeof legacyCipherName;

/** Key sizes in bytes: XTS takes two keys of AES-128 or AES-256, CBC takes one. */
export const keySizes: Readonly<Record<Cipher, readonly number[]>> = {
  [cipherName]: [32, 64],
  [legacyCipherName]: [16, 32],
};

/** Ciphers that may be opened under this setting. */
export const ciphersWith = (legacy: readonly LegacyProfile[]): readonly Cipher[] =>
  legacy.includes('cbc-essiv') ? [cipherName, legacyCipherName] : [cipherName];

/** The encrypted data behind a header, and how it is encrypted. */
export interface DataSegment {
  readonly offsetBytes: number;
  readonly sectorBytes: 512 | 4096;
  readonly cipher: Cipher;
  readonly keyBytes: number;
}
