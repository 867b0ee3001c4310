/** Disk images made and read on the host by stock tools: sgdisk(8), mkfs.ext4(8), debugfs(8). No loop device, no privileges. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

export const MiB = 1 << 20;

/**
 * Lets whatever else this process watches go on: consoles, shells, moments of a power cut. Tools are run synchronously, so this
 * stands between any two that take long.
 */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const tool = (program: string, args: readonly string[], input = ''): string =>
  execFileSync(program, args, { input, stdio: ['pipe', 'pipe', 'pipe'] }).toString('latin1');

/** An empty disk of `sizeBytes`, over whatever `file` was. */
export const blank = (file: string, sizeBytes: number): void => {
  writeFileSync(file, '', { mode: 0o600 });
  truncateSync(file, sizeBytes);
};

const zeros = Buffer.alloc(MiB);

/** Writes `bytes` at `offset`, leaving holes where they are zero. */
export const put = (file: string, offset: number, bytes: Uint8Array): void => {
  const descriptor = openSync(file, 'r+');
  try {
    for (let at = 0; at < bytes.length; at += MiB) {
      const piece = bytes.subarray(at, at + MiB);
      if (!zeros.subarray(0, piece.length).equals(piece)) writeSync(descriptor, piece, 0, piece.length, offset + at);
    }
  } finally {
    closeSync(descriptor);
  }
};

/** Overwrites a span with zeros. */
export const zero = (file: string, offset: number, length: number): void => {
  const descriptor = openSync(file, 'r+');
  try {
    writeSync(descriptor, Buffer.alloc(length), 0, length, offset);
  } finally {
    closeSync(descriptor);
  }
};

export const take = (file: string, offset: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, bytes, 0, length, offset);
  } finally {
    closeSync(descriptor);
  }
  return bytes;
};

export interface Partition {
  readonly name: string;
  readonly guid: string;
  readonly offset: number;
  readonly length: number;
}

/** `sgdisk --info=NUMBER`. */
export const partitionOf = (file: string, number: number): Partition => {
  const text = tool('sgdisk', [`--info=${number}`, file]);
  const field = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? '';
  const first = Number(field(/^First sector: (\d+)/m));
  const last = Number(field(/^Last sector: (\d+)/m));
  return {
    name: field(/^Partition name: '(.*)'/m),
    guid: field(/^Partition unique GUID: (\S+)/m).toLowerCase(),
    offset: first * 512,
    length: (last - first + 1) * 512,
  };
};

/** One partition's bytes as a file of its own. */
export const copyOut = (file: string, { offset, length }: Pick<Partition, 'offset' | 'length'>, out: string): void => {
  blank(out, length);
  put(out, 0, take(file, offset, length));
};

/** Files for a root folder: name → content. */
export type Content = Readonly<Record<string, string>>;

/** An ext4 file system of `sizeBytes` with these files, as bytes. `scratchFile` is overwritten and removed. */
export const ext4 = (scratchFile: string, sizeBytes: number, content: Content): Buffer => {
  const folder = `${scratchFile}.content`;
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(content)) writeFileSync(join(folder, name), text);
  blank(scratchFile, sizeBytes);
  // A block must not be smaller than an encrypted sector.
  tool('mkfs.ext4', ['-q', '-F', '-b', '4096', '-d', folder, scratchFile]);
  const bytes = readFileSync(scratchFile);
  for (const path of [folder, scratchFile]) rmSync(path, { recursive: true });
  return bytes;
};

/**
 * A partition table by sgdisk: `names` in order, the first from 1 MiB to 100 MiB, as the product's parted calls make it. `end` is
 * the last sector of the last one, by default a MiB before the end of the disk; 0 is the last usable one, which makes an odd size.
 */
export const partition = (file: string, names: readonly string[], end?: number): void => {
  const endOfLast = end ?? statSync(file).size / 512 - 2048 - 1;
  const starts = ['1MiB', '100MiB', '120MiB', '140MiB', '160MiB'];
  const args = names.flatMap((name, at) => {
    const last = at + 1 < names.length ? `${Number.parseInt(starts[at + 1] ?? '', 10) * 2048 - 1}` : endOfLast;
    return [`--new=${at + 1}:${starts[at]}:${last}`, `--change-name=${at + 1}:${name}`];
  });
  tool('sgdisk', ['--clear', ...args, file]);
};

/** `debugfs cat`: a file of an ext4 image. */
export const fileOf = (image: string, path: string): string => tool('debugfs', ['-R', `cat ${path}`, image]);

/** e2fsck(8), answering no to everything; throws with its words unless it is clean. */
export const checkExt4 = (image: string): void => {
  tool('e2fsck', ['-f', '-n', image]);
};

const pieceBytes = 256 * 1024;
const emptyPiece = Buffer.alloc(pieceBytes);

/** SHA-256 over every piece that is not all zero, with its place: the same only for files that are the same byte for byte. */
export const fingerprint = (file: string): string => {
  const hash = createHash('sha256').update(`${statSync(file).size}`);
  const piece = Buffer.alloc(pieceBytes);
  const descriptor = openSync(file, 'r');
  try {
    for (let at = 0; ; at += pieceBytes) {
      const count = readSync(descriptor, piece, 0, pieceBytes, at);
      if (count === 0) return hash.digest('hex');
      const bytes = piece.subarray(0, count);
      if (!emptyPiece.subarray(0, count).equals(bytes)) hash.update(`@${at}:${count}:`).update(bytes);
    }
  } finally {
    closeSync(descriptor);
  }
};
