/** `triseed notices`: tells in time when contract and encryption certificate end. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import { expiryMaxBytes, expiryPath, parseExpiry } from '../notices/expiry-file.ts';
import { runNotices } from '../notices/run.ts';
import type { Calendar, Host } from '../ports.ts';
import { defaultConfiguration } from './boot.ts';

export interface NoticesContext {
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  readonly calendar: Calendar;
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
  /** Aborted when systemd asks the process to end. */
  readonly signal: AbortSignal;
}

export const noticesCommand = (context: NoticesContext): Command =>
  new Command('notices')
    .description('tell in time when contract and encryption certificate end; run by triseed-notices.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .action(async ({ config }: { readonly config: string }) => {
      const { settings, host } = await context.configured(config);
      const { calendar, credentialsFolder, signal } = context;
      const path = credentialsFolder === null ? expiryPath(settings.paths.run) : `${credentialsFolder}/expiry`;
      const bytes = await host.files.read(path, expiryMaxBytes);
      if (bytes === null) throw new AgentError('EXPIRY_FILE_INVALID', { reason: `${path} does not exist` });
      await runNotices({ ...host, calendar }, parseExpiry(bytes.toString('utf8')), signal);
    });
