/**
 * Runs parts of the test suite one after the other and sums them up.
 *
 *   node scripts/test.ts [--verbose] PART...      parts: check unit conformance e2e, and for a quick answer: shorter guests
 *
 * `check` is the type checker and the linter. `unit`, `conformance` and `e2e` are the tap files below test/PART, `shorter` is
 * conformance without the files that take longest, `guests` three stories of e2e. Of their assertions only those that fail are
 * shown, unless --verbose. Each file is a process that says its own results, several at a time: tap's own
 * runner reads and writes every assertion once more, which took as long as the tests themselves. A failed part does not keep the next
 * from running. The last line is `N passed, N failed[, N skipped]`; the exit status is 0 when nothing failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');

interface Part {
  /** Paths of files, with `*` and `**`. */
  readonly files: string;
  /** Of those, not these. */
  readonly without?: readonly string[];
  /** These before all others, in this order: whatever takes longest must not begin when everything else is over. */
  readonly first?: readonly string[];
  /** Handed to each file. */
  readonly args?: readonly string[];
  /** Files at the same time. Unit tests wait much for tools, guests much for the end of a grace. */
  readonly jobs: number;
  /** Of one file, in seconds. */
  readonly timeoutSeconds: number;
}
/** Half a minute to four minutes each; all others together take one. */
const longest = [
  'volumes/faults',
  'contract-fuzz',
  'contract-hostile',
  'build',
  'volumes/write-traces',
  'contract-openssl',
  'bench-natively',
  'bench',
  'volumes/change-passphrase',
  'kms/durability',
].map((name) => `test/conformance/${name}.test.ts`);
const conformance = { files: 'test/conformance/**/*.test.ts', first: longest, jobs: 2, timeoutSeconds: 600 } as const;
const e2e = {
  files: 'test/e2e/*.test.ts',
  // The one takes longer than all others together, of which two do little but wait.
  first: ['test/e2e/agent.test.ts'],
  jobs: 2,
  timeoutSeconds: 2400,
} as const;
const tests: Readonly<Record<string, Part>> = {
  unit: { files: 'test/unit/**/*.test.ts', jobs: 3, timeoutSeconds: 60 },
  conformance,
  shorter: { ...conformance, first: [], without: longest },
  e2e,
  guests: {
    ...e2e,
    files: 'test/e2e/agent.test.ts',
    first: [],
    args: ['more new volumes than', 'what it is handed', 'no contract'],
  },
};
/** What a file gets for its clean-up when its time is over, before it is ended, in milliseconds. */
const lastMoments = 30_000;

const checks: readonly (readonly [string, ...string[]])[] = [['tsc'], ['biome', 'check', '.']];

const say = (text: string): void => console.log(`# ${text}`);

const children = new Set<ChildProcess>();

/** Starts a program of node_modules in a process group of its own, so that all it started can be ended with it. */
const start = (
  program: string,
  args: readonly string[],
  stdout: 'inherit' | 'pipe',
  variables: Readonly<Record<string, string>> = {},
): ChildProcess => {
  const child = spawn(join(bin, program), args, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, ...variables },
    stdio: ['ignore', stdout, 'inherit'],
    detached: true,
  });
  children.add(child);
  return child;
};

const statusOf = (child: ChildProcess): Promise<number> =>
  new Promise((resolve) => {
    const done = (status: number | null) => {
      children.delete(child);
      resolve(status ?? 1);
    };
    child.once('error', (error) => {
      console.error(error.message);
      done(1);
    });
    child.once('close', done);
  });

const end = ({ pid }: ChildProcess, signal: NodeJS.Signals): void => {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
};
const endAll = (signal: NodeJS.Signals): void => {
  for (const child of children) end(child, signal);
};

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    endAll('SIGTERM');
    // Whoever has not ended by then will not.
    setTimeout(() => {
      endAll('SIGKILL');
      process.exit(status);
    }, 1000);
  });
}

const check = async (): Promise<Counts> => {
  let failed = 0;
  for (const [program, ...args] of checks) {
    const status = await statusOf(start(program, args, 'inherit'));
    if (status === 0) continue;
    say(`${program} failed`);
    failed += 1;
  }
  return { passed: checks.length - failed, failed, skipped: 0 };
};

