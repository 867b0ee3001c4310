/** What every transition of the machine is made of: looking things up, putting them back, and the two ways a step ends. */
import { deadlineOf } from './grace.ts';
import { keptOf } from './record.ts';
import type { Effect, KeyWatch, State, Step, VolumeState } from './state.ts';
import { nextUpkeep } from './upkeep.ts';

export const volumesOf = (state: State, key: string): readonly VolumeState[] =>
  state.volumes.filter((volume) => volume.key === key);

export const withKey = (state: State, key: KeyWatch): State => ({
  ...state,
  keys: state.keys.map((known) => (known.key === key.key ? key : known)),
});

export const withVolumes = (state: State, volumes: readonly VolumeState[]): State => ({
  ...state,
  volumes: state.volumes.map((known) => volumes.find(({ volume }) => volume === known.volume) ?? known),
});

export const keyOf = (state: State, volume: VolumeState): KeyWatch => {
  const found = state.keys.find(({ key }) => key === volume.key);
  if (found === undefined) throw new TypeError(`volume ${volume.volume} names no key`);
  return found;
};

export const deadlinesOf = (state: State, key: KeyWatch): number =>
  Math.min(...volumesOf(state, key.key).map((volume) => deadlineOf(volume, key)));

/** When the state changes by time alone. */
const nextWake = (state: State): number =>
  Math.min(
    ...state.keys.map(({ poll }) => (poll.kind === 'waiting' ? poll.dueMs : Number.POSITIVE_INFINITY)),
    ...state.volumes.map((volume) => deadlineOf(volume, keyOf(state, volume))),
    ...state.volumes.map((volume) => nextUpkeep(volume) ?? Number.POSITIVE_INFINITY),
  );

export const withSchedule = (state: State, effects: readonly Effect[]): Step => ({
  state,
  effects: [...effects, { kind: 'schedule', atMs: nextWake(state) }],
});

export const revoke = (state: State, volume: string, reason: string, before: readonly Effect[]): Step => {
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

export const warning = (volume: VolumeState, deadlineMs: number, atMs: number, keyState: string): Effect => {
  const restartInMs = Math.max(0, deadlineMs - atMs);
  // The next boot polls for kmsTimeout before it powers off.
  const powerOffInMs = restartInMs + volume.kmsTimeoutMs;
  return {
    kind: 'message',
    name: 'KEY_NOT_VALID',
    facts: { volume: volume.volume, keyState, restartInMs, powerOffInMs },
  };
};
