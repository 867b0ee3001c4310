/** A Debian package from a list of files (deb(5), deb-control(5), deb-conffiles(5)), by dpkg-deb(1). */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runTool } from './run-tool.ts';

export type PackageFile =
  | { readonly content: string | Uint8Array; readonly mode?: number }
  | { readonly linkTo: string };

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: 'amd64' | 'all';
  /** Further fields of the control file, in order. */
  readonly fields: Readonly<Record<string, string>>;
  /** Absolute path → file. */
  readonly files: Readonly<Record<string, PackageFile>>;
  readonly configurationFiles: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
}

export interface PackingOptions {
  /** Seconds since 1970: of every file. */
  readonly date: number;
  /** Of xz(1), 0 to 9. */
  readonly level: number;
}

const bytesOf = (file: PackageFile): Uint8Array => {
  if ('linkTo' in file) return new Uint8Array();
  return typeof file.content === 'string' ? Buffer.from(file.content) : file.content;
};

/** deb-control(5): in KiB, each file rounded up, a KiB for everything else. */
const installedSize = (files: DebianPackage['files']): number =>
  Object.values(files).reduce((sum, file) => sum + Math.max(1, Math.ceil(bytesOf(file).length / 1024)), 0);

const controlFile = ({ name, version, architecture, fields, files }: DebianPackage): string => {
  const all = {
    Package: name,
    Version: version,
    Architecture: architecture,
    'Installed-Size': String(installedSize(files)),
    ...fields,
  };
  return Object.entries(all)
    .map(([field, value]) => `${field}: ${value}\n`)
    .join('');
};

const checksums = (files: DebianPackage['files']): string =>
  Object.entries(files)
    .filter(([, file]) => !('linkTo' in file))
    .map(([path, file]) => `${createHash('md5').update(bytesOf(file)).digest('hex')}  ${path.slice(1)}\n`)
    .sort()
    .join('');

const write = (folder: string, path: string, content: string | Uint8Array, mode: number): void => {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, content);
  chmodSync(target, mode);
};

const settle = (folder: string, date: number): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) settle(path, date);
    else lutimesSync(path, date, date);
  }
  chmodSync(folder, 0o755);
  lutimesSync(folder, date, date);
};

/** The package as bytes, the same for the same input wherever and by whomever it is made. */
export const packDebian = (made: DebianPackage, { date, level }: PackingOptions): Uint8Array => {
  const scratch = mkdtempSync(join(tmpdir(), 'triseed-package-'));
  try {
    const tree = join(scratch, 'tree');
    for (const [path, file] of Object.entries(made.files)) {
      if ('linkTo' in file) {
        mkdirSync(dirname(join(tree, path)), { recursive: true });
        symlinkSync(file.linkTo, join(tree, path));
      } else write(tree, path, file.content, file.mode ?? 0o644);
    }
    write(tree, 'DEBIAN/control', controlFile(made), 0o644);
    write(tree, 'DEBIAN/conffiles', made.configurationFiles.map((path) => `${path}\n`).join(''), 0o644);
    write(tree, 'DEBIAN/md5sums', checksums(made.files), 0o644);
    for (const [name, script] of Object.entries(made.scripts)) write(tree, `DEBIAN/${name}`, script, 0o755);
    settle(tree, date);
    const file = join(scratch, 'package.deb');
    // One thread and one format: what xz(1) makes depends on neither machine nor version of dpkg.
    const options = ['--root-owner-group', '--uniform-compression', '-Zxz', `-z${level}`, '--threads-max=1'];
    runTool('dpkg-deb', [...options, '--build', tree, file], 'dpkg', { env: { SOURCE_DATE_EPOCH: String(date) } });
    return readFileSync(file);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};
