/** `triseed contract seal`: validate, add signingKey, encrypt, sign; and what a later sealing may keep. */
import { createHash, type KeyObject } from 'node:crypto';
import { Command, Option } from 'commander';
import { isoSeconds } from '../contract/certificate.ts';
import { maximumContractBytes, readDelivered } from '../contract/delivered.ts';
import { renderFindings } from '../contract/finding.ts';
import { hasEnoughLife, type KeptCertificate, openRecord, recordLine } from '../contract/keep.ts';
import { assertImplicitRejection } from '../contract/open-token.ts';
import { parseCarriedKey } from '../contract/public-key.ts';
import { type KeepRequest, type SealOutcome, sealContract } from '../contract/seal.ts';
import { decodeUtf8 } from '../contract/strict-yaml.ts';
import { generateKey } from '../contract/webcrypto.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import {
  type ProfileChoice,
  parseDays,
  passphraseOption,
  profileOf,
  profileOptions,
  readKey,
} from './contract-options.ts';
import { assertOutput, readInput, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';
import { readRecipient } from './recipient.ts';
import {
  assertCertificateOptions,
  filesOfCertificate,
  type SigningCertificateOptions,
  signingKeyPem,
} from './signing-certificate.ts';

const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

interface SealOptions extends ProfileChoice, SigningCertificateOptions {
  readonly cert: string;
  readonly key?: string;
  readonly oneTimeKey?: boolean;
  readonly keep?: string;
  readonly decryptKey?: string;
  readonly decryptKeyPassphraseFile?: string;
  readonly comments?: boolean;
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly json?: boolean;
  readonly keyPassphraseFile?: string;
}

const assertSealOptions = (options: SealOptions): void => {
  assertCertificateOptions(options);
  if ((options.key === undefined) === (options.oneTimeKey !== true)) {
    throw usage('give either --key KEY to sign with, or --one-time-key to make one and forget it');
  }
  if (options.keep !== undefined && options.key === undefined) {
    throw usage('--keep needs --key: only the key that signed before can tell what has changed');
  }
  if (options.json === true && options.output === '-') throw usage('--json and -o - both claim standard output');
};

/** The sealing before. Null when there is none yet, which is how every series begins. */
const readOld = async (
  host: Host,
  io: CommandIo,
  signer: KeyObject,
  path: string,
  { decryptKey }: SealOptions,
): Promise<KeepRequest['old']> => {
  const bytes = path === '-' ? null : await host.files.read(path, maximumContractBytes);
  if (bytes === null) {
    io.stderr(`${path} does not exist yet: every token is made now, and the next sealing can keep them\n`);
    return null;
  }
  const [text, read] = [decodeUtf8(bytes), readDelivered(bytes)];
  if (text === null || read.kind === 'refused') {
    throw new AgentError('CONTRACT_NOT_SEALABLE', { reason: `${path}, given with --keep, is no contract` });
  }
  if (decryptKey === undefined && openRecord(recordLine(text), signer) === null) {
    io.stderr(
      `${path} was sealed without --keep, or with another key: what has changed since cannot be told, so every token is ` +
        'made now, and the next sealing can keep them; --decrypt-key compares what is in the old tokens\n',
    );
  }
  return { text, delivered: read.value };
};

const requestDigest = async (host: Host, io: CommandIo, options: SealOptions): Promise<string> => {
  const hash = createHash('sha256').update(String(options.expiresDays));
  for (const path of [options.caCert, options.csr]) {
    hash.update('\n').update(path === undefined ? '' : await readInput(host, io, path, maximumContractBytes));
  }
  return hash.digest('hex');
};

interface SignedWith {
  readonly pem: string;
  readonly keep: KeepRequest | undefined;
}

/** The signing key's PEM, and with --keep the certificate of the sealing before while it has enough life left. */
const signedWith = async (host: Host, io: CommandIo, signer: KeyObject, options: SealOptions): Promise<SignedWith> => {
  if (options.keep === undefined) return { pem: await signingKeyPem(host, io, signer, options), keep: undefined };
  const old = await readOld(host, io, signer, options.keep, options);
  const days = options.expiresDays;
  if (days === undefined)
    return { pem: await signingKeyPem(host, io, signer, options), keep: { old, certificate: null } };
  const request = await requestDigest(host, io, options);
  const record = openRecord(old === null ? null : recordLine(old.text), signer);
  const kept = record?.certificate?.request === request ? parseCarriedKey(record.certificate.pem) : null;
  const notAfter = kept?.kind === 'key' ? (kept.value.certificate?.notAfter ?? null) : null;
  if (record?.certificate != null && notAfter !== null && hasEnoughLife(notAfter, days, host.clock.now())) {
    io.stderr(`kept the signing certificate, which expires at ${isoSeconds(notAfter)}\n`);
    return { pem: record.certificate.pem, keep: { old, certificate: record.certificate } };
  }
  const certificate: KeptCertificate = { pem: await signingKeyPem(host, io, signer, options), request };
  return { pem: certificate.pem, keep: { old, certificate } };
};

const readDecryptKey = async (host: Host, io: CommandIo, options: SealOptions): Promise<KeyObject | null> => {
  if (options.decryptKey === undefined) return null;
  const key = await readKey(host, io, options.decryptKey, options.decryptKeyPassphraseFile);
  assertImplicitRejection(key);
  return key;
};

const reportSeal = (io: CommandIo, sealed: Extract<SealOutcome, { kind: 'sealed' }>, options: SealOptions): void => {
  const { fingerprint, encrypted, kept, sha256, text, findings, comments } = sealed;
  if (options.json === true) {
    const isInDocument = options.output === undefined && options.inPlace !== true;
    const contract = isInDocument ? { contract: text } : {};
    const report = { sealed: true, signer: fingerprint, encrypted, kept, sha256, findings, ...contract };
    io.stdout(`${JSON.stringify(report, null, 2)}\n`);
  }
  if (comments > 0) {
    const lines = `${comments} comment line${comments === 1 ? '' : 's'} of the contract itself`;
    io.stderr(
      options.comments === true
        ? `${lines} stay readable for everybody who sees the result\n`
        : `${lines} left out: they would be readable for the host; --comments keeps them\n`,
    );
  }
  const unchanged = kept.length === 0 ? '' : `; kept ${kept.join(', ')}`;
  io.stderr(`encrypted ${encrypted.join(', ') || 'nothing'}${unchanged}; signed by ${fingerprint}\n`);
};

/** The sealing before, given with --keep, may well be replaced. */
const readBeside = (options: SealOptions) => [
  options.cert,
  options.key,
  options.keyPassphraseFile,
  options.decryptKey,
  options.decryptKeyPassphraseFile,
  ...filesOfCertificate(options),
];

const seal = async (host: Host, io: CommandIo, file: string, options: SealOptions): Promise<void> => {
  assertSealOptions(options);
  const { output, inPlace } = options;
  const choice = { output, input: file, reads: readBeside(options), inPlace: inPlace === true };
  await assertOutput(host, choice);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  const { key: recipient } = await readRecipient(host, io, options.cert);
  const signer =
    options.key === undefined ? await generateKey() : await readKey(host, io, options.key, options.keyPassphraseFile);
  const { pem, keep } = await signedWith(host, io, signer, options);
  const outcome = await sealContract(host.entropy, {
    bytes,
    profile: profileOf(options),
    at: host.clock.now(),
    recipient,
    signer,
    signingKeyPem: pem,
    withComments: options.comments === true,
    decryptKey: await readDecryptKey(host, io, options),
    ...(keep === undefined ? {} : { keep }),
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
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem --keep user-data -o user-data
  triseed contract seal - --cert guest.crt --key signer.pem < contract.yaml > user-data

Sections that are tokens already stay as they are, so that a workload owner can hand over an encrypted workload.
With --keep, what has not changed keeps its token: the same input gives the same bytes, for infrastructure as code.
What to compare with is written into the result as a comment that only the signing key can read; with the guest's key
(--decrypt-key) tokens of other tools are kept, too. A certificate is kept while half of its days are left.`;

export const sealCommand = (host: Host, io: CommandIo): Command =>
  profileOptions()
    .reduce(
      (command, option) => command.addOption(option),
      new Command('seal').description('validate, add signingKey, encrypt each plain section, sign'),
    )
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
    .option('--csr <file>', 'with --expires-days: take the subject from a certificate request, or JSON fields')
    .option('--signer-cert <file>', 'a certificate for --key from your own authority; the contract expires with it')
    .option('--keep <file>', 'take unchanged tokens from this sealing before; it need not exist yet')
    .option('--decrypt-key <file>', "the guest's private key, to check and compare tokens, too")
    .option('--comments', 'deliver comments of the contract itself (they stay readable)')
    .option('-o, --output <file>', 'write the sealed contract to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .option('--decrypt-key-passphrase-file <file>', 'file with the passphrase of --decrypt-key')
    .addHelpText('after', sealHelp)
    .action((file: string, options: SealOptions) => seal(host, io, file, options));
