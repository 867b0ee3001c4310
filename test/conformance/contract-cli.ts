/** The command group as a user calls it: arguments in, files and exit status out; and a contract to try it on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import type { Test } from 'tap';
import { contractCommand } from '../../agent/cli/contract.ts';
import { describeChain, exitStatusOf } from '../../agent/errors.ts';
import type { ExitStatus } from '../../agent/messages.ts';
import { hostOnFiles } from '../fakes/host-on-files.ts';

export const root = join(import.meta.dirname, '../..');
const keys = join(root, 'fixtures/keys');
export const keyFile = (name: string): string => join(keys, `THROWAWAY-${name}`);
export const now = new Date('2026-06-01T00:00:00Z');

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const run = async (args: readonly string[], input = '', at = now): Promise<Run> => {
  let status: 0 | ExitStatus = 0;
  const [stdout, stderr]: [Buffer[], string[]] = [[], []];
  const host = hostOnFiles();
  const io = {
    stdin: async () => Buffer.from(input),
    stdout: (bytes: string | Uint8Array) => void stdout.push(Buffer.from(bytes)),
    stderr: (text: string) => void stderr.push(text),
    isTerminal: false,
    setExitStatus: (given: ExitStatus) => {
      if (given > status) status = given;
    },
  };
  const command = contractCommand({ ...host, clock: { ...host.clock, now: () => at } }, io);
  for (const one of [command, ...command.commands])
    one.exitOverride().configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
  const end = (code: number): Run => ({
    status: code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: stderr.join(''),
  });
  try {
    await command.parseAsync([...args], { from: 'user' });
    return end(status);
  } catch (error) {
    if (error instanceof CommanderError) return end(error.exitCode === 0 ? 0 : 2);
    stderr.push(describeChain(error));
    return end(exitStatusOf(error));
  }
};

export const workload = readFileSync(join(root, 'fixtures/contracts/parts/workload.yaml'), 'utf8');
export const env = readFileSync(join(root, 'fixtures/contracts/parts/env.yaml'), 'utf8');
export const block = (text: string): string => text.replace(/^(?=.)/gm, '  ');
export const plain = `# the deployer's notes: password hunter2\nworkload: |\n${block(workload)}env: |\n${block(env)}`;
export const guest = keyFile('guest-key.pem');
export const cert = keyFile('guest.crt');
export const signer = keyFile('signer-key.pem');
export const inFolder = (t: Test, content: Readonly<Record<string, string>> = { 'plain.yaml': plain }) => {
  const folder = t.testdir(content);
  return (name: string): string => join(folder, name);
};
