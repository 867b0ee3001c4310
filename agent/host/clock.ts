/** The machine's clocks. Timers of Node follow CLOCK_MONOTONIC too (libuv, "uv_timer_t"), so a moved wall clock moves nothing. */
import type { Clock } from '../ports.ts';

/** setTimeout(3) of Node counts in a signed 32-bit number of milliseconds and fires at once beyond it. */
const longestTimerMs = 2 ** 31 - 1;

/** CLOCK_MONOTONIC, clock_gettime(2): the same for every process of one boot, starts anew with the next. */
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

const sleepOnce = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', wake, { once: true });
  });

const sleep: Clock['sleep'] = async (ms, signal) => {
  const endMs = monotonicMs() + Math.max(0, ms);
  // A timer may fire up to a millisecond early; whoever sleeps until a deadline relies on it having come.
  for (let leftMs = Math.max(0, ms); signal?.aborted !== true; leftMs = endMs - monotonicMs()) {
    if (leftMs <= 0 && monotonicMs() >= endMs) return;
    await sleepOnce(Math.min(Math.max(0, leftMs), longestTimerMs), signal);
  }
};

export const clock: Clock = { now: () => new Date(), monotonicMs, sleep };
