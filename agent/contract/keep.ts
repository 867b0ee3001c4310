/**
 * What a sealing remembers of itself, so that the next one can tell which tokens still hold the same text.
 *
 * Tokens cannot be compared with a plain section: they are random, and only the guest opens them. A digest of the
 * plaintext beside the contract would do, but whoever reads it could try seeds against it. So the digests are
 * encrypted, with a key that only the holder of the signing key can make (HKDF-SHA256, RFC 5869, over the private
 * key; AES-256-GCM). The record is one comment line at the end of the sealed contract: no reader of the contract
 * sees it, it is not signed, and whoever removes it loses nothing but the comparison.
 *
 * Each entry names plaintext and token together. A token that somebody else put in the place of ours is not in the
 * record, so that nobody gets a foreign token signed.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, type KeyObject } from 'node:crypto';
import { Secret } from '../secret.ts';
import { decodeBase64 } from './envelope.ts';
import { isMapping, type YamlValue } from './strict-yaml.ts';

/** Of plaintext and token, lower-case hex SHA-256. */
export interface KeptValue {
  readonly plaintext: string;
  readonly token: string;
}

export interface KeptCertificate {
  readonly pem: string;
  /** Digest of everything it was asked for with: days, authority, subject. */
  readonly request: string;
}

export interface KeepRecord {
  /** SPKI SHA-256 of the key that the tokens were made for. */
  readonly recipient: string;
  readonly values: Readonly<Record<string, KeptValue>>;
  readonly certificate: KeptCertificate | null;
}

const purpose = 'triseed contract seal --keep, version 1';
const nonceLength = 12;
const tagLength = 16;
/** Longer ones are not ours: three digests and a certificate take a few KiB. */
const maximumLength = 64 * 1024;
const line = /^# triseed-keep: ([A-Za-z0-9+/=]+)[ \t]*\r?$/gm;

export const digestOf = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

const keyFor = (signer: KeyObject): Secret => {
  const der = Secret.take(signer.export({ type: 'pkcs8', format: 'der' }));
  try {
    return Secret.take(new Uint8Array(der.expose((bytes) => hkdfSync('sha256', bytes, '', purpose, 32))));
  } finally {
    der.wipe();
  }
};

/** The comment line that carries `record`, without a line end. `nonce` is 12 random bytes, never used before. */
export const renderRecord = (record: KeepRecord, signer: KeyObject, nonce: Buffer): string => {
  const key = keyFor(signer);
  try {
    const packed = key.expose((bytes) => {
      const cipher = createCipheriv('aes-256-gcm', bytes, nonce.subarray(0, nonceLength)).setAAD(Buffer.from(purpose));
      const body = Buffer.concat([cipher.update(JSON.stringify(record), 'utf8'), cipher.final()]);
      return Buffer.concat([nonce.subarray(0, nonceLength), body, cipher.getAuthTag()]);
    });
    return `# triseed-keep: ${packed.toString('base64')}`;
  } finally {
    key.wipe();
  }
};

/** The record's line in a sealed contract, or null. */
export const recordLine = (text: string): string | null => [...text.matchAll(line)].at(-1)?.[0].trimEnd() ?? null;

const textOf = (value: YamlValue | undefined): string | null => (typeof value === 'string' ? value : null);

const parsed = (json: string): KeepRecord | null => {
  let read: YamlValue;
  try {
    read = JSON.parse(json) as YamlValue;
  } catch {
    return null;
  }
  if (!isMapping(read) || !isMapping(read.values)) return null;
  const recipient = textOf(read.recipient);
  const values = Object.entries(read.values).map(([name, value]) => {
    const [plaintext, token] = isMapping(value) ? [textOf(value.plaintext), textOf(value.token)] : [null, null];
    return plaintext === null || token === null ? null : ([name, { plaintext, token }] as const);
  });
  const whole = values.filter((entry) => entry !== null);
  if (recipient === null || whole.length < values.length) return null;
  const { certificate } = read;
  const [pem, request] = isMapping(certificate) ? [textOf(certificate.pem), textOf(certificate.request)] : [null, null];
  const kept = pem === null || request === null ? null : { pem, request };
  return { recipient, values: Object.fromEntries(whole), certificate: kept };
};

/** The record in a line that `signer` wrote; null for everybody else's, changed ones and none. */
export const openRecord = (text: string | null, signer: KeyObject): KeepRecord | null => {
  const [, base64 = ''] = /^# triseed-keep: (\S+)$/.exec(text ?? '') ?? [];
  const packed = base64.length > maximumLength ? null : decodeBase64(base64);
  if (packed === null || packed.length <= nonceLength + tagLength) return null;
  const key = keyFor(signer);
  try {
    return key.expose((bytes) => {
      const decipher = createDecipheriv('aes-256-gcm', bytes, packed.subarray(0, nonceLength), {
        authTagLength: tagLength,
      });
      decipher.setAAD(Buffer.from(purpose)).setAuthTag(packed.subarray(-tagLength));
      const body = decipher.update(packed.subarray(nonceLength, -tagLength));
      return parsed(Buffer.concat([body, decipher.final()]).toString('utf8'));
    });
  } catch {
    return null;
  } finally {
    key.wipe();
  }
};

const dayMs = 24 * 60 * 60 * 1000;

/**
 * A certificate is used again while more than half of its days are left: then the user data changes once in half of
 * `days`, and a contract always has at least that long to run.
 */
export const hasEnoughLife = (notAfter: Date, days: number, at: Date): boolean =>
  notAfter.getTime() - at.getTime() > (days * dayMs) / 2;
