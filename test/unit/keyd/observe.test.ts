/** What the daemon tells others: status, metrics, audit records, recorded events. */
import t from 'tap';
import { prepare, step } from '../../../agent/keyd/machine.ts';
import { renderMetrics } from '../../../agent/keyd/metrics.ts';
import { observer } from '../../../agent/keyd/observe.ts';
import { newRecording, parseRecording, recorded, renderRecording, replay } from '../../../agent/keyd/recording.ts';
import type { Event, PollAnswer, State, WatchConfiguration } from '../../../agent/keyd/state.ts';
import { parseStatus, renderStatus } from '../../../agent/keyd/status.ts';
import { daemonHost } from './daemon-host.ts';

const minute = 60_000;
const configuration: WatchConfiguration = {
  bootId: 'boot-1',
  pollMs: minute,
  onRevoked: 'grace',
  provenAtMs: 0,
  volumes: [
    { volume: 'data', key: 'key-1', kmsTimeoutMs: 10 * minute, wrapped: 'b2xk', keyVersion: 'v1' },
    { volume: 'logs', key: 'key-2', kmsTimeoutMs: 10 * minute, wrapped: 'b2xk', keyVersion: 'v1' },
  ],
};
const keys = [
  { key: 'key-1', crn: 'crn:one', volumes: ['data'] },
  { key: 'key-2', crn: 'crn:two', volumes: ['logs'] },
];
const active: PollAnswer = { kind: 'active', keyVersion: 'v1', correlationId: 'c-1' };
const polled = (atMs: number, key: string, answer: PollAnswer): Event => ({
  kind: 'pollFinished',
  atMs,
  key,
  answer,
  jitter: 0.5,
});

/** An observer that has seen `events`, on a clock that stands where the last one was. */
const after = async (...events: readonly Event[]) => {
  const host = daemonHost();
  let state: State = prepare(configuration);
  const seen = observer(host, { run: '/run/triseed', keys, begin: state });
  for (const event of [{ kind: 'started', atMs: 0, kept: null } as const, ...events]) {
    const answered = step(state, event);
    state = answered.state;
    await host.clock.advance(Math.max(0, 1_000_000 + event.atMs - host.clock.monotonicMs()));
    await seen.seen(event, answered);
  }
  const file = (name: string): string => host.written.get(`/run/triseed-keyd/${name}`) ?? '';
  const audit = host.texts.filter((text) => text.startsWith('{"version":1,"what"')).map((text) => JSON.parse(text));
  return { host, seen, state, file, audit };
};

t.test('the status says what the latest poll said and when the guest will restart', async (t) => {
  const { seen, file } = await after(
    polled(100, 'key-1', active),
    polled(200, 'key-2', { kind: 'notActive', state: 'suspended' }),
  );
  const status = parseStatus(seen.status());
  t.match(status, {
    bootId: 'boot-1',
    state: 'grace',
    pollSeconds: 60,
    keys: [
      { key: 'key-1', state: 'active', polls: { active: 1, other: 0 } },
      { key: 'key-2', state: 'suspended', polls: { active: 0, other: 1 } },
    ],
    volumes: [
      { volume: 'data', state: 'watching', deadlineMs: null, wrapping: 'current' },
      { volume: 'logs', state: 'grace', deadlineMs: 11 * minute },
    ],
    revocation: null,
  });
  t.strictSame(parseStatus(Buffer.from(file('status.json')))?.volumes, status?.volumes, 'the file says the same');
  t.notOk(file('status.json').includes('b2xk'), 'no wrapped seed is told');
  for (const wrong of ['', '{}', '[]', renderStatus(status as never).replace('"grace"', '"other"')])
    t.equal(parseStatus(Buffer.from(wrong)), null, wrong);
});

