/** Things that may happen at any rate, told at most once a minute, with how often they have happened. */
import type { Clock } from '../ports.ts';

const pauseMs = 60_000;

export interface ToldSeldom {
  /** It has happened once more; told by `due`. */
  count(): void;
  /** Tells what is untold: now, or when the minute since the last time is over. */
  due(): void;
  /** Tells what is untold, and waits for nothing. */
  end(): void;
}

export const toldSeldom = (clock: Clock, tell: (count: number) => void): ToldSeldom => {
  const over = new AbortController();
  let untold = 0;
  let isPausing = false;
  const flush = (): void => {
    const count = untold;
    untold = 0;
    if (count > 0) tell(count);
  };
  const due = (): void => {
    if (isPausing || untold === 0) return;
    flush();
    isPausing = true;
    void clock.sleep(pauseMs, over.signal).then(() => {
      isPausing = false;
      if (!over.signal.aborted) due();
    });
  };
  return {
    count: () => {
      untold += 1;
    },
    due,
    end: () => {
      over.abort();
      flush();
    },
  };
};
