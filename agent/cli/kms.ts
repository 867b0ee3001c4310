/** `triseed kms`: root keys for their owner, and a local key service to try them with. */
import { Command } from 'commander';
import type { Host, SendHttp } from '../ports.ts';
import type { Calendar, OpenLineFile, ServeHttp } from '../service-ports.ts';
import type { CommandIo } from './io.ts';
import { policiesCommand, ringCommand } from './kms-instance.ts';
import { keyCommand } from './kms-key.ts';
import { serveCommand } from './kms-serve.ts';

/** What these commands need beside the host: the composition root hands it in. */
export interface KmsExtra {
  /** Aborts when the process is asked to end. */
  readonly signal: AbortSignal;
  /** An HTTP client that trusts these PEM certificates too. Throws KMS_CA_UNUSABLE. */
  readonly makeHttp: (options: { readonly extraCa: readonly string[]; readonly proxy: string | null }) => SendHttp;
  readonly serve: ServeHttp;
  readonly calendar: Calendar;
  readonly openLineFile: OpenLineFile;
  /** Where systemd put the credentials of this service; null outside of one. */
  readonly credentialsFolder: string | null;
  /** Asks a person; only called when standard error is a terminal. */
  readonly ask: (question: string, signal: AbortSignal) => Promise<string>;
}

const everyCommand = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(everyCommand)];

/** An argument too many is repeated by the parser: it may be an API key that somebody pasted. */
const discreet = (text: string, write: (text: string) => void): void => write(text.replace(/[\w+/=.-]{32,}/g, '…'));

export const kmsCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command => {
  const group = new Command('kms')
    .description('root keys, and a local key management service to try them with')
    .addCommand(serveCommand(host, io, extra))
    .addCommand(keyCommand(host, io, extra))
    .addCommand(ringCommand(host, io, extra))
    .addCommand(policiesCommand(host, io, extra));
  for (const command of everyCommand(group)) command.configureOutput({ outputError: discreet });
  return group;
};
