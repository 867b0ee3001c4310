/**
 * Power fails at random instants while volumes are made or changed, in real guests, until every protocol was hit often enough; and
 * `soak`, ten minutes in which nothing may happen.
 *
 *   npm run torture -- [--hits=N] [--jobs=N] [--seed=TEXT] [--resume] [PROTOCOL...|soak]
 *
 * --hits: changes to cut of each protocol, 50 without it. --jobs: guests at a time, 2 without it. --seed: the instants of another
 * run. --resume: go on with the last run, or with that of --seed. Exit status: 0 when nothing was lost and everything was hit, 1 when
 * something was lost or the soak was disturbed, 2 wrong usage, 3 when a protocol could not be tortured to the end.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { currentBundle } from '../../scripts/bundle.ts';
import { checkout } from '../e2e/guest/place.ts';
import { begin, historyFileOf, historyOf, lastSeed, logOf, sumsOf } from './history.ts';
import { type ProtocolName, protocolNames } from './protocols.ts';

const usage = (problem: string): never => {
  console.error(
    `${problem}\nusage: npm run torture -- [--hits=N] [--jobs=N] [--seed=TEXT] [--resume] [PROTOCOL...|soak]`,
  );
  console.error(`protocols: ${protocolNames.join(' ')}`);
  return process.exit(2);
};

const parsed = () => {
  try {
    return parseArgs({
      options: {
        hits: { type: 'string', default: '50' },
        jobs: { type: 'string', default: '2' },
        seed: { type: 'string' },
        resume: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
  } catch (error) {
    return usage((error as Error).message);
  }
};

const { values, positionals } = parsed();
const count = (text: string): number => (/^[1-9]\d{0,4}$/.test(text) ? Number(text) : usage(`${text} is not a number`));
const [hits, jobs] = [count(values.hits), count(values.jobs)];
const soak = 'soak';
const soaks = positionals.length === 0 || positionals.includes(soak);
const chosen = (positionals.length > 0 ? positionals.filter((name) => name !== soak) : protocolNames).map(
  (name) => protocolNames.find((known) => known === name) ?? usage(`there is no protocol ${name}`),
);
const nothingToResume = (): never => usage('there is no run to go on with');
const seed = values.seed ?? (values.resume ? (lastSeed() ?? nothingToResume()) : randomBytes(6).toString('hex'));
if (!/^[\w-]{1,40}$/.test(seed)) usage('a seed has letters, digits, _ and -');
begin(seed, values.resume);
console.log(
  `seed ${seed}${values.resume ? ', going on' : ''}; go on after an interruption with: npm run torture -- --resume`,
);

const children = new Set<number>();
process.once('exit', () => {
  for (const pid of children) {
    try {
      process.kill(-pid, 'SIGTERM');
    } catch {
      // It has ended by itself.
    }
  }
});
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => process.exit(status));

/** Guests end with their driver, which is this process's child. */
const torture = (name: ProtocolName | typeof soak, lane: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const log = openSync(logOf(seed, name), 'a');
    const program = join(checkout, 'test', 'torture', name === soak ? 'soak.ts' : 'protocol.ts');
    const child = spawn(process.execPath, ['--no-warnings', program, name, seed, String(hits)], {
      cwd: checkout,
      // Guests of two lanes get CPUs of their own.
      env: { ...process.env, TAP_JOB_ID: String(lane) },
      stdio: ['ignore', log, 'inherit'],
      detached: true,
    });
    closeSync(log);
    const { pid } = child;
    if (pid !== undefined) children.add(pid);
    child.once('error', reject);
    child.once('close', (status) => {
      if (pid !== undefined) children.delete(pid);
      resolve(status ?? 1);
    });
  });

currentBundle();
const began = performance.now();
// It does little but wait, beside the others.
const soaked = soaks ? torture(soak, jobs) : Promise.resolve(0);
const waiting = [...chosen];
const failed: ProtocolName[] = [];
const work = async (lane: number): Promise<void> => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
    if ((await torture(name, lane)) !== 0) failed.push(name);
};
await Promise.all(Array.from({ length: jobs }, (_, lane) => work(lane)));
const soakFailed = (await soaked) !== 0;

const histories = chosen.map((name) => ({ name, history: historyOf(seed, name) }));
const row = (name: string, sums: ReturnType<typeof sumsOf>): string =>
  [name.padEnd(20), sums.guests, sums.volumes, sums.boots, sums.compared, sums.losses, sums.seconds.toFixed(0)]
    .map((cell) => String(cell).padStart(9))
    .join('');
console.log(`\n${'protocol'.padEnd(20)}    kills     hits    boots compared   losses  seconds`);
for (const { name, history } of histories) console.log(row(name, sumsOf([history])));
const all = sumsOf(histories.map(({ history }) => history));
console.log(row('together', all));
console.log(
  `seed ${seed}, ${((performance.now() - began) / 60_000).toFixed(1)} minutes; a hit is a volume whose change was under way when its guest was killed`,
);
for (const name of failed) console.log(`${name} failed: ${logOf(seed, name)}, ${historyFileOf(seed, name)}`);
if (soakFailed) console.log(`soak failed: ${logOf(seed, soak)}`);
console.log(`losses: ${all.losses}`);
process.exitCode = all.losses > 0 || soakFailed ? 1 : failed.length > 0 ? 3 : 0;
