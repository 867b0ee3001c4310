/**
 * The journal of a file system that was not unmounted (kernel documentation, ext4 "Journal (jbd2)").
 *
 * Reading such a file system without its journal could show a folder or a file from before the last change, so either
 * the journal is empty, or its committed transactions are laid over the blocks in memory, as the kernel would write
 * them at mount. Nothing is written. Revocations, escaped blocks and checksums are honoured; asynchronous and fast
 * commits, old checksum versions and journals with recorded errors are refused.
 */
import { crc32c, crc32cStart } from './crc.ts';
import type { ReadAt } from './device-bytes.ts';
import { fileTypeMask, regularFile, superblockLength, superblockOffset } from './ext4-format.ts';
import { blocksOf, type FileSystem, readInode } from './ext4-inode.ts';
import { decodeSuperblock, insist, Unreadable } from './ext4-superblock.ts';

const magic = 0xc03b3998;
const blockTypes = { descriptor: 1, commit: 2, superblockVersion2: 4, revoke: 5 } as const;
const feature = { revoke: 0x1, is64bit: 0x2, checksumVersion3: 0x10 } as const;
const tagFlags = { escaped: 1, sameUuid: 2, deleted: 4, last: 8 } as const;
/** 128 MiB at 4 KiB per block: a metadata partition of 100 MiB has 4 MiB. */
const maximumBlocks = 32768;

interface Journal {
  readonly blocks: number;
  readonly first: number;
  readonly firstSequence: number;
  /** 0 when there is nothing to recover. */
  readonly start: number;
  readonly wideBlockNumbers: boolean;
  readonly checksumSeed: number | null;
}

/** One block that a transaction holds a newer version of. */
interface Tag {
  readonly block: number;
  readonly sequence: number;
  /** Place in the journal. */
  readonly position: number;
  readonly escaped: boolean;
  readonly checksum: number;
}

interface Transactions {
  readonly tags: readonly Tag[];
  /** Last sequence in which a block was revoked. */
  readonly revoked: ReadonlyMap<number, number>;
}

const summed = (seed: number, block: Buffer, at: number): number => {
  const copy = Buffer.from(block);
  copy.writeUInt32BE(0, at);
  return crc32c(seed, copy);
};

/** Sequence numbers wrap, so they are compared by their distance. */
const isLater = (a: number, b: number): boolean => ((a - b) | 0) > 0;

const decodeJournal = (block: Buffer): Journal => {
  const known = feature.revoke | feature.is64bit | feature.checksumVersion3;
  insist(block.readUInt32BE(0) === magic, 'the journal has no superblock');
  insist(block.readUInt32BE(4) === blockTypes.superblockVersion2, 'an old kind of journal');
  insist(block.readUInt32BE(12) === block.length, 'the journal has blocks of another size');
  const features = block.readUInt32BE(40);
  insist((features & ~known) === 0, `unsupported journal feature (0x${features.toString(16)})`);
  const checksums = (features & feature.checksumVersion3) !== 0;
  if (checksums) {
    insist(block.readUInt8(80) === 4, 'unknown kind of checksum in the journal');
    const expected = summed(crc32cStart, block.subarray(0, 1024), 252);
    insist(block.readUInt32BE(252) === expected, 'wrong checksum of the journal superblock');
  }
  insist(block.readUInt32BE(32) === 0, 'the journal recorded an error');
  const blocks = block.readUInt32BE(16);
  const first = block.readUInt32BE(20);
  const start = block.readUInt32BE(28);
  insist(blocks <= maximumBlocks && first >= 1 && first < blocks, 'a journal of wrong size');
  insist(start === 0 || (start >= first && start < blocks), 'the journal starts outside itself');
  return {
    blocks,
    first,
    start,
    firstSequence: block.readUInt32BE(24),
    wideBlockNumbers: (features & feature.is64bit) !== 0,
    checksumSeed: checksums ? crc32c(crc32cStart, block.subarray(48, 64)) : null,
  };
};

/** The tags of a descriptor block, positions counted from 0 for the block after it. */
const decodeTags = (journal: Journal, block: Buffer, sequence: number): readonly Tag[] => {
  const version3 = journal.checksumSeed !== null;
  const size = version3 ? 16 : journal.wideBlockNumbers ? 12 : 8;
  const end = block.length - (version3 ? 4 : 0);
  if (version3) insist(block.readUInt32BE(end) === summed(journal.checksumSeed, block, end), 'wrong checksum of a journal block'); // biome-ignore format: one thought
  const tags: Tag[] = [];
  for (let at = 12; ; ) {
    insist(at + size <= end, 'a journal descriptor without end');
    const flags = version3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6);
    const high = journal.wideBlockNumbers ? block.readUInt32BE(at + 8) : 0;
    tags.push({
      block: block.readUInt32BE(at) + high * 2 ** 32,
      sequence,
      position: tags.length,
      escaped: (flags & tagFlags.escaped) !== 0,
      checksum: version3 ? block.readUInt32BE(at + 12) : 0,
    });
    insist((flags & tagFlags.deleted) === 0, 'a deleted journal tag');
    if ((flags & tagFlags.last) !== 0) return tags;
    at += size + ((flags & tagFlags.sameUuid) !== 0 ? 0 : 16);
  }
};

