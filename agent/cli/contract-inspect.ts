/** `triseed contract inspect`: what a contract says, what a guest will do, what is weak. */
import { Command } from 'commander';
import { maximumContractBytes } from '../contract/delivered.ts';
import { renderFindings } from '../contract/finding.ts';
import { inspectContract } from '../contract/inspect.ts';
import { renderInspection } from '../contract/inspect-text.ts';
import { assertImplicitRejection } from '../contract/open-token.ts';
import type { Host } from '../ports.ts';
import { type ProfileChoice, passphraseOption, profileOf, profileOptions, readKey } from './contract-options.ts';
import { readInput } from './documents.ts';
import type { CommandIo } from './io.ts';

interface InspectOptions extends ProfileChoice {
  readonly decryptKey?: string;
  readonly json?: boolean;
  readonly keyPassphraseFile?: string;
}

const inspect = async (host: Host, io: CommandIo, file: string, options: InspectOptions): Promise<void> => {
  const { decryptKey, keyPassphraseFile } = options;
  const key = decryptKey === undefined ? null : await readKey(host, io, decryptKey, keyPassphraseFile);
  if (key !== null) assertImplicitRejection(key);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  const outcome = await inspectContract(bytes, { profile: profileOf(options), key, at: host.clock.now() });
  if (outcome.kind === 'unreadable') {
    if (options.json === true) io.stdout(`${JSON.stringify({ findings: outcome.findings }, null, 2)}\n`);
    else io.stderr(`${renderFindings(outcome.findings, file)}\n`);
    io.setExitStatus(1);
    return;
  }
  io.stdout(
    options.json === true ? `${JSON.stringify(outcome.value, null, 2)}\n` : renderInspection(outcome.value, file),
  );
};

const help = `
Examples:
  triseed contract inspect contract.yaml
  triseed contract inspect user-data --decrypt-key guest-key.pem

Names, places and numbers, never a value that may be secret. Exit status: 0 it could be read, valid or not (validate
tells), 1 it is no contract, 2 wrong usage, 3 a file could not be read.`;

export const inspectCommand = (host: Host, io: CommandIo): Command =>
  profileOptions()
    .reduce(
      (command, option) => command.addOption(option),
      new Command('inspect').description('what a contract says, what a guest will do with it, what is weak'),
    )
    .argument('<file>', 'the contract, plain or sealed, or - for standard input')
    .option('--decrypt-key <file>', 'private key of the guest, to look into tokens')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .addHelpText('after', help)
    .action((file: string, options: InspectOptions) => inspect(host, io, file, options));
