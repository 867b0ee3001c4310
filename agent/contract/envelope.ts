/**
 * The encrypted token: PREFIX.WRAPPED.BODY (IBM Cloud docs, "About the contract", and its openssl commands).
 * WRAPPED is base64 of an RSA PKCS#1 v1.5 encrypted passphrase, BODY base64 of what `openssl enc -aes-256-cbc -pbkdf2`
 * writes: `Salted__`, 8 bytes of salt, ciphertext. There is no integrity tag.
 */
import { Secret } from '../secret.ts';

export const tokenPrefixes = ['hyper-protect-basic', 'contract-basic'] as const;
export type TokenPrefix = (typeof tokenPrefixes)[number];

export const saltLength = 8;
const magic = Buffer.from('Salted__', 'latin1');
const blockLength = 16;
/** `openssl enc -pbkdf2` without `-iter`: openssl-enc(1). */
export const iterations = 10_000;

export interface Token {
  readonly prefix: TokenPrefix;
  /** RSA ciphertext of the passphrase; its length is not checked here. */
  readonly wrappedPassphrase: Buffer;
  readonly salt: Buffer;
  /** At least one block, whole blocks. */
  readonly ciphertext: Buffer;
}

/** True when `text` is meant as a token: it begins with a known prefix and a dot. */
export const isToken = (text: string): boolean => {
  const start = text.trimStart().slice(0, 24);
  return tokenPrefixes.some((prefix) => start.startsWith(`${prefix}.`));
};

/** Standard base64 with padding and nothing else; null when `text` is anything but the encoding of its own bytes. */
export const decodeBase64 = (text: string): Buffer | null => {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
};

/** Null when `text` is not a well-formed token. White space around it is ignored, as YAML block scalars add some. */
export const parseToken = (text: string): Token | null => {
  const [prefix, wrapped, body, ...rest] = text.trim().split('.', 4);
  const known = tokenPrefixes.find((candidate) => candidate === prefix);
  if (known === undefined || wrapped === undefined || body === undefined || rest.length > 0) return null;
  const wrappedPassphrase = decodeBase64(wrapped);
  const container = decodeBase64(body);
  if (wrappedPassphrase === null || wrappedPassphrase.length === 0 || container === null) return null;
  const start = magic.length + saltLength;
  if (container.length < start + blockLength || (container.length - start) % blockLength !== 0) return null;
  if (!container.subarray(0, magic.length).equals(magic)) return null;
  return {
    prefix: known,
    wrappedPassphrase,
    salt: container.subarray(magic.length, start),
    ciphertext: container.subarray(start),
  };
};

export const renderToken = ({ prefix, wrappedPassphrase, salt, ciphertext }: Token): string =>
  `${prefix}.${wrappedPassphrase.toString('base64')}.${Buffer.concat([magic, salt, ciphertext]).toString('base64')}`;

/**
 * The part of the raw passphrase that `openssl enc -pass stdin` uses: it reads one line as a C string, so bytes up
 * to the first LF, of these up to the first NUL. CR stays. Existing tokens hold raw random bytes, so this cuts about
 * one in five.
 */
export const effectivePassphrase = (raw: Secret): Secret =>
  raw.expose((bytes) => {
    const lineEnd = bytes.indexOf(0x0a);
    const line = lineEnd === -1 ? bytes : bytes.subarray(0, lineEnd);
    const end = line.indexOf(0x00);
    const used = end === -1 ? line : line.subarray(0, end);
    return Secret.build(used.length, (own) => own.set(used));
  });

/** True when no reader can disagree about the passphrase: no NUL, LF or CR. What our own tokens are made of. */
export const isUnambiguous = (raw: Secret): boolean =>
  raw.expose((bytes) => !bytes.some((byte) => byte === 0x00 || byte === 0x0a || byte === 0x0d));