t.test('a rotation shows until the renewed seed is stored', async (t) => {
  const rotated = polled(100, 'key-1', { ...active, keyVersion: 'v2' });
  const renewed: Event = {
    kind: 'rewrapFinished',
    atMs: 200,
    volume: 'data',
    outcome: { kind: 'done', wrapped: 'bmV3', keyVersion: 'v2', correlationId: 'c-2' },
  };
  const failed: Event = {
    kind: 'storeFinished',
    atMs: 300,
    volume: 'data',
    outcome: { kind: 'failed', reason: 'EIO' },
  };
  const pending = await after(rotated, renewed, failed);
  t.match(parseStatus(pending.seen.status())?.volumes[0], {
    wrapping: 'being renewed',
    rewraps: { done: 1, failed: 0 },
    stores: { done: 0, failed: 1 },
  });
  const stored: Event = { kind: 'storeFinished', atMs: 60_300, volume: 'data', outcome: { kind: 'done' } };
  const done = await after(rotated, renewed, failed, { kind: 'tick', atMs: 60_300 }, stored);
  t.match(parseStatus(done.seen.status())?.volumes[0], { wrapping: 'current', keyVersion: 'v2', stores: { done: 1 } });
  t.strictSame(done.audit.slice(-4), [
    {
      version: 1,
      what: 'key-state',
      rootKey: 'one',
      volumes: ['data'],
      from: 'unknown',
      to: 'active',
      correlationId: 'c-1',
    },
    {
      version: 1,
      what: 'key-used',
      operation: 'rewrap',
      outcome: 'done',
      volume: 'data',
      rootKey: 'one',
      keyVersion: 'v2',
      correlationId: 'c-2',
    },
    { version: 1, what: 'seed-stored', outcome: 'EIO', volume: 'data', rootKey: 'one' },
    { version: 1, what: 'seed-stored', outcome: 'done', volume: 'data', rootKey: 'one' },
  ]);
});

t.test('a volume may have any name', async (t) => {
  const host = daemonHost();
  const [volume] = configuration.volumes;
  if (volume === undefined) throw new Error('there is none');
  const named = { ...configuration, volumes: [{ ...volume, volume: 'constructor' }] };
  let state: State = prepare(named);
  const seen = observer(host, { run: '/run/triseed', keys, begin: state });
  const outcome = { kind: 'failed', reason: 'no answer' } as const;
  for (const event of [
    { kind: 'started', atMs: 0, kept: null } as const,
    { kind: 'storeFinished', atMs: 1, volume: 'constructor', outcome } as const,
  ]) {
    const answered = step(state, event);
    state = answered.state;
    await seen.seen(event, answered);
  }
  t.match(parseStatus(seen.status()), { volumes: [{ volume: 'constructor', stores: { done: 0, failed: 1 } }] });
  t.notMatch(host.log, ['STATUS_NOT_TOLD']);
});

t.test('every change of what a key service says is on record once', async (t) => {
  const answers: readonly PollAnswer[] = [
    active,
    active,
    { kind: 'notActive', state: 'suspended' },
    { kind: 'notActive', state: 'suspended' },
    { kind: 'retryable', reason: 'connect', afterMs: null },
    { kind: 'denied', by: 'iam' },
    { kind: 'gone' },
    active,
  ];
  const events = answers.flatMap((answer, at): readonly Event[] => [
    { kind: 'tick', atMs: at * 61_000 },
    polled(at * 61_000 + 1, 'key-1', answer),
  ]);
  const { audit } = await after(...events);
  t.strictSame(
    audit.map(({ from, to }) => `${from} → ${to}`),
    [
      'unknown → active',
      'active → suspended',
      'suspended → unreachable',
      'unreachable → denied',
      'denied → gone',
      'gone → active',
    ],
  );
});

/** A reader of the text format, as strict as the textfile collector: no time stamps, every sample after its type. */
const samplesOf = (text: string): ReadonlyMap<string, number> => {
  const samples = new Map<string, number>();
  const types = new Set<string>();
  t.ok(text.endsWith('\n'));
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE ([a-z_]+) (?:gauge|counter)$/.exec(line)?.[1];
    if (type !== undefined) {
      t.notOk(types.has(type), `${type} has one type`);
      types.add(type);
    }
    if (line.startsWith('# ')) continue;
    const [, name = '', labels = '', value] =
      /^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})? (\d+(?:\.\d+)?)$/.exec(line) ?? [];
    t.ok(types.has(name), line);
    t.notOk(samples.has(name + labels), `${line} comes once`);
    samples.set(name + labels, Number(value));
  }
  return samples;
};

