/**
 * 100,000 mutated and random documents through the whole reader: as the guest reads them, as their author is told.
 * TRISEED_SEED gives other documents, TRISEED_FUZZ_DOCUMENTS another number of them;
 * `node test/conformance/fuzz/show.ts SEED NUMBER` shows one and what is said about it.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { keyFile, makeCorpus } from './fuzz/corpus.ts';
import { documentAt } from './fuzz/documents.ts';
import { judge } from './fuzz/judge.ts';
import type { Report, Task } from './fuzz/worker.ts';

const seed = process.env.TRISEED_SEED ?? '20261121';
const count = Number(process.env.TRISEED_FUZZ_DOCUMENTS ?? 100_000);
const workers = 2;
/** The bound for the guest's answer to one document, and for the author's. */
const maxMs = 100;
/** A collection of garbage falls into some, and code that is not yet compiled; only what is slow every time is slow. */
const attempts = 10;
const hangsAfterMs = 60_000;

t.setTimeout(1_200_000);

const run = (task: Task): Promise<Report> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(join(import.meta.dirname, 'fuzz/worker.ts'), { workerData: task });
    const place = new Int32Array(task.progress);
    let last = -1;
    const watch = setInterval(() => {
      const now = Atomics.load(place, task.worker);
      if (now !== last) {
        last = now;
        return;
      }
      clearInterval(watch);
      void worker.terminate();
      reject(new Error(`document ${now} of seed ${task.seed} has no answer after ${hangsAfterMs} ms`));
    }, hangsAfterMs);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => clearInterval(watch));
  });

t.test(`${count} documents, seed ${seed}`, async (t) => {
  const progress = new SharedArrayBuffer(4 * workers);
  const tasks = Array.from({ length: workers }, (_, worker) => ({
    ...{ seed, first: worker, step: workers, end: count, progress, worker, slowMs: maxMs },
  }));
  const reports = await Promise.all(tasks.map(run));
  for (const { complaints } of reports) {
    for (const { index, about } of complaints) t.fail(`document ${index}`, { about });
  }
  const sum = (value: (report: Report) => number): number => reports.reduce((all, report) => all + value(report), 0);
  t.equal(
    sum(({ judged }) => judged),
    count,
    'every document has an answer',
  );

  const key = createPrivateKey(readFileSync(keyFile));
  const corpus = await makeCorpus(key);
  const slow = reports.flatMap((report) => report.slow);
  for (const index of slow) {
    const document = documentAt(corpus, seed, index);
    let least = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < attempts && least > maxMs; attempt += 1) {
      least = Math.min(least, (await judge(document, index, key)).slowestMs);
    }
    t.ok(least <= maxMs, `document ${index} of ${document.length} bytes: ${least.toFixed(0)} ms by itself`);
  }

  // Mutation reaches what lies behind the first check.
  const accepted = sum((report) => report.accepted);
  const codes = new Set(reports.flatMap((report) => report.codes));
  if (count >= 10_000) {
    t.ok(accepted > count / 100 && accepted < count / 2, `${accepted} are contracts a guest starts from`);
    t.ok(codes.size > 50, `${codes.size} different findings`);
  }
  const slowest = Math.max(...reports.map((report) => report.slowestMs));
  t.comment(`slowest answer ${slowest.toFixed(0)} ms at first; ${slow.length} documents measured again`);
});
