/** From an inode number to the blocks of its content (kernel documentation, ext4 "Index Nodes", "Extent Tree"). */
import {
  extentBlockChecksum,
  extentMagic,
  extentTailOffset,
  groupDescriptorChecksum,
  hasWideChecksum,
  inodeChecksum,
  inodeChecksumSeed,
  inodeFlags,
} from './ext4-format.ts';
import { insist, type Superblock } from './ext4-superblock.ts';

/** A file system whose superblock passed, and its blocks. */
export interface FileSystem {
  readonly superblock: Superblock;
  /** One block by number. Throws Unreadable outside the file system and when the budget of reads is spent. */
  readonly block: (number: number) => Promise<Buffer>;
}

export interface Inode {
  readonly number: number;
  readonly mode: number;
  readonly links: number;
  readonly deleted: boolean;
  readonly sizeBytes: number;
  readonly flags: number;
  /** The 60 bytes that hold the root of the extent tree or the block map. */
  readonly map: Buffer;
  /** Seed of the checksums of its blocks, or null. */
  readonly checksumSeed: number | null;
}

const uninitialisedInodes = 1;
/** Deeper trees are refused by the kernel as well (fs/ext4/ext4_extents.h). */
const maximumDepth = 5;
const unwrittenLength = 32768;

/** First block of the inode table of `group`. */
const inodeTableOf = async ({ superblock, block }: FileSystem, group: number): Promise<number> => {
  const { blockSize, descriptorSize, firstDataBlock } = superblock;
  const at = group * descriptorSize;
  const blockOfTable = await block(firstDataBlock + 1 + Math.floor(at / blockSize));
  const descriptor = blockOfTable.subarray(at % blockSize, (at % blockSize) + descriptorSize);
  if (superblock.checksumSeed !== null) {
    const expected = groupDescriptorChecksum(superblock.checksumSeed, group, descriptor);
    insist(descriptor.readUInt16LE(30) === expected, `wrong checksum of group descriptor ${group}`);
  }
  const unused = superblock.groupsHaveFlags && (descriptor.readUInt16LE(18) & uninitialisedInodes) !== 0;
  insist(!unused, `group ${group} has no inodes yet`);
  return descriptor.readUInt32LE(8) + (superblock.wideBlockNumbers ? descriptor.readUInt32LE(40) * 2 ** 32 : 0);
};

/** Reads inode `number`, checksum included. */
export const readInode = async (system: FileSystem, number: number): Promise<Inode> => {
  const { superblock, block } = system;
  insist(number >= 1 && number <= superblock.inodes, `inode ${number} does not exist`);
  const group = Math.floor((number - 1) / superblock.inodesPerGroup);
  const at = ((number - 1) % superblock.inodesPerGroup) * superblock.inodeSize;
  const holding = await block((await inodeTableOf(system, group)) + Math.floor(at / superblock.blockSize));
  const start = at % superblock.blockSize;
  const record = holding.subarray(start, start + superblock.inodeSize);
  if (superblock.checksumSeed !== null) {
    const sum = inodeChecksum(superblock.checksumSeed, number, record);
    const wide = hasWideChecksum(record);
    const stored = record.readUInt16LE(124) + (wide ? record.readUInt16LE(130) * 65536 : 0);
    insist(stored === (wide ? sum : sum & 0xffff), `wrong checksum of inode ${number}`);
  }
  return {
    number,
    mode: record.readUInt16LE(0),
    links: record.readUInt16LE(26),
    deleted: record.readUInt32LE(20) !== 0,
    sizeBytes: record.readUInt32LE(4) + record.readUInt32LE(108) * 2 ** 32,
    flags: record.readUInt32LE(32),
    map: Buffer.from(record.subarray(40, 100)),
    checksumSeed: superblock.checksumSeed === null ? null : inodeChecksumSeed(superblock.checksumSeed, number, record),
  };
};

/** Fills `found` with the places of logical blocks below `found.length` from one node of an extent tree. */
const walkExtents = async (
  system: FileSystem,
  inode: Inode,
  node: Buffer,
  depth: number,
  found: (number | undefined)[],
): Promise<void> => {
  const entries = node.readUInt16LE(2);
  let next = 0;
  for (let at = 12; at < 12 + entries * 12; at += 12) {
    const logical = node.readUInt32LE(at);
    insist(logical >= next, 'extents out of order');
    if (depth > 0) {
      next = logical + 1;
      if (logical >= found.length) return;
      const child = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
      const childNode = await system.block(child);
      checkNode(childNode, depth - 1);
      const tail = extentTailOffset(childNode);
      if (inode.checksumSeed !== null) {
        insist(tail + 4 <= childNode.length, 'an extent block without room for its checksum');
        const expected = extentBlockChecksum(inode.checksumSeed, childNode);
        insist(childNode.readUInt32LE(tail) === expected, 'wrong checksum of an extent block');
      }
      await walkExtents(system, inode, childNode, depth - 1, found);
      continue;
    }
    if (logical >= found.length) return;
    const length = node.readUInt16LE(at + 4);
    insist(length >= 1 && length <= unwrittenLength, 'an extent without written content');
    next = logical + length;
    const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
    for (let i = 0; i < length && logical + i < found.length; i++) {
      insist(found[logical + i] === undefined, 'extents overlap');
      found[logical + i] = physical + i;
    }
  }
};

const checkNode = (node: Buffer, depth: number): void => {
  const capacity = Math.floor((node.length - 12) / 12);
  insist(node.readUInt16LE(0) === extentMagic, 'not an extent node');
  insist(node.readUInt16LE(2) <= node.readUInt16LE(4) && node.readUInt16LE(4) <= capacity, 'an overfull extent node');
  insist(node.readUInt16LE(6) === depth, 'an extent node at the wrong depth');
};

const walkBlockMap = async (system: FileSystem, inode: Inode, found: (number | undefined)[]): Promise<void> => {
  const perBlock = system.superblock.blockSize / 4;
  insist(found.length <= 12 + perBlock, 'more blocks than are read');
  const indirect = found.length > 12 ? await system.block(inode.map.readUInt32LE(48)) : null;
  for (let logical = 0; logical < found.length; logical++) {
    const physical = logical < 12 ? inode.map.readUInt32LE(logical * 4) : indirect?.readUInt32LE((logical - 12) * 4);
    if (physical) found[logical] = physical;
  }
};

/**
 * The places of the first `count` blocks of the content. Holes, and blocks set aside but never written, are refused:
 * nobody makes a small secret that way. Bounded by `count` and by the budget of reads.
 */
export const blocksOf = async (system: FileSystem, inode: Inode, count: number): Promise<readonly number[]> => {
  const found: (number | undefined)[] = new Array(count).fill(undefined);
  if ((inode.flags & inodeFlags.extents) !== 0) {
    const depth = inode.map.readUInt16LE(6);
    insist(depth <= maximumDepth, 'an extent tree that is too deep');
    checkNode(inode.map, depth);
    await walkExtents(system, inode, inode.map, depth, found);
  } else await walkBlockMap(system, inode, found);
  return found.map((physical) => {
    insist(physical !== undefined, 'content with holes');
    return physical;
  });
};

/** The first `sizeBytes` of the content, `blocksOf` read in order. */
export const contentOf = async (system: FileSystem, inode: Inode): Promise<readonly Buffer[]> => {
  const places = await blocksOf(system, inode, Math.ceil(inode.sizeBytes / system.superblock.blockSize));
  const blocks: Buffer[] = [];
  for (const place of places) blocks.push(await system.block(place));
  return blocks;
};
