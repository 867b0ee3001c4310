/**
 * `npm run bench`: how long the agent's work takes, as ratios against baselines measured in the same run.
 *
 *   node bench/run.ts [--json] [--smoke | --guests]
 *
 * --json prints one JSON document, --smoke runs every row that needs no guest once to see that it still works, --guests only the rows
 * that need one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestRows } from './guest-rows.ts';
import { keyServiceRows } from './key-service-rows.ts';
import { type Result, type Row, run } from './measure.ts';
import { bundle, rows } from './rows.ts';

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, smoke: { type: 'boolean' }, guests: { type: 'boolean' } },
});
const repetitions = values.smoke
  ? { processes: 1, functions: 1, calls: 1 }
  : { processes: 15, functions: 31, calls: 50 };
const guestRepetitions = 5;

const number = (value: number): string => value.toPrecision(3);
const lineOf = ({ name, subject, baseline, subjectMs, baselineMs, ratio, ratioSpread, remark }: Result): string =>
  [
    `${name}: ${number(ratio)} (${number(ratioSpread[0])} to ${number(ratioSpread[1])})`,
    `  ${number(subjectMs.median)} ms (${number(subjectMs.lowerQuartile)} to ${number(subjectMs.upperQuartile)})  ${subject}`,
    `  ${number(baselineMs.median)} ms (${number(baselineMs.lowerQuartile)} to ${number(baselineMs.upperQuartile)})  ${baseline}`,
    ...(remark === undefined ? [] : [`  ${remark}`]),
  ].join('\n');

const folder = mkdtempSync(join(tmpdir(), 'triseed-bench-'));
try {
  const load = loadavg()[0] ?? 0;
  const results: Result[] = [];
  const runAll = async (all: readonly Row[]): Promise<void> => {
    for (const row of all) {
      const result = await run(row);
      results.push(result);
      if (!values.json) console.log(lineOf(result));
    }
  };
  if (!values.guests) {
    await runAll(await rows(repetitions, folder));
    await using service = await keyServiceRows(repetitions, folder, bundle);
    await runAll(service.rows);
  }
  if (!values.smoke) {
    await using inGuests = await guestRows(guestRepetitions);
    await runAll(inGuests?.rows ?? []);
  }
  if (values.json) console.log(JSON.stringify({ node: process.version, load, results }, null, 2));
  else console.log(`medians with quartiles; Node ${process.version}, load ${number(load)} at the start`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
