/** Contract commands that make things: keygen, new, seal. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Command, Option } from 'commander';
import { maximumContractBytes } from '../contract/delivered.ts';
import { renderFindings } from '../contract/finding.ts';
import { parseCarriedKey } from '../contract/public-key.ts';
import { type SealOutcome, sealContract } from '../contract/seal.ts';
import type { SectionName } from '../contract/types.ts';
import {
  type Authority,
  type CertificateRequest,
  generateKey,
  issuedCertificate,
  parseCertificate,
  selfSignedCertificate,
} from '../contract/webcrypto.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import {
  type ProfileChoice,
  parseDays,
  passphraseOption,
  profileOf,
  profileOptions,
  readKey,
  refuseUnbuilt,
} from './contract-options.ts';
import { contractTemplate } from './contract-template.ts';
import { assertOutput, readInput, readPassphrase, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';

const serialBytes = 16;
const maxKeyFileBytes = 64 * 1024;
const dayMs = 24 * 60 * 60 * 1000;
/** Encryption certificates with less time left are worth a word; the published tools use the same number. */
const warnDays = 180;

const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

const requestFor = (host: Host, commonName: string, days: number): CertificateRequest => ({
  subject: { commonName },
  notBefore: host.clock.now(),
  days,
  serial: host.entropy.bytes(serialBytes),
});

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