const decodeRevoked = (journal: Journal, block: Buffer): readonly number[] => {
  const end = block.length - (journal.checksumSeed !== null ? 4 : 0);
  if (journal.checksumSeed !== null)
    insist(block.readUInt32BE(end) === summed(journal.checksumSeed, block, end), 'wrong checksum of a journal block');
  const size = journal.wideBlockNumbers ? 8 : 4;
  const used = block.readUInt32BE(12);
  insist(used >= 16 && used <= end && (used - 16) % size === 0, 'a revocation list of wrong length');
  return Array.from({ length: (used - 16) / size }, (_, i) => {
    const at = 16 + i * size;
    return size === 4 ? block.readUInt32BE(at) : block.readUInt32BE(at) * 2 ** 32 + block.readUInt32BE(at + 4);
  });
};

/** A commit block that was torn by the cut does not count: its transaction never became valid. */
const isCommitted = (journal: Journal, block: Buffer): boolean =>
  journal.checksumSeed === null || block.readUInt32BE(16) === summed(journal.checksumSeed, block, 16);

/** Reads all committed transactions, oldest first. At most one read for each block of the journal. */
const readTransactions = async (
  journal: Journal,
  logBlock: (position: number) => Promise<Buffer>,
): Promise<Transactions> => {
  const wrap = (position: number): number =>
    position < journal.blocks ? position : position - (journal.blocks - journal.first);
  const committed: Tag[] = [];
  const revoked = new Map<number, number>();
  let sequence = journal.firstSequence;
  let tags: Tag[] = [];
  let revocations: number[] = [];
  let position = journal.start;
  for (let seen = 0; seen < journal.blocks - journal.first; ) {
    const block = await logBlock(position);
    if (block.readUInt32BE(0) !== magic || block.readUInt32BE(8) !== sequence) break;
    const type = block.readUInt32BE(4);
    let length = 1;
    if (type === blockTypes.descriptor) {
      const found = decodeTags(journal, block, sequence);
      for (const tag of found) tags.push({ ...tag, position: wrap(position + 1 + tag.position) });
      length += found.length;
    } else if (type === blockTypes.revoke) revocations.push(...decodeRevoked(journal, block));
    else if (type === blockTypes.commit && isCommitted(journal, block)) {
      committed.push(...tags);
      for (const number of revocations) revoked.set(number, sequence);
      tags = [];
      revocations = [];
      sequence = (sequence + 1) >>> 0;
    } else break;
    seen += length;
    insist(seen <= journal.blocks, 'a journal longer than itself');
    position = wrap(position + length);
  }
  return { tags: committed, revoked };
};

/** For each block its newest version that no later transaction revoked. */
const newest = ({ tags, revoked }: Transactions): ReadonlyMap<number, Tag> => {
  const found = new Map<number, Tag>();
  for (const tag of tags) {
    const until = revoked.get(tag.block);
    if (until === undefined || isLater(tag.sequence, until)) found.set(tag.block, tag);
  }
  return found;
};

/**
 * `system` as it will be after recovery; `system` itself when no recovery is needed. Throws Unreadable for journals
 * outside the rules above, and when recovery would change the geometry or find recorded errors.
 */
export const withJournal = async (system: FileSystem, read: ReadAt, sizeBytes: number): Promise<FileSystem> => {
  const { superblock } = system;
  if (superblock.dirtyJournalInode === null) return system;
  const inode = await readInode(system, superblock.dirtyJournalInode);
  insist((inode.mode & fileTypeMask) === regularFile && inode.sizeBytes > 0, 'the journal is not a file');
  const length = Math.floor(inode.sizeBytes / superblock.blockSize);
  insist(length >= 1 && length <= maximumBlocks, 'a journal of wrong size');
  const places = await blocksOf(system, inode, length);
  const logBlock = async (position: number): Promise<Buffer> => {
    const place = places[position];
    insist(place !== undefined && place < superblock.blocks, 'the journal lies outside the file system');
    return read(place * superblock.blockSize, superblock.blockSize);
  };
  const journal = decodeJournal(await logBlock(0));
  insist(journal.blocks <= length, 'the journal is longer than its file');
  if (journal.start === 0) return system;
  const overlay = newest(await readTransactions(journal, logBlock));

  const newerVersion = async (tag: Tag): Promise<Buffer> => {
    const block = await logBlock(tag.position);
    if (journal.checksumSeed !== null) {
      const sequence = Buffer.alloc(4);
      sequence.writeUInt32BE(tag.sequence);
      const expected = crc32c(crc32c(journal.checksumSeed, sequence), block);
      insist(tag.checksum === expected, 'wrong checksum of a block in the journal');
    }
    if (tag.escaped) block.writeUInt32BE(magic, 0);
    return block;
  };
  const newerSuperblock = overlay.get(superblock.firstDataBlock);
  if (newerSuperblock) {
    const start = superblockOffset - superblock.firstDataBlock * superblock.blockSize;
    const bytes = (await newerVersion(newerSuperblock)).subarray(start, start + superblockLength);
    const recovered = decodeSuperblock(bytes, sizeBytes);
    if (!recovered) throw new Unreadable('recovery would remove the superblock');
    const same = JSON.stringify({ ...recovered, dirtyJournalInode: superblock.dirtyJournalInode });
    insist(same === JSON.stringify(superblock), 'recovery would change the geometry');
  }
  return {
    superblock,
    block: async (number) => {
      // The older version is read in any case: it keeps the bounds and the budget of reads in one place.
      const older = await system.block(number);
      const tag = overlay.get(number);
      return tag ? newerVersion(tag) : older;
    },
  };
};
