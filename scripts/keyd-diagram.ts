/**
 * The diagrams of docs/key-daemon.md, found out by asking the machine itself: it is brought into each of its states, told each event
 * there, and what it does is written down. What cannot be reached that way is not drawn.
 */
import { prepare, step } from '../agent/keyd/machine.ts';
import { keptOf } from '../agent/keyd/record.ts';
import type { Effect, Event, PollAnswer, State, WatchConfiguration } from '../agent/keyd/state.ts';
import { messages } from '../agent/messages.ts';

const second = 1_000;
const minute = 60 * second;

const configuration: WatchConfiguration = {
  bootId: 'boot',
  pollMs: minute,
  onRevoked: 'grace',
  provenAtMs: 0,
  volumes: [{ volume: 'data', key: 'key-1', kmsTimeoutMs: 10 * minute, wrapped: 'old', keyVersion: 'first' }],
};
const withTimeout = (kmsTimeoutMs: number): WatchConfiguration => ({
  ...configuration,
  volumes: configuration.volumes.map((volume) => ({ ...volume, kmsTimeoutMs })),
});

const active: PollAnswer = { kind: 'active', keyVersion: 'first' };
const rotated: PollAnswer = { kind: 'active', keyVersion: 'second' };
const silent: PollAnswer = { kind: 'retryable', reason: 'connect', afterMs: null };
/** One of each kind that is no silence: for the machine they are the same, or this fails. */
const refusals: readonly PollAnswer[] = [
  { kind: 'notActive', state: 'suspended' },
  { kind: 'notActive', state: 'deactivated' },
  { kind: 'notActive', state: 'destroyed' },
  { kind: 'notActive', state: 'preActivation' },
  { kind: 'notActive', state: 'unknown' },
  { kind: 'gone' },
  { kind: 'denied', by: 'iam' },
  { kind: 'denied', by: 'kms' },
  { kind: 'badCiphertext' },
  { kind: 'badConfiguration', reason: 'not a root key' },
];
const [suspended = silent] = refusals;

interface Moment {
  readonly state: State;
  readonly atMs: number;
}

const told = ({ state }: Moment, ...events: readonly Event[]): Moment => ({
  state: events.reduce((current, event) => step(current, event).state, state),
  atMs: events.at(-1)?.atMs ?? 0,
});
const polled = (atMs: number, answer: PollAnswer): Event => ({
  kind: 'pollFinished',
  atMs,
  key: 'key-1',
  answer,
  jitter: 0,
});
const tick = (atMs: number): Event => ({ kind: 'tick', atMs });
const begun = (given = configuration): Moment =>
  told({ state: prepare(given), atMs: 0 }, { kind: 'started', atMs: 0, kept: null });

const idle = told(begun(), polled(100, active));
/** A poll is running in those below, so that its answer can be told. */
const watching = told(idle, tick(minute));
const idleInGrace = told(watching, polled(minute + 100, suspended));
const grace = told(idleInGrace, tick(minute + 10 * second));
const impatient = begun(withTimeout(0));
const impatientGrace = (answer: PollAnswer): Moment => told(impatient, polled(100, answer), tick(10 * second));
const strict = begun({ ...configuration, onRevoked: 'immediate' });
const failed = { kind: 'failed', reason: 'scripted' } as const;
const renewed = { kind: 'done', wrapped: 'new', keyVersion: 'second' } as const;
const rewrapFinished = (atMs: number, outcome: typeof failed | typeof renewed): Event => ({
  kind: 'rewrapFinished',
  atMs,
  volume: 'data',
  outcome,
});
const storeFinished = (atMs: number, outcome: typeof failed | { readonly kind: 'done' }): Event => ({
  kind: 'storeFinished',
  atMs,
  volume: 'data',
  outcome,
});
const rewrapping = told(watching, polled(minute + 100, rotated));
const rewrapDue = told(rewrapping, rewrapFinished(minute + 200, failed), tick(3 * minute));
const storing = told(rewrapping, rewrapFinished(minute + 200, renewed));
const storeDue = told(storing, storeFinished(minute + 300, failed));

const guardState = ({ phase, volumes }: State): string => {
  if (phase !== 'guarding') return phase === 'prepared' ? '[*]' : phase;
  return volumes.some(({ grace: running }) => running !== null) ? 'grace' : 'watching';
};
const upkeepState = ({ volumes }: State): string => volumes[0]?.upkeep.kind ?? 'none';

const worded: Readonly<Partial<Record<Effect['kind'], string>>> = {
  keep: 'on record',
  poll: 'poll',
  rewrap: 'rewrap',
  store: 'store',
  revoke: 'revoke',
};
const effectsOf = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((effect) => {
    if (effect.kind === 'message') return [messages[effect.name].id];
    const words = worded[effect.kind];
    return words === undefined ? [] : [words];
  });

interface Row {
  readonly from: string;
  readonly event: string;
  readonly to: string;
  readonly effects: readonly string[];
}

const rowOf = (stateOf: (state: State) => string, { state }: Moment, label: string, event: Event): Row => {
  const answered = step(state, event);
  return { from: stateOf(state), event: label, to: stateOf(answered.state), effects: effectsOf(answered.effects) };
};

