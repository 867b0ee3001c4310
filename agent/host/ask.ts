import { createInterface } from 'node:readline/promises';

/** Asks on the terminal and gives the line that was typed; empty when input ends or `signal` aborts. */
export const askTerminal = async (question: string, signal: AbortSignal): Promise<string> => {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => {
    lines.once('close', () => resolve(''));
    signal.addEventListener('abort', () => resolve(''), { once: true });
  });
  try {
    return (await Promise.race([lines.question(question, { signal }).catch(() => ''), ended])).trim();
  } finally {
    lines.close();
  }
};
