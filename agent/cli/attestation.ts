/** `triseed attestation`: open and verify what a guest says about itself. */
import { isUtf8 } from 'node:buffer';
import { Command } from 'commander';
import { type AttestationRecord, maximumRecordBytes, parseRecord } from '../attestation/record.ts';
import { type Attestation, maximumSignatureBytes, verifyAttestation } from '../attestation/verify.ts';
import {
  certificateFingerprint,
  isoSeconds,
  maximumCertificateBytes,
  nameText,
  readCertificates,
} from '../contract/certificate.ts';
import { maximumContractBytes, readDelivered } from '../contract/delivered.ts';
import { isToken, parseToken } from '../contract/envelope.ts';
import { hasErrors, renderFindings } from '../contract/finding.ts';
import { assertImplicitRejection, openToken } from '../contract/open-token.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { passphraseOption, readKey } from './contract-options.ts';
import { assertOutput, readInput, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';

/** A token holds its record in base64, beside a wrapped passphrase of at most 1024 bytes. */
const maximumTokenBytes = 2 * maximumRecordBytes;

interface KeyOptions {
  readonly key?: string;
  readonly keyPassphraseFile?: string;
}

const notOpened = (path: string, reason: string): AgentError =>
  new AgentError('ATTESTATION_NOT_OPENED', { path, reason });

const openRecord = async (
  host: Host,
  io: CommandIo,
  path: string,
  token: string,
  { key: keyFile, keyPassphraseFile }: KeyOptions,
): Promise<Secret> => {
  if (keyFile === undefined) throw notOpened(path, 'it is encrypted; give the key with --key');
  const key = await readKey(host, io, keyFile, keyPassphraseFile);
  assertImplicitRejection(key);
  if (parseToken(token) === null) throw notOpened(path, 'the token is damaged');
  const opened = openToken(token, key);
  // Another key gives random bytes, whose padding looks right one time in 256.
  const isText = opened?.plaintext.expose((bytes) => isUtf8(bytes)) === true;
  if (opened === null || !isText) {
    opened?.plaintext.wipe();
    throw notOpened(path, 'the token does not open with this key');
  }
  return opened.plaintext;
};

interface DecryptOptions extends KeyOptions {
  readonly key: string;
  readonly output?: string;
  readonly inPlace?: boolean;
}

const decrypt = async (host: Host, io: CommandIo, file: string, options: DecryptOptions): Promise<void> => {
  const reads = [options.key, options.keyPassphraseFile];
  const choice = { output: options.output, input: file, reads, inPlace: options.inPlace === true };
  await assertOutput(host, choice);
  const text = (await readInput(host, io, file, maximumTokenBytes)).toString('latin1');
  if (!isToken(text)) throw notOpened(file, 'it is not encrypted');
  const plaintext = await openRecord(host, io, file, text, options);
  try {
    // One awaited call, so the bytes are not lent beyond it.
    await plaintext.expose((plain) => writeOutput(host, io, plain, { ...choice, mode: 0o600 }));
  } finally {
    plaintext.wipe();
  }
};

interface VerifyOptions extends KeyOptions {
  readonly signature: string;
  readonly cert: string;
  readonly contract?: string;
  readonly json?: boolean;
}

const plainRecord = async (host: Host, io: CommandIo, file: string, options: VerifyOptions): Promise<Buffer> => {
  const bytes = await readInput(host, io, file, maximumTokenBytes);
  const text = bytes.toString('latin1');
  if (!isToken(text)) return bytes;
  const plaintext = await openRecord(host, io, file, text, options);
  try {
    return plaintext.expose((plain) => Buffer.from(plain));
  } finally {
    plaintext.wipe();
  }
};

const readContract = async (host: Host, io: CommandIo, path: string) => {
  const bytes = await readInput(host, io, path, maximumContractBytes);
  const read = readDelivered(bytes);
  if (read.kind === 'read') return { bytes, delivered: read.value };
  io.stderr(`${renderFindings(read.findings, path)}\n`);
  throw new AgentError('ATTESTATION_UNREADABLE', { path, reason: 'it was given as the contract, and is none' });
};

interface Shown {
  readonly file: string;
  readonly record: AttestationRecord;
  readonly attestation: Attestation;
  readonly certificate: { readonly subject: string; readonly fingerprint: string; readonly notAfter: string };
}

const say = (io: CommandIo, { file, record, attestation, certificate }: Shown): void => {
  const { findings, sections, isSigned, sameUserData } = attestation;
  if (findings.length > 0) io.stderr(`${renderFindings(findings, file)}\n`);
  const lines: readonly (readonly [string, string])[] = [
    ['image', record.version ?? '(no version)'],
    ...record.labels.map(({ label, value }) => [label, value] as const),
    ['certificate', `${certificate.subject}, until ${certificate.notAfter}`],
    ['SHA-256', certificate.fingerprint],
    ['signature', isSigned ? 'good' : 'NOT good'],
    ...sections.map((one) => {
      const how = one.result === 'matches' && one.reading === 'withoutLineBreaks' ? ', without its line breaks' : '';
      return [
        one.section,
        one.result === 'matches' ? `matches the contract${how}` : `NOT confirmed: ${one.result}`,
      ] as const;
    }),
    ...(sameUserData === true ? [['user-data', 'the very file that the guest read'] as const] : []),
  ];
  const width = Math.max(...lines.map(([name]) => name.length)) + 2;
  io.stderr(lines.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join(''));
};

const verify = async (host: Host, io: CommandIo, file: string, options: VerifyOptions): Promise<void> => {
  const bytes = await plainRecord(host, io, file, options);
  const parsed = parseRecord(bytes);
  if (parsed.kind === 'unreadable')
    throw new AgentError('ATTESTATION_UNREADABLE', { path: file, reason: parsed.reason });
  const { record } = parsed;
  const signature = await readInput(host, io, options.signature, maximumSignatureBytes);
  const read = readCertificates(await readInput(host, io, options.cert, maximumCertificateBytes));
  const [entry] = read.kind === 'read' ? read.entries : [];
  if (entry === undefined) {
    const reason = read.kind === 'unreadable' ? read.reason : 'it holds no certificate';
    throw new AgentError('KEY_UNUSABLE', { path: options.cert, reason });
  }
  const contract = options.contract === undefined ? null : await readContract(host, io, options.contract);
  const at = host.clock.now();
  const attestation = verifyAttestation({ bytes, record, signature, certificate: entry, contract, at });
  const valid = !hasErrors(attestation.findings);
  const certificate = {
    subject: nameText(entry.certificate.subject),
    fingerprint: certificateFingerprint(entry.certificate),
    notAfter: isoSeconds(entry.certificate.validToDate),
  };
  if (options.json === true) {
    io.stdout(`${JSON.stringify({ valid, ...attestation, certificate, record }, null, 2)}\n`);
  } else say(io, { file, record, attestation, certificate });
  if (!valid) io.setExitStatus(1);
};

const decryptHelp = `
Example:
  triseed attestation decrypt se-checksums.txt.enc --key attestation-key.pem -o se-checksums.txt

The key is the private half of attestationPublicKey in the contract.`;

const verifyHelp = `
Examples:
  triseed attestation verify se-checksums.txt --signature se-signature.bin --cert image-attestation.crt
  triseed attestation verify se-checksums.txt.enc --key attestation-key.pem --signature se-signature.bin \\
      --cert image-attestation.crt --contract user-data

Take the attestation certificate of the image version that the record names; triseed contract certs check says who
certified it. With --contract the hashes of its sections are compared, too.

Exit status: 0 signed and matching, 1 not, 2 wrong usage, 3 could not find out.`;

/** Handlers end as cli/io.ts describes. */
export const attestationCommand = (host: Host, io: CommandIo): Command => {
  const command = new Command('attestation').description('open and verify what a guest says about itself');
  command
    .command('decrypt')
    .description('open an encrypted attestation record')
    .argument('<file>', 'se-checksums.txt.enc, or - for standard input')
    .requiredOption('--key <file>', 'private half of the attestationPublicKey')
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .addOption(passphraseOption())
    .addHelpText('after', decryptHelp)
    .action((file: string, options: DecryptOptions) => decrypt(host, io, file, options));
  command
    .command('verify')
    .description('check the signature of a record, its lines, and the contract it names')
    .argument('<file>', 'se-checksums.txt or se-checksums.txt.enc, or - for standard input')
    .requiredOption('--signature <file>', 'se-signature.bin, or base64 of it')
    .requiredOption('--cert <file>', 'attestation certificate of the image')
    .option('--key <file>', 'private half of the attestationPublicKey, for an encrypted record')
    .option('--contract <file>', 'the user data that was deployed')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .addHelpText('after', verifyHelp)
    .action((file: string, options: VerifyOptions) => verify(host, io, file, options));
  return command;
};
