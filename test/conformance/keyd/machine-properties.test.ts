import fc from 'fast-check';
import t from 'tap';
import { deadlineOf } from '../../../agent/keyd/grace.ts';
import { prepare, step } from '../../../agent/keyd/machine.ts';
import type { Effect, Event, PollAnswer, WatchConfiguration } from '../../../agent/keyd/state.ts';
import { type Run, type ScriptedPoll, simulate, type World } from './simulation.ts';

const minuteMs = 60_000;
const unreachableWindowMs = 30_000;

const refusals: readonly PollAnswer[] = [
  { kind: 'notActive', state: 'suspended' },
  { kind: 'notActive', state: 'deactivated' },
  { kind: 'gone' },
  { kind: 'denied', by: 'iam' },
  { kind: 'badConfiguration', reason: 'not a root key' },
];
const isRefused = (answer: PollAnswer): boolean => answer.kind !== 'active' && answer.kind !== 'retryable';

const active = fc.record({
  kind: fc.constant('active' as const),
  keyVersion: fc.constantFrom('first', 'second', null),
});
const silence = fc.record({
  kind: fc.constant('retryable' as const),
  reason: fc.constant('connect'),
  afterMs: fc.constantFrom(null, 1_000, 90_000, 10 ** 9),
});
const pollOf = (answer: fc.Arbitrary<PollAnswer | 'hang'>): fc.Arbitrary<ScriptedPoll> =>
  fc.record({
    answer,
    slowness: fc.double({ min: 0, max: 1, noNaN: true }),
    jitter: fc.double({ min: 0, max: 0.999, noNaN: true }),
  });
const goodPoll = pollOf(active);
const badPoll = pollOf(fc.oneof(silence, fc.constantFrom(...refusals), fc.constant('hang' as const)));

const configuration = fc.record({
  bootId: fc.constant('boot-1'),
  pollMs: fc.constantFrom(5_000, 30_000, 60_000, 300_000),
  onRevoked: fc.constantFrom('grace' as const, 'immediate' as const),
  provenAtMs: fc.constant(0),
  volumes: fc
    .array(
      fc.record({
        key: fc.constantFrom('key-1', 'key-2'),
        kmsTimeoutMs: fc.constantFrom(0, 1 * minuteMs, 10 * minuteMs),
        wrapped: fc.constant('wrapped-0'),
        keyVersion: fc.constant('first'),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((volumes) => volumes.map((volume, at) => ({ ...volume, volume: `volume-${at}` }))),
});

const world = (given: {
  readonly polls: fc.Arbitrary<readonly ScriptedPoll[]>;
  readonly configuration?: fc.Arbitrary<WatchConfiguration>;
}): fc.Arbitrary<World> =>
  fc
    .record({
      configuration: given.configuration ?? configuration,
      polls: given.polls,
      rewraps: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
      stores: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
      restartsAfter: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
      startMs: fc.integer({ min: 0, max: 10 ** 9 }),
      horizonMs: fc.constant(30 * minuteMs),
    })
    .map((made) => ({ ...made, configuration: { ...made.configuration, provenAtMs: made.startMs } }));

const anything = fc.array(fc.oneof(goodPoll, badPoll), { minLength: 1, maxLength: 30 });
const runs = { numRuns: 150 };

const windowOf = (kmsTimeoutMs: number): number => (kmsTimeoutMs === 0 ? unreachableWindowMs : kmsTimeoutMs);

/** Start of the last poll of `key` answered Active by `atMs`; the boot's own proof counts as the first. */
const lastGood = (given: World, run: Run, key: string, atMs: number): number =>
  Math.max(
    given.configuration.provenAtMs,
    ...run.polls
      .filter((poll) => poll.key === key && poll.answer.kind === 'active' && poll.atMs <= atMs)
      .map(({ startedMs }) => startedMs),
  );

const effectsOf = (run: Run): readonly Effect[] => run.happened.flatMap(({ effects }) => effects);
const revocationOf = (run: Run) => effectsOf(run).find((effect) => effect.kind === 'revoke');

t.test('a revocation has its reason: the deadline, or a rule that allows acting before it', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) => {
      const run = simulate(given);
      const revocation = revocationOf(run);
      if (revocation === undefined || run.revokedAtMs === null) return true;
      const volume = given.configuration.volumes.find(({ volume }) => volume === revocation.volume);
      if (volume === undefined) return false;
      const good = lastGood(given, run, volume.key, run.revokedAtMs);
      if (run.revokedAtMs >= good + given.configuration.pollMs + windowOf(volume.kmsTimeoutMs)) return true;
      const since = run.polls.filter(
        (poll) => poll.key === volume.key && poll.startedMs >= good && poll.answer.kind !== 'active',
      );
      if (given.configuration.onRevoked === 'immediate' && since.some(({ answer }) => isRefused(answer))) return true;
      if (volume.kmsTimeoutMs !== 0) return false;
      const refusedBefore = since.slice(0, -1).some(({ answer }) => isRefused(answer));
      const tooLong = since.some(({ startedMs }) => (run.revokedAtMs ?? 0) >= startedMs + unreachableWindowMs);
      return since.length >= 3 || refusedBefore || tooLong;
    }),
    runs,
  );
});

