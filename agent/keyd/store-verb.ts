/**
 * Storing a renewed seed, from both sides of the socket triseed-store.socket. The daemon asks; a short-lived process that may write to
 * disks and speaks to nobody else does it (triseed-store@.service).
 *
 * What the privileged side proves: the volume is one of the hand-over of this boot, the root key is the one boot named for it, both
 * texts have the form of what a key service gives, and the header on the disk has the LUKS UUID that boot opened and a
 * token that names this volume. Device and UUID come from the hand-over alone.
 *
 * It cannot prove that the new text unwraps to the same seed without asking the key service for the seed, which would bring the seed into
 * a running guest. Therefore only the token in the header is replaced. The keyfile of the metadata partition keeps the wrapping that the
 * latest boot unwrapped and opened the volume with; the next boot tries the token first and the keyfile second, and brings
 * the keyfile up to date with whichever opened it (agent/volumes/prove.ts).
 */
import type { LegacyProfile } from '../configuration.ts';
import { AgentError, reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { AskSocket } from '../service-ports.ts';
import { storeSeed } from '../volumes/store-seed.ts';
import type { ProtectedVolume } from '../volumes/stored-seed.ts';
import type { HandOver } from './hand-over.ts';
import {
  parseStoreAnswer,
  parseStoreRequest,
  renderStoreRequest,
  type StoreAnswer,
  storeAnswerMaxBytes,
} from './store-request.ts';

/** The verb's unit is ended after 60 s. */
const answerLimitMs = 75_000;

/** The privileged side: checks `bytes` against `handOver`, and stores. Never throws for what was asked. */
export const storeAsAsked = async (
  host: Host,
  handOver: HandOver,
  bytes: Buffer,
  legacy: readonly LegacyProfile[],
): Promise<StoreAnswer> => {
  const refused = (reason: string): StoreAnswer => ({ stored: false, reason });
  const request = parseStoreRequest(bytes);
  if (typeof request === 'string') return refused(`the request is refused: ${request}`);
  const handed = handOver.volumes.find(({ key }) => key === request.volume);
  if (handed === undefined) return refused('the request is refused: boot handed over no such volume');
  if (handed.crn !== request.crn) return refused('the request is refused: this volume has another root key');
  try {
    await storeSeed(host, handed, request.wrapped, request.keyVersion, legacy);
    return { stored: true };
  } catch (error) {
    return refused(reasonOf(error));
  }
};

/** The daemon's side. Throws SOCKET_NO_ANSWER, STORE_REFUSED. */
export const askToStore = async (
  ask: AskSocket,
  socket: string,
  { key, crn }: Pick<ProtectedVolume, 'key' | 'crn'>,
  wrapped: string,
  keyVersion: string,
): Promise<void> => {
  const limits = { timeoutMs: answerLimitMs, maxAnswerBytes: storeAnswerMaxBytes };
  const answer = parseStoreAnswer(
    await ask(socket, renderStoreRequest({ volume: key, crn, wrapped, keyVersion }), limits),
  );
  if (answer?.stored === true) return;
  throw new AgentError('STORE_REFUSED', { volume: key, reason: answer?.reason ?? 'it ended without an answer' });
};
