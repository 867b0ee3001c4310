/** The forwarder to IBM Cloud Logs: what a journal record becomes, in what order it is sent, and what becomes of it when nobody takes it. */
import t from 'tap';
import { type ForwardPorts, forwardJournal } from '../../../agent/logging/forward.ts';
import { ingestionUrl, journalRecord } from '../../../agent/logging/log-router.ts';
import { Secret } from '../../../agent/secret.ts';
import type { FollowJournal } from '../../../agent/service-ports.ts';
import { manualClock, settle } from '../../fakes/clock.ts';
import { filesInMap } from '../../fakes/files-in-map.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { type FakeAnswer, fakeHttp } from '../../fakes/http.ts';

const line = (number: number, fields: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    __CURSOR: `c${number}`,
    __REALTIME_TIMESTAMP: String(1_800_000_000_000_000 + number),
    MESSAGE: `record ${number}`,
    PRIORITY: '4',
    SYSLOG_IDENTIFIER: 'keydaemon',
    _HOSTNAME: 'guest-7',
    _SYSTEMD_UNIT: 'triseed-keyd.service',
    ...fields,
  });

t.test('a journal record as the service takes it', async (t) => {
  t.strictSame(journalRecord(line(7, { CONTAINER_NAME: 'web', SECRET_FIELD: 'not carried' }), []), {
    cursor: 'c7',
    isOfForwarder: false,
    single: {
      applicationName: 'triseed',
      subsystemName: 'keydaemon',
      computerName: 'guest-7',
      severity: 4,
      timestamp: 1_800_000_000_000.007,
      text: JSON.stringify({
        message: 'record 7',
        _HOSTNAME: 'guest-7',
        SYSLOG_IDENTIFIER: 'keydaemon',
        _SYSTEMD_UNIT: 'triseed-keyd.service',
        CONTAINER_NAME: 'web',
      }),
    },
  });
  const severities = ['0', '1', '2', '3', '4', '5', '6', '7', '99', undefined].map(
    (PRIORITY) => journalRecord(line(1, { PRIORITY }), [])?.single.severity,
  );
  t.strictSame(severities, [6, 6, 6, 5, 4, 3, 3, 1, 3, 3]);
  const message = (value: unknown): unknown =>
    JSON.parse(journalRecord(line(1, { MESSAGE: value }), [])?.single.text ?? '{}').message;
  t.equal(message([0x62, 0x79, 0x74, 0x65, 0x73]), 'bytes', 'bytes that are no text come as numbers');
  t.equal(message(['first', 'second']), 'first', 'a field may come twice');
  t.equal(message('x'.repeat(100_000)), 'x'.repeat(65_536));
  t.equal(journalRecord(line(1), ['a', 'b'])?.single.category, 'a,b');
  for (const hostile of [
    '',
    'null',
    '[]',
    '{',
    '7',
    '{"MESSAGE":"no cursor"}',
    '{"__CURSOR":"x"}',
    line(1, { MESSAGE: null }),
  ])
    t.equal(journalRecord(hostile, []), null, hostile);
});

t.test('where it goes', async (t) => {
  t.equal(
    ingestionUrl({ hostname: 'x.ingress.eu-de.logs.example', port: 443 }),
    'https://x.ingress.eu-de.logs.example:443/logs/v1/singles',
  );
  t.equal(ingestionUrl({ hostname: 'fd00::1', port: 8443 }), 'https://[fd00::1]:8443/logs/v1/singles');
});

const cursorPath = '/run/triseed-log-router/cursor';

