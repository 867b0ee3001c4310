/**
 * Makes the metadata file system anew, in memory: an ext4 without journal, one block group, holding `keyfile` (root
 * only) and an empty `lost+found`. Eleven blocks and the content; the blocks between and behind are left as they are,
 * for no bitmap or inode points to them. Never mounted by us, so nothing but these writes ever changes it
 * (kernel documentation, "ext4 Data Structures and Algorithms").
 */
import { crc32c } from './crc.ts';
import { type DeviceWrite, mebibyte } from './device-bytes.ts';
import {
  checksumSeed,
  folder,
  groupDescriptorChecksum,
  incompat,
  inodeChecksumSeed,
  magicOffset,
  readOnlyCompat,
  regularFile,
  rootInode,
  superblockChecksum,
  superblockLength,
  superblockMagic,
  superblockOffset,
} from './ext4-format.ts';
import { blockSize, folderBlock, inodeRecord, inodeSize, type NewEntry, type NewInode } from './ext4-records.ts';

/** One group: its bitmap is one block. A larger partition is simply not filled. */
const maximumBlocks = 8 * blockSize;
/** Ten reserved ones, lost+found, keyfile, and room for what people put beside it. */
const inodeCount = 64;
const lostAndFoundInode = 11;
const keyfileInode = 12;
/** Block numbers. 0 holds the superblock at byte 1024. */
const place = { descriptors: 1, blockBitmap: 2, inodeBitmap: 3, inodeTable: 4, root: 8, lostAndFound: 9, keyfile: 10 };

export const maximumContentBytes = 64 * 1024;
export const minimumPartitionBytes = mebibyte;

export interface ImageRequest {
  /** Size of the partition; the file system takes all of it, up to 128 MiB. */
  readonly sizeBytes: number;
  readonly fileName: string;
  readonly content: Buffer;
  /** UUID of the file system, text form. */
  readonly uuid: string;
  /** File system label, at most 16 bytes. */
  readonly label: string;
  /** Time stamps, in whole seconds since 1970. */
  readonly atSeconds: number;
  /** Logical sector size of the disk: the smallest write that a power cut leaves whole. 512 when absent. */
  readonly sectorSize?: 512 | 4096;
}

export type Image =
  /** In the order in which they must reach the partition; see renderImage. */
  | { readonly kind: 'image'; readonly writes: readonly DeviceWrite[] }
  | { readonly kind: 'partitionTooSmall'; readonly minimumBytes: number }
  | { readonly kind: 'contentTooLong'; readonly maximumBytes: number };

const blockAt = (blocks: Buffer, number: number): Buffer =>
  blocks.subarray(number * blockSize, (number + 1) * blockSize);

/** Sets bits [from, to) of a bitmap. */
const setBits = (bitmap: Buffer, from: number, to: number): void => {
  for (let bit = from; bit < to; bit++) bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
};

const superblockOf = (request: ImageRequest, uuid: Buffer, blocks: number, usedBlocks: number): Buffer => {
  const bytes = Buffer.alloc(superblockLength);
  const { atSeconds } = request;
  const fields: readonly (readonly [offset: number, value: number])[] = [
    [0, inodeCount],
    [4, blocks],
    [12, blocks - usedBlocks],
    [16, inodeCount - keyfileInode],
    [24, Math.log2(blockSize) - 10],
    [28, Math.log2(blockSize) - 10],
    [32, maximumBlocks],
    [36, maximumBlocks],
    [40, inodeCount],
    [48, atSeconds >>> 0],
    [64, atSeconds >>> 0],
    [76, 1],
    [84, lostAndFoundInode],
    [96, incompat.filetype | incompat.extents],
    [
      100,
      readOnlyCompat.sparseSuper |
        readOnlyCompat.largeFile |
        readOnlyCompat.extraInodeSize |
        readOnlyCompat.metadataChecksum,
    ],
    [264, atSeconds >>> 0],
    // Names are hashed as unsigned bytes; without it e2fsck -p would set it.
    [352, 0x2],
  ];
  for (const [offset, value] of fields) bytes.writeUInt32LE(value, offset);
  bytes.writeUInt16LE(0xffff, 54); // no check after so many mounts
  bytes.writeUInt16LE(superblockMagic, magicOffset);
  bytes.writeUInt16LE(1, 58); // unmounted cleanly
  bytes.writeUInt16LE(1, 60); // go on after errors, as mke2fs sets it
  bytes.writeUInt16LE(inodeSize, 88);
  uuid.copy(bytes, 104);
  bytes.write(request.label, 120, 16, 'utf8');
  bytes.writeUInt8(1, 252); // half MD4
  bytes.writeUInt16LE(32, 348);
  bytes.writeUInt16LE(32, 350);
  bytes.writeUInt8(1, 373); // crc32c
  const high = Math.floor(atSeconds / 2 ** 32) & 0xff;
  for (const offset of [628, 630, 631]) bytes.writeUInt8(high, offset);
  bytes.writeUInt32LE(superblockChecksum(bytes), 1020);
  return bytes;
};

