/** Files that are entries of a map, for tests whose clock stands still while real files would be waited for. */
import { dirname } from 'node:path';
import { AgentError } from '../../agent/errors.ts';
import type { Files } from '../../agent/ports.ts';

export interface MappedFile {
  readonly bytes: Buffer;
  readonly mode: number;
}

export interface FilesInMap extends Files {
  readonly files: Map<string, MappedFile>;
  readonly folders: Map<string, number>;
}

/** `given`: text of files that are there from the beginning. Writing below a folder that was not made is an error. */
export const filesInMap = (given: Readonly<Record<string, string>> = {}): FilesInMap => {
  const files = new Map(Object.entries(given).map(([path, text]) => [path, { bytes: Buffer.from(text), mode: 0o644 }]));
  const folders = new Map<string, number>();
  const write = async (path: string, bytes: Uint8Array, mode: number): Promise<void> => {
    if (!folders.has(dirname(path))) throw new AgentError('FILE_UNWRITABLE', { path, reason: 'ENOENT' });
    files.set(path, { bytes: Buffer.from(bytes), mode });
  };
  return {
    files,
    folders,
    read: async (path, maxBytes) => {
      const found = files.get(path);
      if (found === undefined) return null;
      if (found.bytes.length > maxBytes) throw new AgentError('FILE_TOO_LARGE', { path, limitBytes: maxBytes });
      return Buffer.from(found.bytes);
    },
    writeAtomically: write,
    writeNew: write,
    writeSparse: async () => {
      throw new Error('there are no sparse files in a map');
    },
    makeFolder: async (path, mode) => {
      for (let folder = path; folder !== '/' && !folders.has(folder); folder = dirname(folder))
        folders.set(folder, mode);
    },
    kind: async (path) => (files.has(path) ? 'file' : folders.has(path) ? 'folder' : 'absent'),
    target: async (path) => {
      const found = files.get(path);
      if (found !== undefined) return { isFile: true, mode: found.mode };
      const mode = folders.get(path);
      return mode === undefined ? null : { isFile: false, mode };
    },
    list: async (path) =>
      [...files.keys()].filter((name) => dirname(name) === path).map((name) => name.slice(path.length + 1)),
    isExecutable: async () => false,
    remove: async (path) => void files.delete(path),
    resolve: async (path) => path,
    isInMemory: async () => true,
  };
};
