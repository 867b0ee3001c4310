/**
 * After opening: is the live device-mapper table what the gated header promised? Catches every difference between our
 * reading of the header and cryptsetup's. Line format: Linux kernel Documentation/admin-guide/device-mapper/dm-crypt.rst.
 */
import type { DataSegment } from './ciphers.ts';

const sectorBytes = 512;

/** Null when `table` (output of `dmsetup table NAME`) fits, else what does not. The key itself is never printed by dmsetup. */
export const tableObjection = (table: string, segment: DataSegment, targetSizeBytes: number): string | null => {
  const lines = table.trim().split('\n');
  if (lines.length !== 1) return `${lines.length} segments instead of one`;
  const [start, length, kind, cipher, key, ivOffset, device, offset, ...options] = (lines[0] ?? '').split(' ');
  const expectedSectors =
    Math.floor((targetSizeBytes - segment.offsetBytes) / segment.sectorBytes) * segment.sectorBytes;
  if (start !== '0' || kind !== 'crypt') return 'not one crypt segment from 0';
  if (Number(length) * sectorBytes !== expectedSectors) return `length is ${length} sectors`;
  if (cipher !== segment.cipher) return `cipher is ${cipher}`;
  const keyBytes = key?.startsWith(':') ? Number(key.split(':')[1]) : (key?.length ?? 0) / 2;
  if (keyBytes !== segment.keyBytes) return `key has ${keyBytes} bytes`;
  if (ivOffset !== '0') return `iv offset is ${ivOffset}`;
  if (!/^\d+:\d+$/.test(device ?? '')) return 'no device number';
  if (Number(offset) * sectorBytes !== segment.offsetBytes) return `data starts at sector ${offset}`;
  const expectedOptions = segment.sectorBytes === sectorBytes ? [] : [`sector_size:${segment.sectorBytes}`];
  const found = options.slice(1);
  if (Number(options[0] ?? '0') !== found.length || JSON.stringify(found) !== JSON.stringify(expectedOptions))
    return `options are ${found.join(' ') || 'none'}`;
  return null;
};
