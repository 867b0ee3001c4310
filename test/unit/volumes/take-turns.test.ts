/** Work of several volumes at once: how many run, who shares an answer, and that nobody gets one older than his question. */
import t from 'tap';
import { limited, shared } from '../../../agent/volumes/take-turns.ts';

/** Work whose runs end when the test says so. */
const manual = () => {
  const running: { readonly resolve: (value: number) => void; readonly reject: (error: Error) => void }[] = [];
  return {
    work: () => new Promise<number>((resolve, reject) => running.push({ resolve, reject })),
    running,
  };
};

/** All that is ready to run has run. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

t.test('who asks at the same time shares one run', async (t) => {
  const { work, running } = manual();
  const ask = shared(work);
  const answers = Promise.all([ask(), ask(), ask()]);
  await settled();
  t.equal(running.length, 1);
  running[0]?.resolve(7);
  t.strictSame(await answers, [7, 7, 7]);
});

t.test('who asks while it runs waits for a run that begins afterwards', async (t) => {
  const { work, running } = manual();
  const ask = shared(work);
  const early = ask();
  await settled();
  const late = Promise.all([ask(), ask()]);
  await settled();
  t.equal(running.length, 1, 'one at a time');
  running[0]?.resolve(1);
  t.equal(await early, 1);
  await settled();
  t.equal(running.length, 2, 'one for both');
  running[1]?.resolve(2);
  t.strictSame(await late, [2, 2]);
});

t.test('a failure is told to those who asked for it, and to nobody else', async (t) => {
  const { work, running } = manual();
  const ask = shared(work);
  const failing = t.rejects(ask(), { message: 'broken' });
  await settled();
  const next = ask();
  running[0]?.reject(new Error('broken'));
  await failing;
  await settled();
  running[1]?.resolve(3);
  t.equal(await next, 3);
});

t.test('no more than the limit at a time, in the order in which they came', async (t) => {
  const began: number[] = [];
  const ends: (() => void)[] = [];
  const work = limited((input: number) => {
    began.push(input);
    return new Promise<number>((resolve) => ends.push(() => resolve(input * 10)));
  }, 2);
  const answers = Promise.all([1, 2, 3, 4].map(work));
  await settled();
  t.strictSame(began, [1, 2]);
  ends[0]?.();
  await settled();
  t.strictSame(began, [1, 2, 3]);
  for (let at = 1; at < 4; at += 1) {
    ends[at]?.();
    await settled();
  }
  t.strictSame(await answers, [10, 20, 30, 40]);
});
