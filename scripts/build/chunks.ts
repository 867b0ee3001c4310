/**
 * The agent as chunks for the executable: as the bundle has them, but each a CommonJS script, because neither `import` of
 * a file nor ES modules work there.
 */
import { basename } from 'node:path';
import { buildSync, type Metafile, transformSync } from 'esbuild';
import { bundleOptions } from '../bundle.ts';
import type { ChunksToWarm } from './warm-up.ts';

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

const messageTable = 'agent/messages.ts';
const startsPrograms = 'agent/host/exec.ts';

/** What a boot loads beside triseed.mjs, some of it on demand. */
const ofBoot: ReadonlySet<string | undefined> = new Set([
  startsPrograms,
  'agent/cli/boot.ts',
  'agent/configuration-parse.ts',
  'agent/errors.ts',
  'agent/host/files.ts',
  'agent/host/host.ts',
  'agent/host/http.ts',
  'agent/host/journal-stream.ts',
]);

/** Names of the chunks that a boot loads. */
export const chunksOfBoot = ({ outputs }: Metafile): readonly string[] => {
  const found = new Set<string>();
  const add = (path: string): void => {
    const imports = outputs[path]?.imports ?? [];
    if (found.has(basename(path)) || outputs[path] === undefined) return;
    found.add(basename(path));
    for (const { path: imported, kind } of imports) if (kind === 'import-statement') add(imported);
  };
  for (const [path, { entryPoint }] of Object.entries(outputs)) if (ofBoot.has(entryPoint)) add(path);
  return [...found].sort();
};

/** What a boot loads, for `warmUp`. */
export const chunksToWarm = (metafile: Metafile): ChunksToWarm => {
  const [path] = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === startsPrograms) ?? [];
  if (path === undefined) throw new Error(`no chunk is ${startsPrograms}`);
  const inputsOf = (name: string): readonly string[] =>
    Object.entries(metafile.outputs).flatMap(([output, { inputs }]) =>
      basename(output) === name ? Object.keys(inputs) : [],
    );
  const isTableOrLibrary = (name: string): boolean =>
    inputsOf(name).some((input) => input === messageTable || !input.startsWith('agent/'));
  const ofThis = chunksOfBoot(metafile);
  const whole = ofThis.filter((name) => !isTableOrLibrary(name));
  const besides = ofThis.filter(isTableOrLibrary);
  return { programs: basename(path), whole, besides };
};

export const makeChunks = (): Chunks => {
  const { outputFiles, metafile } = buildSync({ ...bundleOptions, define: { 'import.meta.url': 'importMetaUrl' } });
  return { chunks: outputFiles.map(({ path, text }) => asScript(basename(path), text)), metafile };
};
