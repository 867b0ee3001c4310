/** Standard streams of this process for command line handlers. */
import type { CommandIo } from '../cli/io.ts';
import { AgentError } from '../errors.ts';
import type { ExitStatus } from '../message.ts';

/** Also returns how the handler asked the process to end; 0 when it did not. */
export const processIo = (): CommandIo & { readonly exitStatus: () => number } => {
  let status: 0 | ExitStatus = 0;
  // A reader that has seen enough (`triseed … | head`) is no failure of ours.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
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
      process.stdout.write(bytes);
    },
    stderr: (text) => {
      process.stderr.write(text);
    },
    isTerminal: process.stderr.isTTY === true,
    setExitStatus: (given) => {
      status = given > status ? given : status;
    },
    exitStatus: () => status,
  };
};
