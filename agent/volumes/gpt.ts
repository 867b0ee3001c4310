/**
 * The GUID partition table as bytes: one header, one entry array, one protective MBR (UEFI specification 2.10, §5.2.3
 * and §5.3). Decoding is strict and total: wrong bytes give a reason, never an exception.
 */
import { crc32 } from './crc.ts';

export const headerSignature = Buffer.from('EFI PART', 'ascii');
export const headerSize = 92;
export const entrySize = 128;
/** 128 entries is what every tool writes; more than 256 is no table of anybody's need. */
export const maximumEntryCount = 256;
const revision = 0x00010000;

/** Sizes and positions here are logical block addresses (LBA), in sectors. */
export interface GptHeader {
  readonly ownLba: number;
  readonly alternateLba: number;
  readonly firstUsableLba: number;
  readonly lastUsableLba: number;
  readonly diskGuid: string;
  readonly entriesLba: number;
  readonly entryCount: number;
  readonly entriesCrc: number;
}

export interface GptEntry {
  /** Position in the array, from 1: the number the kernel and every tool give the partition. */
  readonly number: number;
  readonly typeGuid: string;
  readonly guid: string;
  readonly name: string;
  readonly firstLba: number;
  readonly lastLba: number;
  readonly attributes: bigint;
}

const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** Lower-case text form of a GUID stored with its first three fields little-endian. */
export const decodeGuid = (bytes: Buffer, offset: number): string => {
  const hex = Buffer.from(order.map((at) => bytes[offset + at] as number)).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
};

/** Inverse of decodeGuid. Throws TypeError for text that is no GUID: only our own values come here. */
export const encodeGuid = (text: string): Buffer => {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new TypeError(`not a GUID: ${text}`);
  const plain = Buffer.from(text.replaceAll('-', ''), 'hex');
  return Buffer.from(order.map((at) => plain[at] as number));
};

export const nilGuid = '00000000-0000-0000-0000-000000000000';

