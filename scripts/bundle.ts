/**
 * `npm run build`: the agent as a few files without node_modules, in dist/. Guests of the tests and of the demonstration
 * run the same form, as an installed guest does: it starts twice as fast as the sources.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const entry = 'triseed.mjs';
const keepForMs = 24 * 60 * 60 * 1000;

interface BundleFile {
  readonly name: string;
  readonly contents: Uint8Array;
}

/** agent/main.ts bundled. Some dependencies are CommonJS and call `require` for Node's own modules: the banner gives them one. */
const bundleFiles = (): readonly BundleFile[] =>
  buildSync({
    absWorkingDir: root,
    entryPoints: { triseed: 'agent/main.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    logLevel: 'warning',
    write: false,
    banner: { js: "import{createRequire as requireOf}from'node:module';const require=requireOf(import.meta.url);" },
  }).outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));

const writeTo = (folder: string, files: readonly BundleFile[]): void => {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  for (const { name, contents } of files) {
    writeFileSync(join(folder, name), contents);
    chmodSync(join(folder, name), 0o644);
  }
};

/**
 * The bundle of the sources as they are now, below .cache/ in a folder named by its content; made when it is not there.
 * Processes that test at the same time never see each other's half-written files. Answers the entry's path below the checkout.
 */
export const currentBundle = (): string => {
  const files = bundleFiles();
  const hash = createHash('sha256');
  for (const { name, contents } of files) hash.update(`${name}\0${contents.length}\0`).update(contents);
  const bundles = join(root, '.cache', 'bundle');
  const name = hash.digest('hex').slice(0, 16);
  const folder = join(bundles, name);
  if (!existsSync(folder)) {
    const making = join(bundles, `.${name}.${process.pid}`);
    writeTo(making, files);
    for (const path of [join(root, '.cache'), bundles])
      if (statSync(path).uid === process.getuid?.()) chmodSync(path, 0o755);
    try {
      renameSync(making, folder);
    } catch (error) {
      rmSync(making, { recursive: true, force: true });
      if (!existsSync(folder)) throw error;
    }
    for (const other of readdirSync(bundles)) {
      const path = join(bundles, other);
      if (other !== name && Date.now() - statSync(path).mtimeMs > keepForMs)
        rmSync(path, { recursive: true, force: true });
    }
  }
  return join('.cache', 'bundle', name, entry);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  writeTo(join(root, 'dist'), bundleFiles());
}