/** Lines about what went well: passed assertions, plans, headings, and the totals. What was skipped is told. */
const isRoutine = (line: string): boolean =>
  /^\s*(ok \d+(?!.* # SKIP)|1\.\.\d+$|# Subtest: |# time=|\}$)|^\s*$|^# \{ total: |^TAP version/.test(line);

const none: Counts = { passed: 0, failed: 0, skipped: 0 };
const add = (one: Counts, other: Counts): Counts => ({
  passed: one.passed + other.passed,
  failed: one.failed + other.failed,
  skipped: one.skipped + other.skipped,
});

/** Reads a file's totals, `# { total: 17, pass: 12, fail: 3, todo: 1, skip: 1 }`; zeros are left out there. */
const totalsOf = (lines: readonly string[]): Counts => {
  const line = lines.findLast((text) => /^# \{ total: \d+.*\}$/.test(text)) ?? '';
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') };
};

const usesRandomTests = (file: string): boolean => /from 'fast-check'/.test(readFileSync(join(root, file), 'utf8'));

/** A file that dies, says nothing, or whose status belies its totals has failed. */
const runFile = async (
  file: string,
  { args = [], timeoutSeconds }: Part,
  lane: number,
  verbose: boolean,
): Promise<Counts> => {
  const began = performance.now();
  const seeded = usesRandomTests(file) ? ['--import', './test/fakes/property-seed.ts'] : [];
  const child = start('node', [...seeded, file, ...args], 'pipe', {
    TAP_TIMEOUT: String(timeoutSeconds),
    // Guests of two files get CPUs of their own.
    TAP_JOB_ID: String(lane),
    // Half of what a small file takes is reading tap: Node keeps it compiled.
    NODE_COMPILE_CACHE: join(root, '.cache', 'compile'),
  });
  const output: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  const timer = setTimeout(() => end(child, 'SIGKILL'), timeoutSeconds * 1000 + lastMoments);
  const status = await statusOf(child);
  clearTimeout(timer);
  const lines = Buffer.concat(output).toString().split('\n');
  const counts = totalsOf(lines);
  const failed = Math.max(counts.failed, status === 0 && counts.passed + counts.skipped > 0 ? 0 : 1);
  console.log(`${failed === 0 ? 'ok' : 'not ok'} ${file} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  for (const line of lines) if (verbose || !isRoutine(line)) console.log(`  ${line}`);
  return { ...counts, failed };
};

const runTests = async (part: Part, verbose: boolean): Promise<Counts> => {
  const { first = [], without = [] } = part;
  const others = globSync(part.files, { cwd: root }).filter((file) => !first.includes(file) && !without.includes(file));
  const files = [...first, ...others.sort()];
  const missing = [...first, ...without].filter((file) => !existsSync(join(root, file)));
  if (files.length === 0 || missing.length > 0) {
    say(`there is no ${missing[0] ?? part.files}`);
    return { ...none, failed: 1 };
  }
  let counts = none;
  const work = async (lane: number): Promise<void> => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) {
      const ofFile = await runFile(file, part, lane, verbose);
      counts = add(counts, ofFile);
    }
  };
  await Promise.all(Array.from({ length: part.jobs }, (_, lane) => work(lane)));
  return counts;
};

const args = process.argv.slice(2);
const parts = args.filter((word) => word !== '--verbose');
const known = ['check', ...Object.keys(tests)];
const unknown = parts.find((part) => !known.includes(part));
if (parts.length === 0 || unknown !== undefined) {
  console.error(`usage: node scripts/test.ts [--verbose] PART...   parts: ${known.join(' ')}`);
  process.exit(2);
}

let sum = none;
for (const name of parts) {
  say(name);
  const began = performance.now();
  const part = tests[name];
  const counts = part === undefined ? await check() : await runTests(part, args.includes('--verbose'));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  say(`${name}: ${counts.passed} passed, ${counts.failed} failed (${seconds} s)`);
  sum = add(sum, counts);
}
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`);
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
