/** Contract commands that look: validate, decrypt, verify. */
import { isUtf8 } from 'node:buffer';
import type { KeyObject } from 'node:crypto';
import { Command, Option } from 'commander';
import { checkContractContent, checkSectionContent } from '../contract/content/check-content.ts';
import { decryptContract } from '../contract/decrypt.ts';
import { maximumContractBytes, readDelivered } from '../contract/delivered.ts';
import { isToken, parseToken } from '../contract/envelope.ts';
import { renderFindings } from '../contract/finding.ts';
import { checkNetwork } from '../contract/network.ts';
import { assertImplicitRejection, openToken } from '../contract/open-token.ts';
import { withPlainValues } from '../contract/plain-contract.ts';
import { fingerprintOf, parseCarriedKey } from '../contract/public-key.ts';
import { sarifLog } from '../contract/sarif.ts';
import type { Finding, OpenedContract, SectionName } from '../contract/types.ts';
import { verifyContract } from '../contract/verify.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import {
  type ProfileChoice,
  parseTime,
  passphraseOption,
  profileOf,
  profileOptions,
  readKey,
} from './contract-options.ts';
import { assertOutput, readInput, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';

const maxPublicKeyBytes = 64 * 1024;
const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

interface ValidateOptions extends ProfileChoice {
  readonly section?: SectionName | 'network';
  readonly strict?: boolean;
  readonly json?: boolean;
  readonly sarif?: boolean;
  readonly decryptKey?: string;
  readonly keyPassphraseFile?: string;
}

const keyOrNull = async (
  host: Host,
  io: CommandIo,
  path: string | undefined,
  passphraseFile: string | undefined,
): Promise<KeyObject | null> => {
  if (path === undefined) return null;
  const key = await readKey(host, io, path, passphraseFile);
  assertImplicitRejection(key);
  return key;
};

const findingsFor = async (
  host: Host,
  io: CommandIo,
  file: string,
  options: ValidateOptions,
): Promise<readonly Finding[]> => {
  const { section } = options;
  if (options.sarif === true && options.json === true) throw usage('--json and --sarif both claim standard output');
  const key = await keyOrNull(host, io, options.decryptKey, options.keyPassphraseFile);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  if (section === 'network') return checkNetwork(bytes);
  const rules = { profile: profileOf(options), minimumSerial: 0, key, at: host.clock.now() };
  return section === undefined
    ? (await checkContractContent(bytes, rules)).findings
    : checkSectionContent(bytes, section, rules);
};

const validate = async (host: Host, io: CommandIo, file: string, options: ValidateOptions): Promise<void> => {
  const findings = await findingsFor(host, io, file, options);
  const count = (severity: Finding['severity']): number => findings.filter((f) => f.severity === severity).length;
  const [errors, warnings] = [count('error'), count('warning')];
  const valid = errors === 0 && (options.strict !== true || warnings === 0);
  if (options.sarif === true) {
    io.stdout(`${JSON.stringify(sarifLog(findings, file), null, 2)}\n`);
  } else if (options.json === true) {
    const section = options.section ?? null;
    io.stdout(
      `${JSON.stringify({ valid, profile: profileOf(options), section, errors, warnings, findings }, null, 2)}\n`,
    );
  } else {
    if (findings.length > 0) io.stderr(`${renderFindings(findings, file)}\n`);
    io.stderr(`${file}: ${valid ? 'valid' : 'not valid'}, ${errors} errors, ${warnings} warnings\n`);
  }
  if (!valid) io.setExitStatus(1);
};

const withProfile = (command: Command): Command => {
  for (const option of profileOptions()) command.addOption(option);
  return command;
};

const validateHelp = `
Examples:
  triseed contract validate contract.yaml
  triseed contract validate env.yaml --section env --profile ccrt
  triseed contract validate network-config --section network
  triseed contract validate user-data --decrypt-key guest-key.pem --json
  triseed contract validate contract.yaml --strict --sarif > contract.sarif

Whether the signature is good, and its key not expired, triseed contract verify tells.

Exit status: 0 valid, 1 not valid (with --strict also for warnings), 2 wrong usage, 3 could not be read.`;

export const validateCommand = (host: Host, io: CommandIo): Command =>
  withProfile(new Command('validate').description('check a contract, or one section, and point at every fault'))
    .argument('<file>', 'the contract, or - for standard input')
    .addOption(new Option('--section <section>', 'the file is one section').choices(['workload', 'env', 'network']))
    .option('--strict', 'warnings count as errors')
    .option('--json', 'findings as one JSON document on standard output')
    .option('--sarif', 'findings as a SARIF 2.1.0 log on standard output, for code review tools')
    .option('--decrypt-key <file>', 'private key of the guest, to look into tokens too')
    .addOption(passphraseOption())
    .addHelpText('after', validateHelp)
    .action((file: string, options: ValidateOptions) => validate(host, io, file, options));

interface DecryptOptions {
  readonly key: string;
  readonly section?: 'raw';
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly keyPassphraseFile?: string;
}

/** Sections that were tokens, opened where they stand. */
const plainContract = (bytes: Uint8Array, { sections, attestationPublicKey }: OpenedContract): string => {
  const read = readDelivered(bytes);
  if (read.kind === 'refused') throw new TypeError('a contract that was opened reads again');
  const { ground, root } = read.value;
  const values = new Map<string, string>();
  for (const { name, form, ground: opened } of [sections.workload, sections.env]) {
    if (form === 'token') values.set(name, opened.text);
  }
  const name = 'attestationPublicKey';
  if (attestationPublicKey !== null && root[name] !== attestationPublicKey) values.set(name, attestationPublicKey);
  return withPlainValues(ground.document, values);
};

/**
 * What one token holds. Another key gives random bytes, whose padding looks right one time in 256 (no integrity tag: envelope.ts): what is
 * no text came from one, unless the caller knows better. Throws CONTRACT_NOT_OPENED, the same for everything that is wrong.
 */
const openDocument = (token: string, key: KeyObject, mayBeBinary: boolean): Secret => {
  const plaintext = openToken(token, key)?.plaintext ?? null;
  if (plaintext !== null && (mayBeBinary || plaintext.expose((bytes) => isUtf8(bytes)))) return plaintext;
  plaintext?.wipe();
  const reason = 'the token does not open with this key, or holds no text (--section raw)';
  throw new AgentError('CONTRACT_NOT_OPENED', { reason, findings: [] });
};

const decrypt = async (host: Host, io: CommandIo, file: string, options: DecryptOptions): Promise<void> => {
  const reads = [options.key, options.keyPassphraseFile];
  const choice = { output: options.output, input: file, reads, inPlace: options.inPlace === true };
  await assertOutput(host, choice);
  const key = await readKey(host, io, options.key, options.keyPassphraseFile);
  assertImplicitRejection(key);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  const text = bytes.toString('latin1');
  if (isToken(text) && parseToken(text) !== null) {
    const plaintext = openDocument(text, key, options.section === 'raw');
    // One awaited call, so the bytes are not lent beyond it.
    await plaintext.expose((plain) => writeOutput(host, io, plain, { ...choice, mode: 0o600 }));
    return;
  }
  if (options.section !== undefined) throw usage(`--section raw is for one token, and ${file} holds none`);
  const sealed = { kind: 'sealed', bytes, source: file, localHostname: null } as const;
  await writeOutput(host, io, plainContract(bytes, decryptContract(sealed, key)), { ...choice, mode: 0o600 });
};

const decryptHelp = `
Examples:
  triseed contract decrypt user-data --key guest-key.pem -o contract.yaml
  triseed contract decrypt token.txt --key guest-key.pem

A file holding one token gives its plaintext, byte for byte; anything else is read as a contract, whose tokens are
opened where they stand: comments, other keys and their order stay. What is no UTF-8 text comes from a wrong key, as a rule,
and is refused; --section raw gives it all the same.
What comes out is secret: files are written with mode 0600.`;

export const decryptCommand = (host: Host, io: CommandIo): Command =>
  new Command('decrypt')
    .description('open one token, or every token of a contract')
    .argument('<file>', 'a token or a contract, or - for standard input')
    .requiredOption('--key <file>', 'private key of the guest')
    .addOption(new Option('--section <section>', 'raw: the token may hold anything, not only text').choices(['raw']))
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--in-place', 'replace the input')
    .addOption(passphraseOption())
    .addHelpText('after', decryptHelp)
    .action((file: string, options: DecryptOptions) => decrypt(host, io, file, options));

interface VerifyOptions {
  readonly decryptKey?: string;
  readonly signer?: string;
  readonly at?: string;
  readonly json?: boolean;
  readonly keyPassphraseFile?: string;
}

const timeOf = (host: Host, at: string | undefined): Date =>
  at === undefined ? host.clock.now() : parseTime('--at', at);

const pinned = async (host: Host, io: CommandIo, path: string | undefined): Promise<readonly string[]> => {
  if (path === undefined) return [];
  const carried = parseCarriedKey((await readInput(host, io, path, maxPublicKeyBytes)).toString('latin1'));
  if (carried.kind === 'unusable') throw new AgentError('KEY_UNUSABLE', { path, reason: carried.reason });
  return [fingerprintOf(carried.value.key)];
};

const verify = async (host: Host, io: CommandIo, file: string, options: VerifyOptions): Promise<void> => {
  const at = timeOf(host, options.at);
  const key = await keyOrNull(host, io, options.decryptKey, options.keyPassphraseFile);
  const trustedSigners = await pinned(host, io, options.signer);
  const bytes = await readInput(host, io, file, maximumContractBytes);
  if (key === null) {
    const read = readDelivered(bytes);
    const closed = read.kind === 'read' ? Object.values(read.value.sections) : [];
    const token = closed.find(({ form }) => form === 'token');
    if (token !== undefined) throw usage(`${token.name} is encrypted: give the guest's key with --decrypt-key`);
  }
  const opened = decryptContract({ kind: 'sealed', bytes, source: file, localHostname: null }, key);
  const { signer } = verifyContract(opened, { trustedSigners, at });
  if (signer === null) io.setExitStatus(1);
  if (options.json === true) {
    io.stdout(`${JSON.stringify({ signed: signer !== null, signer }, null, 2)}\n`);
    return;
  }
  if (signer === null) return io.stderr(`${file}: not signed\n`);
  const whose = signer.trusted ? 'the given signer' : `${signer.fingerprint} (not compared with anybody: see --signer)`;
  const until =
    signer.certificateNotAfter === null ? 'never expires' : `expires ${signer.certificateNotAfter.toISOString()}`;
  io.stderr(`${file}: the signature is good, by ${whose}; ${until}\n`);
};

const verifyHelp = `
Examples:
  triseed contract verify user-data --decrypt-key guest-key.pem --signer signer.pub
  triseed contract verify user-data --decrypt-key guest-key.pem --at 2027-01-31

Exit status: 0 signed and good, 1 unsigned or not good, 2 wrong usage, 3 could not find out.`;

export const verifyCommand = (host: Host, io: CommandIo): Command =>
  new Command('verify')
    .description('check signature, signer and expiry')
    .argument('<file>', 'the contract, or - for standard input')
    .option('--decrypt-key <file>', 'private key of the guest: the signing key lies inside env')
    .option('--signer <file>', 'public key or certificate the contract must be signed with')
    .option('--at <time>', 'compare dates with this time instead of now')
    .option('--json', 'one JSON document on standard output')
    .addOption(passphraseOption())
    .addHelpText('after', verifyHelp)
    .action((file: string, options: VerifyOptions) => verify(host, io, file, options));