t.test('without a good answer the guest is revoked at the deadline at the latest', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) => {
      const run = simulate(given);
      return given.configuration.volumes.every((volume) => {
        const good = lastGood(given, run, volume.key, run.endMs);
        return run.endMs <= good + given.configuration.pollMs + windowOf(volume.kmsTimeoutMs);
      });
    }),
    runs,
  );
  fc.assert(
    fc.property(world({ polls: fc.array(badPoll, { minLength: 1, maxLength: 5 }) }), (given) => {
      return simulate(given).revokedAtMs !== null;
    }),
    runs,
  );
});

t.test('a good answer ends every grace of its key', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) =>
      simulate(given).happened.every(
        ({ event, state }) =>
          event.kind !== 'pollFinished' ||
          event.answer.kind !== 'active' ||
          state.volumes.every(({ key, grace }) => key !== event.key || grace === null),
      ),
    ),
    runs,
  );
});

t.test('rotation, however it fails, never leads to a revocation', async () => {
  fc.assert(
    fc.property(world({ polls: fc.array(goodPoll, { minLength: 1, maxLength: 40 }) }), (given) => {
      return simulate(given).revokedAtMs === null;
    }),
    runs,
  );
});

t.test('a store is asked for only with what a finished rewrap delivered, and a success is told once', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) => {
      const delivered = new Map<string, string>();
      const owed = new Map<string, number>();
      for (const { event, effects } of simulate(given).happened) {
        if (event.kind === 'rewrapFinished' && event.outcome.kind === 'done') {
          delivered.set(event.volume, event.outcome.wrapped);
        }
        if (event.kind === 'storeFinished' && event.outcome.kind === 'done') {
          owed.set(event.volume, (owed.get(event.volume) ?? 0) + 1);
        }
        for (const effect of effects) {
          if (effect.kind === 'store' && delivered.get(effect.volume) !== effect.wrapped) return false;
          if (effect.kind === 'message' && effect.name === 'KEY_ROTATED') {
            const left = (owed.get(effect.facts.volume) ?? 0) - 1;
            if (left < 0) return false;
            owed.set(effect.facts.volume, left);
          }
        }
      }
      return true;
    }),
    runs,
  );
});

/**
 * Found by the property below: killed twice, the daemon has no answer of key-2 before the deadline of volume-1, and its
 * last poll is cut short exactly there. That is no standstill of the guest.
 */
const killedBeforeEveryAnswer: World = {
  configuration: {
    bootId: 'boot-1',
    pollMs: 5_000,
    onRevoked: 'grace',
    provenAtMs: 0,
    volumes: [
      { volume: 'volume-0', key: 'key-1', kmsTimeoutMs: 10 * minuteMs, wrapped: 'wrapped-0', keyVersion: 'first' },
      { volume: 'volume-1', key: 'key-2', kmsTimeoutMs: 1 * minuteMs, wrapped: 'wrapped-0', keyVersion: 'first' },
      { volume: 'volume-2', key: 'key-1', kmsTimeoutMs: 10 * minuteMs, wrapped: 'wrapped-0', keyVersion: 'first' },
    ],
  },
  polls: [{ answer: 'hang', slowness: 0, jitter: 0 }],
  rewraps: [false],
  stores: [false],
  restartsAfter: [2, 4],
  startMs: 0,
  horizonMs: 30 * minuteMs,
};

