/**
 * `npm run build`: the agent as a few files without node_modules, in dist/. Guests of the tests and of the demonstration
 * run this form, as an installed guest does: it starts twice as fast as the sources.
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the bundle's entry lies, below the checkout. */
export const bundleEntry = 'dist/triseed.mjs';

/** Bundles agent/main.ts. Some dependencies are CommonJS and call `require` for Node's own modules: the banner gives them one. */
export const bundle = async (): Promise<void> => {
  rmSync(`${root}/dist`, { recursive: true, force: true });
  await build({
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
    banner: { js: "import{createRequire as requireOf}from'node:module';const require=requireOf(import.meta.url);" },
  });
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
