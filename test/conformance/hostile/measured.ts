/** `triseed contract validate` as a process of its own, in the form that is shipped, with what it took. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { currentBundle } from '../../../scripts/bundle.ts';

const root = join(import.meta.dirname, '../../..');
const bundle = join(root, currentBundle());

/** What getrusage(2) says when the process ends, on descriptor 3. */
const report = `import { writeSync } from 'node:fs';
process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  writeSync(3, JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1000, residentMiB: maxRSS / 1024 }));
});`;
const preload = `data:text/javascript,${encodeURIComponent(report)}`;

/** A process that is still there after so long hangs, however busy the machine is. */
const hangsAfterMs = 60_000;

export interface Usage {
  /** User and system time of all threads, start of Node included: what a wall clock would show on an idle machine. */
  readonly cpuMs: number;
  /** Largest resident set. */
  readonly residentMiB: number;
}

export interface Measured {
  /** Exit status; null when it was killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly usage: Usage;
}

/** Runs `triseed contract validate ARGS`; `input` is written to its standard input until it stops reading. */
export const validate = (args: readonly string[], input: Iterable<Uint8Array> = []): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const command = ['--import', preload, bundle, 'contract', 'validate', ...args];
    const child = spawn(process.execPath, command, {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      timeout: hangsAfterMs,
      killSignal: 'SIGKILL',
    });
    const texts = [1, 2, 3].map((descriptor) => {
      const chunks: Buffer[] = [];
      child.stdio[descriptor]?.on('data', (chunk: Buffer) => chunks.push(chunk));
      return (): string => Buffer.concat(chunks).toString();
    });
    const { stdin } = child;
    stdin.on('error', () => {});
    const iterator = input[Symbol.iterator]();
    const feed = (): void => {
      for (;;) {
        const { value, done } = iterator.next();
        if (done === true || stdin.destroyed) return void stdin.end();
        if (!stdin.write(value)) return void stdin.once('drain', feed);
      }
    };
    feed();
    child.once('error', reject);
    child.once('close', (status) => {
      const [stdout = '', stderr = '', usage = ''] = texts.map((text) => text());
      const none = { cpuMs: Number.POSITIVE_INFINITY, residentMiB: Number.POSITIVE_INFINITY };
      resolve({ status, stdout, stderr, usage: usage === '' ? none : (JSON.parse(usage) as Usage) });
    });
  });