/** All blocks in use, from 0 on. */
const blocksOfImage = (request: ImageRequest): Buffer => {
  const uuid = Buffer.from(request.uuid.replaceAll('-', ''), 'hex');
  if (uuid.length !== 16) throw new TypeError(`not a UUID: ${request.uuid}`);
  const seed = checksumSeed(uuid);
  const count = Math.min(Math.floor(request.sizeBytes / blockSize), maximumBlocks);
  const used = place.keyfile + Math.ceil(request.content.length / blockSize);
  const image = Buffer.alloc(used * blockSize);

  const bitmap = blockAt(image, place.blockBitmap);
  setBits(bitmap, 0, used);
  setBits(bitmap, count, maximumBlocks);
  const inodeBitmap = blockAt(image, place.inodeBitmap);
  setBits(inodeBitmap, 0, keyfileInode);
  setBits(inodeBitmap, inodeCount, maximumBlocks);

  const add = (inode: NewInode): number => {
    const record = inodeRecord(inode, request.atSeconds, seed);
    record.copy(image, place.inodeTable * blockSize + (inode.number - 1) * inodeSize);
    return inodeChecksumSeed(seed, inode.number, record);
  };
  const directory = { mode: folder | 0o700, sizeBytes: blockSize };
  const rootSeed = add({ ...directory, number: rootInode, links: 3, firstBlock: place.root });
  const lostSeed = add({ ...directory, number: lostAndFoundInode, links: 2, firstBlock: place.lostAndFound });
  const file = { number: keyfileInode, mode: regularFile | 0o600, links: 1, firstBlock: place.keyfile };
  add({ ...file, sizeBytes: request.content.length });
  const dots = (own: number, parent: number): readonly NewEntry[] => [
    { inode: own, name: '.', type: 2 },
    { inode: parent, name: '..', type: 2 },
  ];
  folderBlock(
    [
      ...dots(rootInode, rootInode),
      { inode: lostAndFoundInode, name: 'lost+found', type: 2 },
      { inode: keyfileInode, name: request.fileName, type: 1 },
    ],
    rootSeed,
  ).copy(image, place.root * blockSize);
  folderBlock(dots(lostAndFoundInode, rootInode), lostSeed).copy(image, place.lostAndFound * blockSize);
  request.content.copy(image, place.keyfile * blockSize);

  const descriptor = blockAt(image, place.descriptors).subarray(0, 32);
  descriptor.writeUInt32LE(place.blockBitmap, 0);
  descriptor.writeUInt32LE(place.inodeBitmap, 4);
  descriptor.writeUInt32LE(place.inodeTable, 8);
  descriptor.writeUInt16LE(count - used, 12);
  descriptor.writeUInt16LE(inodeCount - keyfileInode, 14);
  descriptor.writeUInt16LE(2, 16); // folders
  descriptor.writeUInt16LE(0x4, 18); // the inode table is zeroed
  descriptor.writeUInt16LE(crc32c(seed, bitmap) & 0xffff, 24);
  descriptor.writeUInt16LE(crc32c(seed, inodeBitmap.subarray(0, inodeCount / 8)) & 0xffff, 26);
  descriptor.writeUInt16LE(inodeCount - keyfileInode, 28);
  descriptor.writeUInt16LE(groupDescriptorChecksum(seed, 0, descriptor), 30);

  superblockOf(request, uuid, count, used).copy(image, superblockOffset);
  return image;
};

/**
 * The writes that put the file system into a partition. First the sector with the magic number of whatever ext file
 * system is there is zeroed, last the same sector is written with the new one: a cut leaves the old file system, or
 * none, or the new one, each whole. Bytes of an earlier file system outside the written blocks stay.
 *
 * The result depends on the request alone. Throws TypeError for text that is no UUID (a bug of the caller).
 */
export const renderImage = (request: ImageRequest): Image => {
  const sectorSize = request.sectorSize ?? 512;
  if (request.sizeBytes < minimumPartitionBytes)
    return { kind: 'partitionTooSmall', minimumBytes: minimumPartitionBytes };
  if (request.content.length > maximumContentBytes)
    return { kind: 'contentTooLong', maximumBytes: maximumContentBytes };
  const image = blocksOfImage(request);
  const start = Math.floor((superblockOffset + magicOffset) / sectorSize) * sectorSize;
  const magicSector = Buffer.from(image.subarray(start, start + sectorSize));
  image.fill(0, start, start + sectorSize);
  return {
    kind: 'image',
    writes: [
      { offset: start, bytes: Buffer.alloc(sectorSize), flushAfter: true },
      { offset: 0, bytes: image, flushAfter: true },
      { offset: start, bytes: magicSector, flushAfter: true },
    ],
  };
};
