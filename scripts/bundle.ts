/**
 * The agent as a few files without node_modules: triseed.mjs, what it loads on demand, and openpgp.mjs, which is the
 * package's own file, unchanged, so that anybody can put another one in its place. scripts/build/ ships this form; guests
 * of the tests that need options of Node run it too: it starts several times as fast as the sources.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, buildSync, type Metafile } from 'esbuild';
import { keptFolder } from './kept-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const entry = 'triseed.mjs';
const keepForMs = 24 * 60 * 60 * 1000;

export interface BundleFile {
  readonly name: string;
  readonly contents: Uint8Array;
}

export interface Bundle {
  readonly files: readonly BundleFile[];
  /** Which sources and packages are in it. */
  readonly metafile: Metafile;
}

export const openpgpFile = 'openpgp.mjs';

/**
 * For every shipped form: agent/main.ts and what it loads on demand, each a chunk. Packages' ES modules come first, because unused parts of those are left out. yaml's build for
 * Node differs from the one for browsers in that LOG_TOKENS and LOG_STREAM make it print what it parses, which is secret.
 */
export const bundleOptions = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  entryPoints: { triseed: 'agent/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  splitting: true,
  format: 'esm',
  alias: { yaml: './node_modules/yaml/browser/index.js', openpgp: `./${openpgpFile}` },
  external: [`./${openpgpFile}`],
  // Licences are shipped in a file of their own.
  legalComments: 'none',
  logLevel: 'warning',
  write: false,
  // Paths of packages stay below node_modules, also where that is a link: names of chunks follow from paths.
  preserveSymlinks: true,
  metafile: true,
} as const satisfies BuildOptions;

/** agent/main.ts bundled. Some dependencies are CommonJS and call `require` for Node's own modules: the banner gives them one. */
export const makeBundle = (): Bundle => {
  const { outputFiles, metafile } = buildSync({
    ...bundleOptions,
    banner: { js: "import{createRequire as requireOf}from'node:module';const require=requireOf(import.meta.url);" },
  });
  const made = outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
  const openpgp = readFileSync(join(root, 'node_modules/openpgp/dist/node/openpgp.min.mjs'));
  return { files: [...made, { name: openpgpFile, contents: openpgp }], metafile };
};

export const writeBundle = (folder: string, files: readonly BundleFile[]): void => {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  for (const { name, contents } of files) {
    writeFileSync(join(folder, name), contents);
    chmodSync(join(folder, name), 0o644);
  }
};

/** The bundle of the sources as they are now, below .cache/; made when it is not there. Answers the entry's path below the checkout. */
export const currentBundle = (): string => {
  const { files } = makeBundle();
  const hash = createHash('sha256');
  for (const { name, contents } of files) hash.update(`${name}\0${contents.length}\0`).update(contents);
  const name = hash.digest('hex').slice(0, 16);
  return join(keptFolder('bundle', name, { keepForMs, make: (folder) => writeBundle(folder, files) }), entry);
};
