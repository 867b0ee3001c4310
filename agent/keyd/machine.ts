/**
 * The key daemon's decisions: `step(state, event)` answers at once, touches nothing and reads no clock. Per volume the
 * states are watching → grace → watching, or grace → revoking; the first volume whose grace ends acts for the whole guest.
 * What must survive a restart of the daemon is on record (`keep`) before anything that depends on it is asked for.
 */
import {
  deadlineOf,
  describeAnswer,
  graceAfter,
  graceInterval,
  isRefusal,
  nextPoll,
  pollLimit,
  reasonToRevoke,
} from './grace.ts';
import { describeStatus, keptOf } from './record.ts';
import type { Effect, Event, KeyWatch, State, Step, VolumeState, WatchConfiguration } from './state.ts';
import { nextUpkeep, upkeepAfterGoodPoll, upkeepAfterRewrap, upkeepAfterStore, upkeepAfterTick } from './upkeep.ts';

export const prepare = (configuration: WatchConfiguration): State => ({
  bootId: configuration.bootId,
  pollMs: configuration.pollMs,
  onRevoked: configuration.onRevoked,
  phase: 'prepared',
  revocation: null,
  keys: [...new Set(configuration.volumes.map(({ key }) => key))].map((key) => ({
    key,
    lastGoodMs: configuration.provenAtMs,
    poll: { kind: 'waiting', dueMs: 0 },
    answered: false,
  })),
  volumes: configuration.volumes.map((volume) => ({
    ...volume,
    grace: null,
    upkeep: { kind: 'current' },
    seenVersion: null,
  })),
});

const volumesOf = (state: State, key: string): readonly VolumeState[] =>
  state.volumes.filter((volume) => volume.key === key);

const withKey = (state: State, key: KeyWatch): State => ({
  ...state,
  keys: state.keys.map((known) => (known.key === key.key ? key : known)),
});

const withVolumes = (state: State, volumes: readonly VolumeState[]): State => ({
  ...state,
  volumes: state.volumes.map((known) => volumes.find(({ volume }) => volume === known.volume) ?? known),
});

const keyOf = (state: State, volume: VolumeState): KeyWatch => {
  const found = state.keys.find(({ key }) => key === volume.key);
  if (found === undefined) throw new TypeError(`volume ${volume.volume} names no key`);
  return found;
};

const deadlinesOf = (state: State, key: KeyWatch): number =>
  Math.min(...volumesOf(state, key.key).map((volume) => deadlineOf(volume, key, state.pollMs)));

/** When the state changes by time alone. */
const nextWake = (state: State): number =>
  Math.min(
    ...state.keys.map(({ poll }) => (poll.kind === 'waiting' ? poll.dueMs : Number.POSITIVE_INFINITY)),
    ...state.volumes.map((volume) => deadlineOf(volume, keyOf(state, volume), state.pollMs)),
    ...state.volumes.map((volume) => nextUpkeep(volume) ?? Number.POSITIVE_INFINITY),
  );

const withSchedule = (state: State, effects: readonly Effect[]): Step => ({
  state,
  effects: [...effects, { kind: 'schedule', atMs: nextWake(state) }],
});

const revoke = (state: State, volume: string, reason: string, before: readonly Effect[]): Step => {
  const revoking: State = { ...state, phase: 'revoking', revocation: { volume, reason } };
  return {
    state: revoking,
    effects: [
      { kind: 'keep', kept: keptOf(revoking) },
      ...before,
      { kind: 'message', name: 'REBOOT_WARNING', facts: { volume, reason } },
      { kind: 'revoke', volume, reason },
    ],
  };
};

const warning = (volume: VolumeState, deadlineMs: number, atMs: number, keyState: string): Effect => {
  const restartInMs = Math.max(0, deadlineMs - atMs);
  // The next boot polls for kmsTimeout before it powers off.
  const powerOffInMs = restartInMs + volume.kmsTimeoutMs;
  return {
    kind: 'message',
    name: 'KEY_NOT_VALID',
    facts: { volume: volume.volume, keyState, restartInMs, powerOffInMs },
  };
};

const startDuePolls = (state: State, atMs: number): Step => {
  const due = state.keys.filter(({ poll }) => poll.kind === 'waiting' && poll.dueMs <= atMs);
  const effects = due.map((key): Effect => {
    const limitMs = Math.min(pollLimit(volumesOf(state, key.key), state.pollMs), deadlinesOf(state, key) - atMs);
    return { kind: 'poll', key: key.key, limitMs: Math.max(1, limitMs) };
  });
  const running = due.reduce((so, key) => withKey(so, { ...key, poll: { kind: 'running', startedMs: atMs } }), state);
  return { state: running, effects };
};

