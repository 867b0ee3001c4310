/**
 * Makes one small fault after the other in the files that decide whether data may be destroyed or a header be trusted, and runs the
 * tests of that file against each. A fault that no test notices is printed: a test is missing, or the code is not needed.
 *
 *   npm run mutation [-- [--jobs=N] [FILE | FILE:LINE]...]
 *
 * A fault counts as noticed when the tests fail, end in an error or do not end in time. Faults that change nothing are left out of the
 * score, with a reason (equivalent.ts); they are tried all the same, and one that a test notices, or that is no longer there, has to
 * leave that list. Exit status: 0 when at least 95 % of the faults of every file were noticed, 1 when not or when that list is wrong,
 * 2 wrong usage, 3 when the tests fail without any fault.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Equivalent, equivalents } from './equivalent.ts';
import { type Mutant, mutantsOf, type Wording } from './mutants.ts';

interface Target {
  readonly file: string;
  /** In this order; the quick ones first. None compares with a recorded output. */
  readonly tests: readonly string[];
  readonly wording: Wording;
}

const tests = (...names: readonly string[]): readonly string[] =>
  names.map((name) => `test/unit/volumes/${name}.test.ts`);

const targets: readonly Target[] = [
  {
    file: 'agent/volumes/guard.ts',
    tests: tests('guard'),
    wording: { arguments: { refuse: 0 }, within: ['objection'] },
  },
  {
    file: 'agent/volumes/gate.ts',
    tests: tests('gate'),
    wording: {
      arguments: { refuse: 0, object: 1, exactly: 1, decimal: 1, within: 1, same: 1, base64: 1, kdfOf: 1, cipherOf: 1 },
      within: ['what'],
    },
  },
  {
    file: 'agent/volumes/luks1-gate.ts',
    tests: tests('luks1-gate'),
    wording: { arguments: { refuse: 0, checkIterations: 1 }, within: [] },
  },
  {
    file: 'agent/volumes/scenarios.ts',
    tests: tests('scenarios', 'plan', 'every-plan'),
    wording: { arguments: { refuses: 1, TypeError: 0 }, within: [] },
  },
];

const leastScore = 0.95;
const timeoutMs = 30_000;
const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = join(root, '.cache', 'mutation');

const children = new Set<number>();
const endAll = (): void => {
  for (const pid of children) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
};
process.once('exit', endAll);
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => process.exit(status));

/** Whether the tests pass with `source` in the place of the file. `slot` keeps the files of runs at one time apart. */
const passes = (target: Target, source: string, slot: string): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const folder = join(scratch, slot);
    const replacement = join(folder, 'replacement.js');
    mkdirSync(folder, { recursive: true });
    writeFileSync(replacement, source);
    const child = spawn(
      process.execPath,
      ['--no-warnings', 'scripts/mutation/try.ts', target.file, replacement, ...target.tests],
      // Test folders are made below TAP_CWD, so that two runs do not meet.
      { cwd: root, env: { ...process.env, TAP_BAIL: '1', TAP_CWD: folder }, stdio: 'ignore', detached: true },
    );
    const { pid } = child;
    if (pid !== undefined) children.add(pid);
    const end = (status: number | null): void => {
      clearTimeout(timer);
      if (pid !== undefined) children.delete(pid);
      resolve(status === 0);
    };
    const timer = setTimeout(() => {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    }, timeoutMs);
    child.once('error', reject);
    child.once('close', end);
  });

/** What no test noticed. */
const survivorsOf = async (target: Target, mutants: readonly Mutant[], jobs: number): Promise<readonly Mutant[]> => {
  const waiting = [...mutants];
  const survivors: Mutant[] = [];
  const work = async (slot: string): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift())
      if (await passes(target, mutant.source, slot)) survivors.push(mutant);
  };
  await Promise.all(Array.from({ length: jobs }, (_, index) => work(`${process.pid}-${index}`)));
  return survivors.sort((a, b) => a.line - b.line);
};

