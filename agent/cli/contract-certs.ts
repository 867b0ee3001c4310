/** `triseed contract certs`: which encryption certificates there are, what they say, and whether to trust them. */
import { Command, Option } from 'commander';
import {
  type CertificateEntry,
  encryptionCertificateFindings,
  isoSeconds,
  type ListedCertificate,
  listed,
  maximumCertificateBytes,
  nameText,
  readCertificates,
} from '../contract/certificate.ts';
import { makeRequest, maximumRequestBytes, readSubject } from '../contract/certificate-request.ts';
import { shapeOf } from '../contract/certificate-shape.ts';
import { checkChain } from '../contract/chain.ts';
import { type Crl, maximumCrlBytes, readCrl } from '../contract/crl.ts';
import { hasErrors, renderFindings } from '../contract/finding.ts';
import type { Subject } from '../contract/webcrypto.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { parseTime, passphraseOption, readKey } from './contract-options.ts';
import { assertOutput, readInput, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';

const maximumFiles = 1000;
const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });
const unusable = (path: string, reason: string): AgentError => new AgentError('KEY_UNUSABLE', { path, reason });

const readEntries = async (host: Host, io: CommandIo, path: string): Promise<readonly CertificateEntry[]> => {
  const read = readCertificates(await readInput(host, io, path, maximumCertificateBytes));
  if (read.kind === 'unreadable') throw unusable(path, read.reason);
  return read.entries;
};

/** Certificates of every file of a folder. Files that hold none, or cannot be read as one, are named and left out. */
const readFolder = async (host: Host, io: CommandIo, folder: string, at: Date) => {
  const names = [...(await host.files.list(folder))].sort();
  if (names.length > maximumFiles) throw usage(`${folder} holds more than ${maximumFiles} files; name one of them`);
  const found: ListedCertificate[] = [];
  for (const name of names) {
    const path = `${folder.replace(/\/+$/, '')}/${name}`;
    if ((await host.files.kind(path)) !== 'file' || !/\.(?:crt|pem|cer|der)$/i.test(name)) continue;
    try {
      found.push(...(await readEntries(host, io, path)).map((entry) => listed(path, entry, at)));
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      io.stderr(`left out: ${error.message}\n`);
    }
  }
  return found;
};

const row = ({ daysLeft, notAfter, key, subject, path, fingerprint }: ListedCertificate): string => {
  const left = daysLeft < 0 ? 'expired' : `${daysLeft} days`;
  return `${left.padStart(11)}  ${notAfter.slice(0, 10)}  ${key.padEnd(8)}  ${fingerprint.slice(0, 16)}  ${path}: ${subject}\n`;
};

interface ListOptions {
  readonly json?: boolean;
}

const list = async (host: Host, io: CommandIo, path: string, options: ListOptions): Promise<void> => {
  const at = host.clock.now();
  const isFolder = path !== '-' && (await host.files.kind(path)) === 'folder';
  const found = isFolder
    ? await readFolder(host, io, path, at)
    : (await readEntries(host, io, path)).map((entry) => listed(path, entry, at));
  const sorted = found.sort((a, b) => a.daysLeft - b.daysLeft || a.path.localeCompare(b.path));
  if (options.json === true) return io.stdout(`${JSON.stringify(sorted, null, 2)}\n`);
  if (sorted.length === 0) io.stderr(`${path}: no certificates\n`);
  for (const entry of sorted) io.stdout(row(entry));
};

interface ShowOptions {
  readonly json?: boolean;
}

const shown = async (path: string, entry: CertificateEntry, at: Date) => {
  const { certificate } = entry;
  const { signatureAlgorithm, crlUrls, issuerUrls, isAuthority, isForCodeSigning } = await shapeOf(certificate);
  return {
    ...listed(path, entry, at),
    issuer: nameText(certificate.issuer),
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: isoSeconds(certificate.validFromDate),
    signatureAlgorithm,
    crlUrls,
    issuerUrls,
    isAuthority,
    isForCodeSigning,
  };
};

const show = async (host: Host, io: CommandIo, path: string, options: ShowOptions): Promise<void> => {
  const at = host.clock.now();
  const found = [];
  for (const entry of await readEntries(host, io, path)) found.push(await shown(path, entry, at));
  if (options.json === true) return io.stdout(`${JSON.stringify(found, null, 2)}\n`);
  for (const one of found) {
    const left = one.daysLeft < 0 ? 'expired' : `${one.daysLeft} days left`;
    const use = one.isAuthority ? 'certificate authority' : one.isForCodeSigning ? 'code signing' : 'not restricted';
    const lines: readonly (readonly [string, string])[] = [
      ['subject', one.subject],
      ['issuer', one.issuer],
      ['serial', one.serial],
      ['valid', `${one.notBefore} to ${one.notAfter} (${left})`],
      ['key', one.key],
      ['signature', one.signatureAlgorithm],
      ['use', use],
      ['SHA-256', one.fingerprint],
      ['key SHA-256', one.keyFingerprint],
      ...one.crlUrls.map((url) => ['CRL', url] as const),
      ...one.issuerUrls.map((url) => ['issuer at', url] as const),
    ];
    io.stdout(`${path}:${one.line}\n${lines.map(([name, value]) => `  ${name.padEnd(12)}${value}\n`).join('')}`);
  }
};

interface CheckOptions {
  readonly chain?: readonly string[];
  readonly ca?: readonly string[];
  readonly crl?: readonly string[];
  readonly at?: string;
  readonly json?: boolean;
}