t.test('metrics for the textfile collector', async (t) => {
  const { file } = await after(
    polled(100, 'key-1', active),
    polled(30_000, 'key-2', { kind: 'notActive', state: 'suspended' }),
  );
  const samples = samplesOf(file('triseed.prom'));
  const expected = {
    triseed_keyd_revoking: 0,
    triseed_keyd_poll_interval_seconds: 60,
    'triseed_key_active{key="key-1"}': 1,
    'triseed_key_active{key="key-2"}': 0,
    'triseed_key_state_info{key="key-2",state="suspended"}': 1,
    'triseed_key_polls_total{key="key-2",answer="other"}': 1,
    'triseed_volume_grace{volume="data"}': 0,
    'triseed_volume_grace{volume="logs"}': 1,
    'triseed_volume_wrapping_current{volume="data"}': 1,
    'triseed_volume_stores_total{volume="data",outcome="failed"}': 0,
  };
  for (const [name, value] of Object.entries(expected)) t.equal(samples.get(name), value, name);
  t.notOk(samples.has('triseed_volume_restart_in_seconds{volume="data"}'));
  t.ok(samples.has('triseed_volume_restart_in_seconds{volume="logs"}'));
  const status = parseStatus(Buffer.from(file('status.json')));
  if (status === null) throw new Error('no status');
  const [key] = status.keys;
  const odd = { ...status, keys: [{ ...(key as never as object), key: 'a"b\\c\nd' }] } as never;
  t.match(renderMetrics(odd), 'triseed_key_active{key="a\\"b\\\\c\\nd"} 1');
});

t.test('files are written when a poll ends, not when it begins', async (t) => {
  const host = daemonHost();
  const written: string[] = [];
  const files: typeof host.files = {
    ...host.files,
    writeAtomically: async (path, bytes, mode) => {
      written.push(path.replace('/run/triseed-keyd/', ''));
      return host.files.writeAtomically(path, bytes, mode);
    },
  };
  let state: State = prepare(configuration);
  const seen = observer({ ...host, files }, { run: '/run/triseed', keys, begin: state });
  const writtenAfter = async (event: Event): Promise<readonly string[]> => {
    const answered = step(state, event);
    state = answered.state;
    written.length = 0;
    await seen.seen(event, answered);
    return [...written];
  };
  await writtenAfter({ kind: 'started', atMs: 0, kept: null });
  const both = ['status.json', 'triseed.prom'];
  t.strictSame(await writtenAfter(polled(100, 'key-1', active)), both);
  t.strictSame(await writtenAfter(polled(200, 'key-2', active)), both);
  const begun: Event = { kind: 'tick', atMs: 2 * minute };
  t.ok(
    step(state, begun).effects.some(({ kind }) => kind === 'poll'),
    'this tick starts a poll',
  );
  t.strictSame(await writtenAfter(begun), []);
});

t.test('what cannot be written is told once, and everything else goes on', async (t) => {
  const host = daemonHost();
  const failing = { ...host, files: { ...host.files, writeAtomically: () => Promise.reject(new Error('ENOSPC')) } };
  const begin = prepare(configuration);
  const seen = observer(failing, { run: '/run/triseed', keys, begin });
  const started = { kind: 'started', atMs: 0, kept: null } as const;
  const first = step(begin, started);
  await seen.seen(started, first);
  const next = polled(1, 'key-1', active);
  await seen.seen(next, step(first.state, next));
  await seen.finish();
  t.strictSame(host.log, ['STATUS_NOT_TOLD']);
  t.match(parseStatus(seen.status()), { keys: [{ polls: { active: 1 } }, {}] });
});

t.test('a recording is bounded, and what is left of it replays', async (t) => {
  let state = prepare(configuration);
  let recording = newRecording(state);
  const tell = (event: Event): void => {
    const answered = step(state, event);
    state = answered.state;
    recording = recorded(recording, event, answered.effects);
  };
  tell({ kind: 'started', atMs: 0, kept: null });
  for (let at = 0; at < 1_000; at += 1) {
    tell(polled(at * minute + 50, 'key-1', active));
    tell({ kind: 'tick', atMs: (at + 1) * minute });
  }
  const text = renderRecording(recording);
  t.ok(text.length < 200_000, `${text.length} bytes`);
  const read = parseRecording(Buffer.from(text));
  if (read === null) throw new Error('not a recording');
  const replayed = replay(read);
  t.equal(replayed.length, 256);
  t.ok(replayed.every(({ isSame }) => isSame));
  const [first] = read.events;
  if (first === undefined) throw new Error('an empty recording');
  const other = { ...read, events: [{ ...first, did: ['poll key-9'] }] };
  t.notOk(replay(other)[0]?.isSame, 'a difference is seen');
  for (const wrong of [
    '',
    '{}',
    '{"version":1,"begin":{},"events":[]}',
    text.replace('"kind":"tick"', '"kind":"other"'),
  ])
    t.equal(parseRecording(Buffer.from(wrong)), null, wrong.slice(0, 40));
});
