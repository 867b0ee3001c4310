/**
 * How often the daemon has restarted this guest, and what follows. Pure.
 *
 * Advisory: it lies beside the keyfile, where the host can change it. With it the host gains a delay of half a minute, or a
 * power-off, which it could have by pulling the plug. Time is that of healthy boots alone: how long each had guarded its volumes on its
 * own monotonic clock when the daemon ended it; a wall clock or an hour without power takes no part.
 */
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, flag, list, Malformed, number } from './json-fields.ts';

export interface Restarts {
  /** The latest boot was ended by the daemon, and none has opened the volume since. */
  readonly pending: boolean;
  /** How long each of the latest boots had guarded when the daemon ended it, oldest first, at most three. */
  readonly guardedMs: readonly number[];
}

/** The place of a boot sector in front of the ext4 of the metadata partition: kernel documentation, "ext4 Data Structures", Layout. */
export const restartsBytes = 512;
export const noRestarts: Restarts = { pending: false, guardedMs: [] };

const mark = 'triseed-restarts ';
const mostRestarts = 3;
const withinMs = 60 * 60_000;

export const renderRestarts = ({ pending, guardedMs }: Restarts): Buffer => {
  const sector = Buffer.alloc(restartsBytes);
  sector.write(`${mark}${JSON.stringify({ version: 1, pending, guardedMs })}\n`, 'latin1');
  return sector;
};

/** Null when something else is there, which must not be overwritten. A record of ours that is damaged counts as none. */
export const parseRestarts = (sector: Buffer): Restarts | null => {
  const text = sector.toString('latin1').replace(/\0+$/, '');
  if (text === '') return noRestarts;
  if (!text.startsWith(mark)) return null;
  const parsed = parseStrictJson(text.slice(mark.length));
  if (parsed === null) return noRestarts;
  try {
    const { version, pending, guardedMs } = fields(parsed.value);
    const times = list(guardedMs).map(number);
    if (version !== 1 || times.length > mostRestarts || times.some((ms) => ms < 0)) return noRestarts;
    return { pending: flag(pending), guardedMs: times };
  } catch (error) {
    if (error instanceof Malformed) return noRestarts;
    throw error;
  }
};

/**
 * What a restart after `guardedMs` of guarding leads to: more than three within an hour of healthy boots power the guest off instead,
 * and the count begins anew, because the next start is somebody's decision.
 */
export const afterRestart = (
  before: Restarts,
  guardedMs: number,
): { readonly action: 'restart' | 'powerOff'; readonly record: Restarts } => {
  const times = [...before.guardedMs, guardedMs];
  const sum = times.reduce((total, ms) => total + ms, 0);
  return times.length > mostRestarts && sum <= withinMs
    ? { action: 'powerOff', record: noRestarts }
    : { action: 'restart', record: { pending: true, guardedMs: times.slice(-mostRestarts) } };
};
