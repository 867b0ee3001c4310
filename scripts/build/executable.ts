/**
 * The agent and Node in one file: a single executable application (Node.js documentation, "Single executable
 * applications") with V8's code cache, so that nothing is compiled at start.
 *
 * Equal bytes: `--random-seed` makes the code cache the same at every build (`--hash-seed` would too, but V8 then
 * rejects it at start), and every path the generator sees is relative to a folder of our own.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync, type Metafile } from 'esbuild';
import { bundleOptions } from '../bundle.ts';
import { runTool } from './run-tool.ts';

export interface Executable {
  readonly contents: Uint8Array;
  readonly metafile: Metafile;
}

const seaConfiguration = {
  main: 'triseed.cjs',
  executable: 'node',
  output: 'triseed',
  useCodeCache: true,
  disableExperimentalSEAWarning: true,
  // No debugger by signal; no way to a prototype through data; node:sqlite, of the local key service, calls itself experimental.
  execArgv: ['--disable-sigusr1', '--disable-proto=delete', '--disable-warning=ExperimentalWarning'],
  // NODE_OPTIONS does not count.
  execArgvExtension: 'none',
};

/** One CommonJS script: what a single executable application runs. `import()` of files does not work there, `require` does. */
const makeScript = (): { readonly contents: Uint8Array; readonly metafile: Metafile } => {
  const { outputFiles, metafile } = buildSync({
    ...bundleOptions,
    entryPoints: { triseed: 'agent/main.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    format: 'cjs',
    supported: { 'dynamic-import': false },
    alias: { ...bundleOptions.alias, openpgp: './scripts/build/openpgp-beside.cjs' },
    define: { 'import.meta.url': 'importMetaUrl' },
    banner: { js: "const importMetaUrl='file://'+process.execPath;" },
  });
  const [script] = outputFiles;
  if (script === undefined) throw new Error('esbuild made no script');
  return { contents: script.contents, metafile };
};

/** Of the pinned Node of `root`, without its symbols: they are a fifth of it. */
export const makeExecutable = (root: string): Executable => {
  const folder = mkdtempSync(join(tmpdir(), 'triseed-executable-'));
  try {
    const { contents, metafile } = makeScript();
    const node = join(root, 'node_modules', 'node', 'bin', 'node');
    writeFileSync(join(folder, 'triseed.cjs'), contents);
    writeFileSync(join(folder, 'sea.json'), JSON.stringify(seaConfiguration));
    copyFileSync(node, join(folder, 'node'));
    runTool('strip', ['node'], 'binutils', { cwd: folder });
    runTool(node, ['--random-seed=1', '--build-sea', 'sea.json'], 'node', { cwd: folder });
    return { contents: readFileSync(join(folder, 'triseed')), metafile };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
