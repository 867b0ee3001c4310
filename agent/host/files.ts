/**
 * Files and folders. Writes are atomic or exclusive; nothing follows a link it was not asked to follow.
 *
 * The files are small and most of them in memory: handing a step to another thread and hearing back costs more than the step, and a boot
 * takes hundreds. Only what waits for a disk to have written is left to one.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../errors.ts';
import type { Files } from '../ports.ts';

/** statfs(2) magic numbers of file systems that live in memory. */
const inMemoryTypes = new Set([0x01021994 /* tmpfs */, 0x858458f6 /* ramfs */]);
const livesInMemory = (path: string): boolean => inMemoryTypes.has(statfsSync(path).type >>> 0);

const reasonOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(reasonOf(error));
const unreadable = (path: string, reason: string, cause?: unknown): AgentError =>
  new AgentError('FILE_UNREADABLE', { path, reason }, { cause });
const unwritable = (path: string, error: unknown): AgentError =>
  new AgentError('FILE_UNWRITABLE', { path, reason: reasonOf(error) }, { cause: error });

const fsyncInThread = promisify(fsync);
/** fsync(2) of an open file or folder at `path`. Behind a file system in memory there is nothing to flush to. */
const flush = async (descriptor: number, path: string): Promise<void> => {
  if (!livesInMemory(path)) await fsyncInThread(descriptor);
};

const read: Files['read'] = async (path, maxBytes) => {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) throw unreadable(path, 'not a regular file');
      // Read to the end rather than to the size: files of /proc and /sys say they are empty.
      const chunks: Buffer[] = [];
      let total = 0;
      for (;;) {
        const chunk = Buffer.from(
          new ArrayBuffer(Math.min(Math.max(stat.size + 1 - total, 4096), maxBytes + 1 - total)),
        );
        const bytesRead = readSync(descriptor, chunk, 0, chunk.length, null);
        if (bytesRead === 0) break;
        total += bytesRead;
        if (total > maxBytes) throw new AgentError('FILE_TOO_LARGE', { path, limitBytes: maxBytes });
        chunks.push(chunk.subarray(0, bytesRead));
      }
      return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (isAbsent(error)) return null;
    if (error instanceof AgentError) throw error;
    throw unreadable(path, reasonOf(error), error);
  }
};

/** Files made here that are not yet what they are made for. */
const unfinished = new Set<string>();

/** Removes what is being written: before this process ends in the midst of it. */
export const discardUnfinished = (): void => {
  for (const path of unfinished) rmSync(path, { force: true });
};

/** The bytes are on the disk; the file's name is when its folder is flushed, fsync(2). */
const create = async (path: string, bytes: Uint8Array, mode: number): Promise<void> => {
  try {
    const descriptor = openSync(path, 'wx', mode);
    unfinished.add(path);
    try {
      writeFileSync(descriptor, bytes);
      // The umask of this process is for secrets; a file gets the mode that was asked for, once it is whole.
      fchmodSync(descriptor, mode);
      await flush(descriptor, path);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    unfinished.delete(path);
    throw unwritable(path, error);
  }
};

const syncFolder = async (path: string): Promise<void> => {
  const descriptor = openSync(path, 'r');
  try {
    await flush(descriptor, path);
  } finally {
    closeSync(descriptor);
  }
};

const writeNew: Files['writeNew'] = async (path, bytes, mode) => {
  await create(path, bytes, mode);
  try {
    await syncFolder(dirname(path));
  } catch (error) {
    throw unwritable(path, error);
  } finally {
    unfinished.delete(path);
  }
};

const writeAtomically: Files['writeAtomically'] = async (path, bytes, mode) => {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  try {
    rmSync(temporary, { force: true });
    await create(temporary, bytes, mode);
    renameSync(temporary, path);
    unfinished.delete(temporary);
    await syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    unfinished.delete(temporary);
    if (error instanceof AgentError) throw new AgentError('FILE_UNWRITABLE', { path, reason: reasonOf(error.cause) });
    throw unwritable(path, error);
  }
};

const writeSparse: Files['writeSparse'] = async (path, sizeBytes, pieces, mode) => {
  try {
    const descriptor = openSync(path, 'wx', mode);
    try {
      ftruncateSync(descriptor, sizeBytes);
      for (const { offset, bytes } of pieces) {
        // A full file system takes the part that fits and only refuses what comes then, write(2).
        for (let done = 0; done < bytes.length; ) {
          const bytesWritten = writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
          if (bytesWritten === 0) throw new Error('nothing was written');
          done += bytesWritten;
        }
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw unwritable(path, error);
  }
};

const kind: Files['kind'] = async (path) => {
  try {
    const found = lstatSync(path);
    if (found.isFile()) return 'file';
    if (found.isDirectory()) return 'folder';
    return found.isSymbolicLink() ? 'link' : 'other';
  } catch (error) {
    if (isAbsent(error)) return 'absent';
    throw unreadable(path, reasonOf(error), error);
  }
};

export const files: Files = {
  read,
  writeNew,
  writeAtomically,
  writeSparse,
  kind,
  makeFolder: async (path, mode) => {
    try {
      const first = mkdirSync(path, { recursive: true, mode });
      // The umask of this process is for secrets; a folder gets the mode that was asked for, on every level that is new.
      for (let made = path; first !== undefined && made.length >= first.length; made = dirname(made))
        chmodSync(made, mode);
    } catch (error) {
      throw unwritable(path, error);
    }
  },
  target: async (path) => {
    try {
      const found = statSync(path);
      return { isFile: found.isFile(), mode: found.mode & 0o777 };
    } catch (error) {
      if (isAbsent(error)) return null;
      throw unreadable(path, reasonOf(error), error);
    }
  },
  list: async (path) => {
    try {
      return readdirSync(path).sort();
    } catch (error) {
      if (isAbsent(error)) return [];
      throw unreadable(path, reasonOf(error), error);
    }
  },
  isExecutable: async (path) => {
    try {
      return (lstatSync(path).mode & constants.S_IXUSR) !== 0;
    } catch (error) {
      throw unreadable(path, reasonOf(error), error);
    }
  },
  remove: async (path) => {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw unwritable(path, error);
    }
  },
  resolve: async (path) => {
    try {
      return realpathSync.native(path);
    } catch (error) {
      if (isAbsent(error)) return null;
      throw unreadable(path, reasonOf(error), error);
    }
  },
  isInMemory: async (path) => {
    try {
      return livesInMemory(path);
    } catch (error) {
      throw unreadable(path, reasonOf(error), error);
    }
  },
};
