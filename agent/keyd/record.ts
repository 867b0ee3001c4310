/** What the daemon leaves behind for its successor of the same boot, and the one line it shows in `systemctl status`. */
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, flag, list, Malformed, number, oneOf, text } from './json-fields.ts';
import type { Grace, Kept, Revocation, State } from './state.ts';

export const keptOf = (state: State): Kept => ({
  version: 1,
  bootId: state.bootId,
  pollMs: state.pollMs,
  onRevoked: state.onRevoked,
  keys: state.keys.map(({ key, lastGoodMs, intervalMs }) => ({ key, lastGoodMs, intervalMs })),
  volumes: state.volumes.map(({ volume, grace, wrapped, keyVersion }) => ({ volume, grace, wrapped, keyVersion })),
  revocation: state.revocation,
});

export const describeStatus = (state: State): string => {
  const troubled = state.volumes.filter(({ grace }) => grace !== null).map(({ volume }) => volume);
  const count = `${state.volumes.length} ${state.volumes.length === 1 ? 'volume' : 'volumes'}`;
  return troubled.length === 0
    ? `${count} guarded, every root key is active`
    : `${count} guarded, no usable root key for ${troubled.join(', ')}`;
};

export const renderKept = (kept: Kept): string => `${JSON.stringify(kept)}\n`;

export const graceFrom = (value: unknown): Grace | null => {
  if (value === null) return null;
  const { sinceMs, deadlineMs, attempts, refused } = fields(value);
  return {
    sinceMs: number(sinceMs),
    deadlineMs: number(deadlineMs),
    attempts: number(attempts),
    refused: flag(refused),
  };
};

export const revocationFrom = (value: unknown): Revocation | null => {
  if (value === null) return null;
  const { volume, reason } = fields(value);
  return { volume: text(volume), reason: text(reason) };
};

/** Throws `Malformed`. */
export const keptFrom = (value: unknown): Kept => {
  const { version, bootId, pollMs, onRevoked, keys, volumes, revocation } = fields(value);
  if (version !== 1) throw new Malformed('version 1 is expected');
  return {
    version,
    bootId: text(bootId),
    pollMs: number(pollMs),
    onRevoked: oneOf(onRevoked, ['grace', 'immediate']),
    keys: list(keys).map((entry) => {
      const { key, lastGoodMs, intervalMs } = fields(entry);
      return { key: text(key), lastGoodMs: number(lastGoodMs), intervalMs: number(intervalMs) };
    }),
    volumes: list(volumes).map((entry) => {
      const { volume, grace, wrapped, keyVersion } = fields(entry);
      return {
        volume: text(volume),
        grace: graceFrom(grace),
        wrapped: text(wrapped),
        keyVersion: text(keyVersion),
      };
    }),
    revocation: revocationFrom(revocation),
  };
};

/** Reads a record of `renderKept`; null when it is none. */
export const parseKept = (bytes: string): Kept | null => {
  const parsed = parseStrictJson(bytes);
  if (parsed === null) return null;
  try {
    return keptFrom(parsed.value);
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
};
