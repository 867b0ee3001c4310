/** Contract commands that make something from nothing: keygen, new. */
import { Command, Option } from 'commander';
import type { SectionName } from '../contract/types.ts';
import { generateKey, selfSignedCertificate } from '../contract/webcrypto.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { type ProfileChoice, parseDays, profileOf, profileOptions } from './contract-options.ts';
import { contractTemplate } from './contract-template.ts';
import { readPassphrase } from './documents.ts';
import type { CommandIo } from './io.ts';
import { certificateRequestFor } from './signing-certificate.ts';

const add = (command: Command, options: readonly Option[]): Command => {
  for (const option of options) command.addOption(option);
  return command;
};

interface KeygenOptions {
  readonly outKey: string;
  readonly outCert: string;
  readonly days: number;
  readonly keyPassphraseFile?: string;
}

/** As readPassphrase. An empty one opens keys that were made with it, but must not protect a new one. */
const readNewPassphrase = async (host: Host, path: string | undefined): Promise<Secret | null> => {
  const passphrase = await readPassphrase(host, path);
  if (path === undefined || passphrase?.length !== 0) return passphrase;
  throw new AgentError('KEY_UNUSABLE', { path, reason: 'it is empty, and a passphrase is to protect the new key' });
};

const keygen = async (host: Host, io: CommandIo, options: KeygenOptions): Promise<void> => {
  const { outKey, outCert, days } = options;
  for (const path of [outKey, outCert]) {
    if ((await host.files.kind(path)) !== 'absent') {
      throw new AgentError('FILE_UNWRITABLE', { path, reason: 'it exists already and keys are never overwritten' });
    }
  }
  const passphrase = await readNewPassphrase(host, options.keyPassphraseFile);
  const key = await generateKey();
  const certificate = await selfSignedCertificate(
    key,
    certificateRequestFor(host, { commonName: 'Triseed contract encryption' }, days),
  );
  const pem =
    passphrase === null
      ? key.export({ type: 'pkcs8', format: 'pem' })
      : passphrase.expose((bytes) =>
          key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: bytes }),
        );
  passphrase?.wipe();
  await host.files.writeNew(outKey, Buffer.from(pem), 0o600);
  try {
    await host.files.writeNew(outCert, Buffer.from(certificate), 0o644);
  } catch (error) {
    // A key without its certificate is of no use, and would stand in the way of the next attempt.
    await host.files.remove(outKey);
    throw error;
  }
  io.stderr(`private key ${outKey} (keep it secret), certificate ${outCert}, valid for ${days} days\n`);
};

export const keygenCommand = (host: Host, io: CommandIo): Command =>
  new Command('keygen')
    .description("make the guest's own pair: an RSA-4096 key and a certificate to seal contracts for")
    .requiredOption('--out-key <file>', 'new file for the private key (mode 0600)')
    .requiredOption('--out-cert <file>', 'new file for the certificate')
    .addOption(new Option('--days <days>', 'validity of the certificate').default(365).argParser(parseDays('--days')))
    .addOption(new Option('--key-passphrase-file <file>', 'protect the private key with the passphrase in this file'))
    .addHelpText(
      'after',
      '\nExample:\n  triseed contract keygen --out-key guest-key.pem --out-cert guest.crt --days 365',
    )
    .action((options: KeygenOptions) => keygen(host, io, options));

interface NewOptions extends ProfileChoice {
  readonly section?: SectionName;
  readonly output?: string;
}

export const newCommand = (host: Host, io: CommandIo): Command =>
  add(new Command('new').description('print a commented template to fill in'), profileOptions())
    .addOption(new Option('--section <section>', 'one section only').choices(['workload', 'env']))
    .option('-o, --output <file>', 'write to a file (mode 0600: secrets will be filled in)')
    .addHelpText('after', '\nExample:\n  triseed contract new --profile hpvs -o contract.yaml')
    .action(async (options: NewOptions) => {
      const text = contractTemplate(profileOf(options), options.section ?? null);
      const { output } = options;
      if (output === undefined || output === '-') return io.stdout(text);
      await host.files.writeNew(output, Buffer.from(text, 'utf8'), 0o600);
    });
