/** A clock that stands still until the test moves it. Nothing ever really sleeps. */
import type { Clock } from '../../agent/ports.ts';

export interface ManualClock extends Clock {
  /** Moves both clocks by `ms` and wakes every sleeper that is due on the way, in order. */
  advance(ms: number): Promise<void>;
  /** Jumps from one sleeper to the next until `work` settles; fails when nobody sleeps and it still has not. */
  run<T>(work: Promise<T>): Promise<T>;
  /** Moves the wall clock alone, as an attacker or a time service would. */
  setWallClock(date: Date): void;
  /** Number of sleepers that wait now. */
  readonly sleeping: number;
}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Lets everything that is ready to run do so: microtasks are drained before an immediate fires. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

export const manualClock = (startMs = 1_000_000, wallClock = new Date('2027-01-01T00:00:00Z')): ManualClock => {
  let nowMs = startMs;
  let wallOffsetMs = wallClock.getTime() - startMs;
  const sleepers = new Set<Sleeper>();

  const earliest = (): Sleeper | null => {
    let found: Sleeper | null = null;
    for (const sleeper of sleepers) if (found === null || sleeper.dueMs < found.dueMs) found = sleeper;
    return found;
  };

  const wakeNext = async (sleeper: Sleeper): Promise<void> => {
    nowMs = Math.max(nowMs, sleeper.dueMs);
    sleeper.wake();
    await settle();
  };

  return {
    now: () => new Date(nowMs + wallOffsetMs),
    monotonicMs: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const sleeper: Sleeper = {
          dueMs: nowMs + Math.max(0, ms),
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake);
      }),
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await settle();
      for (let next = earliest(); next !== null && next.dueMs <= untilMs; next = earliest()) await wakeNext(next);
      nowMs = untilMs;
      await settle();
    },
    run: async (work) => {
      let settled = false;
      const watch = (): void => {
        settled = true;
      };
      work.then(watch, watch);
      await settle();
      while (!settled) {
        const next = earliest();
        if (next === null) throw new Error('the work waits for something other than this clock');
        await wakeNext(next);
      }
      return work;
    },
    setWallClock: (date) => {
      wallOffsetMs = date.getTime() - nowMs;
    },
    get sleeping() {
      return sleepers.size;
    },
  };
};
