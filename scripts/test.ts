/**
 * Runs parts of the test suite one after the other and sums them up.
 *
 *   node scripts/test.ts [--verbose] PART...      parts: check unit conformance e2e
 *
 * `check` is the type checker and the linter. The others are the tap files below test/PART; of their assertions only those
 * that fail are shown, unless --verbose. A failed part does not keep the next from running. The last line is
 * `N passed, N failed[, N skipped]`; the exit status is 0 when nothing failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');

/** Unit tests wait much for the tools they judge by. Guests use both CPUs from one file already; their files take minutes. */
const tapOptions: Readonly<Record<string, readonly string[]>> = {
  unit: ['--jobs=4'],
  conformance: ['--jobs=2', '--timeout=600'],
  e2e: ['--jobs=1', '--timeout=1200'],
};

const checks: readonly (readonly [string, ...string[]])[] = [['tsc'], ['biome', 'check', '.']];

const say = (text: string): void => console.log(`# ${text}`);

const children = new Set<ChildProcess>();

/** Starts a program of node_modules in a process group of its own, so that all it started can be ended with it. */
const start = (program: string, args: readonly string[], stdout: 'inherit' | 'pipe'): ChildProcess => {
  const child = spawn(join(bin, program), args, {
    cwd: root,
    // Every test file is a process of its own, and half of what a small one takes is reading tap: Node keeps it compiled.
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, NODE_COMPILE_CACHE: join(root, '.cache', 'compile') },
    stdio: ['ignore', stdout, 'inherit'],
    detached: true,
  });
  children.add(child);
  return child;
};

const statusOf = (child: ChildProcess): Promise<number> =>
  new Promise((resolve) => {
    const end = (status: number | null) => {
      children.delete(child);
      resolve(status ?? 1);
    };
    child.once('error', (error) => {
      console.error(error.message);
      end(1);
    });
    child.once('close', end);
  });

const endAll = (signal: NodeJS.Signals): void => {
  for (const { pid } of children) {
    try {
      if (pid !== undefined) process.kill(-pid, signal);
    } catch {
      // It has ended by itself.
    }
  }
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

/** Lines about what went well below the level of a file (passed assertions, plans, headings), and tap's own words. */
const isRoutine = (line: string): boolean =>
  /^\s+(ok \d+|1\.\.\d+$|# Subtest: |# time=|\}$)|^\s*$|^# (Subtest: |No coverage|time=)|^TAP version|^1\.\.\d+$/.test(
    line,
  );

/** Reads tap's own totals, `# { total: 17, pass: 12, fail: 3, todo: 1, skip: 1 }`; zeros are left out there. */
const totalsOf = (line: string): (Counts & { readonly total: number }) | null => {
  if (!/^# \{ total: \d+.*\}$/.test(line)) return null;
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0);
  return {
    total: count('total'),
    passed: count('pass'),
    failed: count('fail'),
    skipped: count('skip') + count('todo'),
  };
};

const runTap = async (part: string, verbose: boolean): Promise<Counts> => {
  const folder = join('test', part);
  if (!existsSync(join(root, folder)) || readdirSync(join(root, folder)).length === 0) {
    say(`${part}: there are no tests yet`);
    return { passed: 0, failed: 0, skipped: 0 };
  }
  const files = globSync(`${folder}/**/*.test.ts`, { cwd: root }).sort();
  if (files.length === 0) {
    say(`${part}: ${folder} holds no file that ends in .test.ts`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const child = start('tap', ['--reporter=tap', '--no-color', ...(tapOptions[part] ?? []), ...files], 'pipe');
  let totals: ReturnType<typeof totalsOf> = null;
  if (child.stdout === null) throw new Error('tap has no output');
  createInterface({ input: child.stdout }).on('line', (line) => {
    totals = totalsOf(line) ?? totals;
    if (verbose || !isRoutine(line)) console.log(line);
  });
  const status = await statusOf(child);
  // Typed again because the assignment above is in a callback.
  const { total, passed, failed, skipped } = (totals as ReturnType<typeof totalsOf>) ?? {
    total: 0,
    passed: 0,
    failed: 0,
    skipped: 0,
  };
  if (total === 0 || passed + failed === 0) say(`${part}: no test was run`);
  return { passed, failed: failed === 0 && (status !== 0 || passed === 0) ? 1 : failed, skipped };
};

const runPart = (part: string, verbose: boolean): Promise<Counts> =>
  part === 'check' ? check() : runTap(part, verbose);

const args = process.argv.slice(2);
const parts = args.filter((word) => word !== '--verbose');
const known = ['check', ...Object.keys(tapOptions)];
const unknown = parts.find((part) => !known.includes(part));
if (parts.length === 0 || unknown !== undefined) {
  console.error(`usage: node scripts/test.ts [--verbose] PART...   parts: ${known.join(' ')}`);
  process.exit(2);
}

const sum = { passed: 0, failed: 0, skipped: 0 };
for (const part of parts) {
  say(part);
  const began = performance.now();
  const counts = await runPart(part, args.includes('--verbose'));
  say(
    `${part}: ${counts.passed} passed, ${counts.failed} failed (${((performance.now() - began) / 1000).toFixed(1)} s)`,
  );
  for (const name of ['passed', 'failed', 'skipped'] as const) sum[name] += counts[name];
}
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`);
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