/** `lines` are there when the forwarder begins, null is one that is too long; the reader then waits for the end. */
const forwarder = (
  lines: readonly (string | null)[],
  answer: (attempt: number, body: readonly { readonly text: string }[]) => FakeAnswer,
  given: {
    readonly cursor?: string;
    /** What the forwarder journals comes back as a record, as it does in a guest. */
    readonly readsItself?: true;
  } = {},
) => {
  const clock = manualClock();
  const base = hostOnFiles();
  const stop = new AbortController();
  const files = filesInMap(given.cursor === undefined ? {} : { [cursorPath]: given.cursor });
  files.folders.set('/run/triseed-log-router', 0o700);
  const taken: string[] = [];
  let attempts = 0;
  const http = fakeHttp(clock, ({ url, body }) => {
    if (url.endsWith('/identity/token')) return { status: 200, body: { access_token: 'token', expires_in: 3600 } };
    attempts += 1;
    const singles = JSON.parse(body) as readonly { readonly text: string }[];
    const given = answer(attempts, singles);
    if (typeof given === 'object' && 'status' in given && given.status === 200)
      taken.push(...singles.map(({ text }) => String(JSON.parse(text).message)));
    return given;
  });
  const asked: (string | null)[] = [];
  let read = 0;
  const coming = [...lines];
  let wake = (): void => {};
  const followJournal: FollowJournal = async function* (cursor, _limit, signal) {
    asked.push(cursor);
    signal.addEventListener('abort', () => wake(), { once: true });
    for (;;) {
      for (let text = coming.shift(); text !== undefined; text = coming.shift()) {
        read += 1;
        yield text;
      }
      if (signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const journal: ForwardPorts['journal'] = {
    ...base.journal,
    message: (name, facts) => {
      base.journal.message(name, facts);
      if (given.readsItself !== true) return;
      const own = { MESSAGE: `own ${name}`, _SYSTEMD_UNIT: 'triseed-log-router.service' };
      coming.push(line(10_000 + base.messages.length, own));
      wake();
    },
  };
  const host: ForwardPorts = { ...base, journal, files, clock, http: http.send, followJournal };
  const service = { hostname: 'x.example', port: 443, apiKey: Secret.fromText('key'), iam: 'https://iam.example' };
  const ended = forwardJournal(host, { service, tags: [], cursorPath, signal: stop.signal });
  const cursor = (): string | undefined => files.files.get(cursorPath)?.bytes.toString();
  return { asked, clock, cursor, ended, messages: base.messages, read: () => read, stop, taken };
};
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, at) => `record ${from + at}`);
const lines = (from: number, to: number): string[] => numbered(from, to).map((_, at) => line(from + at));

t.test('what came together goes together, in its order, and is remembered', async (t) => {
  const { asked, clock, cursor, ended, stop, taken } = forwarder(lines(1, 3), () => ({ status: 200 }));
  await clock.advance(500);
  t.strictSame(taken, [], 'a second is waited for more');
  await clock.advance(1_000);
  t.strictSame(taken, numbered(1, 3));
  t.equal(cursor(), 'c3');
  t.strictSame(asked, [null]);
  stop.abort();
  await clock.run(ended);
});

t.test('a new process goes on where the old one was', async (t) => {
  const { asked, clock, ended, stop } = forwarder([], () => ({ status: 200 }), { cursor: 's=1;i=2' });
  await settle();
  t.strictSame(asked, ['s=1;i=2']);
  stop.abort();
  await clock.run(ended);
});

t.test('a service that is away: told once, nothing lost, nothing read ahead', async (t) => {
  const { clock, cursor, ended, messages, read, stop, taken } = forwarder(lines(1, 1_400), (attempt) =>
    attempt <= 6 ? { status: 503 } : { status: 200 },
  );
  await clock.advance(3_000);
  t.ok(read() <= 502, `${read()} records read while the first batch waits`);
  await clock.advance(600_000);
  t.strictSame(taken, numbered(1, 1_400));
  t.equal(cursor(), 'c1400');
  t.strictSame(
    messages.map(({ name }) => name),
    ['LOG_DELIVERY_DELAYED', 'LOG_DELIVERY_RESUMED'],
  );
  stop.abort();
  await clock.run(ended);
});

t.test('a service that asks for patience gets it, in seconds or by a date of its own clock', async (t) => {
  const date = 'Fri, 01 Jan 2038 00:00:00 GMT';
  for (const headers of [
    { 'retry-after': '240' },
    { 'retry-after': ' 240 ' },
    { date, 'retry-after': 'Fri, 01 Jan 2038 00:04:00 GMT' },
  ]) {
    const { clock, ended, stop, taken } = forwarder(lines(1, 2), (attempt) =>
      attempt === 1 ? { status: 503, headers } : { status: 200 },
    );
    await clock.advance(240_000);
    t.strictSame(taken, [], JSON.stringify(headers));
    await clock.advance(2_000);
    t.strictSame(taken, numbered(1, 2));
    stop.abort();
    await clock.run(ended);
  }
});

t.test('an API key that is withdrawn is an outage like any other', async (t) => {
  const { clock, ended, messages, stop, taken } = forwarder(lines(1, 2), (attempt) =>
    attempt <= 4 ? { status: 403 } : { status: 200 },
  );
  await clock.advance(600_000);
  t.strictSame(taken, numbered(1, 2));
  t.match(messages[0], { name: 'LOG_DELIVERY_DELAYED', facts: { reason: /403/ } });
  stop.abort();
  await clock.run(ended);
});

t.test('one record that is refused does not take its neighbours with it', async (t) => {
  for (const status of [400, 413]) {
    const { clock, cursor, ended, messages, stop, taken } = forwarder(lines(1, 9), (_attempt, singles) =>
      singles.some(({ text }) => text.includes('record 6')) ? { status } : { status: 200 },
    );
    await clock.advance(600_000);
    t.strictSame(
      taken,
      numbered(1, 9).filter((text) => text !== 'record 6'),
    );
    t.equal(cursor(), 'c9');
    t.strictSame(messages, [{ name: 'LOG_RECORD_REFUSED', facts: { count: 1, status } }]);
    stop.abort();
    await clock.run(ended);
  }
});

t.test('a service that refuses every record hears of it once, not of what it refused to hear', async (t) => {
  const { clock, cursor, ended, messages, stop } = forwarder(lines(1, 50), () => ({ status: 400 }), {
    readsItself: true,
  });
  await clock.advance(3_600_000);
  t.strictSame(messages, [{ name: 'LOG_RECORD_REFUSED', facts: { count: 50, status: 400 } }]);
  t.equal(cursor(), 'c10001');
  stop.abort();
  await clock.run(ended);
});

t.test('what is refused is told to a service that takes the rest', async (t) => {
  const { clock, ended, stop, taken } = forwarder(
    lines(1, 3),
    (_attempt, singles) => (singles.some(({ text }) => text.includes('record 2')) ? { status: 400 } : { status: 200 }),
    { readsItself: true },
  );
  await clock.advance(60_000);
  t.strictSame(taken, ['record 1', 'record 3', 'own LOG_RECORD_REFUSED']);
  stop.abort();
  await clock.run(ended);
});

t.test('one message a minute, and every record counted in one', async (t) => {
  const { clock, ended, messages, stop } = forwarder(lines(1, 2_000), () => ({ status: 422 }));
  await clock.advance(59_000);
  t.equal(messages.length, 1);
  await clock.advance(3_000);
  t.equal(messages.length, 2);
  await clock.advance(600_000);
  const counts = messages.map(({ facts }) => (facts as { readonly count: number }).count);
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    2_000,
  );
  stop.abort();
  await clock.run(ended);
  t.equal(clock.sleeping, 0, 'nothing keeps the process');
});

t.test('a record that is too long is left out, and told', async (t) => {
  const { clock, ended, messages, stop, taken } = forwarder([line(1), null, line(2)], () => ({ status: 200 }), {
    readsItself: true,
  });
  await clock.advance(60_000);
  t.strictSame(taken, ['record 1', 'record 2', 'own LOG_RECORD_TOO_LONG']);
  t.match(messages, [{ name: 'LOG_RECORD_TOO_LONG', facts: { count: 1 } }]);
  stop.abort();
  await clock.run(ended);
});

t.test('at the end what is there is sent once; a service that is away is not waited for', async (t) => {
  const there = forwarder(lines(1, 3), () => ({ status: 200 }));
  await settle();
  there.stop.abort();
  await there.clock.run(there.ended);
  t.strictSame(there.taken, numbered(1, 3));
  const away = forwarder(lines(1, 3), () => ({ status: 503 }));
  await settle();
  away.stop.abort();
  const from = away.clock.monotonicMs();
  await away.clock.run(away.ended);
  t.ok(away.clock.monotonicMs() - from < 10_000);
  t.equal(away.cursor(), undefined);
});