const keygen = async (host: Host, io: CommandIo, options: KeygenOptions): Promise<void> => {
  const { outKey, outCert, days } = options;
  for (const path of [outKey, outCert]) {
    if ((await host.files.kind(path)) !== 'absent') {
      throw new AgentError('FILE_UNWRITABLE', { path, reason: 'it exists already and keys are never overwritten' });
    }
  }
  const passphrase = await readPassphrase(host, options.keyPassphraseFile);
  const key = await generateKey();
  const certificate = await selfSignedCertificate(key, requestFor(host, 'Triseed contract encryption', days));
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

interface SealOptions extends ProfileChoice {
  readonly cert: string;
  readonly key?: string;
  readonly oneTimeKey?: boolean;
  readonly expiresDays?: number;
  readonly caCert?: string;
  readonly caKey?: string;
  readonly csr?: string;
  readonly keep?: string;
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly json?: boolean;
  readonly keyPassphraseFile?: string;
}

const readRecipient = async (host: Host, io: CommandIo, path: string): Promise<KeyObject> => {
  const text = (await readInput(host, io, path, maxKeyFileBytes)).toString('latin1');
  const carried = parseCarriedKey(text);
  if (carried.kind === 'unusable') throw new AgentError('KEY_UNUSABLE', { path, reason: carried.reason });
  const { key, certificate } = carried.value;
  if (certificate === null) return key;
  const left = (certificate.notAfter.getTime() - host.clock.now().getTime()) / dayMs;
  if (!(left > 0)) throw new AgentError('KEY_UNUSABLE', { path, reason: 'the encryption certificate has expired' });
  if (left < warnDays) io.stderr(`warning: the encryption certificate ${path} expires in ${Math.floor(left)} days\n`);
  return key;
};

const readAuthority = async (host: Host, io: CommandIo, options: SealOptions): Promise<Authority | null> => {
  const { caCert, caKey } = options;
  if (caCert === undefined && caKey === undefined) return null;
  if (caCert === undefined || caKey === undefined) throw usage('--ca-cert and --ca-key go together');
  if (options.expiresDays === undefined) throw usage('--ca-cert needs --expires-days: the certificate is what expires');
  const certificate = parseCertificate((await readInput(host, io, caCert, maxKeyFileBytes)).toString('latin1'));
  if (certificate === null) throw new AgentError('KEY_UNUSABLE', { path: caCert, reason: 'it holds no certificate' });
  const key = await readKey(host, io, caKey, undefined);
  if (!certificate.checkPrivateKey(key)) {
    throw new AgentError('KEY_UNUSABLE', { path: caKey, reason: `it is not the key of ${caCert}` });
  }
  return { certificate, key };
};

const signingKeyPem = async (host: Host, signer: KeyObject, days: number | undefined, authority: Authority | null) => {
  if (days === undefined) return createPublicKey(signer).export({ type: 'spki', format: 'pem' }).toString();
  const request = requestFor(host, 'Triseed contract signer', days);
  return authority === null ? selfSignedCertificate(signer, request) : issuedCertificate(signer, authority, request);
};

const assertSealOptions = (options: SealOptions): void => {
  refuseUnbuilt({ '--keep': options.keep, '--csr': options.csr });
  if ((options.key === undefined) === (options.oneTimeKey !== true)) {
    throw usage('give either --key KEY to sign with, or --one-time-key to make one and forget it');
  }
};

const reportSeal = (io: CommandIo, sealed: Extract<SealOutcome, { kind: 'sealed' }>, options: SealOptions): void => {
  const { fingerprint, encrypted, sha256, text, findings } = sealed;
  if (options.json === true) {
    const isInDocument = options.output === undefined && options.inPlace !== true;
    const contract = isInDocument ? { contract: text } : {};
    io.stdout(
      `${JSON.stringify({ sealed: true, signer: fingerprint, encrypted, sha256, findings, ...contract }, null, 2)}\n`,
    );
  }
  io.stderr(`encrypted ${encrypted.join(', ') || 'nothing'}; signed by ${fingerprint}\n`);
};

const seal = async (host: Host, io: CommandIo, file: string, options: SealOptions): Promise<void> => {
  assertSealOptions(options);
  if (options.json === true && options.output === '-') throw usage('--json and -o - both claim standard output');
  const choice = { output: options.output, input: file, inPlace: options.inPlace === true };
  await assertOutput(host, choice);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  const recipient = await readRecipient(host, io, options.cert);
  const authority = await readAuthority(host, io, options);
  const signer =
    options.key === undefined ? await generateKey() : await readKey(host, io, options.key, options.keyPassphraseFile);
  const outcome = await sealContract(host.entropy, {
    bytes,
    profile: profileOf(options),
    at: host.clock.now(),
    recipient,
    signer,
    signingKeyPem: await signingKeyPem(host, signer, options.expiresDays, authority),
  });
  if (outcome.findings.length > 0) io.stderr(`${renderFindings(outcome.findings, file)}\n`);
  if (outcome.kind === 'invalid') {
    if (options.json === true) io.stdout(`${JSON.stringify({ sealed: false, findings: outcome.findings }, null, 2)}\n`);
    io.stderr('the contract has errors; nothing was sealed\n');
    io.setExitStatus(1);
    return;
  }
  if (options.json !== true || options.output !== undefined || choice.inPlace) {
    await writeOutput(host, io, outcome.text, { ...choice, mode: 0o644 });
  }
  reportSeal(io, outcome, options);
};

const sealHelp = `
Examples:
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem -o user-data
  triseed contract seal contract.yaml --cert guest.crt --one-time-key -o user-data
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem --expires-days 90 -o user-data
  triseed contract seal - --cert guest.crt --key signer.pem < contract.yaml > user-data

Sections that are tokens already stay as they are, so that a workload owner can hand over an encrypted workload.`;

export const sealCommand = (host: Host, io: CommandIo): Command =>
  add(new Command('seal').description('validate, add signingKey, encrypt each plain section, sign'), profileOptions())
    .argument('<file>', 'the plain contract, or - for standard input')
    .requiredOption('--cert <file>', "the guest's encryption certificate or public key")
    .option('--key <file>', 'private key to sign with')
    .option('--one-time-key', 'sign with a new key that is forgotten afterwards')
    .addOption(
      new Option('--expires-days <days>', 'the contract expires after this many days').argParser(
        parseDays('--expires-days'),
      ),
    )
    .option('--ca-cert <file>', 'with --expires-days: let this authority issue the signing certificate')
    .option('--ca-key <file>', 'private key of --ca-cert')
    .addOption(new Option('--csr <file>', 'not available in this version').hideHelp())
    .addOption(new Option('--keep <file>', 'not available in this version').hideHelp())
    .option('-o, --output <file>', 'write the sealed contract to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .addHelpText('after', sealHelp)
    .action((file: string, options: SealOptions) => seal(host, io, file, options));
