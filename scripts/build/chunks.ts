/**
 * The agent as chunks for the executable: as the bundle has them, but each a CommonJS script, because neither `import` of
 * a file nor ES modules work there.
 */
import { basename } from 'node:path';
import { buildSync, type Metafile, transformSync } from 'esbuild';
import { bundleOptions } from '../bundle.ts';

export interface Chunk {
  readonly name: string;
  /** A function expression; load-chunks.cjs calls the function with these. */
  readonly text: string;
}

const parameters = 'exports,require,module,importMetaUrl';

export interface Chunks {
  readonly chunks: readonly Chunk[];
  readonly metafile: Metafile;
}

/** `import` becomes calls of `require`. Throws an Error for text that is not ASCII: the executable reads bytes as characters. */
const asScript = (name: string, text: string): Chunk => {
  const { code } = transformSync(text.replace(/^#!.*\n/, ''), {
    format: 'cjs',
    platform: 'node',
    target: bundleOptions.target,
    supported: { 'dynamic-import': false },
    minify: true,
    legalComments: 'none',
  });
  if (Buffer.byteLength(code) !== code.length) throw new Error(`${name} is not ASCII`);
  return { name, text: `(function(${parameters}){${code}})` };
};

export const makeChunks = (): Chunks => {
  const { outputFiles, metafile } = buildSync({ ...bundleOptions, define: { 'import.meta.url': 'importMetaUrl' } });
  return { chunks: outputFiles.map(({ path, text }) => asScript(basename(path), text)), metafile };
};
