/**
 * The agent and Node in one file: a single executable application (Node.js documentation, "Single executable
 * applications"). A command pays for what it needs: the agent's chunks are assets, each with V8's code cache of what ran
 * of it in commands of every day (warm-up.ts), so that these compile next to nothing at start.
 *
 * Equal bytes: `--random-seed` makes code caches the same at every build (`--hash-seed` would too, but V8 then rejects
 * them at start), and every path the generator sees is relative to a folder of our own.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync, type Metafile } from 'esbuild';
import { bundleOptions } from '../bundle.ts';
import { type Chunks, chunksToWarm, makeChunks } from './chunks.ts';
import { runTool } from './run-tool.ts';
import { warmUp } from './warm-up.ts';

export interface Executable {
  readonly contents: Uint8Array;
  readonly metafile: Metafile;
}

const main = 'main.cjs';
const seaConfiguration = {
  main,
  executable: 'node',
  output: 'triseed',
  useCodeCache: true,
  disableExperimentalSEAWarning: true,
  // No debugger by signal; no way to a prototype through data; node:sqlite, of the local key service, calls itself experimental.
  // One thread beside the program for V8: three more are started and paid for, and commands end before they help.
  execArgv: [
    '--disable-sigusr1',
    '--disable-proto=delete',
    '--disable-warning=ExperimentalWarning',
    '--v8-pool-size=1',
  ],
  // NODE_OPTIONS does not count.
  execArgvExtension: 'none',
};

const makeMainScript = (): Uint8Array => {
  const { outputFiles } = buildSync({
    ...bundleOptions,
    entryPoints: { main: 'scripts/build/start/executable-main.cjs' },
    splitting: false,
    format: 'cjs',
  });
  const [script] = outputFiles;
  if (script === undefined) throw new Error('esbuild made no script');
  return script.contents;
};

/** Each chunk and its code cache, by the name of the asset: paths below `folder`. */
const makeAssets = (node: string, folder: string, { chunks, metafile }: Chunks): Readonly<Record<string, string>> => {
  mkdirSync(join(folder, 'chunks'));
  for (const { name, text } of chunks) writeFileSync(join(folder, 'chunks', name), text);
  warmUp(node, join(folder, 'chunks'), chunksToWarm(metafile));
  const names = chunks.flatMap(({ name }) => [name, `${name}.cache`]);
  return Object.fromEntries(names.map((name) => [name, `chunks/${name}`]));
};

/** Of the pinned Node of `root`, without its symbols: they are a fifth of it. */
export const makeExecutable = (root: string): Executable => {
  const folder = mkdtempSync(join(tmpdir(), 'triseed-executable-'));
  try {
    const made = makeChunks();
    const node = join(root, 'node_modules', 'node', 'bin', 'node');
    const assets = makeAssets(node, folder, made);
    writeFileSync(join(folder, main), makeMainScript());
    writeFileSync(join(folder, 'sea.json'), JSON.stringify({ ...seaConfiguration, assets }));
    copyFileSync(node, join(folder, 'node'));
    runTool('strip', ['node'], 'binutils', { cwd: folder });
    runTool(node, ['--random-seed=1', '--build-sea', 'sea.json'], 'node', { cwd: folder });
    return { contents: readFileSync(join(folder, 'triseed')), metafile: made.metafile };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