t.test('killing and starting the daemon never buys time', async () => {
  const silent = fc.array(pollOf(fc.constant('hang' as const)), { minLength: 1, maxLength: 2 });
  fc.assert(
    fc.property(world({ polls: silent }), (given) => {
      const revoked = simulate(given).revokedAtMs;
      const deadline = Math.min(...given.configuration.volumes.map(({ kmsTimeoutMs }) => windowOf(kmsTimeoutMs)));
      return revoked !== null && revoked <= given.startMs + given.configuration.pollMs + deadline;
    }),
    { ...runs, examples: [[killedBeforeEveryAnswer]] },
  );
});

t.test('what is relied on is on record first', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) =>
      simulate(given).happened.every(({ effects }) => {
        const kept = effects.findIndex(({ kind }) => kind === 'keep');
        const relying = effects.findIndex(
          (effect) =>
            effect.kind === 'revoke' ||
            (effect.kind === 'message' && ['KEY_NOT_VALID', 'KEY_REACHABLE', 'KEY_ROTATED'].includes(effect.name)),
        );
        return relying === -1 || (kept !== -1 && kept < relying);
      }),
    ),
    runs,
  );
});

t.test('events, states and effects are JSON, and a recorded run replays to the same effects', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), (given) => {
      const run = simulate(given);
      const recorded: readonly Event[] = JSON.parse(JSON.stringify(run.recorded));
      const offset = run.happened.length - recorded.length;
      let state = prepare(JSON.parse(JSON.stringify(given.configuration)));
      return recorded.every((event, at) => {
        const replayed = step(state, event);
        state = JSON.parse(JSON.stringify(replayed.state));
        return JSON.stringify(replayed.effects) === JSON.stringify(run.happened[offset + at]?.effects);
      });
    }),
    runs,
  );
});

const kindsOf = (run: Run): string =>
  JSON.stringify(run.happened.map(({ effects }) => effects.map((e) => (e.kind === 'message' ? e.name : e.kind))));

t.test('only differences of time matter: the same world at another hour goes the same way', async () => {
  fc.assert(
    fc.property(world({ polls: anything }), fc.integer({ min: 1, max: 10 ** 12 }), (given, shiftMs) => {
      const startMs = given.startMs + shiftMs;
      const shifted = { ...given, startMs, configuration: { ...given.configuration, provenAtMs: startMs } };
      return kindsOf(simulate(given)) === kindsOf(simulate(shifted));
    }),
    runs,
  );
});

t.test('arbitrary events in arbitrary order are survived, and time never stands still', async () => {
  const atMs = fc.integer({ min: 0, max: 10 ** 7 });
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant('tick' as const), atMs }),
    fc.record({
      kind: fc.constant('pollFinished' as const),
      atMs,
      key: fc.constantFrom('key-1', 'key-2', 'unknown'),
      answer: fc.oneof(active, silence, fc.constantFrom(...refusals)),
      jitter: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('rewrapFinished' as const),
      atMs,
      volume: fc.constantFrom('volume-0', 'unknown'),
      outcome: fc.constant({ kind: 'done' as const, wrapped: 'other', keyVersion: 'other' }),
    }),
    fc.record({
      kind: fc.constant('storeFinished' as const),
      atMs,
      volume: fc.constantFrom('volume-0', 'unknown'),
      outcome: fc.constant({ kind: 'failed' as const, reason: 'scripted' }),
    }),
  );
  fc.assert(
    fc.property(configuration, fc.array(event, { maxLength: 60 }), (given, events) => {
      const sorted = [...events].sort((a, b) => a.atMs - b.atMs);
      let { state } = step(prepare(given), { kind: 'started', atMs: 0, kept: null });
      return sorted.every((next) => {
        const answered = step(state, next);
        state = answered.state;
        if (next.kind !== 'tick') return true;
        // A tick leaves nothing due behind, or the daemon would spin.
        const scheduled = answered.effects.find((effect) => effect.kind === 'schedule');
        return scheduled === undefined || (Number.isFinite(scheduled.atMs) && scheduled.atMs > next.atMs);
      });
    }),
    runs,
  );
});

