/** One boot: the starter's process, its console file, its shell, and how it ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Outcome, outcomeOf } from './command-line.ts';
import { Console } from './console.ts';
import { memoryFolder, place } from './place.ts';
import { handOver } from './scratch.ts';
import { Shell } from './shell.ts';

export interface BootOptions {
  /** The kernel's command line (command-line.ts). */
  readonly program: readonly string[];
  /** The process's working folder; only what is below it is written, and the memory file. */
  readonly folder: string;
  readonly consoleFile: string;
  readonly commandsFolder: string;
  readonly memoryMiB: number;
  readonly limitSeconds: number;
  readonly network: boolean;
}

const starter = fileURLToPath(new URL('./starter.pl', import.meta.url));

const startProcess = (options: BootOptions): ChildProcess => {
  const { inside, prefix } = place();
  const folder = inside(options.folder);
  const perl = ['perl', inside(starter), String(options.limitSeconds), options.network ? '1' : '0', ...options.program];
  const [program = '', ...args] = [...prefix, 'sh', '-c', 'cd "$0" && exec "$@"', folder, ...perl];
  const descriptor = openSync(options.consoleFile, 'ax', 0o644);
  try {
    return spawn(program, args, {
      // A session of its own: a Ctrl-C at the terminal reaches the driver only, whose end the starter then sees.
      detached: true,
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: folder,
        TMPDIR: memoryFolder(options.memoryMiB << 20, folder),
      },
      stdio: ['ignore', descriptor, descriptor, 'pipe', 'pipe'],
    });
  } finally {
    closeSync(descriptor);
  }
};

export class Boot {
  readonly console: Console;
  readonly shell: Shell;
  readonly ended: Promise<Outcome>;
  /** The session of all processes of this boot, and of no others on the host. */
  readonly session: number;
  readonly #control: Duplex;
  #running = true;

  constructor(options: BootOptions) {
    rmSync(options.commandsFolder, { recursive: true, force: true });
    mkdirSync(options.commandsFolder);
    handOver(options.commandsFolder);
    const child = startProcess(options);
    handOver(options.consoleFile);
    this.session = child.pid ?? 0;
    this.console = new Console(options.consoleFile);
    const [, , , shell, control] = child.stdio as unknown as Duplex[];
    if (shell === undefined || control === undefined) throw new Error('the starter has no descriptors 3 and 4');
    this.#control = control;
    this.shell = new Shell(shell, options.commandsFolder);
    this.shell.ready(options.limitSeconds * 1000).catch(() => undefined);
    this.ended = this.#follow(child);
  }

  get running(): boolean {
    return this.#running;
  }

  /** One word to the starter: cut, mend or kill. */
  tell(word: 'cut' | 'mend' | 'kill'): void {
    if (this.#running) this.#control.write(`${word}\n`);
  }

  #follow(child: ChildProcess): Promise<Outcome> {
    let report = '';
    this.#control.on('data', (chunk: Buffer) => {
      report += chunk.toString();
    });
    this.#control.on('error', () => undefined);
    return new Promise((resolve) => {
      const end = (code: number, reason: string) => {
        this.#running = false;
        this.console.close();
        resolve(outcomeOf({ code, reason, console: this.console.text }));
      };
      child.once('error', () => end(1, 'failed'));
      child.once('close', () => {
        const [, code = '1', reason = 'failed'] = /^exit (\d+) \d+ (\w+)$/m.exec(report) ?? [];
        end(Number(code), reason);
      });
    });
  }
}
