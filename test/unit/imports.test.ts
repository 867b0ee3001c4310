/** The import rules hold for every file of the program, and the checker sees each way of breaking them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkImports, layersOf, type Rule } from './import-rules.ts';

const root = join(import.meta.dirname, '..', '..');
const paths = ['agent/**/*.ts', 'contract-schema/**/*.{ts,js}'].flatMap((glob) => globSync(glob, { cwd: root })).sort();
const program = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));

t.test('the program keeps the rules', async (t) => {
  t.ok(program.size > 100, `${program.size} files looked at`);
  for (const { file, rule, detail } of await checkImports(program)) t.fail(`${file}: ${rule}: ${detail}`);
});

t.test('the layers are told apart', async (t) => {
  const layers = layersOf(program);
  const expected = {
    'agent/main.ts': 'main',
    'agent/boot.ts': 'story',
    'agent/keyd/run.ts': 'story',
    'agent/cli/volume.ts': 'cli',
    'agent/host/exec.ts': 'host',
    'agent/volumes/apply.ts': 'effectful',
    'agent/volumes/guard.ts': 'effectful',
    'agent/contract/source.ts': 'effectful',
    'agent/kms/iam.ts': 'effectful',
    'agent/volumes/plan.ts': 'pure',
    'agent/volumes/scenarios.ts': 'pure',
    'agent/volumes/gate.ts': 'pure',
    'agent/contract/verify.ts': 'pure',
    'agent/keyd/machine.ts': 'pure',
    'agent/secret.ts': 'base',
    'agent/volumes/messages.ts': 'base',
  };
  for (const [path, layer] of Object.entries(expected)) t.equal(layers.get(path), layer, path);
});

/** A small program that keeps every rule; each bad example replaces or adds one file. */
const sound: Readonly<Record<string, string>> = {
  'agent/main.ts': `import { cli } from './cli/run.ts';\nimport { files } from './host/files.ts';\nprocess.exitCode = cli(files, process.argv);\n`,
  'agent/cli/run.ts': `import { Command } from 'commander';\nimport { boot } from '../boot.ts';\nexport const cli = (host: Host, given: unknown) => boot(host, new Command(given));\n`,
  'agent/boot.ts': `import { apply } from './volumes/apply.ts';\nexport const boot = async (host: Host, more: unknown) => apply(host, more);\n`,
  'agent/volumes/apply.ts': `import type { Host } from '../ports.ts';\nimport { plan } from './plan.ts';\nexport const apply = async (\n  host: Host,\n  more: unknown,\n) => host.run(plan(more));\n`,
  'agent/volumes/plan.ts': `import { createHash } from 'node:crypto';\nimport type { apply } from './apply.ts';\nimport { AgentError } from '../errors.ts';\n/** Not setTimeout, not process.env: a comment may say so. */\nexport const plan = (at: Date): Date => new Date(at);\n`,
  'agent/errors.ts': `import { message } from './message.ts';\nimport { seconds } from './volumes/words.ts';\nexport class AgentError extends Error {}\n`,
  'agent/message.ts': `export const message = (text: string) => text;\n`,
  'agent/volumes/words.ts': `export const seconds = (ms: number) => ms / 1000;\n`,
  'agent/volumes/size.ts': `import { unit } from './unit.ts';\nexport const size = unit;\n`,
  'agent/volumes/unit.ts': `export const unit = 512;\n`,
  'agent/host/files.ts': `import { open } from 'node:fs/promises';\nimport { AgentError } from '../errors.ts';\nexport const files = { read: open, at: Date.now() };\n`,
  'contract-schema/generated/profiles.ts': `import * as validators from './validators.js';\nexport const profiles = validators;\n`,
  'contract-schema/generated/validators.js': `export const workload = () => true;\n`,
};

const checked = async (changed: Readonly<Record<string, string>>) =>
  checkImports(new Map(Object.entries({ ...sound, ...changed })));

t.test('a sound program has no fault', async (t) => {
  t.strictSame(await checked({}), []);
});

