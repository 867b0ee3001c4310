/**
 * Commands inside a running guest, over its second console: a raw terminal behind a stream socket, served by a
 * non-interactive `sh` (tree.ts, e2e-shell.service). One command at a time, each with a limit of its own inside the guest.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { handOver } from './scratch.ts';

export interface CommandResult {
  /** Exit status; 124 when the guest's timeout(1) ended the command. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The bytes of stdout. */
  readonly bytes: Buffer;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  /** Bytes for the command's stdin, which is empty otherwise. */
  readonly input?: string | Uint8Array;
}

/** What the service prints once it reads commands. */
export const shellReady = '@@e2e-shell@@';

/** What a guest may take beyond the limit of a command: several guests share a processor, and all of them start programs. */
const graceMs = 60_000;

/** After this long without an answer the shell gets an empty line, so that the guest's kernel looks at its console again. */
const nudgeMs = 5000;

/** Where the guest sees the folder `commands` of the driver. */
export const commandsMount = '/opt/commands';

/**
 * What is sent for command `number`: one short line, because a terminal's 4 KiB of input are not refilled reliably. Outputs
 * pass through files, so that commands see no terminal and what they leave in the background cannot write in between.
 */
const lineOf = (number: number, mark: string, seconds: number): string => {
  const file = `${commandsMount}/${number}`;
  const run = `timeout -k 1 ${seconds} /bin/sh ${file}.sh <${file}.in >/run/e2e-stdout 2>/run/e2e-stderr`;
  return `${run}; printf '${mark} %d\\n' $?; cat /run/e2e-stdout; printf '${mark}'; cat /run/e2e-stderr; printf '${mark}'\n`;
};

export class Shell {
  readonly #stream: Duplex;
  readonly #folder: string;
  #count = 0;
  #received: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #gone = false;

  /** `folder` is shown in the guest at `commandsMount`. */
  constructor(stream: Duplex, folder: string) {
    this.#stream = stream;
    this.#folder = folder;
    stream.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    const leave = () => {
      this.#gone = true;
      this.#wake?.();
    };
    stream.on('error', leave).on('close', leave).on('end', leave);
  }

  /** Resolves once the guest's shell reads commands. */
  ready(timeoutMs: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#until(shellReady, performance.now() + timeoutMs, 'the shell');
    });
  }

  /** Runs `command` with /bin/sh. Throws when the guest ends or does not answer; a non-zero status is an answer. */
  run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    return this.#inTurn(async () => {
      const mark = `@@${randomBytes(9).toString('hex')}@@`;
      const number = ++this.#count;
      const timeoutMs = options.timeoutMs ?? 30_000;
      const files = { sh: join(this.#folder, `${number}.sh`), in: join(this.#folder, `${number}.in`) };
      writeFileSync(files.sh, `${command}\n`);
      writeFileSync(files.in, options.input ?? '');
      for (const file of Object.values(files)) handOver(file);
      this.#received = Buffer.alloc(0);
      this.#stream.write(lineOf(number, mark, Math.max(1, Math.ceil(timeoutMs / 1000))));
      const deadline = performance.now() + timeoutMs + graceMs;
      await this.#until(`${mark} `, deadline, command);
      const status = Number((await this.#until('\n', deadline, command)).toString());
      const bytes = await this.#until(mark, deadline, command);
      const stderr = await this.#until(mark, deadline, command);
      for (const file of Object.values(files)) rmSync(file);
      return { status, stdout: bytes.toString(), stderr: stderr.toString(), bytes };
    });
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** The bytes before `mark`, which are then forgotten together with it. `deadline` is a value of performance.now(). */
  async #until(mark: string, deadline: number, doing: string): Promise<Buffer> {
    const began = performance.now();
    let searched = 0;
    for (;;) {
      const at = this.#received.indexOf(mark, searched);
      if (at >= 0) {
        const before = this.#received.subarray(0, at);
        this.#received = this.#received.subarray(at + mark.length);
        return before;
      }
      searched = Math.max(0, this.#received.length - mark.length);
      const now = performance.now();
      if (this.#gone) throw new Error(`the guest ended while it ran: ${doing}`);
      if (now >= deadline) {
        const waited = `${Math.round(now - began)} ms for ${JSON.stringify(mark)}`;
        throw new Error(`waited ${waited} from: ${doing}; so far: ${this.#received.toString()}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(deadline - now, nudgeMs));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (performance.now() - now >= nudgeMs && mark !== shellReady) this.#stream.write('\n');
    }
  }
}
