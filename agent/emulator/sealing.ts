/** AES-256-GCM for what the store keeps secret: iv, ciphertext, tag, bound to the place where it is kept. Pure. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { privateBuffer } from '../secret.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `iv` must be 12 fresh random bytes. */
export const sealBytes = (key: Buffer, iv: Buffer, context: string, bytes: Buffer): Buffer => {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context, 'utf8'));
  return Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
};

/** The caller wipes what it gets. Throws when `sealed` was changed or belongs elsewhere. */
export const openSealed = (key: Buffer, context: string, sealed: Uint8Array): Buffer => {
  const bytes = Buffer.from(sealed);
  const end = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context, 'utf8'))
    .setAuthTag(bytes.subarray(end));
  const opened = privateBuffer(end - IV_BYTES);
  opened.set(decipher.update(bytes.subarray(IV_BYTES, end)));
  decipher.final();
  return opened;
};
