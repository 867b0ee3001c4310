/** `triseed notices`: tells in time when contract and encryption certificate end. */
import { Command } from 'commander';
import { AgentError } from '../errors.ts';
import { expiryMaxBytes, parseExpiry } from '../notices/expiry-file.ts';
import { runNotices } from '../notices/run.ts';
import type { Host } from '../ports.ts';
import type { Calendar } from '../service-ports.ts';

export interface NoticesContext {
  readonly plainHost: () => Promise<Host>;
  readonly calendar: Calendar;
  /** Aborted when systemd asks the process to end. */
  readonly signal: AbortSignal;
}

export const noticesCommand = ({ plainHost, calendar, signal }: NoticesContext): Command =>
  new Command('notices')
    .description('tell in time when contract and encryption certificate end; run by triseed-notices.service')
    .argument('<file>', 'dates of expiry as a boot leaves them')
    .action(async (path: string) => {
      const host = await plainHost();
      const bytes = await host.files.read(path, expiryMaxBytes);
      if (bytes === null) throw new AgentError('EXPIRY_FILE_INVALID', { reason: `${path} does not exist` });
      await runNotices({ ...host, calendar }, parseExpiry(bytes.toString('utf8')), signal);
    });
