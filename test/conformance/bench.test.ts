/** The benchmark still runs, and its statistics are right. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { quantile, type Result, run } from '../../bench/measure.ts';

const root = join(import.meta.dirname, '..', '..');

t.test('quantiles', async (t) => {
  const cases: readonly (readonly [readonly number[], number, number])[] = [
    [[3], 0.5, 3],
    [[1, 2], 0.5, 1.5],
    [[9, 1, 5], 0.5, 5],
    [[1, 2, 3, 4, 5], 0.25, 2],
    [[4, 1, 3, 2], 0.75, 3.25],
  ];
  for (const [values, fraction, expected] of cases) t.equal(quantile(values, fraction), expected, `${values}`);
  t.throws(() => quantile([], 0.5), RangeError);
});

t.test('subject and baseline take turns, each first half of the time', async (t) => {
  const order: string[] = [];
  const row = {
    name: 'turns',
    subject: '',
    baseline: '',
    repetitions: 4,
    calls: 1,
    measured: async () => order.push('ours'),
    compared: async () => order.push('theirs'),
  };
  const result = await run(row);
  t.equal(result.repetitions, 4);
  t.strictSame(order.slice(2), ['ours', 'theirs', 'theirs', 'ours', 'ours', 'theirs', 'theirs', 'ours']);
});

t.test('every row runs', async (t) => {
  const text = execFileSync(process.execPath, [join(root, 'bench/run.ts'), '--smoke', '--json'], { encoding: 'utf8' });
  const { results } = JSON.parse(text) as { readonly results: readonly Result[] };
  const names = results.map(({ name }) => name);
  const expected = [
    'cold start',
    'contract validate',
    'open, verify and validate a contract, in process',
    'a typical contract, opened, verified and validated in process',
    'a typical contract, triseed contract verify',
    'a token of 3 MiB, in process',
    'refusing a token with broken padding',
    'kms serve, until it listens',
    'kms serve, 500 × wrap',
    'kms serve, 500 × unwrap',
    ...(existsSync('/usr/sbin/cryptsetup') ? ['header gate'] : []),
  ];
  for (const name of expected) t.ok(names.includes(name), name);
  for (const { name, ratio, subjectMs, baselineMs } of results)
    t.ok(ratio > 0 && Number.isFinite(ratio) && subjectMs.median > 0 && baselineMs.median > 0, `${name} was measured`);
});
