/** Work of several volumes at the same time: few at once, or once for all. Pure: whatever waits, waits for promises. */

/** `work`, at most `limit` at a time; the others wait in the order in which they came. */
export const limited = <In, Out>(work: (input: In) => Promise<Out>, limit: number): ((input: In) => Promise<Out>) => {
  const waiting: (() => void)[] = [];
  let free = limit;
  return async (input) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free -= 1;
    try {
      return await work(input);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
};

/** `work` once for everybody who asks before it begins; who asks while it runs gets the next run. No answer is older than its question. */
export const shared = <T>(work: () => Promise<T>): (() => Promise<T>) => {
  let previous: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | null = null;
  return () => {
    next ??= previous.then(() => {
      next = null;
      const run = work();
      previous = run.catch(() => {});
      return run;
    });
    return next;
  };
};
