/**
 * Rotation: a new key version is seen → the service rewraps the seed without showing it → the new wrapping is stored. The old
 * wrapping stays valid all the time, so every failure is only logged and tried again.
 */
import type { Effect, Event, NewWrapping, Upkeep, VolumeState } from './state.ts';

const firstRetryMs = 60_000;
const longestRetryMs = 15 * 60_000;

/** A volume after a step, and what to do for it. */
interface Upkept {
  readonly volume: VolumeState;
  readonly effects: readonly Effect[];
}
const still = (volume: VolumeState): Upkept => ({ volume, effects: [] });

const retryIn = (failures: number): number => Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs);

const rewrap = (volume: VolumeState, seenVersion: string, failures: number): Upkept => ({
  volume: { ...volume, seenVersion, upkeep: { kind: 'rewrapping', failures } },
  effects: [{ kind: 'rewrap', volume: volume.volume, key: volume.key, wrapped: volume.wrapped }],
});

const store = (
  volume: VolumeState,
  { wrapped, keyVersion, correlationId = null, failures }: NewWrapping & { readonly failures: number },
): Upkept => ({
  volume: { ...volume, upkeep: { kind: 'storing', wrapped, keyVersion, correlationId, failures } },
  effects: [
    {
      kind: 'store',
      volume: volume.volume,
      wrapped,
      keyVersion,
    },
  ],
});

/** The key is active and its current version is `keyVersion` (null: the service did not say). */
export const upkeepAfterGoodPoll = (volume: VolumeState, keyVersion: string | null, atMs: number): Upkept => {
  const { upkeep } = volume;
  if (keyVersion === null) return still(volume);
  if (upkeep.kind === 'rewrapping' || upkeep.kind === 'storing') return still(volume);
  if (upkeep.kind === 'current') {
    const known = keyVersion === volume.keyVersion || keyVersion === volume.seenVersion;
    return known ? still(volume) : rewrap(volume, keyVersion, 0);
  }
  if (atMs < upkeep.dueMs) return still(volume);
  if (upkeep.kind === 'rewrapDue') {
    return keyVersion === volume.keyVersion
      ? still({ ...volume, upkeep: { kind: 'current' } })
      : rewrap(volume, keyVersion, upkeep.failures);
  }
  // A newer version than the one waiting to be stored: renew once more instead of storing the outdated one.
  return keyVersion === upkeep.keyVersion ? still(volume) : rewrap(volume, keyVersion, upkeep.failures);
};

/** Storing needs no key service, so its retries follow the clock and not the polls. */
export const upkeepAfterTick = (volume: VolumeState, atMs: number): Upkept => {
  const { upkeep } = volume;
  return upkeep.kind === 'storeDue' && atMs >= upkeep.dueMs ? store(volume, upkeep) : still(volume);
};

export const nextUpkeep = (volume: VolumeState): number | null =>
  volume.upkeep.kind === 'storeDue' ? volume.upkeep.dueMs : null;

const rewrapFailed = (volume: VolumeState, failures: number, atMs: number, reason: string): Upkept => {
  const retryInMs = retryIn(failures);
  const upkeep: Upkeep = { kind: 'rewrapDue', dueMs: atMs + retryInMs, failures };
  return {
    volume: { ...volume, upkeep },
    effects: [{ kind: 'message', name: 'REWRAP_FAILED', facts: { volume: volume.volume, reason, retryInMs } }],
  };
};

export const upkeepAfterRewrap = (
  volume: VolumeState,
  { outcome, atMs }: Event & { kind: 'rewrapFinished' },
): Upkept => {
  const { upkeep } = volume;
  if (upkeep.kind !== 'rewrapping') return still(volume);
  const failures = upkeep.failures + 1;
  if (outcome.kind === 'failed') return rewrapFailed(volume, failures, atMs, outcome.reason);
  if (outcome.keyVersion === volume.keyVersion) {
    return rewrapFailed(volume, failures, atMs, 'the service answered with the outdated key version');
  }
  return store(volume, { ...outcome, failures: 0 });
};

export const upkeepAfterStore = (
  volume: VolumeState,
  { outcome, atMs }: Event & { kind: 'storeFinished' },
): Upkept & { readonly stored: boolean } => {
  const { upkeep } = volume;
  if (upkeep.kind !== 'storing') return { ...still(volume), stored: false };
  if (outcome.kind === 'done') {
    const { wrapped, keyVersion, correlationId = null } = upkeep;
    return {
      volume: { ...volume, wrapped, keyVersion, upkeep: { kind: 'current' } },
      effects: [{ kind: 'message', name: 'KEY_ROTATED', facts: { volume: volume.volume, correlationId } }],
      stored: true,
    };
  }
  const failures = upkeep.failures + 1;
  const retryInMs = retryIn(failures);
  return {
    volume: { ...volume, upkeep: { ...upkeep, kind: 'storeDue', dueMs: atMs + retryInMs, failures } },
    effects: [
      {
        kind: 'message',
        name: 'SAVE_KEY_FAILED',
        facts: { volume: volume.volume, reason: outcome.reason, retryInMs },
      },
    ],
    stored: false,
  };
};
