/** The shipped forms, made of the sources as they are now. */
import { closeSync, copyFileSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeExecutable } from '../scripts/build/executable.ts';
import { currentBundle } from '../scripts/bundle.ts';

const root = join(import.meta.dirname, '..');

export interface Shipped {
  /** Path of triseed.mjs. */
  readonly bundle: string;
  /** Path of the single executable, without symbols and with code caches, as the package has it. */
  readonly executable: string;
}

const pieceBytes = 65_536;

/** As an unpacker writes: of a file that was written at once Linux maps larger parts, and memory looks twice as large. */
const writeInPieces = (path: string, bytes: Uint8Array): void => {
  const file = openSync(path, 'w', 0o755);
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, Math.min(pieceBytes, bytes.length - at));
  closeSync(file);
};

/** Some seconds; the executable is put into `folder`. */
export const makeShipped = (folder: string): Shipped => {
  const [bundle, executable] = [join(root, currentBundle()), join(folder, 'triseed')];
  writeInPieces(executable, makeExecutable(root).contents);
  copyFileSync(join(root, 'node_modules/openpgp/dist/node/openpgp.min.mjs'), join(folder, 'openpgp.mjs'));
  return { bundle, executable };
};
