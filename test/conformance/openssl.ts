/** The openssl command line as an independent judge. A missing openssl is an error: set-up installs it. */
import { spawn } from 'node:child_process';

const run = (program: string, args: readonly string[], folder: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder });
    const [out, said]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    child.once('error', reject);
    child.once('close', (status) => {
      if (status === 0) resolve(Buffer.concat(out).toString());
      else reject(new Error(`${program} ended with ${status}: ${Buffer.concat(said)}`));
    });
  });

/** One per processor of the machines that tests are made for. */
const shells = 2;

/**
 * Runs the shell commands in `script` once for each number below `count`, which they find in $i, in `folder`. Shells
 * start programs in a fraction of the time that Node takes. Fails with the first command that fails.
 */
export const forEachNumber = async (count: number, folder: string, script: string): Promise<void> => {
  const numbers = Array.from({ length: count }, (_, index) => String(index));
  const command = `set -eu\nfor i in "$@"; do\n${script}\ndone`;
  await Promise.all(
    Array.from({ length: shells }, (_, shell) => {
      const share = numbers.filter((_, index) => index % shells === shell);
      return run('/bin/sh', ['-c', command, 'sh', ...share], folder);
    }),
  );
};

/** Runs one script in `folder`; its standard output. */
export const shell = (folder: string, script: string): Promise<string> =>
  run('/bin/sh', ['-c', `set -eu\n${script}`], folder);
