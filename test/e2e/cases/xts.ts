/**
 * aes-xts-plain64 on plain files, without device-mapper and privileges: what a disk holds behind its LUKS header is made and read
 * on the host. dm-crypt counts sectors for the tweak in units of 512 bytes, little-endian, whatever the size of an encrypted sector
 * is (kernel docs, admin-guide/device-mapper/dm-crypt, "plain64" and "iv_large_sectors").
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

export interface Sectors {
  /** 64 bytes for AES-256, 32 for AES-128. */
  readonly key: Buffer;
  readonly sectorBytes: number;
}

const tweak = (sector: number, sectorBytes: number): Buffer => {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64LE(BigInt(sector) * BigInt(sectorBytes / 512));
  return iv;
};

const transform = ({ key, sectorBytes }: Sectors, bytes: Buffer, start: typeof createCipheriv): Buffer => {
  const cipher = `aes-${key.length * 4}-xts` as 'aes-256-xts';
  const out = Buffer.alloc(bytes.length);
  for (let at = 0; at < bytes.length; at += sectorBytes) {
    const piece = bytes.subarray(at, at + sectorBytes);
    // XTS yields as many bytes as it takes, all of them from update.
    start(cipher, key, tweak(at / sectorBytes, sectorBytes))
      .update(piece)
      .copy(out, at);
  }
  return out;
};

export const encryptSectors = (sectors: Sectors, plain: Buffer): Buffer => transform(sectors, plain, createCipheriv);

export const decryptSectors = (sectors: Sectors, encrypted: Buffer): Buffer =>
  transform(sectors, encrypted, createDecipheriv as unknown as typeof createCipheriv);