/** Every kind of refusal is told; a machine that told them apart would need more rows. */
const refusedRow = (moment: Moment, label: string): Row => {
  const [first, ...others] = refusals.map((answer) =>
    rowOf(guardState, moment, label, polled(moment.atMs + 100, answer)),
  );
  if (first === undefined || others.some((row) => JSON.stringify(row) !== JSON.stringify(first)))
    throw new Error(`kinds of refusals differ: ${label}`);
  return first;
};

const guardRow = (moment: Moment, label: string, event: Event): Row => rowOf(guardState, moment, label, event);
const upkeepRow = (moment: Moment, label: string, event: Event): Row => rowOf(upkeepState, moment, label, event);

const prepared: Moment = { state: prepare(configuration), atMs: 0 };
const restarted = (moment: Moment, atMs: number): Event => ({ kind: 'started', atMs, kept: keptOf(moment.state) });
const deadlineMs = 11 * minute;

const guardRows: readonly Row[] = [
  guardRow(prepared, 'started', { kind: 'started', atMs: 0, kept: null }),
  guardRow(prepared, 'started again, healthy', restarted(watching, 2 * minute)),
  guardRow(prepared, 'started again in grace', restarted(grace, 5 * minute)),
  guardRow(prepared, 'started again after the deadline', restarted(grace, deadlineMs + minute)),
  guardRow(watching, 'active', polled(minute + 100, active)),
  guardRow(idle, 'next poll is due', tick(minute)),
  refusedRow(watching, 'refused'),
  guardRow(watching, 'no answer', polled(minute + 100, silent)),
  guardRow(watching, 'the guest stood still past the deadline', tick(60 * minute)),
  guardRow(idle, 'settings reloaded', { kind: 'reloaded', atMs: 200, pollMs: minute, onRevoked: 'grace' }),
  guardRow(watching, 'terminated', { kind: 'terminated', atMs: minute + 50 }),
  refusedRow(grace, 'refused'),
  guardRow(grace, 'no answer', polled(grace.atMs + 100, silent)),
  guardRow(grace, 'active', polled(grace.atMs + 100, active)),
  guardRow(idleInGrace, 'next poll is due, ten seconds after the one before', tick(minute + 10 * second)),
  guardRow(grace, 'deadline', tick(deadlineMs)),
  guardRow(idleInGrace, 'settings reloaded', {
    kind: 'reloaded',
    atMs: 2 * minute,
    pollMs: minute,
    onRevoked: 'grace',
  }),
  guardRow(grace, 'terminated', { kind: 'terminated', atMs: 2 * minute }),
  refusedRow(strict, 'refused, onRevoked: immediate'),
  refusedRow(impatient, 'refused, kmsTimeout 0'),
  guardRow(
    impatientGrace(suspended),
    'one more poll after a refusal, kmsTimeout 0',
    polled(10 * second + 100, suspended),
  ),
  guardRow(
    told(impatientGrace(silent), polled(10 * second + 100, silent), tick(20 * second)),
    'third poll without an answer, kmsTimeout 0',
    polled(20 * second + 100, silent),
  ),
  guardRow(told(grace, tick(deadlineMs)), 'any answer', polled(deadlineMs + 1, active)),
  guardRow(told(grace, tick(deadlineMs)), 'terminated', { kind: 'terminated', atMs: deadlineMs + 1 }),
];

const upkeepRows: readonly Row[] = [
  upkeepRow(watching, 'active, new version', polled(minute + 100, rotated)),
  upkeepRow(rewrapping, 'renewed', rewrapFinished(minute + 200, renewed)),
  upkeepRow(rewrapping, 'renewal failed', rewrapFinished(minute + 200, failed)),
  upkeepRow(rewrapDue, 'active, and it is time', polled(3 * minute + 100, rotated)),
  upkeepRow(rewrapDue, 'active, old version again', polled(3 * minute + 100, active)),
  upkeepRow(storing, 'stored', storeFinished(minute + 300, { kind: 'done' })),
  upkeepRow(storing, 'store failed', storeFinished(minute + 300, failed)),
  upkeepRow(storeDue, 'it is time', tick(storeDue.atMs + 2 * minute)),
];

/** Mermaid: a colon ends a label (Mermaid documentation, "State diagrams"). */
const labelOf = ({ event, effects }: Row): string => {
  const said = effects.filter((word) => word !== 'on record' && word !== 'poll');
  return [event, ...said].join(' / ').replaceAll(':', '');
};

const diagram = (rows: readonly Row[]): string => {
  const moves = rows.filter(({ from, to }) => from !== to);
  return [
    '```mermaid',
    'stateDiagram-v2',
    ...moves.map((row) => `    ${row.from} --> ${row.to}: ${labelOf(row)}`),
    '```',
  ].join('\n');
};

const table = (rows: readonly Row[]): string =>
  [
    '| in | event | then | done, in this order |',
    '| --- | --- | --- | --- |',
    ...rows.map(({ from, event, to, effects }) => {
      const before = from === '[*]' ? 'not started' : from;
      return `| ${before} | ${event} | ${to} | ${effects.length === 0 ? '—' : effects.join(', ')} |`;
    }),
  ].join('\n');

/** The part of docs/key-daemon.md between its marks. */
export const keydDiagrams = (): string =>
  [
    diagram(guardRows),
    '',
    table(guardRows),
    '',
    'Keeping the stored wrapping current, of each volume for itself. It never leads to a revocation:',
    '',
    diagram(upkeepRows),
    '',
    table(upkeepRows),
  ].join('\n');
