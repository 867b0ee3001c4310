/** Files that only grow: audit events. open(2) with O_APPEND, so that a rotated or shared file is not overwritten. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import type { OpenLineFile } from '../service-ports.ts';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;

const reasonOf = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';

export const openLineFile: OpenLineFile = async (path) => {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw new AgentError('FILE_UNWRITABLE', { path, reason: reasonOf(cause) }, { cause });
    }
  };
  const file = attempt(() => openSync(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600));
  return {
    append: (line) => attempt(() => void writeSync(file, `${line}\n`)),
    close: () => closeSync(file),
  };
};
