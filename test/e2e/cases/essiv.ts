/**
 * aes-cbc-essiv:sha256 on plain files, as xts.ts does it for XTS: the IV of a sector is its number, little-endian, encrypted with
 * the SHA-256 of the key; numbers are in units of 512 bytes (kernel docs, admin-guide/device-mapper/dm-crypt, "essiv").
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import type { Sectors } from './xts.ts';

const ivOf = (hashedKey: Buffer, sector: number): Buffer => {
  const number = Buffer.alloc(16);
  number.writeBigUInt64LE(BigInt(sector));
  return createCipheriv('aes-256-ecb', hashedKey, null).update(number);
};

const transform = ({ key, sectorBytes }: Sectors, bytes: Buffer, start: typeof createCipheriv): Buffer => {
  const hashedKey = createHash('sha256').update(key).digest();
  const out = Buffer.alloc(bytes.length);
  for (let at = 0; at < bytes.length; at += sectorBytes) {
    const cipher = start(`aes-${key.length * 8}-cbc`, key, ivOf(hashedKey, at / 512)).setAutoPadding(false);
    cipher.update(bytes.subarray(at, at + sectorBytes)).copy(out, at);
  }
  return out;
};

export const encryptEssiv = (sectors: Sectors, plain: Buffer): Buffer => transform(sectors, plain, createCipheriv);

export const decryptEssiv = (sectors: Sectors, encrypted: Buffer): Buffer =>
  transform(sectors, encrypted, createDecipheriv as unknown as typeof createCipheriv);
