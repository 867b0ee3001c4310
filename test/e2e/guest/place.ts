/**
 * Where a guest's process runs: as whom, and by which paths it sees the checkout.
 *
 * A guest's root may read and write what its process may on the host (hostfs), so the process is never root: started
 * by root it becomes uid 65534 without a way back, otherwise it stays who we are (and could write our files). When uid 65534 cannot enter the folder
 * that holds the checkout (/root is usually 0700), the checkout is bound to /srv in a mount namespace of the process's own,
 * which disappears with it.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const checkout = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');

/** uid and gid of nobody and nogroup on Debian (base-passwd). */
export const unprivileged = 65534;

const asRoot = process.getuid?.() === 0;
const setpriv = ['setpriv', `--reuid=${unprivileged}`, `--regid=${unprivileged}`, '--clear-groups', '--no-new-privs'];
const boundAt = '/srv';

export interface Place {
  /** The user who owns everything that the guest may write, or null when that is ourselves. */
  readonly owner: number | null;
  /** The program and arguments to put in front of a command so that it runs in this place. */
  readonly prefix: readonly string[];
  /** A path of the checkout as the guest's process sees it. */
  readonly inside: (path: string) => string;
  /** A folder of the host, outside the checkout, on which the guest lays its first memory file system. */
  readonly guestMount: string;
}

/** Null when a process of `prefix` can use the checkout at `path`, else what went wrong. */
const problemOf = (prefix: readonly string[], path: string): string | null => {
  const condition = 'test -r "$0/package.json" -a -x "$0/node_modules/.bin/node"';
  const [program = '', ...args] = [...prefix, 'sh', '-c', condition, path];
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: '/' });
  if (status === 0) return null;
  return stderr?.trim() || `uid ${unprivileged} cannot read its files; try: chmod -R go+rX ${checkout}`;
};

const bind = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c'];

const findPlace = (): Place => {
  const guestMount = ['/mnt', '/media'].find((folder) => !`${checkout}/`.startsWith(`${folder}/`)) ?? '/media';
  if (!/[^\w./@+-]/.test(checkout)) {
    if (!asRoot) return { owner: null, prefix: [], inside: (path) => path, guestMount };
    if (problemOf(setpriv, checkout) === null)
      return { owner: unprivileged, prefix: setpriv, inside: (path) => path, guestMount };
  }
  if (!asRoot) {
    throw new Error(`${checkout}: the guest kernel's command line takes no path with blanks, commas or quotes`);
  }
  const prefix = [...bind, `mount --bind "$0" ${boundAt} && exec ${setpriv.join(' ')} "$@"`, checkout];
  const problem = problemOf(prefix, boundAt);
  if (problem !== null) throw new Error(`a guest cannot use ${checkout}: ${problem}`);
  const inside = (path: string) =>
    path === checkout || path.startsWith(`${checkout}/`) ? boundAt + path.slice(checkout.length) : path;
  return { owner: unprivileged, prefix, inside, guestMount };
};

let found: Place | undefined;

/** The place of this process's guests. Throws an Error with a remedy when there is none. */
export const place = (): Place => {
  found ??= findPlace();
  return found;
};

/**
 * The folder for the kernel's memory file, which it unlinks at once: /dev/shm where it is large enough and may hold programs
 * (containers often make it 64 MiB and noexec), else the guest's own folder on disk.
 */
export const memoryFolder = (neededBytes: number, otherwise: string): string => {
  try {
    accessSync('/dev/shm', constants.W_OK);
    const { bavail, bsize } = statfsSync('/dev/shm');
    const options = readFileSync('/proc/mounts', 'utf8').match(/^\S+ \/dev\/shm \S+ (\S+)/m)?.[1] ?? 'noexec';
    return bavail * bsize > neededBytes * 1.25 && !options.split(',').includes('noexec') ? '/dev/shm' : otherwise;
  } catch {
    return otherwise;
  }
};

/** The CPUs this process may use, from proc(5) Cpus_allowed_list such as `0-1,4`. */
export const allowedCpus = (): readonly number[] => {
  const list = readFileSync('/proc/self/status', 'utf8').match(/^Cpus_allowed_list:\s*(\S+)/m)?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
};
