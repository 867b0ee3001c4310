/** The benchmark still runs, and its statistics are right. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Limit, quantile, type Result, run } from '../../bench/measure.ts';
import { nativeObstacle } from '../../bench/native-world.ts';

t.setTimeout(400_000);
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

t.test('limits', async (t) => {
  const row = {
    name: 'limits',
    subject: '',
    baseline: '',
    repetitions: 1,
    calls: 1,
    reported: true,
    measured: async () => 30,
    compared: async () => 10,
  } as const;
  const kept = async (limit: Limit) => (await run({ ...row, limit })).isKept;
  t.equal(await kept({ ratio: 3 }), true);
  t.equal(await kept({ ratio: 2.9 }), false);
  t.equal(await kept({ subject: 30 }), true);
  t.equal(await kept({ subject: 29 }), false);
  t.equal((await run(row)).isKept, undefined);
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

const beyond = 'boot, beyond cryptsetup, key service and mount';

t.test('every row that needs no guest runs', async (t) => {
  const args = [join(root, 'bench/run.ts'), '--smoke', '--without-guests', '--json'];
  const text = execFileSync(process.execPath, args, { encoding: 'utf8' });
  const { results } = JSON.parse(text) as { readonly results: readonly Result[] };
  const names = results.map(({ name }) => name);
  const expected = [
    'cold start',
    'contract validate',
    'volume plan of 100 volumes',
    'open, verify and validate a contract, in process',
    'a typical contract, opened, verified and validated in process',
    'a typical contract, triseed contract verify',
    'a token of 3 MiB, in process',
    'refusing a token with broken padding',
    'key daemon, 1 volume: memory',
    'key daemon, 8 volumes: processor',
    'key daemon, 64 volumes: memory',
    'kms serve, until it listens',
    'kms serve, 500 × wrap',
    'kms serve, 500 × unwrap',
    ...(existsSync('/usr/sbin/cryptsetup') ? ['header gate'] : []),
    ...(nativeObstacle() === null
      ? [
          'natively, without dm-crypt: boot, a volume under a root key',
          'natively, without dm-crypt: boot, 8 volumes under a root key',
          'natively, without dm-crypt: boot, beyond cryptsetup, key service and mount',
        ]
      : []),
  ];
  for (const name of expected) t.ok(names.includes(name), name);
  for (const { name, ratio, ours, theirs } of results) {
    // Of a second of polling the kernel's clock may see nothing. A boot less what a run of the script took: on a busy machine
    // it can be the shorter of the two.
    const isSeen =
      name.endsWith(': processor') ||
      (Number.isFinite(ratio) && (name.endsWith(beyond) || (ratio > 0 && ours.median > 0)));
    t.ok(isSeen && theirs.median >= 0, `${name} was measured`);
  }
});
