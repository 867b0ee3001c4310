/** How large a file system believes to be, from its superblock: on a grown disk it is smaller than the opened volume. */
import type { Filesystem } from '../contract/types.ts';
import type { ReadAt } from './device-bytes.ts';
import { mebibyte } from './device-bytes.ts';

interface Superblock {
  readonly offset: number;
  readonly length: number;
  /** Size in bytes, or null when these are no superblock of this kind. */
  readonly sizeOf: (bytes: Buffer) => bigint | null;
}

const superblocks: Readonly<Record<Filesystem, Superblock>> = {
  // Linux kernel Documentation/filesystems/ext4/super.rst: s_blocks_count, s_log_block_size, s_magic, s_feature_incompat.
  ext4: {
    offset: 1024,
    length: 1024,
    sizeOf: (bytes) => {
      if (bytes.readUInt16LE(0x38) !== 0xef53 || bytes.readUInt32LE(0x18) > 6) return null;
      const is64Bit = (bytes.readUInt32LE(0x60) & 0x80) !== 0;
      const high = is64Bit ? BigInt(bytes.readUInt32LE(0x150)) << 32n : 0n;
      return (high + BigInt(bytes.readUInt32LE(0x04))) << BigInt(10 + bytes.readUInt32LE(0x18));
    },
  },
  // XFS Algorithms & Data Structures, "Superblocks": sb_magicnum, sb_blocksize, sb_dblocks.
  xfs: {
    offset: 0,
    length: 512,
    sizeOf: (bytes) =>
      bytes.toString('latin1', 0, 4) === 'XFSB' ? bytes.readBigUInt64BE(8) * BigInt(bytes.readUInt32BE(4)) : null,
  },
  // btrfs documentation, "On-disk Format", superblock: magic, total_bytes.
  btrfs: {
    offset: 65_536,
    length: 4096,
    sizeOf: (bytes) => (bytes.toString('latin1', 64, 72) === '_BHRfS_M' ? bytes.readBigUInt64LE(0x70) : null),
  },
};

/** Less is not worth a tool's run; file systems leave some of a device unused. */
const worthBytes = BigInt(16 * mebibyte);

/** Whether the file system on a device of `sizeBytes` can gain enough to be grown. False when it is none of this kind. */
export const hasRoomToGrow = async (read: ReadAt, sizeBytes: number, filesystem: Filesystem): Promise<boolean> => {
  const { offset, length, sizeOf } = superblocks[filesystem];
  if (sizeBytes < offset + length) return false;
  const size = sizeOf(await read(offset, length));
  return size !== null && BigInt(sizeBytes) - size >= worthBytes;
};
