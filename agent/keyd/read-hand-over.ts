import { AgentError } from '../errors.ts';
import type { Files } from '../ports.ts';
import { type HandOver, handOverMaxBytes, parseHandOver } from './hand-over.ts';
import { keptPath } from './places.ts';
import { parseKept } from './record.ts';
import type { Kept } from './state.ts';

const bootIdPath = '/proc/sys/kernel/random/boot_id';
const keptMaxBytes = 1024 * 1024;

/** The id of this boot, random(4). Throws KEY_DAEMON_CONFIGURATION. */
export const readBootId = async (files: Files): Promise<string> => {
  const bytes = await files.read(bootIdPath, 64);
  if (bytes === null)
    throw new AgentError('KEY_DAEMON_CONFIGURATION', { path: bootIdPath, reason: 'it does not exist' });
  return bytes.toString('utf8').trim();
};

/**
 * Reads what boot handed over and wipes the bytes it came in.
 * @throws KEY_DAEMON_CONFIGURATION when it is missing, malformed, or of another boot (its times would mean nothing)
 */
export const readHandOver = async (files: Files, path: string): Promise<HandOver> => {
  const bytes = await files.read(path, handOverMaxBytes);
  const wrong = (reason: string) => new AgentError('KEY_DAEMON_CONFIGURATION', { path, reason });
  if (bytes === null) throw wrong('it does not exist');
  const handOver = parseHandOver(bytes);
  bytes.fill(0);
  if (typeof handOver === 'string') throw wrong(handOver);
  if (handOver.bootId !== (await readBootId(files))) throw wrong('it belongs to another boot');
  return handOver;
};

/**
 * What an earlier daemon left behind, or null when this is the first. A record that cannot be read is an error and not
 * "none": ignoring it could lengthen a grace.
 * @throws KEY_DAEMON_CONFIGURATION
 */
export const readKept = async (files: Files, run: string): Promise<Kept | null> => {
  const path = keptPath(run);
  const bytes = await files.read(path, keptMaxBytes);
  if (bytes === null) return null;
  const kept = parseKept(bytes.toString('utf8'));
  if (kept === null)
    throw new AgentError('KEY_DAEMON_CONFIGURATION', { path, reason: 'it is not a record of the daemon' });
  return kept;
};
