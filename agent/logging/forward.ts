/**
 * Sends the journal to IBM Cloud Logs, record by record in its order, and keeps what cannot be sent where it is: in the journal,
 * which is read no further until the service takes it.
 */
import { retryDelayMs } from '../kms/retry.ts';
import type { Host } from '../ports.ts';
import type { FollowJournal } from '../service-ports.ts';
import { type JournalRecord, journalRecord } from './log-router.ts';
import { type LogService, type SentSingles, sendSingles } from './send-singles.ts';
import { type ToldSeldom, toldSeldom } from './told-seldom.ts';

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
  lines: AsyncIterable<string | null>,
  tags: readonly string[],
  tooLong: ToldSeldom,
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
        const got: IteratorResult<string | null> | 'over' =
          lingering === null ? await next : await Promise.race([next, lingering]);
        if (got === 'over') break;
        if (got.done === true) {
          ended = true;
          break;
        }
        next = iterator.next();
        if (got.value === null) {
          tooLong.count();
          tooLong.due();
          continue;
        }
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

type Refuse = (status: number, record: JournalRecord) => void;

/** Until the service has taken or refused them for good. False when the process has to end before. */
const deliver = async (
  host: ForwardPorts,
  { service, signal }: Pick<Forwarding, 'service' | 'signal'>,
  records: readonly JournalRecord[],
  refuse: Refuse,
): Promise<boolean> => {
  const singles = records.map(({ single }) => single);
  let said: string | null = null;
  for (let attempt = 1; ; attempt += 1) {
    const outcome: SentSingles = await sendSingles(host, service, singles, signal.aborted ? lastRequestMs : requestMs);
    if (outcome.kind === 'sent' || outcome.kind === 'unacceptable') {
      if (said !== null) host.journal.message('LOG_DELIVERY_RESUMED', {});
      if (outcome.kind === 'sent') return true;
      const [first, ...others] = records;
      if (first === undefined) return true;
      if (others.length === 0) {
        refuse(outcome.status, first);
        return true;
      }
      // One record must not take its neighbours with it: halves are sent until the one that is refused is found.
      const middle = Math.ceil(records.length / 2);
      for (const half of [records.slice(0, middle), records.slice(middle)])
        if (!(await deliver(host, { service, signal }, half, refuse))) return false;
      return true;
    }
    if (outcome.reason !== said) host.journal.message('LOG_DELIVERY_DELAYED', { reason: outcome.reason });
    said = outcome.reason;
    if (signal.aborted) return false;
    const afterMs = outcome.kind === 'later' ? outcome.afterMs : null;
    await host.clock.sleep(retryDelayMs(pauses, attempt, host.entropy.fraction(), afterMs), signal);
  }
};

const readCursor = async (host: Pick<Host, 'files'>, path: string): Promise<string | null> => {
  const text = ((await host.files.read(path, maxCursorBytes)) ?? Buffer.alloc(0)).toString('utf8').trim();
  return /^[\x21-\x7e]+$/.test(text) ? text : null;
};

/** Forwards until `signal` aborts. Throws what the journal's reader throws. */
export const forwardJournal = async (host: ForwardPorts, forwarding: Forwarding): Promise<void> => {
  const { cursorPath, signal, tags } = forwarding;
  const cursor = await readCursor(host, cursorPath);
  let status = 0;
  const refused = toldSeldom(host.clock, (count) => host.journal.message('LOG_RECORD_REFUSED', { count, status }));
  const tooLong = toldSeldom(host.clock, (count) =>
    host.journal.message('LOG_RECORD_TOO_LONG', { count, maxBytes: maxLineBytes }),
  );
  const refuse: Refuse = (given, { isOfForwarder }) => {
    // The message about a refusal is a record, too: told of in turn, it would never end.
    if (isOfForwarder) return;
    status = given;
    refused.count();
  };
  try {
    for await (const batch of batches(host, host.followJournal(cursor, maxLineBytes, signal), tags, tooLong)) {
      const delivered = await deliver(host, forwarding, batch, refuse);
      refused.due();
      if (!delivered) return;
      const last = batch.at(-1);
      if (last !== undefined) await host.files.writeAtomically(cursorPath, Buffer.from(last.cursor), 0o600);
    }
  } finally {
    refused.end();
    tooLong.end();
  }
};
