/** Standard streams of this process for command line handlers. */
import { fstatSync, writeFileSync } from 'node:fs';
import type { CommandIo } from '../cli/io.ts';
import { AgentError } from '../errors.ts';
import type { ExitStatus } from '../message.ts';

const standardOutput = 1;

const leadsToFile = (): boolean => {
  try {
    return fstatSync(standardOutput).isFile();
  } catch {
    return false;
  }
};

export interface ProcessIo extends CommandIo {
  /** How the handler asked the process to end; 0 when it did not. */
  readonly exitStatus: () => number;
  /** Resolves once everything on standard output was taken. Throws OUTPUT_UNWRITABLE when something was not. */
  readonly delivered: () => Promise<void>;
}

export const processIo = (): ProcessIo => {
  let status: 0 | ExitStatus = 0;
  let failure: NodeJS.ErrnoException | null = null;
  let written = Promise.resolve();
  // Only the first error tells what happened: a stream that failed refuses everything that comes then.
  const note = (error: NodeJS.ErrnoException | null | undefined): void => {
    failure ??= error ?? null;
  };
  // An error event that nobody hears would end a service in the midst of its work.
  process.stdout.on('error', note);
  process.stderr.on('error', () => {});
  return {
    stdin: async (maxBytes) => {
      const chunks: Buffer[] = [];
      let total = 0;
      for await (const chunk of process.stdin) {
        const bytes = Buffer.from(chunk);
        total += bytes.length;
        if (total > maxBytes)
          throw new AgentError('FILE_UNREADABLE', { path: 'standard input', reason: `more than ${maxBytes} bytes` });
        chunks.push(bytes);
      }
      return Buffer.concat(chunks);
    },
    stdout: (bytes) => {
      // Node's stream over a file takes a short write, as on a disk that becomes full, for a whole one.
      if (leadsToFile()) {
        try {
          return writeFileSync(standardOutput, bytes);
        } catch (error) {
          return note(error as NodeJS.ErrnoException);
        }
      }
      written = new Promise((resolve) => {
        process.stdout.write(bytes, (error) => {
          note(error);
          resolve();
        });
      });
    },
    stderr: (text) => {
      process.stderr.write(text);
    },
    isTerminal: process.stderr.isTTY === true,
    setExitStatus: (given) => {
      status = given > status ? given : status;
    },
    exitStatus: () => status,
    delivered: async () => {
      await written;
      // A reader that has seen enough (`triseed … | head`) is no failure of ours.
      if (failure === null || failure.code === 'EPIPE') return;
      throw new AgentError('OUTPUT_UNWRITABLE', { reason: failure.code ?? failure.name });
    },
  };
};
