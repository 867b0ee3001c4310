/** `triseed keyd --replay`: what the daemon saw and did, from its recording. */
import { printable } from '../contract/shown-name.ts';
import { AgentError } from '../errors.ts';
import { effectWords, parseRecording, recordingMaxBytes, replay } from '../keyd/recording.ts';
import type { Event } from '../keyd/state.ts';
import type { Files } from '../ports.ts';
import type { CommandIo } from './io.ts';

const describeEvent = ({ kind, ...facts }: Event): string =>
  kind === 'started' ? kind : `${kind} ${JSON.stringify(facts)}`;

/** One line an event: when it was on the monotonic clock, what came, what was done about it. */
export const printReplay = async (files: Files, io: CommandIo, path: string): Promise<void> => {
  const bytes = await files.read(path, recordingMaxBytes);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  const recording = parseRecording(bytes);
  if (recording === null)
    throw new AgentError('FILE_UNREADABLE', { path, reason: 'it is not a recording of the daemon' });
  for (const { event, effects, isSame } of replay(recording)) {
    const at = (event.atMs / 1000).toFixed(3).padStart(12);
    const mark = isSame ? ' ' : '!';
    const done = effectWords(effects).join(', ') || 'nothing';
    io.stdout(`${at} s ${mark} ${printable(describeEvent(event))}\n               → ${printable(done)}\n`);
    if (!isSame) io.setExitStatus(1);
  }
};
