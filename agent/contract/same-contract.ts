/**
 * The contract lies where the host can change it, and every stage of a start reads it again. What remote logging was set up from must be what
 * the boot opens volumes by: a host could otherwise take the log server from one contract and the data from another.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { SealedContract } from './types.ts';

const usedContractPath = (run: string): string => `${run}/contract-used.sha256`;
const longestRecord = 256;

const recordOf = ({ bytes }: SealedContract): string => `${createHash('sha256').update(bytes).digest('hex')}\n`;

/** Keeps which contract this start has used, in the run folder `run`: in memory, and root's. Throws FILE_UNWRITABLE. */
export const rememberContract = async ({ files }: Pick<Host, 'files'>, run: string, sealed: SealedContract) => {
  await files.makeFolder(run, 0o700);
  await files.writeAtomically(usedContractPath(run), Buffer.from(recordOf(sealed)), 0o600);
};

/**
 * Refuses `sealed` when a stage before has used another one. Where none was used, as by a boot that somebody starts by hand, there is nothing to
 * mix; systemd starts no boot without the stage that sets up logging.
 * @throws CONTRACT_CHANGED, FILE_UNREADABLE, FILE_TOO_LARGE
 */
export const requireSameContract = async (
  { files }: Pick<Host, 'files'>,
  run: string,
  sealed: SealedContract,
): Promise<void> => {
  const kept = await files.read(usedContractPath(run), longestRecord);
  if (kept !== null && kept.toString('latin1') !== recordOf(sealed))
    throw new AgentError('CONTRACT_CHANGED', { source: sealed.source });
};
