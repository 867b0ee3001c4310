/** Single records of a new ext4 file system: an inode, a folder block (kernel documentation, ext4 "Dynamic Structures"). */
import { directoryBlockChecksum, directoryTail, extentMagic, inodeChecksum, inodeFlags } from './ext4-format.ts';

export const blockSize = 4096;
export const inodeSize = 256;

export interface NewInode {
  readonly number: number;
  readonly mode: number;
  readonly links: number;
  readonly sizeBytes: number;
  readonly firstBlock: number;
}

/** An inode record whose content is one run of blocks. Owner and group are root, which is zero. */
export const inodeRecord = (inode: NewInode, atSeconds: number, seed: number): Buffer => {
  const record = Buffer.alloc(inodeSize);
  const blocks = Math.ceil(inode.sizeBytes / blockSize);
  record.writeUInt16LE(inode.mode, 0);
  record.writeUInt32LE(inode.sizeBytes, 4);
  record.writeUInt16LE(inode.links, 26);
  record.writeUInt32LE((blocks * blockSize) / 512, 28);
  record.writeUInt32LE(inodeFlags.extents, 32);
  record.writeUInt16LE(extentMagic, 40);
  record.writeUInt16LE(blocks === 0 ? 0 : 1, 42);
  record.writeUInt16LE(4, 44);
  if (blocks > 0) {
    record.writeUInt16LE(blocks, 56);
    record.writeUInt32LE(inode.firstBlock, 60);
  }
  record.writeUInt16LE(32, 128);
  // Seconds are signed 32 bits, two more bits of the epoch lie in the extra field (kernel documentation, "Inode Timestamps").
  const low = atSeconds | 0;
  const epoch = Math.round((atSeconds - low) / 2 ** 32) & 3;
  for (const [seconds, extra] of [
    [8, 140],
    [12, 132],
    [16, 136],
    [144, 148],
  ] as const) {
    record.writeInt32LE(low, seconds);
    record.writeUInt32LE(epoch, extra);
  }
  const sum = inodeChecksum(seed, inode.number, record);
  record.writeUInt16LE(sum & 0xffff, 124);
  record.writeUInt16LE(sum >>> 16, 130);
  return record;
};

export interface NewEntry {
  readonly inode: number;
  readonly name: string;
  /** 1 regular file, 2 folder. */
  readonly type: 1 | 2;
}

export const folderBlock = (entries: readonly NewEntry[], seed: number): Buffer => {
  const block = Buffer.alloc(blockSize);
  const end = blockSize - directoryTail.length;
  let at = 0;
  for (const [index, { inode, name, type }] of entries.entries()) {
    const nameBytes = Buffer.from(name, 'utf8');
    const length = index === entries.length - 1 ? end - at : 8 + Math.ceil(nameBytes.length / 4) * 4;
    block.writeUInt32LE(inode, at);
    block.writeUInt16LE(length, at + 4);
    block.writeUInt8(nameBytes.length, at + 6);
    block.writeUInt8(type, at + 7);
    nameBytes.copy(block, at + 8);
    at += length;
  }
  block.writeUInt16LE(directoryTail.length, end + 4);
  block.writeUInt8(directoryTail.fileType, end + 7);
  block.writeUInt32LE(directoryBlockChecksum(seed, block), end + 8);
  return block;
};
