/**
 * The key daemon's decisions: `step(state, event)` answers at once, touches nothing and reads no clock. Per volume the
 * states are watching → grace → watching, or grace → revoking; the first volume whose grace ends acts for the whole guest.
 * What must survive a restart of the daemon is on record (`keep`) before anything that depends on it is asked for.
 */
import { deadlineOf, graceAfter, graceInterval } from './grace.ts';
import { pollFinished, startDuePolls } from './polls.ts';
import { keptOf } from './record.ts';
import type { Effect, Event, State, Step, WatchConfiguration } from './state.ts';
import { keyOf, revoke, warning, withSchedule, withVolumes } from './transition.ts';
import { upkeepAfterRewrap, upkeepAfterStore, upkeepAfterTick } from './upkeep.ts';

export const prepare = (configuration: WatchConfiguration): State => ({
  bootId: configuration.bootId,
  pollMs: configuration.pollMs,
  onRevoked: configuration.onRevoked,
  phase: 'prepared',
  revocation: null,
  keys: [...new Set(configuration.volumes.map(({ key }) => key))].map((key) => ({
    key,
    lastGoodMs: configuration.provenAtMs,
    intervalMs: configuration.pollMs,
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

/**
 * A volume nobody noticed losing its key in time. When there was nobody to notice (the whole guest stood still, or the boot
 * took that long and this is the first daemon after it) it gets one prompt last poll.
 */
const graceOfOverdue = (state: State, atMs: number, isFirst = false): Step => {
  const overdue = state.volumes.filter(
    (volume) => volume.grace === null && deadlineOf(volume, keyOf(state, volume)) <= atMs,
  );
  if (overdue.length === 0) return { state, effects: [] };
  const unnoticed = { startedMs: atMs, atMs, refused: false };
  const late = overdue.map((volume) => {
    const grace = { ...graceAfter(volume, keyOf(state, volume), unnoticed, state.pollMs), attempts: 0 };
    return { ...volume, grace: isFirst ? { ...grace, deadlineMs: atMs + graceInterval(state.pollMs) } : grace };
  });
  const keys = state.keys.map((key) =>
    key.poll.kind === 'waiting' && late.some((volume) => volume.key === key.key)
      ? { ...key, poll: { kind: 'waiting' as const, dueMs: atMs } }
      : key,
  );
  const next = withVolumes({ ...state, keys }, late);
  const warnings = late.map((volume) =>
    warning(volume, volume.grace.deadlineMs, atMs, 'no poll of it was answered in time'),
  );
  return { state: next, effects: [{ kind: 'keep', kept: keptOf(next) }, ...warnings] };
};

const tick = (state: State, atMs: number): Step => {
  const noticed = graceOfOverdue(state, atMs);
  const expired = noticed.state.volumes.find(({ grace }) => grace !== null && grace.deadlineMs <= atMs);
  if (expired !== undefined) {
    const warnings = noticed.effects.filter(({ kind }) => kind === 'message');
    return revoke(noticed.state, expired.volume, 'the key was not active again within kmsTimeout', warnings);
  }
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
    const before = mine?.keys.find((entry) => entry.key === key.key) ?? key;
    const { intervalMs } = before;
    const lastGoodMs = Math.min(before.lastGoodMs, atMs);
    return { ...key, lastGoodMs, intervalMs, poll: { kind: 'waiting' as const, dueMs: atMs } };
  });
  const volumes = state.volumes.map((volume) => {
    const before = mine?.volumes.find((entry) => entry.volume === volume.volume);
    if (before === undefined) return volume;
    return { ...volume, grace: before.grace, wrapped: before.wrapped, keyVersion: before.keyVersion };
  });
  const { pollMs, onRevoked } = mine ?? state;
  const guarding: State = { ...state, pollMs, onRevoked, phase: 'guarding', keys, volumes };
  const greetings = volumes.map(
    ({ volume }): Effect => ({ kind: 'message', name: 'KEY_DAEMON_STARTED', facts: { volume } }),
  );
  if (mine?.revocation) return revoke(guarding, mine.revocation.volume, mine.revocation.reason, greetings);
  // On record before the first poll: whoever is killed and started again is not the first daemon any more.
  const first = mine === null ? graceOfOverdue(guarding, atMs, true) : { state: guarding, effects: [] };
  const record: readonly Effect[] = mine === null ? [{ kind: 'keep', kept: keptOf(first.state) }] : [];
  const warnings = first.effects.filter(({ kind }) => kind === 'message');
  const next = tick(first.state, atMs);
  return { state: next.state, effects: [...record, ...greetings, ...warnings, ...next.effects] };
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

/**
 * New settings hold for the rest of the boot. Every key is polled at once, as they say how. A grace that is running keeps its
 * deadline, and so does a volume whose key was last asked by the interval before: no key is lost by being asked more often.
 */
const reloaded = (state: State, { atMs, pollMs, onRevoked }: Event & { kind: 'reloaded' }): Step => {
  const keys = state.keys.map((key) =>
    key.poll.kind === 'waiting' ? { ...key, poll: { kind: 'waiting' as const, dueMs: atMs } } : key,
  );
  const told: Effect = { kind: 'message', name: 'SETTINGS_RELOADED', facts: { pollSeconds: pollMs / 1000, onRevoked } };
  const set: State = { ...state, pollMs, onRevoked, keys };
  const next = tick(set, atMs);
  return { state: next.state, effects: [{ kind: 'keep', kept: keptOf(set) }, told, ...next.effects] };
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
    case 'reloaded':
      return reloaded(state, event);
  }
};
