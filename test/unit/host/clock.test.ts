import { execFileSync } from 'node:child_process';
import t from 'tap';
import { clock } from '../../../agent/host/clock.ts';

const here = new URL('../../../agent/host/clock.ts', import.meta.url).pathname;

t.test('monotonic time is the same in another process of this boot', async (t) => {
  const before = clock.monotonicMs();
  const script = `import { clock } from ${JSON.stringify(here)}; process.stdout.write(String(clock.monotonicMs()))`;
  const theirs = Number(execFileSync(process.execPath, ['--input-type=module', '-e', script]));
  t.ok(before <= theirs && theirs <= clock.monotonicMs(), `${before} ≤ ${theirs} ≤ ${clock.monotonicMs()}`);
});

t.test('a sleep never ends early', async (t) => {
  for (const ms of [0, 1, 3, 7, 20]) {
    const start = clock.monotonicMs();
    await clock.sleep(ms);
    t.ok(clock.monotonicMs() - start >= ms, `${ms} ms`);
  }
});

t.test('a sleep ends when it is aborted, or at once when it was before; no listener is left behind', async (t) => {
  const stop = new AbortController();
  const start = clock.monotonicMs();
  const asleep = clock.sleep(60_000, stop.signal);
  stop.abort();
  await asleep;
  await clock.sleep(60_000, stop.signal);
  t.ok(clock.monotonicMs() - start < 5_000);
});

t.test('a sleep longer than a timer can count does not end at once', async (t) => {
  const stop = new AbortController();
  let isOver = false;
  const asleep = clock.sleep(2 ** 40, stop.signal).then(() => {
    isOver = true;
  });
  await clock.sleep(20);
  t.notOk(isOver);
  stop.abort();
  await asleep;
});
