/**
 * The process that gives notice. node-cron follows the wall clock: when that goes back, it stays silent until the old time
 * comes again, and when it goes ahead, it counts up every time it has missed. So the schedule is made anew whenever wall
 * clock and monotonic clock part, and there is a limit on the monotonic clock beside it.
 */
import type { Host } from '../ports.ts';
import type { Calendar } from '../service-ports.ts';
import type { Ends } from './expiry-file.ts';
import { hourly, type Notice, noticesAtStart, noticesDue, shownDate, shownLeft } from './schedule.ts';

export type NoticePorts = Pick<Host, 'clock' | 'journal'> & { readonly calendar: Calendar };

/** How often the two clocks are compared. */
export const compareMs = 30_000;
/** Clocks that are being corrected part slowly; whatever is more than this is a jump. */
const jumpMs = 5_000;
/** Two rounds of notices are never closer than this, whatever the wall clock does. */
const pauseMs = 30 * 60_000;

const say = ({ journal }: Pick<Host, 'journal'>, { name, end }: Notice, at: Date): void => {
  if (name === 'CONTRACT_HAS_EXPIRED' || name === 'CERTIFICATE_HAS_EXPIRED')
    journal.message(name, { end: shownDate(end) });
  else journal.message(name, { end: shownDate(end), left: shownLeft(end.getTime() - at.getTime()) });
};

/** Gives notice of `ends` until `signal` aborts; ends at once when there is no date to tell of. */
export const runNotices = async (host: NoticePorts, ends: Ends, signal: AbortSignal): Promise<void> => {
  const { clock } = host;
  if (ends.contract === null && ends.certificate === null) return;
  let saidAtMs: number | null = null;
  const round = (notices: readonly Notice[]): void => {
    for (const notice of notices) say(host, notice, clock.now());
    if (notices.length > 0) saidAtMs = clock.monotonicMs();
  };
  const tick = (): void => {
    if (saidAtMs === null || clock.monotonicMs() - saidAtMs >= pauseMs) round(noticesDue(ends, clock.now()));
  };
  const apart = (): number => clock.now().getTime() - clock.monotonicMs();
  for (const notice of noticesAtStart(ends, clock.now())) say(host, notice, clock.now());
  while (!signal.aborted) {
    // Before the schedule is made: a jump in between must be seen.
    const before = apart();
    const schedule = await host.calendar(hourly, tick);
    while (!signal.aborted && Math.abs(apart() - before) < jumpMs) await clock.sleep(compareMs, signal);
    schedule.stop();
  }
};
