/** The command group as a user calls it: arguments in, files and exit status out; and a contract to try it on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { contractCommand } from '../../agent/cli/contract.ts';
import { callCommand, type Ended } from '../fakes/command-line.ts';

export const root = join(import.meta.dirname, '../..');
const keys = join(root, 'fixtures/keys');
export const keyFile = (name: string): string => join(keys, `THROWAWAY-${name}`);
export const now = new Date('2026-06-01T00:00:00Z');

/** Over real files, at a fixed time. */
export const run = (args: readonly string[], input = '', at = now): Promise<Ended> =>
  callCommand(contractCommand, args, { input, at });

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
