/**
 * This machine as a place for `triseed boot`, for what a guest's slow starts of programs hide: real programs, real kernel, disks on loop
 * devices, a root of its own (native/world.sh). Only dm-crypt is not there, and what stands for it opens nothing (native/cryptsetup).
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Disk, Scratch } from '../test/e2e/guest/scratch.ts';
import type { GuestFiles } from '../test/e2e/guest/tree.ts';

const folder = join(import.meta.dirname, 'native');
const programs = [
  '/usr/sbin/cryptsetup',
  '/usr/sbin/dmsetup',
  '/usr/sbin/mkfs.ext4',
  '/usr/bin/curl',
  '/usr/bin/openssl',
];
const namespaces = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--propagation=private'];

/** Why there can be no such place here, or null. */
export const nativeObstacle = (): string | null => {
  if (process.getuid?.() !== 0) return 'only root may mount and attach loop devices';
  const missing = programs.find((program) => !existsSync(program));
  if (missing !== undefined) return `there is no ${missing}`;
  const { status, stderr } = spawnSync('unshare', [...namespaces, 'losetup', '--find'], { encoding: 'utf8' });
  return status === 0 ? null : `no mount namespace or no loop device: ${stderr.trim()}`;
};

/** /dev/vdb, /dev/vdc, … as virtio disks are called. */
export const nativeDiskOf = (at: number): string => `/dev/vd${String.fromCharCode('b'.charCodeAt(0) + at)}`;

const writeTree = (tree: string, files: GuestFiles): void => {
  for (const [path, file] of Object.entries(files)) {
    if (typeof file === 'object' && 'linkTo' in file) throw new TypeError(`${path} is a link`);
    const { content, mode = 0o644 } = typeof file === 'string' ? { content: file } : file;
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content, { mode });
  }
};

export class NativeWorld {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #closed: Promise<void>;
  #answers = '';
  #problems = '';
  #heard: () => void = () => {};
  #hasEnded = false;
  readonly #killAtExit = (): void => {
    this.#child.kill('SIGKILL');
  };

  /** `disks` lie in `scratch`, each as SERIAL.img. */
  private constructor(scratch: Scratch, disks: readonly Disk[], files: GuestFiles) {
    const [root, tree] = [scratch.path('root'), scratch.path('tree')];
    mkdirSync(root);
    writeTree(tree, files);
    const named = disks.map(({ serial }, at) => `${nativeDiskOf(at).slice('/dev/'.length)}=${serial}`);
    const world = [join(folder, 'world.sh'), root, tree, scratch.folder, ...named];
    // The kernel ends unshare when this process ends, unshare's end is that of its namespaces and of all that runs in them.
    this.#child = spawn('setpriv', ['--pdeathsig=KILL', 'unshare', ...namespaces, 'bash', ...world], {
      stdio: 'pipe',
      detached: true,
    });
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', () => {
        this.#hasEnded = true;
        process.off('exit', this.#killAtExit);
        this.#heard();
        resolve();
      });
    });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#answers += chunk.toString();
      this.#heard();
    });
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#problems += chunk.toString();
    });
    this.#child.stdin.on('error', () => {});
    process.once('exit', this.#killAtExit);
  }

  static async open(scratch: Scratch, disks: readonly Disk[], files: GuestFiles): Promise<NativeWorld> {
    const world = new NativeWorld(scratch, disks, files);
    try {
      await world.#answer();
      rmSync(scratch.path('tree'), { recursive: true });
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  async #answer(): Promise<{ readonly status: number; readonly output: string }> {
    for (;;) {
      const [status, output, rest] = this.#answers.split('\0');
      if (status !== undefined && output !== undefined && rest !== undefined) {
        this.#answers = rest;
        return { status: Number(status), output };
      }
      if (this.#hasEnded) throw new Error(`the place for native rows ended\n${this.#problems}`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  /** Runs a command with bash; one at a time. Throws on a status other than 0, else answers its output. */
  async check(command: string): Promise<string> {
    this.#child.stdin.write(`${command}\0`);
    const { status, output } = await this.#answer();
    if (status !== 0) throw new Error(`status ${status} of: ${command}\n${output}`);
    return output;
  }

  /** Ends everything that runs in it; mounts and loop devices go with the last process. */
  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}
