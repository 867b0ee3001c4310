/** `triseed keyd --replay`, as people call it: a recording, and files that are none or were made to look like one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { keydCommand } from '../../../agent/cli/keyd.ts';
import { prepare, step } from '../../../agent/keyd/machine.ts';
import { keptOf } from '../../../agent/keyd/record.ts';
import {
  effectWords,
  newRecording,
  parseRecording,
  recorded,
  renderRecording,
  replay,
} from '../../../agent/keyd/recording.ts';
import type { Event, WatchConfiguration } from '../../../agent/keyd/state.ts';
import { callCommand } from '../../fakes/command-line.ts';

const folder = mkdtempSync(join(tmpdir(), 'replay-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'events.json');

const replayed = (text: string) => {
  writeFileSync(path, text);
  return callCommand(
    (host, io) =>
      keydCommand({
        io,
        plainHost: async () => host,
        configured: async () => {
          throw new Error('a replay reads no configuration');
        },
        credentialsFolder: null,
        ask: async () => {
          throw new Error('a replay asks nobody');
        },
        serve: async () => {
          throw new Error('a replay serves nobody');
        },
        notify: async () => {},
        onReload: () => () => {},
        signal: new AbortController().signal,
      }),
    ['--replay', path],
  );
};

const minute = 60_000;
const configuration: WatchConfiguration = {
  bootId: 'boot-1',
  pollMs: minute,
  onRevoked: 'grace',
  provenAtMs: 0,
  volumes: [{ volume: 'data', key: 'key-1', kmsTimeoutMs: 10 * minute, wrapped: 'b2xk', keyVersion: 'v1' }],
};
const polled = (atMs: number, answer: (Event & { kind: 'pollFinished' })['answer']): Event => ({
  kind: 'pollFinished',
  atMs,
  key: 'key-1',
  answer,
  jitter: 0.5,
});
/** Every kind of event, and every state of a renewal. */
const events: readonly Event[] = [
  { kind: 'started', atMs: 0, kept: keptOf(prepare(configuration)) },
  polled(100, { kind: 'active', keyVersion: 'v2', correlationId: 'c-1' }),
  { kind: 'rewrapFinished', atMs: 200, volume: 'data', outcome: { kind: 'failed', reason: 'no answer' } },
  { kind: 'tick', atMs: minute },
  polled(minute + 300, { kind: 'active', keyVersion: 'v2' }),
  {
    kind: 'rewrapFinished',
    atMs: minute + 400,
    volume: 'data',
    outcome: { kind: 'done', wrapped: 'bmV3', keyVersion: 'v2' },
  },
  { kind: 'storeFinished', atMs: minute + 500, volume: 'data', outcome: { kind: 'failed', reason: 'no space' } },
  { kind: 'tick', atMs: 2 * minute + 1_000 },
  { kind: 'storeFinished', atMs: 2 * minute + 2_000, volume: 'data', outcome: { kind: 'done' } },
  polled(2 * minute + 2_500, { kind: 'retryable', reason: 'HTTP status 503', afterMs: 1_000 }),
  { kind: 'reloaded', atMs: 2 * minute + 3_000, pollMs: minute / 2, onRevoked: 'immediate' },
  polled(2 * minute + 4_000, { kind: 'notActive', state: 'suspended', correlationId: null }),
  { kind: 'terminated', atMs: 2 * minute + 5_000 },
];
/** Recorded from the event `from` on, so that every state is once the one it begins with. */
const recordingFrom = (from: number) => {
  let state = prepare(configuration);
  let recording = newRecording(state);
  for (const [at, event] of events.entries()) {
    if (at === from) recording = newRecording(state);
    const answered = step(state, event);
    state = answered.state;
    if (at >= from) recording = recorded(recording, event, answered.effects);
  }
  return recording;
};
const text = renderRecording(recordingFrom(0));

t.test('a recording replays, whatever it begins with', async (t) => {
  for (const from of events.keys()) {
    const { status, stdout, stderr } = await replayed(renderRecording(recordingFrom(from)));
    t.equal(status, 0, stderr);
    t.equal(stdout.split('\n').length - 1, 2 * (events.length - from));
  }
  const { stdout } = await replayed(text);
  t.match(stdout, '121.000 s   tick');
  t.match(stdout, '→ REWRAP_FAILED');
});

t.test('what a recording says cannot move the cursor of a terminal', async (t) => {
  const hostile = '\\u001b[2J\\u009b31m\\u202e\\u2028';
  const { stdout } = await replayed(text.replaceAll('key-1', `key-1${hostile}`).replaceAll('no answer', hostile));
  t.match(stdout, 'poll key-1');
  t.notMatch(stdout.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
});

/** Every place inside a value: the way to it, and what stands there. */
const placesIn = (
  value: unknown,
  way: readonly (string | number)[] = [],
): readonly (readonly (string | number)[])[] => {
  if (value === null || typeof value !== 'object') return [way];
  const inner = Object.entries(value).flatMap(([name, entry]) => placesIn(entry, [...way, name]));
  return way.length === 0 ? inner : [way, ...inner];
};

const changed = (recording: unknown, way: readonly (string | number)[], to: unknown): string => {
  const copy = structuredClone(recording) as Record<string | number, unknown>;
  let at = copy;
  for (const step of way.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
  const last = way.at(-1) ?? '';
  if (to === undefined) delete at[last];
  else at[last] = to;
  return JSON.stringify(copy);
};

t.test('a file that is no recording is refused', async (t) => {
  const recording = JSON.parse(text);
  for (const wrong of [
    '',
    '7',
    '{}',
    '{"version":1,"begin":{"keys":[],"volumes":[]},"events":[]}',
    changed(recording, ['begin', 'keys'], []),
    changed(recording, ['begin', 'volumes', 0, 'upkeep'], undefined),
    changed(recording, ['events', 0, 'event', 'kept', 'keys', 0, 'intervalMs'], 'x'),
    changed(recording, ['events', 1, 'event', 'atMs'], 'soon'),
    changed(recording, ['events', 1, 'event', 'answer'], null),
  ])
    t.match(await replayed(wrong), { status: 3, stdout: '', stderr: /not a recording/ }, wrong.slice(0, 300));
});

t.test('wherever a recording is changed, it is refused or replays: nothing of the machine breaks', async (t) => {
  let refused = 0;
  for (const from of [0, 3, 6, 10]) {
    const recording = JSON.parse(renderRecording(recordingFrom(from)));
    for (const way of placesIn(recording))
      for (const to of [undefined, null, 'x', -1.5, {}, [], [null], true]) {
        const read = parseRecording(Buffer.from(changed(recording, way, to)));
        if (read === null) refused += 1;
        else if (/undefined|NaN/.test(JSON.stringify(replay(read).map(({ effects }) => effectWords(effects)))))
          t.fail(`${way.join('.')} = ${JSON.stringify(to)}`);
      }
  }
  t.ok(refused > 1_000, `${refused} refused`);
});
