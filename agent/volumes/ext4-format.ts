/**
 * Names for the numbers of the ext4 on-disk format that reader and writer share, and its checksums
 * (kernel documentation, "ext4 Data Structures and Algorithms").
 */
import { crc32c, crc32cStart } from './crc.ts';

export const superblockOffset = 1024;
export const superblockLength = 1024;
export const superblockMagic = 0xef53;
/** Offset of `s_magic` within the superblock. */
export const magicOffset = 56;
export const extentMagic = 0xf30a;
export const rootInode = 2;
/** Tail of a directory block that carries its checksum: a disguised entry of 12 bytes with this file type. */
export const directoryTail = { length: 12, fileType: 0xde } as const;

export const compat = { hasJournal: 0x4 } as const;
export const incompat = {
  filetype: 0x2,
  recover: 0x4,
  extents: 0x40,
  is64bit: 0x80,
  flexGroups: 0x200,
  checksumSeed: 0x2000,
} as const;
export const readOnlyCompat = {
  sparseSuper: 0x1,
  largeFile: 0x2,
  directoryIndexOld: 0x4,
  hugeFile: 0x8,
  groupChecksum: 0x10,
  manySubfolders: 0x20,
  extraInodeSize: 0x40,
  quota: 0x100,
  metadataChecksum: 0x400,
  readOnly: 0x1000,
  project: 0x2000,
  orphanPresent: 0x10000,
} as const;

export const inodeFlags = {
  compressed: 0x4 | 0x200 | 0x400,
  encrypted: 0x800,
  indexed: 0x1000,
  extents: 0x80000,
  verity: 0x100000,
  valueInode: 0x200000,
  inlineData: 0x10000000,
  caseFolded: 0x40000000,
} as const;

export const fileTypeMask = 0xf000;
export const regularFile = 0x8000;
export const folder = 0x4000;

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** A copy of `bytes` with `spans` (offset, length) zeroed: checksums cover their own field as zero. */
const without = (bytes: Buffer, ...spans: readonly (readonly [number, number])[]): Buffer => {
  const copy = Buffer.from(bytes);
  for (const [offset, length] of spans) copy.fill(0, offset, offset + length);
  return copy;
};

/** Seed of all checksums of a file system that stores none of its own. */
export const checksumSeed = (uuid: Buffer): number => crc32c(crc32cStart, uuid);

/** Over the superblock before its last four bytes, which hold the result. */
export const superblockChecksum = (superblock: Buffer): number => crc32c(crc32cStart, superblock.subarray(0, 1020));

/** The 16 bits at offset 30 of a group descriptor. */
export const groupDescriptorChecksum = (seed: number, group: number, descriptor: Buffer): number =>
  crc32c(crc32c(seed, word(group)), without(descriptor, [30, 2])) & 0xffff;

/** Seed of everything that belongs to one inode. `inode` is its record. */
export const inodeChecksumSeed = (seed: number, number: number, inode: Buffer): number =>
  crc32c(crc32c(seed, word(number)), inode.subarray(100, 104));

/** True when the record has room for the upper half of its checksum. */
export const hasWideChecksum = (inode: Buffer): boolean => inode.length > 128 && inode.readUInt16LE(128) >= 4;

/** Over a whole inode record; the lower half goes to offset 124, the upper half, where it exists, to 130. */
export const inodeChecksum = (seed: number, number: number, inode: Buffer): number => {
  const spans: (readonly [number, number])[] = hasWideChecksum(inode) ? [[124, 2], [130, 2]] : [[124, 2]]; // biome-ignore format: pairs
  return crc32c(inodeChecksumSeed(seed, number, inode), without(inode, ...spans));
};

/** Over a directory block before its tail; goes into the last four bytes of the tail. */
export const directoryBlockChecksum = (inodeSeed: number, block: Buffer): number =>
  crc32c(inodeSeed, block.subarray(0, block.length - directoryTail.length));

/** Where the checksum of an extent block lies: behind the room for its entries. */
export const extentTailOffset = (block: Buffer): number => 12 + 12 * block.readUInt16LE(4);

export const extentBlockChecksum = (inodeSeed: number, block: Buffer): number =>
  crc32c(inodeSeed, block.subarray(0, extentTailOffset(block)));
