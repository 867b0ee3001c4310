/** Polls: when one begins, and what its answer means for every volume of its key. */
import { describeAnswer, graceAfter, graceInterval, isRefusal, nextPoll, pollLimit, reasonToRevoke } from './grace.ts';
import { describeStatus, keptOf } from './record.ts';
import type { Effect, Event, KeyWatch, PollAnswer, State, Step } from './state.ts';
import { deadlinesOf, revoke, volumesOf, warning, withKey, withSchedule, withVolumes } from './transition.ts';
import { upkeepAfterGoodPoll } from './upkeep.ts';

export const startDuePolls = (state: State, atMs: number): Step => {
  const due = state.keys.filter(({ poll }) => poll.kind === 'waiting' && poll.dueMs <= atMs);
  const effects = due.map((key): Effect => {
    const limitMs = Math.min(pollLimit(volumesOf(state, key.key), state.pollMs), deadlinesOf(state, key) - atMs);
    return { kind: 'poll', key: key.key, limitMs: Math.max(1, limitMs) };
  });
  const running = due.reduce((so, key) => withKey(so, { ...key, poll: { kind: 'running', startedMs: atMs } }), state);
  return { state: running, effects };
};

const afterGoodPoll = (
  state: State,
  key: KeyWatch & { readonly poll: { readonly kind: 'running' } },
  event: Event & { kind: 'pollFinished' },
  { keyVersion, correlationId = null }: PollAnswer & { readonly kind: 'active' },
): Step => {
  const { atMs, jitter } = event;
  const { startedMs } = key.poll;
  const intervalMs = state.pollMs;
  const dueMs = nextPoll({ startedMs, atMs, intervalMs, jitter, patienceMs: 0, lastChanceMs: atMs });
  const watched = volumesOf(state, key.key);
  const recovered = watched.filter(({ grace }) => grace !== null);
  const upkept = watched.map((volume) => upkeepAfterGoodPoll({ ...volume, grace: null }, keyVersion, atMs));
  const next = withVolumes(
    withKey(state, { ...key, lastGoodMs: startedMs, intervalMs, poll: { kind: 'waiting', dueMs }, answered: true }),
    upkept.map(({ volume }) => volume),
  );
  return withSchedule(next, [
    { kind: 'keep', kept: keptOf(next) },
    ...recovered.map(
      ({ volume }): Effect => ({ kind: 'message', name: 'KEY_REACHABLE', facts: { volume, correlationId } }),
    ),
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
  // Never more than a regular interval: a service must not be able to silence the watchdog or the warnings.
  const patienceMs = answer.kind === 'retryable' ? Math.min(answer.afterMs ?? 0, state.pollMs) : 0;
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

export const pollFinished = (state: State, event: Event & { kind: 'pollFinished' }): Step => {
  const key = state.keys.find((known) => known.key === event.key);
  if (key === undefined || key.poll.kind !== 'running') return { state, effects: [] };
  const running = { ...key, poll: key.poll };
  return event.answer.kind === 'active'
    ? afterGoodPoll(state, running, event, event.answer)
    : afterBadPoll(state, running, event);
};
