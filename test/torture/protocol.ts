/** Tortures one protocol until enough changes were cut; a process of its own (main.ts). tap on stdout, one line a round on stderr. */
import t from 'tap';
import { Stage } from '../e2e/cases/stage.ts';
import { seeded } from '../fakes/seeded.ts';
import { historyOf, keep, type Round, sumsOf } from './history.ts';
import { Machine } from './machine.ts';
import { type Protocol, type ProtocolName, protocols } from './protocols.ts';
import { whileBooting, whileRotating } from './rounds.ts';

const [name, seed = '', wantedText = ''] = process.argv.slice(2) as [ProtocolName, string, string];
const wanted = Number(wantedText);
const protocol: Protocol = protocols[name];

/** Rounds in a row that hit nothing: something is wrong with the instants. */
const mostInVain = 20;
const day = 86_400_000;

const lineOf = ({ number, cuts, losses, seconds }: Round, volumes: number): string => {
  const hit = cuts.map(({ delayMs, underWay }) => `${underWay.length} at ${delayMs} ms`).join(', ');
  const lost = losses.map((loss) => `\n  LOST: ${loss}`).join('');
  return `${name}: round ${number}: ${hit}; ${volumes} of ${wanted} (${seconds.toFixed(0)} s)${lost}`;
};

t.setTimeout(day);
const stage = await new Stage(`torture-${name}`).open('main', 'other');
let lost = false;
t.teardown(() => stage.close(lost));

await t.test(name, { timeout: day }, async (t) => {
  let history = historyOf(seed, name);
  if (sumsOf([history]).volumes >= wanted) return;
  const machine = await Machine.make(stage, name, protocol);
  const torture = protocol.changedBy === 'boot' ? whileBooting(machine) : whileRotating(machine, stage);
  const windowMs = await torture.window();
  console.error(`${name}: undisturbed, a volume is written during ${windowMs} ms at most`);
  history = { ...history, windowMs };
  for (let inVain = 0; !lost && inVain < mostInVain && sumsOf([history]).volumes < wanted; ) {
    const number = (history.rounds.at(-1)?.number ?? 0) + 1;
    const began = performance.now();
    await t.test(`round ${number}`, { timeout: day }, async (t) => {
      const random = seeded(`${seed} ${name} ${number}`);
      const found = await torture.round(t, number, random, windowMs);
      const round = { ...found, seconds: (performance.now() - began) / 1000 };
      t.strictSame(round.losses, []);
      inVain = round.cuts.some(({ underWay }) => underWay.length > 0) ? 0 : inVain + 1;
      history = { ...history, rounds: [...history.rounds, round] };
      keep(name, history);
      lost = round.losses.length > 0;
      console.error(lineOf(round, sumsOf([history]).volumes));
    });
    lost ||= !t.passing();
  }
  if (lost) console.error(`${name}: kept for a look: ${machine.guest.folder}`);
  t.ok(sumsOf([history]).volumes >= wanted, `${wanted} changes were cut`);
});
