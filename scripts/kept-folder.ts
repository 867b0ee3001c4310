/** Folders below .cache/ that take long to make, each named by the content that it follows from. */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../.cache', import.meta.url));

const isOurs = (path: string): boolean => statSync(path).uid === process.getuid?.();

const removeOld = (folders: string, kept: string, keepForMs: number): void => {
  for (const name of readdirSync(folders)) {
    // Another process may remove it meanwhile.
    const usedMs = statSync(join(folders, name), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (name !== kept && Date.now() - usedMs > keepForMs) rmSync(join(folders, name), { recursive: true, force: true });
  }
};

/**
 * The path below the checkout of the folder `name` of this `kind`; `make` fills it when it is not there, and then others that nobody
 * asked for within `keepForMs` are removed. Processes that ask at the same time never see each other's half-written files; everybody
 * may look into it, as a guest's root is nobody here.
 */
export const keptFolder = (
  kind: string,
  name: string,
  { keepForMs, make }: { readonly keepForMs: number; readonly make: (folder: string) => void },
): string => {
  const folders = join(cache, kind);
  const folder = join(folders, name);
  if (!existsSync(folder)) {
    const making = join(folders, `.${name}.${process.pid}`);
    mkdirSync(making, { recursive: true });
    make(making);
    for (const path of [cache, folders, making]) if (isOurs(path)) chmodSync(path, 0o755);
    try {
      renameSync(making, folder);
    } catch (error) {
      rmSync(making, { recursive: true, force: true });
      if (!existsSync(folder)) throw error;
    }
    removeOld(folders, name, keepForMs);
  }
  const now = new Date();
  if (isOurs(folder)) utimesSync(folder, now, now);
  return join('.cache', kind, name);
};
