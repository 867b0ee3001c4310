/** What the record of the key daemon says about one volume's root key, for people. Pure. */
import type { Kept, WatchConfiguration } from './state.ts';

export interface KeyView {
  readonly state: 'active' | 'grace' | 'revoking' | 'not watched yet';
  /** Since the root key was last known to be active; null before the daemon's first record. */
  readonly activeSecondsAgo: number | null;
  /** Until the volume is closed; only in grace. */
  readonly closesInSeconds: number | null;
}

const seconds = (ms: number): number => Math.max(0, Math.round(ms / 1000));

/** Null when the volume hangs on no root key. `kept` is null, or of an earlier boot, until the daemon wrote its record. */
export const keyViewOf = (
  { volumes, bootId }: Pick<WatchConfiguration, 'volumes' | 'bootId'>,
  kept: Kept | null,
  volume: string,
  atMs: number,
): KeyView | null => {
  const watched = volumes.find((entry) => entry.volume === volume);
  if (watched === undefined) return null;
  if (kept === null || kept.bootId !== bootId)
    return { state: 'not watched yet', activeSecondsAgo: null, closesInSeconds: null };
  const lastGood = kept.keys.find(({ key }) => key === watched.key)?.lastGoodMs ?? null;
  const grace = kept.volumes.find((entry) => entry.volume === volume)?.grace ?? null;
  return {
    state: kept.revocation !== null ? 'revoking' : grace !== null ? 'grace' : 'active',
    activeSecondsAgo: lastGood === null ? null : seconds(atMs - lastGood),
    closesInSeconds: grace === null ? null : seconds(grace.deadlineMs - atMs),
  };
};

export const describeKey = ({ state, activeSecondsAgo, closesInSeconds }: KeyView): string => {
  const last = activeSecondsAgo === null ? '' : `, last known to be active ${activeSecondsAgo} s ago`;
  const end = closesInSeconds === null ? '' : `, the guest restarts in ${closesInSeconds} s`;
  return `${state}${last}${end}`;
};
