/**
 * Reads one regular file from the root folder of an ext2, ext3 or ext4 file system, over bytes that a host may have
 * written to hurt us. The guest kernel must not mount such a file system and libext2fs must not see it; this reader
 * knows only the way superblock → root folder → one small file. Bounded in reads, in bytes and in depth; whatever is
 * not understood ends in `unreadable`. Checksums are verified where the file system has them: they find damage, and
 * prove nothing about who wrote it.
 */
import type { ReadAt } from './device-bytes.ts';
import {
  directoryBlockChecksum,
  directoryTail,
  fileTypeMask,
  folder,
  inodeFlags,
  regularFile,
  rootInode,
  superblockLength,
  superblockOffset,
} from './ext4-format.ts';
import { contentOf, type FileSystem, type Inode, readInode } from './ext4-inode.ts';
import { withJournal } from './ext4-journal.ts';
import { decodeSuperblock, insist, type Superblock, Unreadable } from './ext4-superblock.ts';

export type RootFileRead =
  /** A sound file system whose root folder has no such name. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'file'; readonly bytes: Buffer }
  /** No superblock of ext2, ext3 or ext4 where it belongs. */
  | { readonly kind: 'noFilesystem' }
  | { readonly kind: 'unreadable'; readonly reason: string };

export const maximumFileBytes = 64 * 1024;
const maximumFolderBytes = 256 * 1024;
/** Root folder and file at 1 KiB per block, with room for extent nodes, inodes and descriptors. */
const maximumBlockReads = 384;

const refusedFlags =
  inodeFlags.compressed |
  inodeFlags.encrypted |
  inodeFlags.verity |
  inodeFlags.valueInode |
  inodeFlags.inlineData |
  inodeFlags.caseFolded;

const fileSystemOver = (read: ReadAt, superblock: Superblock): FileSystem => {
  let left = maximumBlockReads;
  return {
    superblock,
    block: async (number) => {
      insist(number > superblock.firstDataBlock && number < superblock.blocks, 'a block outside the file system');
      insist(left-- > 0, 'more blocks than such a file needs');
      return read(number * superblock.blockSize, superblock.blockSize);
    },
  };
};

interface Entry {
  readonly inode: number;
  readonly name: Buffer;
  readonly type: number;
}

/** The entries of one block of a folder (kernel documentation, ext4 "Linear (Classic) Directories"). */
const entriesOf = (block: Buffer, end: number, fileTypeInEntries: boolean): readonly Entry[] => {
  const entries: Entry[] = [];
  for (let at = 0; at < end; ) {
    insist(at + 8 <= end, 'a folder entry without room');
    const inode = block.readUInt32LE(at);
    const length = block.readUInt16LE(at + 4);
    const nameLength = fileTypeInEntries ? block.readUInt8(at + 6) : block.readUInt16LE(at + 6);
    const fits = length >= 8 && length % 4 === 0 && at + length <= end;
    insist(fits && nameLength <= length - 8, 'a folder entry of wrong length');
    const type = fileTypeInEntries ? block.readUInt8(at + 7) : 0;
    if (inode !== 0) entries.push({ inode, name: block.subarray(at + 8, at + 8 + nameLength), type });
    at += length;
  }
  return entries;
};

/**
 * True for a block of a hashed folder that holds no names: the root of the hash tree, which has `.` and `..`, and inner
 * nodes, which look like one unused entry. They are skipped; names are only ever taken from blocks that pass.
 */
const isIndexBlock = (folderInode: Inode, block: Buffer, position: number): boolean =>
  (folderInode.flags & inodeFlags.indexed) !== 0 &&
  (position === 0 || (block.readUInt32LE(0) === 0 && block.readUInt16LE(4) === block.length));

/** Where the names of a block end; with checksums, a tail that does not match is damage. */
const endOfEntries = (folderInode: Inode, block: Buffer): number => {
  if (folderInode.checksumSeed === null) return block.length;
  const end = block.length - directoryTail.length;
  const isTail =
    block.readUInt32LE(end) === 0 &&
    block.readUInt16LE(end + 4) === directoryTail.length &&
    block.readUInt8(end + 6) === 0 &&
    block.readUInt8(end + 7) === directoryTail.fileType;
  insist(isTail, 'a folder block without checksum');
  const expected = directoryBlockChecksum(folderInode.checksumSeed, block);
  insist(block.readUInt32LE(end + 8) === expected, 'wrong checksum of a folder block');
  return end;
};

