/** A folder below .cache/ for everything one test writes: disks, the guest's tree, consoles. Removed at the end. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { checkout, place } from './place.ts';

export interface Scratch {
  readonly folder: string;
  /** A path of this folder, e.g. for a file to be made. */
  path(name: string): string;
  /** Does not when TRISEED_KEEP_GUESTS is set in the environment. */
  remove(): void;
}

/** A disk as the guest's hypervisor would offer it. */
export interface Disk {
  readonly file: string;
  /** Shown as /dev/disk/by-id/virtio-SERIAL; null gives a disk without a serial. */
  readonly serial: string | null;
  readonly readOnly: boolean;
}

/** Hands a path, and everything below it, to the user whom the guest runs as. */
export const handOver = (path: string): void => {
  const { owner } = place();
  if (owner === null) return;
  lchownSync(path, owner, owner);
  if (!lstatSync(path).isDirectory()) return;
  for (const name of readdirSync(path, { recursive: true })) lchownSync(join(path, String(name)), owner, owner);
};

const keptForMs = 24 * 60 * 60 * 1000;

/** Removes what killed drivers left a day or more ago. */
const removeOld = (parent: string): void => {
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name);
    const changed = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - changed > keptForMs) rmSync(folder, { recursive: true, force: true });
  }
};

export const openScratch = (label: string): Scratch => {
  const parent = join(checkout, '.cache', 'guests');
  mkdirSync(parent, { recursive: true });
  // Passable whatever our umask is.
  for (const folder of [join(checkout, '.cache'), parent])
    if (statSync(folder).uid === process.getuid?.()) chmodSync(folder, 0o755);
  removeOld(parent);
  const folder = mkdtempSync(join(parent, `${label.replace(/[^\w-]+/g, '-').slice(0, 40)}-`));
  handOver(folder);
  return {
    folder,
    path: (name) => join(folder, name),
    remove: () => {
      if (process.env.TRISEED_KEEP_GUESTS === undefined) rmSync(folder, { recursive: true, force: true });
      else console.error(`# kept: ${folder}`);
    },
  };
};

/** An empty (sparse, all zero) disk of `sizeBytes`, or one with the given first bytes. */
export const createDisk = (
  scratch: Scratch,
  disk: { readonly name: string; readonly sizeBytes: number; readonly serial?: string },
): Disk => {
  const file = scratch.path(`${disk.name}.img`);
  const descriptor = openSync(file, 'wx', 0o600);
  ftruncateSync(descriptor, disk.sizeBytes);
  closeSync(descriptor);
  handOver(file);
  return { file, serial: disk.serial ?? null, readOnly: false };
};

/** A NoCloud seed as an ISO 9660 image with the label cidata (cloud-init documentation, "NoCloud"). */
export const createContractDisk = (
  scratch: Scratch,
  seed: { readonly userData: string; readonly metaData?: string; readonly vendorData?: string },
): Disk => {
  const source = scratch.path('cidata');
  rmSync(source, { recursive: true, force: true });
  mkdirSync(source);
  writeFileSync(join(source, 'user-data'), seed.userData);
  writeFileSync(join(source, 'meta-data'), seed.metaData ?? 'instance-id: e2e\n');
  if (seed.vendorData !== undefined) writeFileSync(join(source, 'vendor-data'), seed.vendorData);
  const file = scratch.path('cidata.iso');
  execFileSync('genisoimage', ['-quiet', '-output', file, '-volid', 'cidata', '-joliet', '-rock', source], {
    stdio: 'pipe',
  });
  handOver(file);
  return { file, serial: null, readOnly: true };
};
