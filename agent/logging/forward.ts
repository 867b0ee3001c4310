/**
 * Sends the journal to IBM Cloud Logs, record by record in its order, and keeps what cannot be sent where it is: in the journal,
 * which is read no further until the service takes it.
 */
import { retryDelayMs } from '../kms/retry.ts';
import type { FollowJournal, Host } from '../ports.ts';
import { type JournalRecord, journalRecord, type Single } from './log-router.ts';
import { type LogService, type SentSingles, sendSingles } from './send-singles.ts';

export type ForwardPorts = Pick<Host, 'http' | 'clock' | 'entropy' | 'journal' | 'files'> & {
  readonly followJournal: FollowJournal;
};

export interface Forwarding {
  readonly service: LogService;
  readonly tags: readonly string[];
  /** Where the cursor of the last record sent is kept, for the next start of this process. */
  readonly cursorPath: string;
  /** Aborted when systemd asks to end: what is in the journal then is sent once more, and no longer tried. */
  readonly signal: AbortSignal;
}

/** "Up to 2 MB" a request; well below, because the limit is on the encoded form. */
const maxBatchBytes = 512 * 1024;
const maxBatchRecords = 500;
const lingerMs = 1_000;
const requestMs = 15_000;
const lastRequestMs = 5_000;
const maxLineBytes = 1024 * 1024;
const maxCursorBytes = 1024;
const pauses = { baseMs: 1_000, capMs: 60_000, floorMs: 500, retryAfterCapMs: 300_000 };

/** Records that came together: a full batch, or what has come within a second. */
async function* batches(
  host: Pick<Host, 'clock'>,
  lines: AsyncIterable<string>,
  tags: readonly string[],
): AsyncGenerator<readonly JournalRecord[]> {
  const iterator = lines[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const batch: JournalRecord[] = [];
      let bytes = 0;
      const over = new AbortController();
      let lingering: Promise<'over'> | null = null;
      let ended = false;
      while (batch.length < maxBatchRecords && bytes < maxBatchBytes) {
        const got: IteratorResult<string> | 'over' =
          lingering === null ? await next : await Promise.race([next, lingering]);
        if (got === 'over') break;
        if (got.done === true) {
          ended = true;
          break;
        }
        next = iterator.next();
        const record = journalRecord(got.value, tags);
        if (record === null) continue;
        batch.push(record);
        bytes += Buffer.byteLength(record.single.text) + 256;
        lingering ??= host.clock.sleep(lingerMs, over.signal).then(() => 'over' as const);
      }
      over.abort();
      if (batch.length > 0) yield batch;
      if (ended) return;
    }
  } finally {
    // Whoever leaves early ends the reader, too.
    next.catch(() => undefined);
    await iterator.return?.();
  }
}

/** Until the service has taken or refused them for good. False when the process has to end before. */
const deliver = async (
  host: ForwardPorts,
  { service, signal }: Pick<Forwarding, 'service' | 'signal'>,
  singles: readonly Single[],
): Promise<boolean> => {
  let said: string | null = null;
  for (let attempt = 1; ; attempt += 1) {
    const outcome: SentSingles = await sendSingles(host, service, singles, signal.aborted ? lastRequestMs : requestMs);
    if (outcome.kind === 'sent' || outcome.kind === 'unacceptable') {
      if (said !== null) host.journal.message('LOG_DELIVERY_RESUMED', {});
      if (outcome.kind === 'sent') return true;
      return refused(host, outcome.status, singles, (half) => deliver(host, { service, signal }, half));
    }
    if (outcome.reason !== said) host.journal.message('LOG_DELIVERY_DELAYED', { reason: outcome.reason });
    said = outcome.reason;
    if (signal.aborted) return false;
    const afterMs = outcome.kind === 'later' ? outcome.afterMs : null;
    await host.clock.sleep(retryDelayMs(pauses, attempt, host.entropy.fraction(), afterMs), signal);
  }
};

/** One record must not take its neighbours with it: halves are sent until the one that is refused is found. */
const refused = async (
  host: Pick<Host, 'journal'>,
  status: number,
  singles: readonly Single[],
  again: (half: readonly Single[]) => Promise<boolean>,
): Promise<boolean> => {
  if (singles.length === 1) {
    host.journal.message('LOG_RECORD_REFUSED', { status });
    return true;
  }
  const middle = Math.ceil(singles.length / 2);
  return (await again(singles.slice(0, middle))) && again(singles.slice(middle));
};

const readCursor = async (host: Pick<Host, 'files'>, path: string): Promise<string | null> => {
  const text = ((await host.files.read(path, maxCursorBytes)) ?? Buffer.alloc(0)).toString('utf8').trim();
  return /^[\x21-\x7e]+$/.test(text) ? text : null;
};

/** Forwards until `signal` aborts. Throws what the journal's reader throws. */
export const forwardJournal = async (host: ForwardPorts, forwarding: Forwarding): Promise<void> => {
  const { cursorPath, signal, tags } = forwarding;
  const cursor = await readCursor(host, cursorPath);
  for await (const batch of batches(host, host.followJournal(cursor, maxLineBytes, signal), tags)) {
    const delivered = await deliver(
      host,
      forwarding,
      batch.map(({ single }) => single),
    );
    if (!delivered) return;
    const last = batch.at(-1);
    if (last !== undefined) await host.files.writeAtomically(cursorPath, Buffer.from(last.cursor), 0o600);
  }
};
