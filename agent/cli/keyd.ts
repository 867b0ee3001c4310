/** `triseed keyd`: the key daemon of a guest, and the two things that systemd runs for it because it may not do them itself. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { printable } from '../contract/shown-name.ts';
import { AgentError } from '../errors.ts';
import { handOverPath } from '../keyd/hand-over.ts';
import { readHandOver } from '../keyd/read-hand-over.ts';
import { effectWords, parseRecording, recordingMaxBytes, replay } from '../keyd/recording.ts';
import { runRevocation } from '../keyd/revoke.ts';
import { runKeyDaemon } from '../keyd/run.ts';
import type { Event } from '../keyd/state.ts';
import { renderStoreAnswer, storeRequestMaxBytes } from '../keyd/store-request.ts';
import { storeAsAsked } from '../keyd/store-verb.ts';
import { backendFor } from '../kms/backends.ts';
import type { AskSocket, Files, Host, Notify, ServeSocket } from '../ports.ts';
import { defaultConfiguration } from './boot.ts';
import type { CommandIo } from './io.ts';

export interface DaemonContext {
  readonly io: CommandIo;
  readonly plainHost: () => Promise<Host>;
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
  readonly ask: AskSocket;
  readonly serve: ServeSocket;
  readonly notify: Notify;
  /** Calls `listener` on SIGHUP; answers how to stop that. */
  readonly onReload: (listener: () => void) => () => void;
  /** Aborted when systemd asks the daemon to end. */
  readonly signal: AbortSignal;
}

interface Options {
  readonly config: string;
  readonly revoke?: true;
  readonly store?: true;
  readonly replay?: string;
}

const describeEvent = ({ kind, ...facts }: Event): string =>
  kind === 'started' ? kind : `${kind} ${JSON.stringify(facts)}`;

/** One line an event: when it was on the monotonic clock, what came, what was done about it. */
const printReplay = async (files: Files, io: CommandIo, path: string): Promise<void> => {
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

const help = `
Exit status: 0, or 1 for every error. With --replay 1 also says that this version does something else than was recorded.

Examples:
  triseed keyd --replay /run/triseed-keyd/events.json    what the daemon saw and did, event by event`;

export const keydCommand = (context: DaemonContext): Command =>
  new Command('keyd')
    .description('watch the root keys of the opened volumes; run by triseed-keyd.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--revoke', 'close every protected volume and restart the guest; run by triseed-revoke.service')
    .option('--store', 'store the renewed seed that standard input asks for; run by triseed-store@.service')
    .option('--replay <file>', 'print recorded events (events.json of the daemon) and what this version does with them')
    .addHelpText('after', help)
    .action(async ({ config, revoke, store, replay: recording }: Options) => {
      if (recording !== undefined) return printReplay((await context.plainHost()).files, context.io, recording);
      const { settings, host } = await context.configured(config);
      const { credentialsFolder, ask, serve, notify, signal, io } = context;
      const { run } = settings.paths;
      const handed = credentialsFolder === null ? handOverPath(run) : `${credentialsFolder}/keyd`;
      const handOver = await readHandOver(host.files, handed);
      if (revoke === true || store === true) for (const { apiKey } of handOver.volumes) apiKey.wipe();
      if (revoke === true) await runRevocation(host, handOver);
      else if (store === true) {
        const request = await io.stdin(storeRequestMaxBytes);
        const answer = await storeAsAsked(host, handOver, request, settings.volumes.legacyProfiles);
        io.stdout(renderStoreAnswer(answer));
        if (!answer.stored) io.setExitStatus(1);
      } else {
        const read = async () => {
          const again = await context.configured(config);
          return { host: again.host, settings: again.settings.kms };
        };
        const reloads = { subscribe: context.onReload, read };
        await runKeyDaemon(host, { handOver, backendFor, ask, serve, signal, notify, reloads });
      }
    });