/** A volume nobody noticed losing its key in time: the whole guest stood still. It gets one prompt last poll. */
const graceAfterStandstill = (state: State, atMs: number): Step => {
  const overdue = state.volumes.filter(
    (volume) => volume.grace === null && deadlineOf(volume, keyOf(state, volume), state.pollMs) <= atMs,
  );
  if (overdue.length === 0) return { state, effects: [] };
  const standstill = { startedMs: atMs, atMs, refused: false };
  const late = overdue.map((volume) => ({
    ...volume,
    grace: { ...graceAfter(volume, keyOf(state, volume), standstill, state.pollMs), attempts: 0 },
  }));
  const keys = state.keys.map((key) =>
    key.poll.kind === 'waiting' && late.some((volume) => volume.key === key.key)
      ? { ...key, poll: { kind: 'waiting' as const, dueMs: atMs } }
      : key,
  );
  const next = withVolumes({ ...state, keys }, late);
  const warnings = late.map((volume) =>
    warning(volume, volume.grace.deadlineMs, atMs, 'it was not polled in time, the guest stood still'),
  );
  return { state: next, effects: [{ kind: 'keep', kept: keptOf(next) }, ...warnings] };
};

const tick = (state: State, atMs: number): Step => {
  const expired = state.volumes.find(({ grace }) => grace !== null && grace.deadlineMs <= atMs);
  if (expired !== undefined) {
    return revoke(state, expired.volume, 'the key was not active again within kmsTimeout', []);
  }
  const noticed = graceAfterStandstill(state, atMs);
  const upkept = noticed.state.volumes.map((volume) => upkeepAfterTick(volume, atMs));
  const next = withVolumes(
    noticed.state,
    upkept.map(({ volume }) => volume),
  );
  const polled = startDuePolls(next, atMs);
  return withSchedule(polled.state, [
    ...noticed.effects,
    ...upkept.flatMap(({ effects }) => effects),
    ...polled.effects,
  ]);
};

const started = (state: State, { atMs, kept }: Event & { kind: 'started' }): Step => {
  const mine = kept?.bootId === state.bootId ? kept : null;
  const keys = state.keys.map((key) => {
    const before = mine?.keys.find((entry) => entry.key === key.key)?.lastGoodMs ?? key.lastGoodMs;
    return { ...key, lastGoodMs: Math.min(before, atMs), poll: { kind: 'waiting' as const, dueMs: atMs } };
  });
  const volumes = state.volumes.map((volume) => {
    const before = mine?.volumes.find((entry) => entry.volume === volume.volume);
    if (before === undefined) return volume;
    return { ...volume, grace: before.grace, wrapped: before.wrapped, keyVersion: before.keyVersion };
  });
  const guarding: State = { ...state, phase: 'guarding', keys, volumes };
  const greetings = volumes.map(
    ({ volume }): Effect => ({ kind: 'message', name: 'KEY_DAEMON_STARTED', facts: { volume } }),
  );
  if (mine?.revocation) return revoke(guarding, mine.revocation.volume, mine.revocation.reason, greetings);
  const first = tick(guarding, atMs);
  return { state: first.state, effects: [...greetings, ...first.effects] };
};

const afterGoodPoll = (
  state: State,
  key: KeyWatch & { readonly poll: { readonly kind: 'running' } },
  event: Event & { kind: 'pollFinished' },
  keyVersion: string | null,
): Step => {
  const { atMs, jitter } = event;
  const { startedMs } = key.poll;
  const intervalMs = state.pollMs;
  const dueMs = nextPoll({ startedMs, atMs, intervalMs, jitter, patienceMs: 0, lastChanceMs: atMs });
  const watched = volumesOf(state, key.key);
  const recovered = watched.filter(({ grace }) => grace !== null);
  const upkept = watched.map((volume) => upkeepAfterGoodPoll({ ...volume, grace: null }, keyVersion, atMs));
  const next = withVolumes(
    withKey(state, { ...key, lastGoodMs: startedMs, poll: { kind: 'waiting', dueMs }, answered: true }),
    upkept.map(({ volume }) => volume),
  );
  return withSchedule(next, [
    { kind: 'keep', kept: keptOf(next) },
    ...recovered.map(({ volume }): Effect => ({ kind: 'message', name: 'KEY_REACHABLE', facts: { volume } })),
    ...upkept.flatMap(({ effects }) => effects),
    { kind: 'notify', ready: next.keys.every(({ answered }) => answered), status: describeStatus(next) },
  ]);
};

