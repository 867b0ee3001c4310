/** One worker of contract-fuzz.test.ts: every so many documents, judged and timed. */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { keyFile, makeCorpus } from './corpus.ts';
import { documentAt } from './documents.ts';
import { judge } from './judge.ts';

export interface Task {
  readonly seed: string;
  readonly first: number;
  readonly step: number;
  readonly end: number;
  /** One 32-bit integer a worker: the document it is at, so that the test can name one that hangs. */
  readonly progress: SharedArrayBuffer;
  readonly worker: number;
  readonly slowMs: number;
}

export interface Report {
  readonly judged: number;
  readonly accepted: number;
  readonly codes: readonly string[];
  readonly complaints: readonly { readonly index: number; readonly about: readonly string[] }[];
  /** Documents that took longer than `slowMs` here, beside everything else. */
  readonly slow: readonly number[];
  readonly slowestMs: number;
}

const { seed, first, step, end, progress, worker, slowMs } = workerData as Task;
const place = new Int32Array(progress);
const key = createPrivateKey(readFileSync(keyFile));
const corpus = await makeCorpus(key);

const codes = new Set<string>();
const complaints: { index: number; about: readonly string[] }[] = [];
const slow: number[] = [];
let [judged, accepted, slowestMs] = [0, 0, 0];

for (let index = first; index < end; index += step) {
  Atomics.store(place, worker, index);
  const document = documentAt(corpus, seed, index);
  try {
    const verdict = await judge(document, index, key);
    if (verdict.complaints.length > 0) complaints.push({ index, about: verdict.complaints });
    if (verdict.accepted) accepted += 1;
    for (const code of verdict.codes) codes.add(code);
    slowestMs = Math.max(slowestMs, verdict.slowestMs);
    if (verdict.slowestMs > slowMs) slow.push(index);
  } catch (error) {
    complaints.push({ index, about: [`thrown: ${error instanceof Error ? error.stack : String(error)}`] });
  }
  judged += 1;
  // What hurts every document need not be told 50,000 times.
  if (complaints.length >= 20) break;
}
parentPort?.postMessage({ judged, accepted, codes: [...codes], complaints, slow, slowestMs } satisfies Report);
