/** What the key daemon of a running guest says of itself, and when it acts. */
import type { Test } from 'tap';
import { type DaemonStatus, parseStatus } from '../../../agent/keyd/status.ts';
import type { Guest } from '../guest/guest.ts';

export const statusIn = async (guest: Guest): Promise<DaemonStatus> => {
  const text = await guest.check('cat /run/triseed-keyd/status.json');
  const status = parseStatus(Buffer.from(text));
  if (status === null) throw new Error(`not a status: ${text}`);
  return status;
};

/** The status as soon as it fulfils `isWanted`: it is written after each poll. */
export const untilStatus = async (guest: Guest, isWanted: (status: DaemonStatus) => boolean): Promise<DaemonStatus> => {
  for (let tried = 0; tried < 300; tried += 1) {
    const status = await statusIn(guest);
    if (isWanted(status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`the daemon's status did not come about\n${guest.lastLines()}`);
};

export const activePolls = ({ keys }: DaemonStatus): number => keys.reduce((sum, { polls }) => sum + polls.active, 0);

/** Waits until the daemon has found the key active `count` times more. */
export const untilPolled = async (guest: Guest, count: number): Promise<DaemonStatus> => {
  const wanted = activePolls(await statusIn(guest)) + count;
  return untilStatus(guest, (status) => activePolls(status) >= wanted);
};

/** Resident memory of the daemon. */
export const residentKiB = async (guest: Guest): Promise<number> =>
  Number(
    await guest.check(
      "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$(systemctl show -p MainPID --value triseed-keyd)/status",
    ),
  );

/** What the guest may be late. */
const toleratedSeconds = 2;
const tickSeconds = 0.25;
/** The journal stamps a line in microseconds after it was written. */
const clockSlackSeconds = 0.05;

/** Says `tick` in the journal from three seconds before `dueSeconds` on. */
export const tickAround = (guest: Guest, dueSeconds: number): Promise<string> =>
  guest.check(`\
read -r now rest </proc/uptime
wait=$((${Math.floor(dueSeconds) - 3} - \${now%.*}))
[ $wait -gt 0 ] || wait=0
systemd-run --quiet --unit=ticks --property=SyslogIdentifier=tick sh -c "sleep $wait; while sleep ${tickSeconds}; do echo tick; done"`);

/** How long nothing at all went on in the guest around `dueSeconds`: on a busy machine it waits for its processor. NaN when nothing ticked. */
const standstill = (guest: Guest, dueSeconds: number): number => {
  const ticks = guest.journal().flatMap(({ identifier, at }) => (identifier === 'tick' ? [at] : []));
  const near = ticks.filter((at) => at > dueSeconds - 3 && at < dueSeconds + 10);
  const gaps = near.slice(1).map((at, before) => at - (near[before] ?? at) - tickSeconds);
  return near.length < 2 ? Number.NaN : Math.max(0, ...gaps);
};

/**
 * The guest said HPL18003W at `dueSeconds` of its own clock or at most two seconds later, not counting what it stood still as a whole.
 * `tickAround` has run in it.
 */
export const actedInTime = (t: Test, guest: Guest, dueSeconds: number): void => {
  const acted = guest.journal().find(({ text }) => text.startsWith('HPL18003W'))?.at ?? Number.NaN;
  const late = acted - dueSeconds;
  t.ok(late > -clockSlackSeconds, `not before the deadline: ${late.toFixed(3)} s after it`);
  const stood = standstill(guest, dueSeconds);
  const told = `${late.toFixed(3)} s after it, of which the machine stood still ${stood.toFixed(3)} s`;
  const isInTime = late < toleratedSeconds || late < toleratedSeconds + stood;
  if (!isInTime) t.comment(guest.lastLines(60));
  t.ok(isInTime, `and in time: ${told}`);
  t.comment(`acted ${told}`);
};
