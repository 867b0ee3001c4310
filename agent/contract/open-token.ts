/**
 * Opening tokens. Whoever delivers the contract can send any number of forged tokens, so every kind of wrong
 * ciphertext (another key, bad padding, changed bytes, text that is no UTF-8) ends in the same null.
 */

import { isUtf8 } from 'node:buffer';
import {
  constants,
  createDecipheriv,
  createPublicKey,
  type KeyObject,
  pbkdf2,
  pbkdf2Sync,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { AgentError } from '../errors.ts';
import { privateBuffer, Secret } from '../secret.ts';
import { effectivePassphrase, iterations, parseToken, type Token } from './envelope.ts';
import { modulusBytes } from './private-key.ts';

const keyLength = 32;
const ivLength = 16;

/** Keys that passed: the answer depends on OpenSSL, and takes two private-key operations. */
const suitable = new WeakSet<KeyObject>();

/**
 * Throws CRYPTOGRAPHY_UNSUITABLE unless this Node answers bad PKCS#1 v1.5 padding with repeatable made-up bytes
 * (implicit rejection, OpenSSL 3.2: EVP_PKEY-RSA(7)). Without it, opening tokens is a padding oracle (CVE-2023-46809).
 */
export const assertImplicitRejection = (key: KeyObject): void => {
  if (suitable.has(key)) return;
  const length = modulusBytes(key);
  // 00 02, then padding without the 00 that has to end it.
  const block = Buffer.alloc(length, 0xff);
  block.writeUInt16BE(0x0002, 0);
  const wrong = publicEncrypt({ key: createPublicKey(key), padding: constants.RSA_NO_PADDING }, block);
  const attempt = (): Buffer => privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, wrong);
  let answers: readonly Buffer[];
  try {
    answers = [attempt(), attempt()];
  } catch (cause) {
    throw new AgentError(
      'CRYPTOGRAPHY_UNSUITABLE',
      { reason: 'wrong RSA padding is answered with an error' },
      { cause },
    );
  }
  const [first, second] = answers;
  if (first === undefined || second === undefined || !first.equals(second)) {
    throw new AgentError('CRYPTOGRAPHY_UNSUITABLE', { reason: 'wrong RSA padding is not answered repeatably' });
  }
  suitable.add(key);
};

const unwrapPassphrase = (token: Token, key: KeyObject): Secret | null => {
  // Node answers other lengths with errors of its own; with the right length only a value above the modulus does.
  if (token.wrappedPassphrase.length !== modulusBytes(key)) return null;
  try {
    return Secret.take(privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, token.wrappedPassphrase));
  } catch {
    return null;
  }
};

/** AES key and IV, in this order. */
const derivedLength = keyLength + ivLength;
const digest = 'sha256';

const deriveHere = ({ salt }: Token, passphrase: Secret): Secret =>
  Secret.take(passphrase.expose((bytes) => pbkdf2Sync(bytes, salt, iterations, derivedLength, digest)));

/** In another thread, which works on a copy of the passphrase that OpenSSL clears. */
const deriveAside = ({ salt }: Token, passphrase: Secret): Promise<Secret> =>
  new Promise((resolve, reject) => {
    passphrase.expose((bytes) =>
      pbkdf2(bytes, salt, iterations, derivedLength, digest, (error, derived) => {
        if (error === null) resolve(Secret.take(derived));
        else reject(error);
      }),
    );
  });

const decryptBody = ({ ciphertext }: Token, derived: Secret): Secret | null =>
  derived.expose((bytes) => {
    const decipher = createDecipheriv('aes-256-cbc', bytes.subarray(0, keyLength), bytes.subarray(keyLength));
    const body = decipher.update(ciphertext);
    try {
      const end = decipher.final();
      const length = body.length + end.length;
      const whole = privateBuffer(length);
      whole.set(body);
      whole.set(end, body.length);
      end.fill(0);
      return Secret.take(whole);
    } catch {
      return null;
    } finally {
      body.fill(0);
    }
  });

export interface OpenedToken {
  readonly plaintext: Secret;
  /** Length of the passphrase that counted, in bytes: short ones can be guessed without the private key. */
  readonly passphraseLength: number;
}

interface Unwrapped {
  readonly token: Token;
  /** As `openssl enc` reads it. */
  readonly effective: Secret;
  /** All raw bytes, for producers that call a library instead of the command. */
  readonly raw: Secret;
}

const unwrap = (text: string, key: KeyObject): Unwrapped | null => {
  const token = parseToken(text);
  const raw = token === null ? null : unwrapPassphrase(token, key);
  return token === null || raw === null ? null : { token, raw, effective: effectivePassphrase(raw) };
};

/** `derived` of the effective and of the raw passphrase; both are wiped. */
const openWith = (
  { token, effective, raw }: Unwrapped,
  [ofEffective, ofRaw]: readonly [Secret, Secret],
): OpenedToken | null => {
  try {
    // Both are always tried, so that the time taken does not tell which bytes a forged token unwrapped to.
    const asCommand = decryptBody(token, ofEffective);
    const asLibrary = decryptBody(token, ofRaw);
    // A wrong passphrase passes the padding check once in 256: text tells the two apart.
    const opened = [
      { plaintext: asCommand, passphraseLength: effective.length },
      { plaintext: asLibrary, passphraseLength: raw.length },
    ].filter((candidate): candidate is OpenedToken => candidate.plaintext !== null);
    const chosen = opened.find(({ plaintext }) => plaintext.expose(isUtf8)) ?? opened[0] ?? null;
    for (const candidate of opened) if (candidate !== chosen) candidate.plaintext.wipe();
    return chosen;
  } finally {
    ofEffective.wipe();
    ofRaw.wipe();
  }
};

const wipeUnwrapped = ({ effective, raw }: Unwrapped): void => {
  effective.wipe();
  raw.wipe();
};

/**
 * Opens one token. Null for everything that is wrong with it, without a difference. First the passphrase as
 * `openssl enc` reads it, then all raw bytes, for producers that call a library instead of the command.
 */
export const openToken = (text: string, key: KeyObject): OpenedToken | null => {
  const unwrapped = unwrap(text, key);
  if (unwrapped === null) return null;
  const { token, effective, raw } = unwrapped;
  try {
    return openWith(unwrapped, [deriveHere(token, effective), deriveHere(token, raw)]);
  } finally {
    wipeUnwrapped(unwrapped);
  }
};

/** `openToken`, its key derivations beside each other and beside whatever else this process does meanwhile. */
export const openTokenAside = async (text: string, key: KeyObject): Promise<OpenedToken | null> => {
  const unwrapped = unwrap(text, key);
  if (unwrapped === null) return null;
  const { token, effective, raw } = unwrapped;
  try {
    return openWith(unwrapped, await Promise.all([deriveAside(token, effective), deriveAside(token, raw)]));
  } finally {
    wipeUnwrapped(unwrapped);
  }
};
