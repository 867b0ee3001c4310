/**
 * Commands inside a running guest, over its second console: a raw terminal behind a stream socket, served by a
 * non-interactive `sh` (tree.ts, e2e-shell.service). One command at a time, each with a limit of its own inside the guest.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';

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

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const scriptOf = (command: string, mark: string, options: CommandOptions): string => {
  const seconds = Math.max(1, Math.ceil((options.timeoutMs ?? 30_000) / 1000));
  const run = `timeout -k 1 ${seconds} /bin/sh -c ${quote(command)}`;
  const fed =
    options.input === undefined
      ? `${run} </dev/null`
      : `{ base64 -d | ${run}; } <<'${mark}'\n${Buffer.from(options.input).toString('base64').replace(/.{76}/g, '$&\n')}\n${mark}`;
  // The heredoc's redirection ends the line, so stderr is set around it.
  return `{ ${fed}\n} 2>/run/e2e-stderr; printf '\\n${mark} %d\\n' $?; cat /run/e2e-stderr; printf '\\n${mark}\\n'\n`;
};

export class Shell {
  readonly #stream: Duplex;
  #received: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #gone = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
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
      await this.#until(shellReady, timeoutMs, 'the shell');
    });
  }

  /** Runs `command` with /bin/sh. Throws when the guest ends or does not answer; a non-zero status is an answer. */
  run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    return this.#inTurn(async () => {
      const mark = `@@${randomBytes(9).toString('hex')}@@`;
      this.#received = Buffer.alloc(0);
      this.#stream.write(scriptOf(command, mark, options));
      const limit = (options.timeoutMs ?? 30_000) + 10_000;
      const bytes = await this.#until(`\n${mark} `, limit, command);
      const status = Number((await this.#until('\n', 10_000, command)).toString());
      const stderr = await this.#until(`\n${mark}\n`, 10_000, command);
      return { status, stdout: bytes.toString(), stderr: stderr.toString(), bytes };
    });
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** The bytes before `mark`, which are then forgotten together with it. */
  async #until(mark: string, timeoutMs: number, doing: string): Promise<Buffer> {
    const deadline = performance.now() + timeoutMs;
    let searched = 0;
    for (;;) {
      const at = this.#received.indexOf(mark, searched);
      if (at >= 0) {
        const before = this.#received.subarray(0, at);
        this.#received = this.#received.subarray(at + mark.length);
        return before;
      }
      searched = Math.max(0, this.#received.length - mark.length);
      const left = deadline - performance.now();
      if (this.#gone) throw new Error(`the guest ended while it ran: ${doing}`);
      if (left <= 0)
        throw new Error(`no answer within ${timeoutMs} ms from: ${doing}; so far: ${this.#received.toString()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
