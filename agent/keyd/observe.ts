/**
 * What the daemon leaves for others, beside its record: status and counts as files, audit records in the journal, the latest events. None of
 * it is needed for its duty: what cannot be written is told once, and the watch goes on.
 */
import { reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import { auditIdentifier, renderAudit } from './audit.ts';
import { renderMetrics } from './metrics.ts';
import { metricsPath, recordingPath, statusPath } from './places.ts';
import { newRecording, type Recording, recorded, renderRecording } from './recording.ts';
import type { Effect, Event, State, Step } from './state.ts';
import { renderStatus, statusOf } from './status.ts';
import { type AuditedKey, emptyTally, type Tally, tallied } from './tally.ts';

export interface Observer {
  /** The machine has answered `event`, and what it asked for is under way. */
  seen(event: Event, answered: Step): Promise<void>;
  /** The status as it is now. */
  status(): Buffer;
  /** Writes the recording as it is. */
  finish(): Promise<void>;
}

/** Files change with the state and with finished polls; a tick that starts polls would write the same once more. */
const isWorthWriting = (effects: readonly Effect[]): boolean =>
  effects.some(({ kind }) => kind !== 'schedule' && kind !== 'poll');
/** The recording is written when something was said or done that somebody may want to understand. */
const isWorthKeeping = (effects: readonly Effect[]): boolean =>
  effects.some(({ kind }) => ['message', 'rewrap', 'store', 'revoke', 'end'].includes(kind));

export const observer = (
  host: Host,
  { run, keys, begin }: { readonly run: string; readonly keys: readonly AuditedKey[]; readonly begin: State },
): Observer => {
  let state = begin;
  let tally: Tally = emptyTally;
  let recording: Recording = newRecording(begin);
  let isTold = false;

  const notTold = (path: string, error: unknown): void => {
    if (isTold) return;
    isTold = true;
    host.journal.message('STATUS_NOT_TOLD', { path, reason: reasonOf(error) });
  };
  const put = async (path: string, text: string, mode: number): Promise<void> => {
    try {
      await host.files.writeAtomically(path, Buffer.from(text), mode);
      isTold = false;
    } catch (error) {
      notTold(path, error);
    }
  };
  const current = () => statusOf(state, tally, host.clock.monotonicMs());
  const keepRecording = (): Promise<void> => put(recordingPath(run), renderRecording(recording), 0o600);

  const look = async (event: Event, answered: Step): Promise<void> => {
    state = answered.state;
    recording = recorded(recording, event, answered.effects);
    const { tally: next, audit } = tallied(tally, event, keys);
    tally = next;
    for (const record of audit) host.journal.note(auditIdentifier, renderAudit(record));
    if (!isWorthWriting(answered.effects)) return;
    const status = current();
    await put(statusPath(run), renderStatus(status), 0o644);
    await put(metricsPath(run), renderMetrics(status), 0o644);
    if (isWorthKeeping(answered.effects)) await keepRecording();
  };

  return {
    seen: (event, answered) => look(event, answered).catch((error: unknown) => notTold(statusPath(run), error)),
    status: () => Buffer.from(renderStatus(current())),
    finish: keepRecording,
  };
};
