/**
 * The console of one boot: a file which the kernel writes and which outlives a power cut. It carries the kernel's own
 * warnings and the whole journal (journald's ForwardToConsole=), followed here line by line.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface JournalLine {
  /** Seconds since the kernel started. */
  readonly at: number;
  /** SYSLOG_IDENTIFIER, such as systemd or triseed. */
  readonly identifier: string;
  readonly pid: number | null;
  readonly text: string;
}

/** Reads journald's console format, `[    1.234567] identifier[pid]: text`; null for a line of the kernel's own. */
export const parseJournalLine = (line: string): JournalLine | null => {
  const match = /^\[\s*(\d+\.\d+)\] ([^\s:[\]][^:[\]]*)(?:\[(\d+)\])?: (.*)$/.exec(line);
  if (match === null) return null;
  const [, at = '0', identifier = '', pid, text = ''] = match;
  return { at: Number(at), identifier, pid: pid === undefined ? null : Number(pid), text };
};

type LineListener = (line: string) => void;

const pollMs = 20;

export class Console {
  readonly file: string;
  #descriptor: number;
  #bytesRead = 0;
  #rest = '';
  #lines: string[] = [];
  #listeners = new Set<LineListener>();
  #timer: NodeJS.Timeout;

  constructor(file: string) {
    this.file = file;
    this.#descriptor = openSync(file, 'r');
    this.#timer = setInterval(() => this.#read(), pollMs);
  }

  /** Every complete line so far. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  get text(): string {
    return this.#lines.join('\n') + (this.#rest === '' ? '' : `\n${this.#rest}`);
  }

  get journal(): readonly JournalLine[] {
    return this.#lines.map(parseJournalLine).filter((line) => line !== null);
  }

  /** Calls `listener` with each line from now on; the answer stops that. */
  onLine(listener: LineListener): () => void {
    this.#listeners.add(listener);
    return () => this.forget(listener);
  }

  forget(listener: LineListener): void {
    this.#listeners.delete(listener);
  }

  /** Reads what is left and stops following. */
  close(): void {
    if (this.#descriptor < 0) return;
    clearInterval(this.#timer);
    this.#read();
    if (this.#rest !== '') this.#take(`${this.#rest}\n`, true);
    closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  #read(): void {
    const size = fstatSync(this.#descriptor).size;
    while (this.#bytesRead < size) {
      const chunk = Buffer.alloc(Math.min(size - this.#bytesRead, 1 << 20));
      const count = readSync(this.#descriptor, chunk, 0, chunk.length, this.#bytesRead);
      if (count === 0) return;
      this.#bytesRead += count;
      // One byte one character: a line may be cut inside a UTF-8 sequence.
      this.#take(chunk.toString('latin1', 0, count));
    }
  }

  #take(text: string, whole = false): void {
    const parts = ((whole ? '' : this.#rest) + text).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const line = Buffer.from(part, 'latin1').toString('utf8').replace(/\r+$/, '');
      this.#lines.push(line);
      for (const listener of this.#listeners) listener(line);
    }
  }
}