const afterBadPoll = (
  state: State,
  key: KeyWatch & { readonly poll: { readonly kind: 'running' } },
  event: Event & { kind: 'pollFinished' },
): Step => {
  const { atMs, jitter, answer } = event;
  const { startedMs } = key.poll;
  const poll = { startedMs, atMs, refused: isRefusal(answer) };
  const watched = volumesOf(state, key.key);
  const bereft = watched.map((volume) => ({ ...volume, grace: graceAfter(volume, key, poll, state.pollMs) }));
  const intervalMs = graceInterval(state.pollMs);
  const patienceMs = answer.kind === 'retryable' ? (answer.afterMs ?? 0) : 0;
  const lastChanceMs = Math.min(...bereft.map(({ grace }) => grace.deadlineMs)) - intervalMs;
  const dueMs = nextPoll({ startedMs, atMs, intervalMs, jitter, patienceMs, lastChanceMs });
  const next = withVolumes(withKey(state, { ...key, poll: { kind: 'waiting', dueMs }, answered: true }), bereft);

  const reasons = bereft.map(({ grace, volume }, at) => {
    const before = watched[at];
    if (before === undefined) throw new TypeError('volumes were lost on the way');
    return { volume, reason: reasonToRevoke(before, before.grace, grace, poll, state.onRevoked) };
  });
  const lost = reasons.find(({ reason }) => reason !== null);
  const entered = bereft.filter((_, at) => watched[at]?.grace === null);
  const warnings = entered.map((volume) =>
    warning(volume, lost === undefined ? volume.grace.deadlineMs : atMs, atMs, describeAnswer(answer)),
  );
  if (lost !== undefined) return revoke(next, lost.volume, lost.reason ?? '', warnings);
  return withSchedule(next, [
    { kind: 'keep', kept: keptOf(next) },
    ...warnings,
    { kind: 'notify', ready: next.keys.every(({ answered }) => answered), status: describeStatus(next) },
  ]);
};

const pollFinished = (state: State, event: Event & { kind: 'pollFinished' }): Step => {
  const key = state.keys.find((known) => known.key === event.key);
  if (key === undefined || key.poll.kind !== 'running') return { state, effects: [] };
  const running = { ...key, poll: key.poll };
  return event.answer.kind === 'active'
    ? afterGoodPoll(state, running, event, event.answer.keyVersion)
    : afterBadPoll(state, running, event);
};

const rewrapFinished = (state: State, event: Event & { kind: 'rewrapFinished' }): Step => {
  const known = state.volumes.find(({ volume }) => volume === event.volume);
  if (known === undefined) return { state, effects: [] };
  const { volume, effects } = upkeepAfterRewrap(known, event);
  return withSchedule(withVolumes(state, [volume]), effects);
};

const storeFinished = (state: State, event: Event & { kind: 'storeFinished' }): Step => {
  const known = state.volumes.find(({ volume }) => volume === event.volume);
  if (known === undefined) return { state, effects: [] };
  const { volume, effects, stored } = upkeepAfterStore(known, event);
  const next = withVolumes(state, [volume]);
  return withSchedule(next, [...(stored ? [{ kind: 'keep' as const, kept: keptOf(next) }] : []), ...effects]);
};

/** Answers `event`. After a revocation or the end nothing but `terminated` has an effect. */
export const step = (state: State, event: Event): Step => {
  if (event.kind === 'terminated') {
    return state.phase === 'ended'
      ? { state, effects: [] }
      : { state: { ...state, phase: 'ended' }, effects: [{ kind: 'end' }] };
  }
  if (event.kind === 'started') return state.phase === 'prepared' ? started(state, event) : { state, effects: [] };
  if (state.phase !== 'guarding') return { state, effects: [] };
  switch (event.kind) {
    case 'pollFinished':
      return pollFinished(state, event);
    case 'rewrapFinished':
      return rewrapFinished(state, event);
    case 'storeFinished':
      return storeFinished(state, event);
    case 'tick':
      return tick(state, event.atMs);
  }
};
