/**
 * The superblock of an ext2, ext3 or ext4 file system, decoded strictly (kernel documentation, ext4 "Super Block").
 * Only geometries and features that the reader understands come out; everything else is a reason.
 */
import {
  checksumSeed,
  compat,
  incompat,
  magicOffset,
  readOnlyCompat,
  superblockChecksum,
  superblockMagic,
} from './ext4-format.ts';

/** A file system that must not or cannot be read on. Thrown and caught within the reader, never beyond it. */
export class Unreadable extends Error {}

export function insist(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Unreadable(reason);
}

export interface Superblock {
  readonly blockSize: number;
  readonly blocks: number;
  readonly firstDataBlock: number;
  readonly groups: number;
  readonly inodes: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  /** First inode that may belong to a file. */
  readonly firstInode: number;
  readonly descriptorSize: number;
  readonly wideBlockNumbers: boolean;
  readonly fileTypeInEntries: boolean;
  /** Seed of the metadata checksums, or null when the file system has none. */
  readonly checksumSeed: number | null;
  readonly groupsHaveFlags: boolean;
  /** Inode of the journal when transactions may wait in it, else null. */
  readonly dirtyJournalInode: number | null;
}

const sum = (features: Readonly<Record<string, number>>): number => Object.values(features).reduce((a, b) => a | b, 0);
const knownIncompat = sum(incompat);
const knownReadOnlyCompat = sum(readOnlyCompat);

const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;

/**
 * Decodes the 1024 bytes at offset 1024 of a device of `sizeBytes`; null without the magic. Throws Unreadable for
 * features outside the list (encryption, inline data, case folding, verity, clusters, meta groups, external journals),
 * for a geometry that does not fit the device or itself, and for a file system that recorded errors or, having no
 * journal, was not unmounted: what such a one says about a file may be half of a change.
 */
export const decodeSuperblock = (bytes: Buffer, sizeBytes: number): Superblock | null => {
  if (bytes.readUInt16LE(magicOffset) !== superblockMagic) return null;
  const revision = bytes.readUInt32LE(76);
  insist(revision <= 1, 'unknown revision of ext4');
  const dynamic = revision === 1;
  const features = {
    compat: dynamic ? bytes.readUInt32LE(92) : 0,
    incompat: dynamic ? bytes.readUInt32LE(96) : 0,
    readOnlyCompat: dynamic ? bytes.readUInt32LE(100) : 0,
  };
  const unknown = (features.incompat & ~knownIncompat) >>> 0;
  insist(unknown === 0, `unsupported feature (incompat 0x${unknown.toString(16)})`);
  const unknownReadOnly = (features.readOnlyCompat & ~knownReadOnlyCompat) >>> 0;
  insist(unknownReadOnly === 0, `unsupported feature (ro_compat 0x${unknownReadOnly.toString(16)})`);

  const checksums = (features.readOnlyCompat & readOnlyCompat.metadataChecksum) !== 0;
  const groupChecksums = (features.readOnlyCompat & readOnlyCompat.groupChecksum) !== 0;
  insist(!(checksums && groupChecksums), 'two kinds of checksums at once');
  if (checksums) {
    insist(bytes.readUInt8(373) === 1, 'unknown kind of checksum');
    insist(superblockChecksum(bytes) === bytes.readUInt32LE(1020), 'wrong checksum of the superblock');
  }
  insist(bytes.readUInt16LE(58) === 1, 'not unmounted cleanly, or errors were recorded');

  const logBlockSize = bytes.readUInt32LE(24);
  insist(logBlockSize <= 2, 'block size is not 1, 2 or 4 KiB');
  const blockSize = 1024 << logBlockSize;
  const wideBlockNumbers = (features.incompat & incompat.is64bit) !== 0;
  const blocks = bytes.readUInt32LE(4) + (wideBlockNumbers ? bytes.readUInt32LE(336) * 2 ** 32 : 0);
  insist(blocks > 0 && blocks <= Math.floor(sizeBytes / blockSize), 'larger than its partition');
  const firstDataBlock = bytes.readUInt32LE(20);
  insist(firstDataBlock === (blockSize === 1024 ? 1 : 0) && firstDataBlock < blocks, 'wrong first data block');
  const blocksPerGroup = bytes.readUInt32LE(32);
  insist(blocksPerGroup > 0 && blocksPerGroup <= 8 * blockSize, 'wrong number of blocks per group');
  const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup);
  const inodesPerGroup = bytes.readUInt32LE(40);
  insist(inodesPerGroup > 0 && inodesPerGroup <= 8 * blockSize, 'wrong number of inodes per group');
  const inodes = bytes.readUInt32LE(0);
  insist(inodes > 0 && inodes <= groups * inodesPerGroup, 'wrong number of inodes');
  const inodeSize = dynamic ? bytes.readUInt16LE(88) : 128;
  insist(isPowerOfTwo(inodeSize) && inodeSize >= 128 && inodeSize <= blockSize, 'wrong size of an inode');
  const firstInode = dynamic ? bytes.readUInt32LE(84) : 11;
  insist(firstInode >= 11, 'wrong first inode');
  const descriptorSize = wideBlockNumbers ? bytes.readUInt16LE(254) : 32;
  const largeEnough = descriptorSize >= (wideBlockNumbers ? 64 : 32);
  insist(isPowerOfTwo(descriptorSize) && largeEnough && descriptorSize <= 1024, 'wrong size of a group descriptor');

  const dirty = (features.incompat & incompat.recover) !== 0;
  if (dirty) {
    insist((features.compat & compat.hasJournal) !== 0, 'needs recovery but has no journal');
    insist(bytes.readUInt32LE(228) === 0 && bytes.readUInt32LE(224) !== 0, 'the journal is on another device');
  }
  const ownSeed = (features.incompat & incompat.checksumSeed) !== 0;
  insist(!ownSeed || checksums, 'checksum seed without checksums');
  return {
    blockSize,
    blocks,
    firstDataBlock,
    groups,
    inodes,
    inodesPerGroup,
    inodeSize,
    firstInode,
    descriptorSize,
    wideBlockNumbers,
    fileTypeInEntries: (features.incompat & incompat.filetype) !== 0,
    checksumSeed: checksums ? (ownSeed ? bytes.readUInt32LE(624) : checksumSeed(bytes.subarray(104, 120))) : null,
    groupsHaveFlags: checksums || groupChecksums,
    dirtyJournalInode: dirty ? bytes.readUInt32LE(224) : null,
  };
};
