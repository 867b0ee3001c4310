/** What of other people is in a build: packages whose code esbuild put there, with version, licence and its text. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

export interface Part {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier, as the package says. */
  readonly licence: string;
  /** Of the package in the registry, from package-lock.json (Subresource Integrity). */
  readonly integrity: string;
  readonly licenceText: string;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
}

/** `node_modules/@a/b/node_modules/c` of `node_modules/@a/b/node_modules/c/d/e.js`. */
const packageFolderOf = (path: string): string | null =>
  /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? null;

/** Compiled validators carry the run-time parts of ajv and say so. */
const carriedBy = (root: string, path: string): readonly string[] =>
  path.startsWith('contract-schema/generated/')
    ? [...readFileSync(join(root, path), 'utf8').matchAll(/"(node_modules\/[^"]+)"/g)].map(([, name = '']) => name)
    : [];

/** Folders below the checkout of the packages that left something in the output, in order of their names. */
export const packageFolders = (root: string, { outputs }: Metafile): readonly string[] => {
  const inputs = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([path]) => path),
  );
  const folders = [...inputs, ...inputs.flatMap((path) => carriedBy(root, path))].map(packageFolderOf);
  return [...new Set(folders)].filter((folder) => folder !== null).sort();
};

const licenceTextOf = (folder: string, name: string, licence: string): string => {
  const files = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    .sort();
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return texts.length > 0 ? texts.join('\n\n') : `${name} carries no licence text; its package.json says: ${licence}`;
};

/** Throws an Error for a package without version, licence or integrity: nothing of unknown origin is shipped. */
export const partsOf = (root: string, folders: readonly string[]): readonly Part[] => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const parts = folders.map((folder): Part => {
    const manifestPath = join(root, folder, 'package.json');
    if (!existsSync(manifestPath)) throw new Error(`${folder} has no package.json`);
    const { name, version, license } = JSON.parse(readFileSync(manifestPath, 'utf8')) as Record<string, unknown>;
    const integrity = lock.packages[folder]?.integrity;
    if (typeof name !== 'string' || typeof version !== 'string' || typeof license !== 'string')
      throw new Error(`${folder}/package.json does not say name, version and licence`);
    if (integrity === undefined) throw new Error(`${folder} is not in package-lock.json`);
    return {
      name,
      version,
      licence: license,
      integrity,
      licenceText: licenceTextOf(join(root, folder), name, license),
    };
  });
  // One version may lie in several folders.
  return [...new Map(parts.map((part) => [`${part.name}@${part.version}`, part])).values()];
};

/** One text with every licence. */
export const licencesDocument = (parts: readonly Part[]): string =>
  `${[
    'Triseed contains the following software of others. What it is under itself: Apache-2.0.',
    ...parts.map(({ name, version, licence, licenceText }) => {
      const rule = '='.repeat(100);
      return `${rule}\n${name} ${version} (${licence})\n${rule}\n\n${licenceText}`;
    }),
  ].join('\n\n\n')}\n`;
