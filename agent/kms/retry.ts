/** How long to wait before asking a key service again. Pure: the caller brings the random fraction. */

export interface RetryLimits {
  /** Longest wait before the second attempt; doubles with every further one. */
  readonly baseMs: number;
  /** Longest wait of all, unless the service asked for more. */
  readonly capMs: number;
  /** Shortest wait: jitter must not turn into a busy loop. */
  readonly floorMs: number;
  /** Longest Retry-After that is obeyed. */
  readonly retryAfterCapMs: number;
}

/** Polling for a root key at boot: quick at first, then at most ten seconds apart. */
export const bootPolling: RetryLimits = { baseMs: 1000, capMs: 10_000, floorMs: 250, retryAfterCapMs: 60_000 };

/**
 * Wait before attempt `attempt + 1`, in milliseconds: exponential with full jitter (a uniform draw between floor and
 * the doubled base), never sooner than the service asked for, as far as `retryAfterCapMs` allows.
 *
 * @param attempt number of attempts made so far, from 1
 * @param fraction uniform in [0, 1)
 * @param afterMs what Retry-After asked for, or null
 */
export const retryDelayMs = (
  limits: RetryLimits,
  attempt: number,
  fraction: number,
  afterMs: number | null,
): number => {
  const doublings = Math.min(Math.max(attempt - 1, 0), 30);
  const ceiling = Math.max(Math.min(limits.capMs, limits.baseMs * 2 ** doublings), limits.floorMs);
  const jittered = limits.floorMs + fraction * (ceiling - limits.floorMs);
  return Math.round(Math.max(jittered, Math.min(afterMs ?? 0, limits.retryAfterCapMs)));
};

/**
 * Retry-After in milliseconds (RFC 9110, 10.2.3): seconds, or a date. A date is measured against the answer's own Date
 * header, because the guest's wall clock is not trusted; without one it is ignored.
 */
export const parseRetryAfter = (headers: Readonly<Record<string, string>>): number | null => {
  const text = headers['retry-after']?.trim();
  if (text === undefined || text === '') return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const until = Date.parse(text);
  const from = Date.parse(headers.date ?? '');
  if (!Number.isFinite(until) || !Number.isFinite(from)) return null;
  return Math.max(0, until - from);
};