const readAll = async (host: Host, io: CommandIo, paths: readonly string[] = []) => {
  const entries: CertificateEntry[] = [];
  for (const path of paths) entries.push(...(await readEntries(host, io, path)));
  return entries;
};

const readCrls = async (host: Host, io: CommandIo, paths: readonly string[] = []): Promise<readonly Crl[]> => {
  const crls: Crl[] = [];
  for (const path of paths) {
    const crl = await readCrl(await readInput(host, io, path, maximumCrlBytes), path);
    if (crl === null) throw unusable(path, 'it is no certificate revocation list in PEM or DER');
    crls.push(crl);
  }
  return crls;
};

const check = async (host: Host, io: CommandIo, path: string, options: CheckOptions): Promise<void> => {
  const at = options.at === undefined ? host.clock.now() : parseTime('--at', options.at);
  const [leaf, ...others] = await readEntries(host, io, path);
  if (leaf === undefined) throw unusable(path, 'it holds no certificate');
  const chain = [...others, ...(await readAll(host, io, options.chain))];
  const anchors = await readAll(host, io, options.ca);
  const crls = await readCrls(host, io, options.crl);
  const { findings: ofChain, path: links, isAnchored } = await checkChain({ leaf, chain, anchors, crls, at });
  const findings = [...encryptionCertificateFindings(leaf, at), ...ofChain];
  const valid = !hasErrors(findings);
  const facts = listed(path, leaf, at);
  if (options.json === true) {
    io.stdout(`${JSON.stringify({ valid, certificate: facts, path: links, isAnchored, findings }, null, 2)}\n`);
  } else {
    if (findings.length > 0) io.stderr(`${renderFindings(findings, path)}\n`);
    io.stderr(`${links.map((link, index) => `${'  '.repeat(index)}${link}\n`).join('')}`);
    io.stderr(`${path}: ${valid ? 'usable' : 'not usable'}, ${facts.fingerprint}\n`);
  }
  if (!valid) io.setExitStatus(1);
};

interface RequestOptions {
  readonly key: string;
  readonly commonName?: string;
  readonly subject?: string;
  readonly output?: string;
  readonly keyPassphraseFile?: string;
}

const request = async (host: Host, io: CommandIo, options: RequestOptions): Promise<void> => {
  const { commonName, subject: file, output } = options;
  if ((commonName === undefined) === (file === undefined)) throw usage('give either --common-name or --subject');
  const reads = [options.key, options.keyPassphraseFile, file];
  const choice = { output, input: '-', reads, inPlace: false, mode: 0o644 };
  await assertOutput(host, choice);
  const key = await readKey(host, io, options.key, options.keyPassphraseFile);
  let subject: Subject = { commonName: commonName ?? '' };
  if (file !== undefined) {
    const read = await readSubject(await readInput(host, io, file, maximumRequestBytes), key);
    if (read.kind === 'unusable') throw unusable(file, read.reason);
    subject = read.subject;
  } else if (commonName === undefined || commonName === '' || commonName.length > 64) {
    throw usage('--common-name takes 1 to 64 characters');
  }
  await writeOutput(host, io, await makeRequest(key, subject), choice);
};

const json = (): Option => new Option('--json', 'one JSON document on standard output');
const collected = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

const checkHelp = `
Examples:
  triseed contract certs check image-encrypt.crt
  triseed contract certs check image-encrypt.crt --chain ibm-intermediate.crt --chain DigiCertCA.crt \\
      --ca DigiCertTrustedRootG4.crt --crl ibm-intermediate.crl

Nothing is fetched: whether a certificate was revoked is checked in the lists that --crl gives.
Exit status: 0 usable, 1 not usable, 2 wrong usage, 3 could not be read.`;

const requestHelp = `
Example: a contract that expires with a certificate of your own authority
  triseed contract certs request --key signer.pem --common-name "orders team" -o signer.csr
  openssl x509 -req -in signer.csr -CA ca.crt -CAkey ca.pem -days 90 -out signer.crt
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem --signer-cert signer.crt -o user-data`;

export const certsCommand = (host: Host, io: CommandIo): Command => {
  const command = new Command('certs').description('encryption certificates: dates, chain, fingerprints');
  command
    .command('list')
    .description('certificates of a folder or bundle, the one that expires first on top')
    .argument('[path]', 'a folder (its .crt, .pem, .cer and .der files) or a file', '.')
    .addOption(json())
    .action((path: string, options: ListOptions) => list(host, io, path, options));
  command
    .command('show')
    .description('what a certificate says')
    .argument('<file>', 'PEM or DER, or - for standard input')
    .addOption(json())
    .action((path: string, options: ShowOptions) => show(host, io, path, options));
  command
    .command('check')
    .description('dates, key, chain and revocation of an encryption certificate')
    .argument('<file>', 'the certificate first, its chain may follow; or - for standard input')
    .option('--chain <file>', 'certificates of issuers; may be given again', collected)
    .option('--ca <file>', 'certificates that are trusted; may be given again', collected)
    .option('--crl <file>', 'certificate revocation list; may be given again', collected)
    .option('--at <time>', 'compare dates with this time instead of now')
    .addOption(json())
    .addHelpText('after', checkHelp)
    .action((path: string, options: CheckOptions) => check(host, io, path, options));
  command
    .command('request')
    .description('a certificate request for a signing key, for your own authority')
    .requiredOption('--key <file>', 'private key that will sign contracts')
    .option('--common-name <name>', 'whose key it is')
    .option('--subject <file>', 'JSON or YAML with country, state, location, org, unit, domain, mail')
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .addOption(passphraseOption())
    .addHelpText('after', requestHelp)
    .action((options: RequestOptions) => request(host, io, options));
  return command;
};
