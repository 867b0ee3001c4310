/**
 * `triseed keyd`: the key daemon of a guest, and the two things that systemd runs for it because it may not do them itself. The
 * daemon lasts as long as the guest, so it loads nothing that only the others need.
 */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { type HandOver, handOverPath } from '../keyd/hand-over.ts';
import { readHandOver } from '../keyd/read-hand-over.ts';
import type { Host } from '../ports.ts';
import type { AskSocket, Notify, ServeSocket } from '../service-ports.ts';
import { defaultConfiguration } from './default-configuration.ts';
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

const help = `
Exit status: 0, or 1 for every error. With --replay 1 also says that this version does something else than was recorded.

Examples:
  triseed keyd --replay /run/triseed-keyd/events.json    what the daemon saw and did, event by event`;

/** What the boot left, without the API keys: only the daemon asks the key service. */
const withoutKeys = (handOver: HandOver): HandOver => {
  for (const { apiKey } of handOver.volumes) apiKey.wipe();
  return handOver;
};

const revokeAll = async (host: Host, handOver: HandOver): Promise<void> => {
  const { runRevocation } = await import('../keyd/revoke.ts');
  await runRevocation(host, withoutKeys(handOver));
};

const storeRenewed = async (host: Host, handOver: HandOver, { volumes }: AgentConfiguration, io: CommandIo) => {
  const [{ renderStoreAnswer, storeRequestMaxBytes }, { storeAsAsked }] = await Promise.all([
    import('../keyd/store-request.ts'),
    import('../keyd/store-verb.ts'),
  ]);
  const known = withoutKeys(handOver);
  const answer = await storeAsAsked(host, known, await io.stdin(storeRequestMaxBytes), volumes.legacyProfiles);
  io.stdout(renderStoreAnswer(answer));
  if (!answer.stored) io.setExitStatus(1);
};

const watch = async (context: DaemonContext, config: string, host: Host, handOver: HandOver): Promise<void> => {
  const [{ runKeyDaemon }, { backendFor }] = await Promise.all([
    import('../keyd/run.ts'),
    import('../kms/backends.ts'),
  ]);
  const { ask, serve, notify, signal, onReload, configured } = context;
  const read = async () => {
    const again = await configured(config);
    return { host: again.host, settings: again.settings.kms };
  };
  const reloads = { subscribe: onReload, read };
  await runKeyDaemon(host, { handOver, backendFor, ask, serve, signal, notify, reloads });
};

export const keydCommand = (context: DaemonContext): Command =>
  new Command('keyd')
    .description('watch the root keys of the opened volumes; run by triseed-keyd.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--revoke', 'close every protected volume and restart the guest; run by triseed-revoke.service')
    .option('--store', 'store the renewed seed that standard input asks for; run by triseed-store@.service')
    .option('--replay <file>', 'print recorded events (events.json of the daemon) and what this version does with them')
    .addHelpText('after', help)
    .action(async ({ config, revoke, store, replay }: Options) => {
      if (replay !== undefined) {
        const { printReplay } = await import('./keyd-replay.ts');
        return printReplay((await context.plainHost()).files, context.io, replay);
      }
      const { settings, host } = await context.configured(config);
      const { credentialsFolder, io } = context;
      const handed = credentialsFolder === null ? handOverPath(settings.paths.run) : `${credentialsFolder}/keyd`;
      const handOver = await readHandOver(host.files, handed);
      if (revoke === true) await revokeAll(host, handOver);
      else if (store === true) await storeRenewed(host, handOver, settings, io);
      else await watch(context, config, host, handOver);
    });
