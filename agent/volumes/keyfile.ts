/**
 * `keyfile` in the root of the metadata file system: the wrapped seed as the key management service returned it, one
 * base64 text (IBM Cloud docs, "Validating data volume encryption" and the volumes subsection of "About the contract").
 */
import type { RootFileRead } from './ext4-reader.ts';

export const keyfileName = 'keyfile';
/** A wrapped seed of 32 bytes takes a few hundred characters; the rest is room for other services. */
const maximumWrappedLength = 60 * 1024;

export type KeyfileParse =
  | { readonly kind: 'wrapped'; readonly wrapped: string }
  | { readonly kind: 'bad'; readonly reason: string };

/**
 * The wrapped seed in `bytes`, without the white space around it that editors and `echo` leave. Strict: canonical
 * base64 with padding (RFC 4648 §4, §3.5), 1 byte to 60 KiB of text, nothing in between.
 */
export const parseKeyfile = (bytes: Buffer): KeyfileParse => {
  const bad = (reason: string): KeyfileParse => ({ kind: 'bad', reason });
  const wrapped = bytes.toString('latin1').replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
  if (wrapped === '') return bad('it is empty');
  if (wrapped.length > maximumWrappedLength) return bad('it is longer than 60 KiB');
  const canonical = Buffer.from(wrapped, 'base64').toString('base64') === wrapped;
  return canonical ? { kind: 'wrapped', wrapped } : bad('it is not one base64 text');
};

/** The bytes of a keyfile for `wrapped`, without a newline: HPCR's own has none. Throws TypeError for other text. */
export const renderKeyfile = (wrapped: string): Buffer => {
  const parsed = parseKeyfile(Buffer.from(wrapped, 'utf8'));
  if (parsed.kind === 'bad' || parsed.wrapped !== wrapped) throw new TypeError('a wrapped seed that is no base64 text');
  return Buffer.from(wrapped, 'ascii');
};

/** The column `seed` of the scenario table as far as the metadata partition tells it. */
export type SeedFact =
  | { readonly fact: 'none' }
  | { readonly fact: 'present'; readonly wrapped: string }
  | { readonly fact: 'bad' | 'unreadable'; readonly reason: string }
  | { readonly fact: 'no-fs' };

/** Classifies what reading `keyfile` gave. `bad` and `unreadable` never become `none`: a lost seed is not an absent one. */
export const seedFactOf = (found: RootFileRead): SeedFact => {
  switch (found.kind) {
    case 'absent':
      return { fact: 'none' };
    case 'noFilesystem':
      return { fact: 'no-fs' };
    case 'unreadable':
      return { fact: 'unreadable', reason: found.reason };
    case 'file': {
      const parsed = parseKeyfile(found.bytes);
      return parsed.kind === 'wrapped'
        ? { fact: 'present', wrapped: parsed.wrapped }
        : { fact: 'bad', reason: parsed.reason };
    }
  }
};
