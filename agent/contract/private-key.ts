/** RSA private keys as files hold them. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import type { Secret } from '../secret.ts';
import { rsaFault } from './rsa-key.ts';

/** Length of the modulus, which is the length of every ciphertext and signature, in bytes. */
export const modulusBytes = (key: KeyObject): number => Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);

const plainLabels = ['-----BEGIN PRIVATE KEY-----', '-----BEGIN RSA PRIVATE KEY-----'];
const protectedLabels = ['-----BEGIN ENCRYPTED PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED'];

/**
 * A private key from PEM (PKCS#1, PKCS#8, encrypted PKCS#8). Throws KEY_UNUSABLE naming `path`; the reason never
 * tells more than what is wrong with the file.
 */
export const parsePrivateKey = (pem: Secret, path: string, passphrase: Secret | null = null): KeyObject => {
  const unusable = (reason: string): AgentError => new AgentError('KEY_UNUSABLE', { path, reason });
  const holds = (labels: readonly string[]): boolean => pem.expose((bytes) => labels.some((l) => bytes.includes(l)));
  const isProtected = holds(protectedLabels);
  if (!isProtected && !holds(plainLabels)) throw unusable('it is no PEM private key');
  if (isProtected && passphrase === null) throw unusable('the key is protected by a passphrase and none was given');
  let key: KeyObject;
  try {
    key = pem.expose((bytes) =>
      passphrase === null
        ? createPrivateKey({ key: bytes, format: 'pem' })
        : passphrase.expose((secret) => createPrivateKey({ key: bytes, format: 'pem', passphrase: secret })),
    );
  } catch {
    throw unusable(isProtected ? 'the passphrase does not open the key' : 'the PEM text is damaged');
  }
  const fault = rsaFault(key);
  if (fault !== null) throw unusable(fault);
  return key;
};
