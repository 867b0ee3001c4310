/**
 * `npm run bench`: how long the agent's work takes, as ratios against baselines measured in the same run.
 *
 *   node bench/run.ts [--json] [--smoke] [--guests | --natively | --without-guests]
 *
 * --json prints one JSON document, --smoke runs every row once to see that it still works, in guests with two volumes, --guests only the rows that need a
 * guest, --natively only those that open volumes on this machine, --without-guests all that need no guest. docs/bench.md explains the rows.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { daemonRows, daemonSizes } from './daemon-rows.ts';
import { guestRows, guestSetups, smokeSetups } from './guest-rows.ts';
import { keyServiceRows } from './key-service-rows.ts';
import { type Result, type Row, run, type Spread } from './measure.ts';
import { nativeRows } from './native-rows.ts';
import { nativeObstacle } from './native-world.ts';
import { rows } from './rows.ts';
import { makeShipped } from './shipped.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    smoke: { type: 'boolean' },
    guests: { type: 'boolean' },
    natively: { type: 'boolean' },
    'without-guests': { type: 'boolean' },
  },
});
const isSmoke = values.smoke === true;
const repetitions = isSmoke ? { processes: 1, functions: 1, calls: 1 } : { processes: 15, functions: 31, calls: 50 };

const number = (value: number): string => value.toPrecision(3);
const spread = ({ median, lowerQuartile, upperQuartile }: Spread, unit: string): string =>
  `${number(median)} ${unit} (${number(lowerQuartile)} to ${number(upperQuartile)})`;
const limitOf = ({ limit, isKept, unit }: Result): readonly string[] => {
  if (limit === undefined) return [];
  const most = 'ratio' in limit ? `ratio ${limit.ratio}` : `${limit.subject} ${unit}`;
  return [`  at most ${most}: ${isKept ? 'kept' : 'MISSED'}`];
};
const linesOf = (result: Result): string =>
  [
    `${result.name}: ${number(result.ratio)} (${number(result.ratioSpread[0])} to ${number(result.ratioSpread[1])})`,
    `  ${spread(result.ours, result.unit)}  ${result.subject}`,
    `  ${spread(result.theirs, result.unit)}  ${result.baseline}`,
    ...limitOf(result),
    ...(result.remark === undefined ? [] : [`  ${result.remark}`]),
  ].join('\n');

const processor = (): string =>
  /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;

const folder = mkdtempSync(join(tmpdir(), 'triseed-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => process.exit(status));

const wanted = {
  others: !values.guests && !values.natively,
  natively: !values.guests,
  guests: !values['without-guests'] && !values.natively,
};
const load = loadavg()[0] ?? 0;
const startedMs = performance.now();
const results: Result[] = [];
const runAll = async (all: readonly Row[]): Promise<void> => {
  for (const row of all) {
    const result = await run(row);
    results.push(result);
    if (!values.json) console.log(linesOf(result));
  }
};
const shipped = makeShipped(folder);
if (wanted.others) {
  await runAll(await rows(repetitions, folder, shipped));
  for (const count of daemonSizes) {
    await using daemon = await daemonRows(isSmoke, folder, shipped, count);
    await runAll(daemon.rows);
  }
  await using service = await keyServiceRows(repetitions, folder, shipped.bundle);
  await runAll(service.rows);
}
const obstacle = wanted.natively ? nativeObstacle() : null;
if (obstacle !== null) console.error(`rows of volumes opened natively are left out: ${obstacle}`);
else if (wanted.natively) {
  await using native = await nativeRows(repetitions.processes, shipped);
  await runAll(native.rows);
}
if (wanted.guests) {
  for (const setup of isSmoke ? smokeSetups : guestSetups) {
    await using guest = await guestRows(isSmoke ? 1 : 3, shipped, setup);
    await runAll(guest?.rows ?? []);
  }
}
const machine = { node: process.version, processor: processor(), processors: availableParallelism(), load };
const seconds = Math.round((performance.now() - startedMs) / 1000);
if (values.json) console.log(JSON.stringify({ ...machine, seconds, results }, null, 2));
else {
  const { node, processors } = machine;
  console.log(
    `medians with quartiles, in ${seconds} s; Node ${node}, ${processors} × ${machine.processor}, load ${number(load)} at the start`,
  );
}
