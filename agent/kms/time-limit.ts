import type { Clock } from '../ports.ts';

/** What `work` resolves to, or null when `limitMs` passes first; the work itself goes on unobserved. */
export const withinTime = async <T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T | null> => {
  const done = new AbortController();
  try {
    return await Promise.race([work, clock.sleep(Math.max(0, limitMs), done.signal).then(() => null)]);
  } finally {
    done.abort();
  }
};