/** Every entry of the root folder. */
const rootEntries = async (system: FileSystem): Promise<readonly Entry[]> => {
  const root = await readInode(system, rootInode);
  insist((root.mode & fileTypeMask) === folder && !root.deleted && root.links >= 2, 'the root is not a folder');
  insist((root.flags & refusedFlags) === 0, 'the root folder uses features that are not read');
  const { blockSize, fileTypeInEntries } = system.superblock;
  const sized = root.sizeBytes > 0 && root.sizeBytes <= maximumFolderBytes && root.sizeBytes % blockSize === 0;
  insist(sized, 'the root folder has a wrong size or too many files');
  return (await contentOf(system, root)).flatMap((block, position) =>
    isIndexBlock(root, block, position) ? [] : entriesOf(block, endOfEntries(root, block), fileTypeInEntries),
  );
};

/** The one entry called `name`, or null. The whole folder is read, so that a second one is noticed. */
const findInRoot = async (system: FileSystem, name: Buffer): Promise<Entry | null> => {
  const matches = (await rootEntries(system)).filter((entry) => entry.name.equals(name));
  insist(matches.length <= 1, 'the name exists twice');
  return matches[0] ?? null;
};

const readRegular = async (system: FileSystem, entry: Entry): Promise<Buffer> => {
  insist(!system.superblock.fileTypeInEntries || entry.type === 1, 'not a regular file');
  insist(entry.inode >= system.superblock.firstInode, 'the file uses a reserved inode');
  const inode = await readInode(system, entry.inode);
  insist((inode.mode & fileTypeMask) === regularFile, 'not a regular file');
  insist(!inode.deleted && inode.links === 1, 'deleted, or a hard link');
  insist((inode.flags & refusedFlags) === 0, 'the file uses features that are not read');
  insist(inode.sizeBytes <= maximumFileBytes, 'the file is larger than 64 KiB');
  return Buffer.concat(await contentOf(system, inode), inode.sizeBytes);
};

type Unread = Extract<RootFileRead, { kind: 'noFilesystem' | 'unreadable' }>;

/** Opens the file system and lets `use` look at it; what does not add up becomes `unreadable`. */
const reading = async <T>(
  read: ReadAt,
  sizeBytes: number,
  use: (system: FileSystem) => Promise<T>,
): Promise<T | Unread> => {
  if (sizeBytes < superblockOffset + superblockLength) return { kind: 'noFilesystem' };
  try {
    const superblock = decodeSuperblock(await read(superblockOffset, superblockLength), sizeBytes);
    if (!superblock) return { kind: 'noFilesystem' };
    return await use(await withJournal(fileSystemOver(read, superblock), read, sizeBytes));
  } catch (error) {
    if (error instanceof Unreadable) return { kind: 'unreadable', reason: error.message };
    throw error;
  }
};

/** The names in the root folder, `.` and `..` included. Rejects only when `read` does. */
export const readRootNames = async (
  read: ReadAt,
  sizeBytes: number,
): Promise<{ readonly kind: 'names'; readonly names: readonly string[] } | Unread> =>
  reading(read, sizeBytes, async (system) => ({
    kind: 'names',
    names: (await rootEntries(system)).map(({ name }) => name.toString('latin1')),
  }));

/**
 * Reads the regular file `name` (bytes of one path component) of the root folder. A file system with a dirty journal is
 * read as it would be after recovery; see ext4-journal.ts for what is accepted. The name may be no link of any kind.
 * Rejects only when `read` does.
 */
export const readRootFile = async (read: ReadAt, sizeBytes: number, name: string): Promise<RootFileRead> =>
  reading(read, sizeBytes, async (system) => {
    const entry = await findInRoot(system, Buffer.from(name, 'utf8'));
    return entry ? { kind: 'file', bytes: await readRegular(system, entry) } : { kind: 'absent' };
  });
