/**
 * Wrapped keys. The shape follows the example in IBM Cloud documentation, Key Protect "Wrapping keys": base64 of a
 * compact JSON object with ciphertext, iv, version and handle. Inside it is AES-GCM under the root key version named by
 * `handle`, the additional authenticated data being the caller's `aad` strings in order.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { privateBuffer } from '../secret.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;
const MAX_TEXT = 65_536;

const cipherFor = (material: Buffer): 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm' =>
  material.length === 16 ? 'aes-128-gcm' : material.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm';

const aadBytes = (aad: readonly string[]): Buffer => Buffer.from(JSON.stringify(aad), 'utf8');

export interface WrappedKey {
  /** Id of the root key version that wrapped it. */
  readonly handle: string;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
}

/** `iv` must be 12 fresh random bytes. */
export const wrapKey = (
  material: Buffer,
  handle: string,
  iv: Buffer,
  plaintext: Buffer,
  aad: readonly string[],
): string => {
  const cipher = createCipheriv(cipherFor(material), material, iv).setAAD(aadBytes(aad));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  const wrapped = { ciphertext: ciphertext.toString('base64'), iv: iv.toString('base64'), version: '4.0.0', handle };
  return Buffer.from(JSON.stringify(wrapped), 'utf8').toString('base64');
};

/** Reads a wrapped key; null when it is none of ours. */
export const parseWrappedKey = (bytes: Buffer): WrappedKey | null => {
  if (bytes.length > MAX_TEXT) return null;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
  const { ciphertext, iv, version, handle } = (value ?? {}) as Record<string, unknown>;
  if (version !== '4.0.0' || typeof ciphertext !== 'string' || typeof iv !== 'string' || typeof handle !== 'string') {
    return null;
  }
  const parsed = { handle, iv: Buffer.from(iv, 'base64'), ciphertext: Buffer.from(ciphertext, 'base64') };
  return parsed.iv.length === IV_BYTES && parsed.ciphertext.length >= TAG_BYTES ? parsed : null;
};

/** The plaintext, or null when this material, or this `aad`, did not make it. */
export const unwrapKey = (material: Buffer, wrapped: WrappedKey, aad: readonly string[]): Buffer | null => {
  const end = wrapped.ciphertext.length - TAG_BYTES;
  const decipher = createDecipheriv(cipherFor(material), material, wrapped.iv, { authTagLength: TAG_BYTES })
    .setAAD(aadBytes(aad))
    .setAuthTag(wrapped.ciphertext.subarray(end));
  const plaintext = privateBuffer(end);
  plaintext.set(decipher.update(wrapped.ciphertext.subarray(0, end)));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return null;
  }
};
