/** `triseed keyd`: the key daemon of a guest, and the revocation that systemd runs for it. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { handOverPath } from '../keyd/hand-over.ts';
import { readHandOver } from '../keyd/read-hand-over.ts';
import { runRevocation } from '../keyd/revoke.ts';
import { runKeyDaemon } from '../keyd/run.ts';
import { backendFor } from '../kms/backends.ts';
import type { Host, Notify } from '../ports.ts';
import { storeSeed } from '../volumes/store-seed.ts';
import { defaultConfiguration } from './boot.ts';

export interface DaemonContext {
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
  readonly notify: Notify;
  /** Aborted when systemd asks the daemon to end. */
  readonly signal: AbortSignal;
}

export const keydCommand = (context: DaemonContext): Command =>
  new Command('keyd')
    .description('watch the root keys of the opened volumes; run by triseed-keyd.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--revoke', 'close every protected volume and restart the guest; run by triseed-revoke.service')
    .action(async (options: { readonly config: string; readonly revoke?: true }) => {
      const { settings, host } = await context.configured(options.config);
      const { credentialsFolder, notify, signal } = context;
      const handed = credentialsFolder === null ? handOverPath(settings.paths.run) : `${credentialsFolder}/keyd`;
      const handOver = await readHandOver(host.files, handed);
      if (options.revoke === true) await runRevocation(host, handOver);
      else {
        const { legacyProfiles } = settings.volumes;
        const store: typeof storeSeed = (where, volume, wrapped, keyVersion) =>
          storeSeed(where, volume, wrapped, keyVersion, legacyProfiles);
        await runKeyDaemon(host, { handOver, backendFor, storeSeed: store, signal, notify });
      }
    });
