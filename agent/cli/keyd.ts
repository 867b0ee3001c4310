/** `triseed keyd`: the key daemon of a guest, and the two things that systemd runs for it because it may not do them itself. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { handOverPath } from '../keyd/hand-over.ts';
import { readHandOver } from '../keyd/read-hand-over.ts';
import { runRevocation } from '../keyd/revoke.ts';
import { runKeyDaemon } from '../keyd/run.ts';
import { renderStoreAnswer, storeRequestMaxBytes } from '../keyd/store-request.ts';
import { storeAsAsked } from '../keyd/store-verb.ts';
import { backendFor } from '../kms/backends.ts';
import type { AskSocket, Host, Notify } from '../ports.ts';
import { defaultConfiguration } from './boot.ts';
import type { CommandIo } from './io.ts';

export interface DaemonContext {
  readonly io: CommandIo;
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
  readonly ask: AskSocket;
  readonly notify: Notify;
  /** Aborted when systemd asks the daemon to end. */
  readonly signal: AbortSignal;
}

interface Options {
  readonly config: string;
  readonly revoke?: true;
  readonly store?: true;
}

export const keydCommand = (context: DaemonContext): Command =>
  new Command('keyd')
    .description('watch the root keys of the opened volumes; run by triseed-keyd.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--revoke', 'close every protected volume and restart the guest; run by triseed-revoke.service')
    .option('--store', 'store the renewed seed that standard input asks for; run by triseed-store@.service')
    .action(async ({ config, revoke, store }: Options) => {
      const { settings, host } = await context.configured(config);
      const { credentialsFolder, ask, notify, signal, io } = context;
      const { run } = settings.paths;
      const handed = credentialsFolder === null ? handOverPath(run) : `${credentialsFolder}/keyd`;
      const handOver = await readHandOver(host.files, handed);
      if (revoke === true) await runRevocation(host, handOver);
      else if (store === true) {
        const request = await io.stdin(storeRequestMaxBytes);
        const answer = await storeAsAsked(host, handOver, request, settings.volumes.legacyProfiles);
        io.stdout(renderStoreAnswer(answer));
        if (!answer.stored) io.setExitStatus(1);
      } else await runKeyDaemon(host, { handOver, backendFor, ask, signal, notify });
    });