const takesHost = `export const apply = async (host: Host) => host;\n`;
const bad: readonly (readonly [what: string, rule: Rule, file: string, text: string])[] = [
  ['pure loads effectful', 'direction', 'agent/volumes/gate.ts', `import { apply } from './apply.ts';\n`],
  ['pure re-exports effectful', 'direction', 'agent/volumes/gate.ts', `export { apply } from './apply.ts';\n`],
  [
    'pure loads a port implementation',
    'direction',
    'agent/volumes/gate.ts',
    `import { files } from '../host/files.ts';\n`,
  ],
  [
    'effectful loads a port implementation',
    'direction',
    'agent/volumes/guard.ts',
    `import { files } from '../host/files.ts';\n${takesHost}`,
  ],
  [
    'effectful loads the story',
    'direction',
    'agent/volumes/guard.ts',
    `import { boot } from '../boot.ts';\n${takesHost}`,
  ],
  ['a story loads the command line', 'direction', 'agent/keyd/run.ts', `import { cli } from '../cli/run.ts';\n`],
  [
    'the command line loads a port implementation',
    'direction',
    'agent/cli/kms.ts',
    `import { files } from '../host/files.ts';\n`,
  ],
  ['the command line loads one on demand', 'direction', 'agent/cli/kms.ts', `await import('../host/files.ts');\n`],
  [
    'a port implementation loads the domain',
    'direction',
    'agent/host/exec.ts',
    `import { plan } from '../volumes/plan.ts';\n`,
  ],
  ['errors load the domain', 'direction', 'agent/secret.ts', `import { plan } from './volumes/plan.ts';\n`],
  ['main.ts is imported', 'direction', 'agent/cli/kms.ts', `import { main } from '../main.ts';\n`],
  ['a type of main.ts is imported', 'direction', 'agent/cli/kms.ts', `import type { Main } from '../main.ts';\n`],
  [
    'the schema imports the agent',
    'direction',
    'contract-schema/generated/types.ts',
    `import type { Contract } from '../../agent/errors.ts';\n`,
  ],
  ['pure loads node:fs', 'package', 'agent/volumes/gate.ts', `import { readFileSync } from 'node:fs';\n`],
  [
    'pure loads node:child_process',
    'package',
    'agent/volumes/gate.ts',
    `import { spawn } from 'node:child_process';\n`,
  ],
  ['pure loads execa', 'package', 'agent/volumes/gate.ts', `import { execa } from 'execa';\n`],
  ['pure loads node-cron', 'package', 'agent/keyd/machine.ts', `import cron from 'node-cron';\n`],
  ['effectful loads node:net', 'package', 'agent/kms/iam.ts', `import { connect } from 'node:net';\n${takesHost}`],
  ['effectful loads a module for its effect', 'package', 'agent/kms/iam.ts', `import 'node:tls';\n${takesHost}`],
  ['the domain loads commander', 'package', 'agent/kms/iam.ts', `import { Command } from 'commander';\n`],
  ['the domain loads ajv', 'package', 'agent/contract/rules.ts', `import { Ajv } from 'ajv';\n`],
  ['sqlite outside the store', 'package', 'agent/emulator/server.ts', `import { DatabaseSync } from 'node:sqlite';\n`],
  ['the agent loads a test', 'outside', 'agent/boot-again.ts', `import { clock } from '../test/fakes/clock.ts';\n`],
  ['the agent loads a script', 'outside', 'agent/boot-again.ts', `import { setup } from '../scripts/setup.mjs';\n`],
  ['the agent loads a fixture', 'outside', 'agent/boot-again.ts', `import keys from '../fixtures/keys.ts';\n`],
  ['a cycle', 'cycle', 'agent/volumes/unit.ts', `import { size } from './size.ts';\n`],
  ['the wall clock', 'time', 'agent/volumes/gate.ts', `export const now = () => Date.now();\n`],
  ['the wall clock again', 'time', 'agent/volumes/gate.ts', `export const now = () => new Date();\n`],
  ['a timer', 'time', 'agent/volumes/gate.ts', `export const later = (f: () => void) => setTimeout(f, 1);\n`],
  ['an unseeded number', 'time', 'agent/volumes/gate.ts', `export const jitter = () => Math.random();\n`],
  ['a request past the port', 'time', 'agent/kms/iam.ts', `export const get = (url: string) => fetch(url);\n`],
  ['the environment', 'process', 'agent/volumes/gate.ts', `export const home = process.env.HOME;\n`],
  ['an exit', 'process', 'agent/cli/kms.ts', `export const stop = () => process.exit(1);\n`],
  ['the environment in a port', 'process', 'agent/host/exec.ts', `export const path = process.env.PATH;\n`],
  ['host second', 'port-not-first', 'agent/kms/iam.ts', `export const get = (url: string, host: Host) => host;\n`],
  [
    'a port second, in a function declaration',
    'port-not-first',
    'agent/kms/iam.ts',
    `export async function get(options: { readonly a: Map<string, number> }, clock: Clock) {\n  return clock;\n}\n`,
  ],
  ['a long file', 'too-long', 'agent/volumes/gate.ts', `export const a = 1;\n${'// more\n'.repeat(350)}`],
  ['a vague name', 'vague-name', 'agent/volumes/disk-utils.ts', `export const a = 1;\n`],
];

t.test('every way of breaking a rule is reported', async (t) => {
  for (const [what, rule, file, text] of bad) {
    const faults = await checked({ [file]: text });
    t.ok(
      faults.some((fault) => fault.rule === rule),
      `${what}: ${rule}`,
      { faults },
    );
    t.strictSame([...new Set(faults.map((fault) => fault.rule))], [rule], `${what}: nothing else`);
  }
});