/** An LBA as a number, or infinity, which then fails every range check. */
const decodeLba = (bytes: Buffer, offset: number): number => {
  const value = bytes.readBigUInt64LE(offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.POSITIVE_INFINITY;
};

/** Decodes the header in `sector`. A string is the reason why it is none. */
export const decodeHeader = (sector: Buffer): GptHeader | string => {
  if (!sector.subarray(0, 8).equals(headerSignature)) return 'no signature';
  if (sector.readUInt32LE(8) !== revision) return 'unknown revision';
  if (sector.readUInt32LE(12) !== headerSize) return 'header size is not 92';
  const checked = Buffer.from(sector.subarray(0, headerSize));
  checked.writeUInt32LE(0, 16);
  if (crc32(checked) !== sector.readUInt32LE(16)) return 'wrong header checksum';
  if (sector.readUInt32LE(20) !== 0) return 'reserved field in use';
  const entryCount = sector.readUInt32LE(80);
  if (entryCount < 1 || entryCount > maximumEntryCount) return 'entry count out of bounds';
  if (sector.readUInt32LE(84) !== entrySize) return 'entry size is not 128';
  return {
    ownLba: decodeLba(sector, 24),
    alternateLba: decodeLba(sector, 32),
    firstUsableLba: decodeLba(sector, 40),
    lastUsableLba: decodeLba(sector, 48),
    diskGuid: decodeGuid(sector, 56),
    entriesLba: decodeLba(sector, 72),
    entryCount,
    entriesCrc: sector.readUInt32LE(88),
  };
};

/** A sector holding `header` with its checksum. */
export const encodeHeader = (header: GptHeader, sectorSize: number): Buffer => {
  const sector = Buffer.alloc(sectorSize);
  headerSignature.copy(sector);
  sector.writeUInt32LE(revision, 8);
  sector.writeUInt32LE(headerSize, 12);
  sector.writeBigUInt64LE(BigInt(header.ownLba), 24);
  sector.writeBigUInt64LE(BigInt(header.alternateLba), 32);
  sector.writeBigUInt64LE(BigInt(header.firstUsableLba), 40);
  sector.writeBigUInt64LE(BigInt(header.lastUsableLba), 48);
  encodeGuid(header.diskGuid).copy(sector, 56);
  sector.writeBigUInt64LE(BigInt(header.entriesLba), 72);
  sector.writeUInt32LE(header.entryCount, 80);
  sector.writeUInt32LE(entrySize, 84);
  sector.writeUInt32LE(header.entriesCrc, 88);
  sector.writeUInt32LE(crc32(sector.subarray(0, headerSize)), 16);
  return sector;
};

/** UTF-16LE up to NUL; null for lone surrogates and for control characters, which would reach a terminal. */
const decodeName = (bytes: Buffer): string | null => {
  let end = 0;
  while (end < bytes.length && bytes.readUInt16LE(end) !== 0) end += 2;
  const text = bytes.subarray(0, end).toString('utf16le');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(text) ? text : null;
};

/** Decodes the entries in use. A string is the reason why the array is not acceptable. */
export const decodeEntries = (array: Buffer): readonly GptEntry[] | string => {
  const entries: GptEntry[] = [];
  for (let at = 0; at + entrySize <= array.length; at += entrySize) {
    const typeGuid = decodeGuid(array, at);
    if (typeGuid === nilGuid) continue;
    const number = at / entrySize + 1;
    const name = decodeName(array.subarray(at + 56, at + entrySize));
    if (name === null) return `the name of partition ${number} is not text`;
    entries.push({
      number,
      typeGuid,
      guid: decodeGuid(array, at + 16),
      name,
      firstLba: decodeLba(array, at + 32),
      lastLba: decodeLba(array, at + 40),
      attributes: array.readBigUInt64LE(at + 48),
    });
  }
  return entries;
};

/** The entry array for `entries`, each at the place of its number. Names are at most 35 UTF-16 units. */
export const encodeEntries = (entries: readonly GptEntry[], entryCount: number): Buffer => {
  const array = Buffer.alloc(entryCount * entrySize);
  for (const entry of entries) {
    const at = (entry.number - 1) * entrySize;
    encodeGuid(entry.typeGuid).copy(array, at);
    encodeGuid(entry.guid).copy(array, at + 16);
    array.writeBigUInt64LE(BigInt(entry.firstLba), at + 32);
    array.writeBigUInt64LE(BigInt(entry.lastLba), at + 40);
    array.writeBigUInt64LE(entry.attributes, at + 48);
    array.write(entry.name, at + 56, 70, 'utf16le');
  }
  return array;
};

/** What the MBR in sector 0 says. `signature` alone (0x55AA) is also how boot sectors of file systems end. */
export type Mbr =
  | { readonly kind: 'absent' }
  | { readonly kind: 'partitions'; readonly count: number }
  | { readonly kind: 'protective' }
  | { readonly kind: 'hybrid' };

/**
 * Decodes sector 0. As in the Linux kernel, boot indicators other than 0x00 and 0x80 mean that these bytes are no
 * partition entries at all (block/partitions/msdos.c); a protective entry starts at LBA 1 (UEFI specification §5.2.3).
 */
export const decodeMbr = (sector: Buffer): Mbr => {
  if (sector.readUInt16LE(510) !== 0xaa55) return { kind: 'absent' };
  const entries = [446, 462, 478, 494].map((at) => ({
    indicator: sector.readUInt8(at),
    type: sector.readUInt8(at + 4),
    firstLba: sector.readUInt32LE(at + 8),
    sectors: sector.readUInt32LE(at + 12),
  }));
  if (entries.some(({ indicator }) => indicator !== 0 && indicator !== 0x80)) return { kind: 'absent' };
  const used = entries.filter(({ type, sectors }) => type !== 0 || sectors !== 0);
  if (!used.some(({ type }) => type === 0xee)) return { kind: 'partitions', count: used.length };
  return used.length === 1 && used[0]?.firstLba === 1 ? { kind: 'protective' } : { kind: 'hybrid' };
};

/** The protective MBR of a disk of `sectors` sectors, padded to one sector (UEFI specification §5.2.3, table 5.4). */
export const encodeProtectiveMbr = (sectors: number, sectorSize: number): Buffer => {
  const sector = Buffer.alloc(sectorSize);
  sector.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  sector.writeUInt32LE(1, 454);
  sector.writeUInt32LE(Math.min(sectors - 1, 0xffffffff), 458);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
};
