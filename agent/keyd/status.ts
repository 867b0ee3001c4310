/** What the daemon tells whoever asks: people, scripts, monitoring. No secret, and nothing that could be told it. Pure. */
import { printable } from '../contract/shown-name.ts';
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, list, Malformed, number, oneOf, text } from './json-fields.ts';
import type { State, VolumeState } from './state.ts';
import { countsOf, type Tally } from './tally.ts';

const phases = ['watching', 'grace', 'revoking', 'ended'] as const;
export type GuardState = (typeof phases)[number];

export interface DaemonStatus {
  readonly version: 1;
  readonly bootId: string;
  /** CLOCK_MONOTONIC in milliseconds when this was true; the times below are of the same clock. */
  readonly atMs: number;
  readonly state: GuardState;
  readonly pollSeconds: number;
  readonly keys: readonly {
    readonly key: string;
    /** What the latest poll said: active, suspended, denied, unreachable, …; unknown before the first one. */
    readonly state: string;
    readonly lastActiveMs: number;
    readonly polls: { readonly active: number; readonly other: number };
  }[];
  readonly volumes: readonly {
    readonly volume: string;
    readonly key: string;
    readonly state: GuardState;
    /** When the guest restarts unless the key is active before; null outside of grace. */
    readonly deadlineMs: number | null;
    readonly keyVersion: string;
    /** Whether the stored seed is wrapped by the current version of the key, as far as it is known. */
    readonly wrapping: 'current' | 'being renewed';
    readonly rewraps: { readonly done: number; readonly failed: number };
    readonly stores: { readonly done: number; readonly failed: number };
  }[];
  readonly revocation: { readonly volume: string; readonly reason: string } | null;
}

const guardStateOf = ({ phase }: State, volumes: readonly VolumeState[]): GuardState => {
  if (phase === 'revoking' || phase === 'ended') return phase;
  return volumes.some(({ grace }) => grace !== null) ? 'grace' : 'watching';
};

export const statusOf = (state: State, tally: Tally, atMs: number): DaemonStatus => ({
  version: 1,
  bootId: state.bootId,
  atMs,
  state: guardStateOf(state, state.volumes),
  pollSeconds: state.pollMs / 1000,
  keys: state.keys.map(({ key, lastGoodMs }) => ({
    key,
    state: tally.keys[key]?.state ?? 'unknown',
    lastActiveMs: lastGoodMs,
    polls: tally.keys[key]?.polls ?? { active: 0, other: 0 },
  })),
  volumes: state.volumes.map((volume) => ({
    volume: volume.volume,
    key: volume.key,
    state: guardStateOf(state, [volume]),
    deadlineMs: volume.grace?.deadlineMs ?? null,
    keyVersion: volume.keyVersion,
    wrapping: volume.upkeep.kind === 'current' ? 'current' : 'being renewed',
    ...countsOf(tally, volume.volume),
  })),
  revocation: state.revocation,
});

/** Longest document that is read: a guest with a hundred volumes stays far below. */
export const statusMaxBytes = 256 * 1024;
export const renderStatus = (status: DaemonStatus): string => `${JSON.stringify(status)}\n`;

const countsFrom = (value: unknown) => {
  const { done, failed } = fields(value);
  return { done: number(done), failed: number(failed) };
};

/** The daemon is nobody in particular; whoever reads what it says may be root at a terminal. */
const shown = (value: unknown): string => printable(text(value));

/** Reads a document of `renderStatus`, its texts made fit for printing; null when it is none. */
export const parseStatus = (bytes: Buffer): DaemonStatus | null => {
  const parsed = parseStrictJson(bytes.toString('utf8'));
  if (parsed === null) return null;
  try {
    const { version, bootId, atMs, state, pollSeconds, keys, volumes, revocation } = fields(parsed.value);
    if (version !== 1) return null;
    const revoking = revocation === null ? null : fields(revocation);
    return {
      version,
      bootId: shown(bootId),
      atMs: number(atMs),
      state: oneOf(state, phases),
      pollSeconds: number(pollSeconds),
      keys: list(keys).map((entry) => {
        const { key, state, lastActiveMs, polls } = fields(entry);
        const { active, other } = fields(polls);
        return {
          key: shown(key),
          state: shown(state),
          lastActiveMs: number(lastActiveMs),
          polls: { active: number(active), other: number(other) },
        };
      }),
      volumes: list(volumes).map((entry) => {
        const { volume, key, state, deadlineMs, keyVersion, wrapping, rewraps, stores } = fields(entry);
        return {
          volume: shown(volume),
          key: shown(key),
          state: oneOf(state, phases),
          deadlineMs: deadlineMs === null ? null : number(deadlineMs),
          keyVersion: shown(keyVersion),
          wrapping: oneOf(wrapping, ['current', 'being renewed']),
          rewraps: countsFrom(rewraps),
          stores: countsFrom(stores),
        };
      }),
      revocation: revoking === null ? null : { volume: shown(revoking.volume), reason: shown(revoking.reason) },
    };
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
};
