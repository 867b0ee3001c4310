/**
 * The process that gives notice, on clocks that part. The calendar stands in for node-cron with both of its habits: silent
 * until a wall clock that went back has caught up, and one tick for every hour that it has missed when the clock goes ahead.
 */
import t from 'tap';
import { type NoticePorts, runNotices } from '../../../agent/notices/run.ts';
import type { Calendar } from '../../../agent/service-ports.ts';
import { type ManualClock, manualClock } from '../../fakes/clock.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const nodeCron = (clock: ManualClock): { readonly calendar: Calendar; readonly schedules: () => number } => {
  let running = 0;
  const calendar: Calendar = async (expression, work) => {
    if (expression !== '0 * * * *') throw new Error(`unexpected schedule ${expression}`);
    const stop = new AbortController();
    running += 1;
    const follow = async (): Promise<void> => {
      let next = Math.floor(clock.now().getTime() / hourMs) * hourMs + hourMs;
      while (!stop.signal.aborted) {
        // A timer for the time left, as it was when it was set.
        await clock.sleep(Math.max(0, next - clock.now().getTime()), stop.signal);
        while (!stop.signal.aborted && next <= clock.now().getTime()) {
          work();
          next += hourMs;
        }
      }
    };
    void follow();
    return {
      stop: () => {
        running -= 1;
        stop.abort();
      },
    };
  };
  return { calendar, schedules: () => running };
};

const start = (contract: Date | null, certificate: Date | null = null, from = '2027-01-10T12:34:56Z') => {
  const clock = manualClock(1_000_000, new Date(from));
  const base = hostOnFiles();
  const { calendar, schedules } = nodeCron(clock);
  const stop = new AbortController();
  const host: NoticePorts = { ...base, clock, calendar };
  const ended = runNotices(host, { contract, certificate }, stop.signal);
  const said = (): readonly string[] => base.messages.map(({ name }) => name);
  const finish = async (): Promise<void> => {
    stop.abort();
    await clock.run(ended);
  };
  return { clock, said, schedules, finish, messages: base.messages };
};
const after = (iso: string, ms: number): Date => new Date(new Date(iso).getTime() + ms);

t.test('an ordinary clock around the first of a month', async (t) => {
  const from = '2027-01-29T12:34:56Z';
  const { clock, said, finish, messages } = start(new Date('2028-01-01T00:00:00Z'), null, from);
  await clock.advance(60_000);
  t.strictSame(said(), ['CONTRACT_VALID'], 'once at the start');
  t.match(messages[0]?.facts, { end: '01 January 2028 at 00:00:00 UTC', left: 'over 11 months' });
  await clock.advance(5 * dayMs);
  t.strictSame(said(), ['CONTRACT_VALID', 'CONTRACT_VALID'], 'and on the first of February');
  await finish();
});

t.test('the last day and what comes after it', async (t) => {
  const { clock, said, finish } = start(new Date('2027-01-10T15:00:30Z'));
  await clock.advance(5 * hourMs);
  t.strictSame(said(), [...Array(4).fill('CONTRACT_WILL_EXPIRE'), ...Array(2).fill('CONTRACT_HAS_EXPIRED')]);
  await finish();
});

t.test('a wall clock one year ahead neither floods nor stalls', async (t) => {
  const from = '2027-01-10T12:34:56Z';
  const { clock, said, schedules, finish } = start(after(from, 40 * dayMs), after(from, 40 * dayMs));
  await clock.advance(3 * hourMs);
  t.equal(said().length, 1);
  clock.setWallClock(after(from, 365 * dayMs));
  await clock.advance(60_000);
  t.equal(said().length, 1, 'the jump itself says nothing');
  t.equal(schedules(), 1, 'one schedule');
  await clock.advance(dayMs);
  const contract = said().filter((name) => name === 'CONTRACT_HAS_EXPIRED').length;
  const certificate = said().filter((name) => name === 'CERTIFICATE_HAS_EXPIRED').length;
  t.equal(contract, 24, 'hourly from the next hour on');
  t.equal(certificate, 6, 'every four hours');
  await finish();
  t.equal(schedules(), 0);
});

t.test('a wall clock one year back does not stall', async (t) => {
  const from = '2027-01-10T12:34:56Z';
  const { clock, said, finish } = start(after(from, -365 * dayMs + 3 * dayMs));
  t.strictSame(said(), ['CONTRACT_HAS_EXPIRED']);
  clock.setWallClock(after(from, -365 * dayMs));
  await clock.advance(dayMs + 60_000);
  t.equal(said().filter((name) => name === 'CONTRACT_WILL_EXPIRE').length, 6, 'every four hours by the new clock');
  await finish();
});

t.test('a clock that is moved all the time says no more than one that stands', async (t) => {
  const { clock, said, finish } = start(new Date('2026-01-01T00:00:00Z'));
  for (let move = 0; move < 2_000; move += 1) {
    clock.setWallClock(after('2027-01-01T00:59:30Z', (move % 50) * 7 * dayMs));
    await clock.advance(31_000);
  }
  const hours = (2_000 * 31_000) / hourMs;
  t.ok(said().length > 1, 'it still speaks');
  t.ok(said().length <= 1 + 2 * hours, `${said().length} in ${Math.round(hours)} hours`);
  await finish();
});

t.test('a clock that is being corrected keeps its schedule', async (t) => {
  const { clock, said, finish } = start(new Date('2027-01-11T12:00:00Z'));
  for (let minute = 0; minute < 180; minute += 1) {
    clock.setWallClock(new Date(clock.now().getTime() + 30));
    await clock.advance(60_000);
  }
  t.equal(said().length, 1 + 3);
  await finish();
});

t.test('nothing to tell of', async (t) => {
  const { clock, said, schedules, finish } = start(null);
  await clock.advance(2 * dayMs);
  t.strictSame(said(), []);
  t.equal(schedules(), 0);
  await finish();
});
