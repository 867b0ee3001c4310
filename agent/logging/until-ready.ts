/** Trying again until something answers, something is refused for good, or the time is over. */
import { type RetryLimits, retryDelayMs } from '../kms/retry.ts';
import type { Host } from '../ports.ts';

export type Attempt<T> =
  | { readonly kind: 'ready'; readonly value: T }
  /** Trying again may help. */
  | { readonly kind: 'notYet'; readonly reason: string }
  | { readonly kind: 'never'; readonly reason: string };

export type Ending<T> =
  | { readonly kind: 'ready'; readonly value: T }
  | { readonly kind: 'refused'; readonly reason: string }
  /** The reason of the last attempt, and whether it was the only one. */
  | { readonly kind: 'tooLate'; readonly reason: string; readonly attempts: number };

const pauses: RetryLimits = { baseMs: 1000, capMs: 10_000, floorMs: 250, retryAfterCapMs: 60_000 };
const attemptMs = 10_000;

/**
 * Repeats `attempt`, which gets its own limit in milliseconds, until `patienceMs` of the monotonic clock are over; at least
 * one attempt is made. `waiting` hears every reason that differs from the one before.
 */
export const untilReady = async <T>(
  host: Pick<Host, 'clock' | 'entropy'>,
  patienceMs: number,
  attempt: (timeoutMs: number) => Promise<Attempt<T>>,
  waiting: (reason: string) => void,
): Promise<Ending<T>> => {
  const { clock, entropy } = host;
  const untilMs = clock.monotonicMs() + patienceMs;
  let said: string | null = null;
  for (let attempts = 1; ; attempts += 1) {
    const outcome = await attempt(attemptMs);
    if (outcome.kind === 'ready') return outcome;
    if (outcome.kind === 'never') return { kind: 'refused', reason: outcome.reason };
    const leftMs = untilMs - clock.monotonicMs();
    if (leftMs <= 0) return { kind: 'tooLate', reason: outcome.reason, attempts };
    if (outcome.reason !== said) waiting(outcome.reason);
    said = outcome.reason;
    await clock.sleep(Math.min(leftMs, retryDelayMs(pauses, attempts, entropy.fraction(), null)));
  }
};