/** Fine polls for ever, each with a slowness and a jitter of its own. */
const healthyWorlds = world({
  polls: fc.array(pollOf(fc.constant({ kind: 'active' as const, keyVersion: 'first' })), {
    minLength: 1,
    maxLength: 40,
  }),
}).map((given) => {
  // Played over and over: the last entry of a world repeats, and would otherwise be all there is.
  const polls = Array.from({ length: 10_000 }, (_, at) => given.polls[at % given.polls.length] as ScriptedPoll);
  return { ...given, polls, horizonMs: 10 ** 12, mostEvents: 20_500, restartsAfter: [] };
});

t.test('ten thousand healthy polls never lead to a reaction, and come in time', async (t) => {
  let polled = 0;
  fc.assert(
    fc.property(healthyWorlds, (given) => {
      const run = simulate(given);
      const said = new Set(effectsOf(run).map((effect) => (effect.kind === 'message' ? effect.name : effect.kind)));
      polled = run.polls.length;
      if (run.polls.length < 10_000) return false;
      if ([...said].some((word) => !['keep', 'KEY_DAEMON_STARTED', 'poll', 'notify', 'schedule'].includes(word)))
        return false;
      // Jitter only shortens, and no key is asked twice at once.
      return ['key-1', 'key-2'].every((key) => {
        const own = run.polls.filter((poll) => poll.key === key);
        return own.every(({ startedMs }, at) => {
          const before = own[at - 1];
          if (before === undefined) return true;
          const latest = Math.max(before.atMs, before.startedMs + given.configuration.pollMs);
          return startedMs >= before.atMs && startedMs <= latest;
        });
      });
    }),
    { numRuns: 3 },
  );
  t.ok(polled >= 10_000, `${polled} polls happened`);
});

t.test('settings read again in the middle: no grace becomes longer, and the deadlines still hold', async () => {
  fc.assert(
    fc.property(
      world({ polls: fc.array(badPoll, { minLength: 1, maxLength: 5 }) }),
      fc.integer({ min: 0, max: 12 * minuteMs }),
      fc.constantFrom(1_000, 60_000, 3_600_000),
      (given, afterMs, pollMs) => {
        let { state } = step(prepare(given.configuration), { kind: 'started', atMs: given.startMs, kept: null });
        const atMs = given.startMs + afterMs;
        const [key] = state.keys;
        if (key === undefined) return false;
        const answer = { kind: 'gone' } as const;
        state = step(state, { kind: 'pollFinished', atMs: given.startMs + 1, key: key.key, answer, jitter: 0 }).state;
        if (state.phase !== 'guarding') return given.configuration.onRevoked === 'immediate';
        const running = state.volumes.flatMap(({ volume, grace }) => (grace === null ? [] : [{ volume, grace }]));
        const again = step(state, { kind: 'reloaded', atMs, pollMs, onRevoked: 'grace' }).state;
        if (running.some(({ grace }) => grace.deadlineMs <= atMs)) return again.phase === 'revoking';
        // Nobody has answered for the other keys yet: that may have lasted too long by now.
        const isOverdue = state.volumes.some((volume) => {
          const own = state.keys.find(({ key }) => key === volume.key);
          return volume.grace === null && own !== undefined && deadlineOf(volume, own) <= atMs;
        });
        if (again.phase === 'revoking') return isOverdue;
        return (
          again.phase === 'guarding' &&
          running.every(
            (before) =>
              again.volumes.find(({ volume }) => volume === before.volume)?.grace?.deadlineMs ===
              before.grace.deadlineMs,
          )
        );
      },
    ),
    runs,
  );
});
