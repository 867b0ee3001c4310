/** The agent's command line as a user on the host types it: a child process of the checkout. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkout } from '../guest/place.ts';

export interface Said {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const main = join(checkout, 'agent', 'main.ts');

/** Runs `triseed …` to its end. */
export const triseed = (...args: readonly string[]): Promise<Said> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      said.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      said.stderr += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, ...said }));
  });

/** The same; throws unless it exits with 0. Answers stdout. */
export const triseedDone = async (...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await triseed(...args);
  if (status !== 0) throw new Error(`triseed ${args.slice(0, 3).join(' ')} … ended with ${status}\n${stderr}`);
  return stdout;
};
