/**
 * States and events of a recording, read back field by field, so that the machine gets what it was made for. Every function
 * throws `Malformed`. Pure.
 */
import { fields, flag, list, Malformed, number, oneOf, text } from './json-fields.ts';
import { graceFrom, keptFrom, revocationFrom } from './record.ts';
import type { Event, KeyWatch, PollAnswer, State, Upkeep, Upkept, VolumeState } from './state.ts';

type Fields = ReturnType<typeof fields>;

const textOrNull = (value: unknown): string | null => (value === null ? null : text(value));
const numberOrNull = (value: unknown): number | null => (value === null ? null : number(value));

const correlationOf = ({ correlationId }: Fields): { readonly correlationId?: string | null } =>
  correlationId === undefined ? {} : { correlationId: textOrNull(correlationId) };

const wrappingOf = (given: Fields) => ({
  wrapped: text(given.wrapped),
  keyVersion: text(given.keyVersion),
  ...correlationOf(given),
});

const onRevokedOf = (value: unknown) => oneOf(value, ['grace', 'immediate']);

const upkeepFrom = (value: unknown): Upkeep => {
  const given = fields(value);
  const kind = oneOf(given.kind, ['current', 'rewrapping', 'rewrapDue', 'storing', 'storeDue']);
  switch (kind) {
    case 'current':
      return { kind };
    case 'rewrapping':
      return { kind, failures: number(given.failures) };
    case 'rewrapDue':
      return { kind, failures: number(given.failures), dueMs: number(given.dueMs) };
    case 'storing':
      return { kind, failures: number(given.failures), ...wrappingOf(given) };
    case 'storeDue':
      return { kind, failures: number(given.failures), dueMs: number(given.dueMs), ...wrappingOf(given) };
  }
};

const volumeFrom = (value: unknown): VolumeState => {
  const { volume, key, kmsTimeoutMs, wrapped, keyVersion, grace, upkeep, seenVersion } = fields(value);
  return {
    volume: text(volume),
    key: text(key),
    kmsTimeoutMs: number(kmsTimeoutMs),
    wrapped: text(wrapped),
    keyVersion: text(keyVersion),
    grace: graceFrom(grace),
    upkeep: upkeepFrom(upkeep),
    seenVersion: textOrNull(seenVersion),
  };
};

const keyFrom = (value: unknown): KeyWatch => {
  const { key, lastGoodMs, intervalMs, poll, answered } = fields(value);
  const { kind, dueMs, startedMs } = fields(poll);
  return {
    key: text(key),
    lastGoodMs: number(lastGoodMs),
    intervalMs: number(intervalMs),
    poll:
      oneOf(kind, ['waiting', 'running']) === 'waiting'
        ? { kind: 'waiting', dueMs: number(dueMs) }
        : { kind: 'running', startedMs: number(startedMs) },
    answered: flag(answered),
  };
};

export const stateFrom = (value: unknown): State => {
  const { bootId, pollMs, onRevoked, phase, revocation, keys, volumes } = fields(value);
  const state: State = {
    bootId: text(bootId),
    pollMs: number(pollMs),
    onRevoked: onRevokedOf(onRevoked),
    phase: oneOf(phase, ['prepared', 'guarding', 'revoking', 'ended']),
    revocation: revocationFrom(revocation),
    keys: list(keys).map(keyFrom),
    volumes: list(volumes).map(volumeFrom),
  };
  const known = new Set(state.keys.map(({ key }) => key));
  if (!state.volumes.every(({ key }) => known.has(key))) throw new Malformed('a key of each volume is expected');
  return state;
};

const answerFrom = (value: unknown): PollAnswer => {
  const given = fields(value);
  const correlation = correlationOf(given);
  const kind = oneOf(given.kind, [
    'active',
    'notActive',
    'gone',
    'denied',
    'badCiphertext',
    'badConfiguration',
    'retryable',
  ]);
  switch (kind) {
    case 'active':
      return { kind, keyVersion: textOrNull(given.keyVersion), ...correlation };
    case 'notActive': {
      const states = ['preActivation', 'active', 'suspended', 'deactivated', 'destroyed', 'unknown'] as const;
      return { kind, state: oneOf(given.state, states), ...correlation };
    }
    case 'gone':
    case 'badCiphertext':
      return { kind, ...correlation };
    case 'denied':
      return { kind, by: oneOf(given.by, ['iam', 'kms']), ...correlation };
    case 'badConfiguration':
      return { kind, reason: text(given.reason), ...correlation };
    case 'retryable':
      return { kind, reason: text(given.reason), afterMs: numberOrNull(given.afterMs), ...correlation };
  }
};

const outcomeFrom = <T>(value: unknown, done: (given: Fields) => T): Upkept<T> => {
  const given = fields(value);
  return oneOf(given.kind, ['done', 'failed']) === 'done'
    ? { kind: 'done', ...done(given) }
    : { kind: 'failed', reason: text(given.reason) };
};

export const eventFrom = (value: unknown): Event => {
  const given = fields(value);
  const atMs = number(given.atMs);
  const kind = oneOf(given.kind, [
    'started',
    'pollFinished',
    'rewrapFinished',
    'storeFinished',
    'tick',
    'reloaded',
    'terminated',
  ]);
  switch (kind) {
    case 'started':
      return { kind, atMs, kept: given.kept === null ? null : keptFrom(given.kept) };
    case 'pollFinished': {
      const { key, answer, jitter } = given;
      return { kind, atMs, key: text(key), answer: answerFrom(answer), jitter: number(jitter) };
    }
    case 'rewrapFinished':
      return { kind, atMs, volume: text(given.volume), outcome: outcomeFrom(given.outcome, wrappingOf) };
    case 'storeFinished':
      return { kind, atMs, volume: text(given.volume), outcome: outcomeFrom(given.outcome, () => ({})) };
    case 'reloaded':
      return { kind, atMs, pollMs: number(given.pollMs), onRevoked: onRevokedOf(given.onRevoked) };
    case 'tick':
    case 'terminated':
      return { kind, atMs };
  }
};