const short = (text: string): string => (text.length > 90 ? `${text.slice(0, 87)}...` : text);

const placeOf = (file: string, { line, fault, place }: Mutant): string => `${file}:${line}  ${fault}:  ${short(place)}`;

/** Whether an entry of the list speaks of this fault; `lines` are those of the source. */
const isThe =
  (lines: readonly string[], { line, fault, place }: Mutant) =>
  (one: Equivalent): boolean =>
    one.fault === fault && one.place === place && (lines[line - 1] ?? '').includes(one.within ?? '');

const run = async (target: Target, line: number | null, jobs: number): Promise<'enough' | 'tooFew' | 'broken'> => {
  const began = performance.now();
  const { file } = target;
  const source = readFileSync(join(root, file), 'utf8');
  const { mutants, wording, unchanged } = mutantsOf(source, target.wording);
  const chosen = mutants.filter((mutant) => line === null || mutant.line === line);
  if (!(await passes(target, unchanged, `${process.pid}-0`))) {
    console.error(`${file}: the tests fail without any fault: ${target.tests.join(' ')}`);
    return 'broken';
  }
  const known = equivalents[file] ?? [];
  const lines = source.split('\n');
  const excluded = chosen.filter((mutant) => known.some(isThe(lines, mutant)));
  const counted = chosen.filter((mutant) => !excluded.includes(mutant));
  const unnoticed = await survivorsOf(target, chosen, jobs);
  const survivors = unnoticed.filter((mutant) => counted.includes(mutant));
  for (const mutant of survivors) console.log(`  ${placeOf(file, mutant)}`);
  const noticed = counted.length - survivors.length;
  const score = counted.length === 0 ? 1 : noticed / counted.length;
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`${file}: ${noticed} of ${counted.length} faults noticed, ${(score * 100).toFixed(1)} % (${seconds} s)`);
  const worded = [...new Set(wording.map((text) => text.line))].join(', ');
  console.log(`  left out: ${wording.length} texts that only people read, in lines ${worded}`);
  for (const mutant of excluded)
    console.log(`  left out: ${placeOf(file, mutant)}\n    ${known.find(isThe(lines, mutant))?.because}`);
  const wrong = [
    ...excluded.filter((mutant) => !unnoticed.includes(mutant)).map((mutant) => `noticed: ${placeOf(file, mutant)}`),
    ...(line === null ? known.filter((one) => !mutants.some((mutant) => isThe(lines, mutant)(one))) : []).map(
      ({ fault, place }) => `no longer there: ${fault}:  ${short(place)}`,
    ),
  ];
  for (const problem of wrong) console.log(`  wrongly in the list of what changes nothing: ${problem}`);
  return score >= leastScore && wrong.length === 0 ? 'enough' : 'tooFew';
};

const usage = (problem: string): never => {
  console.error(`${problem}\nusage: npm run mutation [-- [--jobs=N] [FILE | FILE:LINE]...]`);
  return process.exit(2);
};

const options = process.argv.slice(2).filter((word) => word.startsWith('-'));
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('-'));
let jobs = 2;
for (const option of options) {
  const given = /^--jobs=([1-9]\d?)$/.exec(option)?.[1] ?? usage(`unknown option ${option}`);
  jobs = Number(given);
}
const chosen = wanted.map((word) => {
  const [file, line] = word.split(':');
  const target = targets.find((candidate) => candidate.file === file) ?? usage(`${file} is not among the files`);
  return { target, line: line === undefined ? null : Number(line) };
});

rmSync(scratch, { recursive: true, force: true });
const outcomes = [];
for (const { target, line } of chosen.length > 0 ? chosen : targets.map((target) => ({ target, line: null })))
  outcomes.push(await run(target, line, jobs));
rmSync(scratch, { recursive: true, force: true });
process.exitCode = outcomes.includes('broken') ? 3 : outcomes.includes('tooFew') ? 1 : 0;
