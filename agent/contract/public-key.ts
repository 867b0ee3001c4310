/**
 * Public keys as contracts carry them: PEM public key, PEM certificate, or base64 of either. Tooling has encoded the
 * certificate twice, and published samples have `\n` spelt out instead of line breaks; both are understood.
 */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { rsaFault } from './rsa-key.ts';

const maxLayers = 3;

export interface CarriedKey {
  readonly key: KeyObject;
  /** Null when the key came without a certificate. */
  readonly certificate: { readonly notBefore: Date; readonly notAfter: Date } | null;
}

export type CarriedKeyOutcome =
  | { readonly kind: 'key'; readonly value: CarriedKey }
  | { readonly kind: 'unusable'; readonly reason: string };

const unusable = (reason: string): CarriedKeyOutcome => ({ kind: 'unusable', reason });

/** Peels base64 until PEM appears; null when it does not within three layers. */
export const decodePem = (text: string): string | null => {
  let current = text;
  for (let layer = 0; layer <= maxLayers; layer += 1) {
    if (current.includes('-----BEGIN ')) return current.replaceAll('\\n', '\n');
    const packed = current.replace(/\s+|\\n/g, '');
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) return null;
    current = Buffer.from(packed, 'base64').toString('latin1');
  }
  return null;
};

const block = /-----BEGIN (CERTIFICATE|PUBLIC KEY)-----\s[A-Za-z0-9+/=\s]+-----END \1-----/;

/** Reads a carried key. Only RSA of 2048 bits or more: nothing else is described for contracts. */
export const parseCarriedKey = (text: string): CarriedKeyOutcome => {
  const pem = decodePem(text);
  if (pem === null) return unusable('it holds neither PEM text nor base64 of it');
  const found = block.exec(pem);
  if (found === null) {
    if (/-----END [A-Z ]+-{1,4}(?!-)/.test(pem))
      return unusable('the END line of the PEM text needs five dashes at its end');
    if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
      return unusable('it is a private key, which must stay with its owner; give the public key or certificate');
    return unusable('it holds no complete PEM public key or certificate');
  }
  try {
    const certificate = found[1] === 'CERTIFICATE' ? new X509Certificate(found[0]) : null;
    const key = certificate?.publicKey ?? createPublicKey(found[0]);
    const fault = rsaFault(key);
    if (fault !== null) return unusable(fault);
    const dates =
      certificate === null ? null : { notBefore: certificate.validFromDate, notAfter: certificate.validToDate };
    return { kind: 'key', value: { key, certificate: dates } };
  } catch {
    return unusable('the PEM text is damaged');
  }
};

/** Lower-case hex SHA-256 of the SubjectPublicKeyInfo: the name of a signer in trustedSigners. */
export const fingerprintOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
