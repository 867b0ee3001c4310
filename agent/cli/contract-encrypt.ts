/** Contract commands for one half of the work: encrypt without signing, sign what is there. */
import { Command, Option } from 'commander';
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { maximumContractBytes } from '../contract/delivered.ts';
import { type DocumentKind, type EncryptOutcome, encryptContract, encryptDocument } from '../contract/encrypt.ts';
import { type TokenPrefix, tokenPrefixes } from '../contract/envelope.ts';
import { renderFindings } from '../contract/finding.ts';
import { assertImplicitRejection } from '../contract/open-token.ts';
import { fingerprintOf } from '../contract/public-key.ts';
import { type SignOutcome, signContract } from '../contract/sign.ts';
import type { Finding } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { type ProfileChoice, passphraseOption, profileOf, profileOptions, readKey } from './contract-options.ts';
import { assertOutput, type OutputChoice, readInput, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';
import { readRecipient } from './recipient.ts';
import { assertCertificateOptions, type SigningCertificateOptions, signingKeyPem } from './signing-certificate.ts';

const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

interface Destination {
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly json?: boolean;
}

/** Where the document goes; with --json and no file it goes into the JSON. */
const choiceOf = (file: string, options: Destination, reads: OutputChoice['reads']): Omit<OutputChoice, 'mode'> => {
  if (options.json === true && options.output === '-') throw usage('--json and -o - both claim standard output');
  return { output: options.output, input: file, reads, inPlace: options.inPlace === true };
};

const invalid = (io: CommandIo, findings: readonly Finding[], what: 'encrypted' | 'signed', json: boolean): void => {
  if (json) io.stdout(`${JSON.stringify({ [what]: false, findings }, null, 2)}\n`);
  io.stderr(`the document has errors; nothing was ${what}\n`);
  io.setExitStatus(1);
};

const deliver = async (
  host: Host,
  io: CommandIo,
  text: string,
  choice: OutputChoice,
  json: { readonly wanted: boolean; readonly facts: object; readonly documentKey: string },
): Promise<void> => {
  const isInDocument = json.wanted && choice.output === undefined && !choice.inPlace;
  if (!isInDocument) await writeOutput(host, io, text, choice);
  if (!json.wanted) return;
  const document = isInDocument ? { [json.documentKey]: text.trimEnd() } : {};
  io.stdout(`${JSON.stringify({ ...json.facts, ...document }, null, 2)}\n`);
};

interface EncryptOptions extends ProfileChoice, Destination {
  readonly cert: string;
  readonly section?: DocumentKind;
  readonly prefix?: TokenPrefix;
}

const sayEncrypted = (io: CommandIo, outcome: Extract<EncryptOutcome, { kind: 'encrypted' }>, file: string): void => {
  const { encrypted, openComments } = outcome;
  io.stderr(
    encrypted.length === 0
      ? `${file}: everything is encrypted already\n`
      : `${file}: encrypted ${encrypted.join(', ')}; not signed\n`,
  );
  if (openComments > 0) {
    io.stderr(`note: ${openComments} lines of comments outside of the sections stay readable\n`);
  }
};

const encrypt = async (host: Host, io: CommandIo, file: string, options: EncryptOptions): Promise<void> => {
  const choice = choiceOf(file, options, [options.cert]);
  await assertOutput(host, choice);
  const { section } = options;
  const profile = profileOf(options);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  const recipient = await readRecipient(host, io, options.cert);
  const prefix = options.prefix ?? profiles[profile].tokenPrefix;
  const request = { bytes, profile, at: host.clock.now(), recipient: recipient.key, prefix };
  const outcome =
    section === undefined
      ? await encryptContract(host.entropy, request)
      : await encryptDocument(host.entropy, request, section);
  if (outcome.findings.length > 0) io.stderr(`${renderFindings(outcome.findings, file)}\n`);
  if (outcome.kind === 'invalid') return invalid(io, outcome.findings, 'encrypted', options.json === true);
  const facts = {
    encrypted: outcome.encrypted,
    prefix,
    recipient: { key: fingerprintOf(recipient.key), certificate: recipient.certificateFingerprint },
    sha256: outcome.sha256,
    findings: outcome.findings,
  };
  const documentKey = section === undefined ? 'contract' : 'token';
  const into = { ...choice, mode: 0o644 };
  await deliver(host, io, outcome.text, into, { wanted: options.json === true, facts, documentKey });
  sayEncrypted(io, outcome, file);
};

const encryptHelp = `
Examples:
  triseed contract encrypt contract.yaml --cert guest.crt -o encrypted.yaml
  triseed contract encrypt workload.yaml --section workload --cert guest.crt -o workload.token
  triseed contract encrypt settings.json --section raw --cert guest.crt > token.txt

Without --section: plain sections become tokens where they stand; comments, other keys and their order stay.
With --section: one document becomes one token, as a workload owner hands it to the deployer.
Nothing is signed: triseed contract sign adds a signature, triseed contract seal does both.`;

const withProfile = (command: Command): Command => {
  for (const option of profileOptions()) command.addOption(option);
  return command;
};

export const encryptCommand = (host: Host, io: CommandIo): Command =>
  withProfile(new Command('encrypt').description('turn plain sections, or one document, into tokens'))
    .argument('<file>', 'a plain contract, or with --section one document, or - for standard input')
    .requiredOption('--cert <file>', "the guest's encryption certificate or public key")
    .addOption(
      new Option('--section <section>', 'the file is one document; raw is not checked').choices([
        'workload',
        'env',
        'attestationPublicKey',
        'raw',
      ]),
    )
    .addOption(new Option('--prefix <prefix>', 'of the tokens (default: by profile)').choices(tokenPrefixes))
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .option('--json', 'one JSON document on standard output')
    .addHelpText('after', encryptHelp)
    .action((file: string, options: EncryptOptions) => encrypt(host, io, file, options));

interface SignOptions extends ProfileChoice, Destination, Pick<SigningCertificateOptions, 'signerCert'> {
  readonly key: string;
  readonly decryptKey?: string;
  readonly keyPassphraseFile?: string;
  readonly decryptKeyPassphraseFile?: string;
}

const saidOfKey: Readonly<Record<Extract<SignOutcome, { kind: 'signed' }>['signingKey'], string>> = {
  added: 'signingKey was added to env',
  fits: 'the signingKey in env belongs to this key',
  unknown:
    'env is a token: whether its signingKey belongs to this key was not checked; --decrypt-key looks, and seal puts it in',
};

const saySigned = (io: CommandIo, outcome: Extract<SignOutcome, { kind: 'signed' }>, file: string): void => {
  const { fingerprint, replaced, signingKey, plainSections } = outcome;
  io.stderr(`${file}: signed by ${fingerprint}${replaced ? ', in place of the signature that was there' : ''}\n`);
  io.stderr(`${signingKey === 'unknown' ? 'warning: ' : ''}${saidOfKey[signingKey]}\n`);
  if (plainSections.length === 0) return;
  io.stderr(
    `note: ${plainSections.join(' and ')} stay plain, and the signature covers their line breaks; readers that strip these before verifying refuse it\n`,
  );
};

const sign = async (host: Host, io: CommandIo, file: string, options: SignOptions): Promise<void> => {
  const choice = choiceOf(file, options, [
    options.key,
    options.keyPassphraseFile,
    options.decryptKey,
    options.decryptKeyPassphraseFile,
    options.signerCert,
  ]);
  assertCertificateOptions(options);
  await assertOutput(host, choice);
  const signer = await readKey(host, io, options.key, options.keyPassphraseFile);
  const { decryptKey } = options;
  const opening =
    decryptKey === undefined ? null : await readKey(host, io, decryptKey, options.decryptKeyPassphraseFile);
  if (opening !== null) assertImplicitRejection(opening);
  const outcome = await signContract({
    bytes: await readInput(host, io, file, maximumContractBytes),
    profile: profileOf(options),
    at: host.clock.now(),
    signer,
    signingKeyPem: await signingKeyPem(host, io, signer, options),
    decryptKey: opening,
  });
  if (outcome.findings.length > 0) io.stderr(`${renderFindings(outcome.findings, file)}\n`);
  if (outcome.kind === 'invalid') return invalid(io, outcome.findings, 'signed', options.json === true);
  const { fingerprint, signingKey, replaced, findings } = outcome;
  const facts = { signed: true, signer: fingerprint, signingKey, replaced, findings };
  const into = { ...choice, mode: outcome.isOpen ? 0o600 : 0o644 };
  await deliver(host, io, outcome.text, into, { wanted: options.json === true, facts, documentKey: 'contract' });
  saySigned(io, outcome, file);
};

const signHelp = `
Examples:
  triseed contract sign contract.yaml --key signer.pem -o signed.yaml
  triseed contract sign encrypted.yaml --key signer.pem --decrypt-key guest-key.pem --in-place
  triseed contract sign contract.yaml --key signer.pem --signer-cert signer.crt -o signed.yaml

The signature covers workload and env exactly as they stand: do not edit them afterwards. A plain env gets the
signingKey line when it has none. Everything else stays byte for byte. A file with a plain section in it is written with
mode 0600.`;

export const signCommand = (host: Host, io: CommandIo): Command =>
  withProfile(new Command('sign').description('add signingKey to a plain env, and the signature'))
    .argument('<file>', 'the contract, or - for standard input')
    .requiredOption('--key <file>', 'private key to sign with')
    .option(
      '--signer-cert <file>',
      'a certificate for --key: it becomes the signingKey, and the contract expires with it',
    )
    .option('--decrypt-key <file>', 'private key of the guest: compare the signingKey inside an encrypted env')
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .option('--decrypt-key-passphrase-file <file>', 'file with the passphrase of --decrypt-key')
    .addHelpText('after', signHelp)
    .action((file: string, options: SignOptions) => sign(host, io, file, options));
