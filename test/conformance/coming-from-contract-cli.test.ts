/** Follows docs/coming-from-contract-cli.md, and looks whether its table names commands and options that exist. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import t from 'tap';
import { attestationCommand } from '../../agent/cli/attestation.ts';
import { contractCommand } from '../../agent/cli/contract.ts';
import { hostOnFiles } from '../fakes/host-on-files.ts';
import { followPage, isKept, missingPrograms, withCommand } from './page.ts';

const root = join(import.meta.dirname, '../..');
const path = 'docs/coming-from-contract-cli.md';
const missing = missingPrograms('openssl');

// Some twenty processes, one after the other, and an RSA-4096 key.
t.setTimeout(60_000);

t.test(
  'the commands of the page do what it says',
  { skip: missing.length > 0 ? `no ${missing.join(', ')}` : false },
  async (t) => {
    const home = t.testdir();
    const { status, output, promised } = followPage(path, home, withCommand);
    t.equal(status, 0, 'every command succeeds', { output });
    t.ok(promised.length >= 6, 'the page promises outputs');
    for (const line of promised) t.ok(isKept(line, output), `the output holds: ${line}`);
    const made = (name: string): string => readFileSync(join(home, 'coming-over', name), 'utf8');
    const seeds = [...made('contract.yaml').matchAll(/seed: (\w+)/g)].map(([, seed = '']) => seed);
    t.equal(seeds.length, 2);
    const [own, ...others] = ['user-data', 'user-data-2', 'stable', 'expiring', 'workload.token'].map(made);
    for (const seed of seeds)
      for (const text of [own, ...others, output]) t.notOk(text?.includes(seed), 'no seed outside of what is secret');
  },
);

/** `contract seal … --expires-days N`: the words before the first upper-case one, and the options. */
const named = (cell: string): { readonly words: readonly string[]; readonly options: readonly string[] } => {
  const words = cell.split(/\s+/);
  const end = words.findIndex((word) => !/^[a-z]+$/.test(word));
  return {
    words: words.slice(0, end === -1 ? words.length : end),
    options: words.filter((word) => /^--?[a-z]/.test(word)),
  };
};

t.test('what the tables name exists', async (t) => {
  const io = {
    stdin: async () => Buffer.alloc(0),
    stdout: () => {},
    stderr: () => {},
    isTerminal: false,
    setExitStatus: () => {},
  };
  const groups: readonly Command[] = [contractCommand(hostOnFiles(), io), attestationCommand(hostOnFiles(), io)];
  const find = (words: readonly string[]): Command | undefined => {
    let at = groups.find((group) => group.name() === words[0]);
    for (const word of words.slice(1)) at = at?.commands.find((command) => command.name() === word) ?? at;
    return at;
  };
  const rows = readFileSync(join(root, path), 'utf8').matchAll(/^\|[^|]*\|([^|]*)\|$/gm);
  const cells = [...rows].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`((?:contract|attestation) [^`]+)`/g)].map(([, text = '']) => text),
  );
  t.ok(cells.length >= 18, `${cells.length} commands`);
  for (const cell of cells) {
    const { words, options } = named(cell);
    const command = find(words);
    t.ok(words.length >= 2 && command !== undefined && command.commands.length === 0, cell);
    const known = command?.options.flatMap(({ long, short }) => [long, short]) ?? [];
    for (const option of options) t.ok(known.includes(option), `${cell}: ${option}`);
  }
});
