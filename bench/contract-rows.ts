/** Contracts: a typical one from token to rules, tokens by size, and every kind of failure against another. */
import { execFile } from 'node:child_process';
import { createDecipheriv, createPrivateKey, createPublicKey, type KeyObject, pbkdf2Sync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeArchive } from '../agent/contract/content/archive-write.ts';
import { decryptContract } from '../agent/contract/decrypt.ts';
import { parseToken, renderToken, type Token } from '../agent/contract/envelope.ts';
import { openToken } from '../agent/contract/open-token.ts';
import { sealContract, sealToken } from '../agent/contract/seal.ts';
import { validateContract } from '../agent/contract/validate.ts';
import { verifyContract } from '../agent/contract/verify.ts';
import { AgentError } from '../agent/errors.ts';
import { entropy } from '../agent/host/entropy.ts';
import { Secret } from '../agent/secret.ts';
import type { Row } from './measure.ts';
import type { Repetitions } from './rows.ts';
import type { Shipped } from './shipped.ts';

const fixture = (path: string): string => join(import.meta.dirname, '../fixtures', path);
const execute = promisify(execFile);

const guestKeyPath = fixture('keys/THROWAWAY-guest-key.pem');
const signerPath = fixture('keys/THROWAWAY-signer.pub');
const signerKeyPath = fixture('keys/THROWAWAY-signer-key.pem');

const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');

/** A contract of two sections, a volume and an archive of 100 KiB in base64, sealed and signed. */
const typicalContract = async (guest: KeyObject): Promise<Buffer> => {
  const part = (name: string): string => readFileSync(fixture(`contracts/parts/${name}.yaml`), 'utf8');
  const compose = `services:\n  app:\n    image: registry.example.com/team/app@sha256:${'0'.repeat(64)}\n`;
  const file = (name: string, bytes: Buffer) => ({ name, kind: 'file', isExecutable: false, bytes }) as const;
  const archive = writeArchive([
    file('data', entropy.bytes(76_000)),
    file('docker-compose.yaml', Buffer.from(compose)),
  ]).text;
  const workload = part('workload').replace(/archive: .*/, `archive: ${archive}`);
  const outcome = await sealContract(entropy, {
    bytes: Buffer.from(`workload: |\n${indented(workload)}env: |\n${indented(part('env'))}`),
    profile: 'hpvs',
    at: new Date(),
    recipient: createPublicKey(guest),
    signer: createPrivateKey(readFileSync(signerKeyPath)),
    signingKeyPem: readFileSync(signerPath, 'utf8'),
  });
  if (outcome.kind !== 'sealed') throw new Error(`not sealed: ${outcome.findings[0]?.code}`);
  return Buffer.from(outcome.text);
};

/** The documented shell recipe, both sections and the signature; the signer's key is given, not dug out of env. */
const opensslScript = `
set -eu
for section in workload env; do
  openssl pkeyutl -decrypt -inkey "$KEY" -in $section.wrapped -out pass
  openssl enc -d -aes-256-cbc -pbkdf2 -pass file:pass -in $section.body -out $section.plain
done
openssl dgst -sha256 -verify "$SIGNER" -signature signature delivered
`;

/** Files for the script: what base64 and YAML have to be taken off is not openssl's work, so it is given the bytes. */
const forOpenssl = (folder: string, contract: Buffer): (() => Promise<unknown>) => {
  const value = (name: string): string => new RegExp(`^${name}: (\\S+)$`, 'm').exec(contract.toString())?.[1] ?? '';
  for (const section of ['workload', 'env']) {
    const [, wrapped = '', body = ''] = value(section).split('.');
    writeFileSync(join(folder, `${section}.wrapped`), Buffer.from(wrapped, 'base64'));
    writeFileSync(join(folder, `${section}.body`), Buffer.from(body, 'base64'));
  }
  writeFileSync(join(folder, 'signature'), Buffer.from(value('envWorkloadSignature'), 'base64'));
  writeFileSync(join(folder, 'delivered'), value('workload') + value('env'));
  const env = { PATH: '/usr/bin:/bin', KEY: guestKeyPath, SIGNER: signerPath };
  return () => execute('/bin/sh', ['-c', opensslScript], { cwd: folder, env });
};

const typical = async (
  times: Repetitions,
  folder: string,
  { executable }: Shipped,
  guest: KeyObject,
): Promise<readonly Row[]> => {
  const contract = await typicalContract(guest);
  const path = join(folder, 'user-data');
  writeFileSync(path, contract);
  const pem = readFileSync(guestKeyPath);
  const compared = forOpenssl(folder, contract);
  const baseline = 'openssl: two pkeyutl, two enc, one dgst, run by sh';
  const command = (name: string, ...more: readonly string[]) => ({
    name: `a typical contract, triseed contract ${name}`,
    subject: `contract ${name}, a cold process of the executable`,
    baseline,
    repetitions: times.processes,
    calls: 1,
    measured: () => execute(executable, ['contract', name, path, '--decrypt-key', guestKeyPath, ...more]),
    compared,
  });
  const at = new Date();
  return [
    {
      name: 'a typical contract, opened, verified and validated in process',
      subject: 'PEM key and bytes → decryptContract → verifyContract → validateContract, as the guest does',
      baseline,
      repetitions: times.functions,
      calls: 1,
      measured: async () => {
        const key = Secret.take(Buffer.from(pem));
        const opened = decryptContract({ kind: 'sealed', bytes: contract, source: 'bench', localHostname: null }, key);
        key.wipe();
        validateContract(verifyContract(opened, { trustedSigners: [], at }), { profile: 'hpvs', minimumSerial: 0 });
      },
      compared,
    },
    command('verify', '--signer', signerPath),
    command('validate'),
  ];
};

const megabytes = 3;

const size = async ({ functions }: Repetitions, guest: KeyObject): Promise<Row> => {
  const plaintext = Buffer.alloc(megabytes * 1024 * 1024, 'QUJD');
  const token = await sealToken(entropy, plaintext, createPublicKey(guest), 'hyper-protect-basic');
  const parsed = parseToken(token);
  if (parsed === null) throw new TypeError('our own token does not parse');
  const [, wrapped = '', body = ''] = token.split('.');
  return {
    name: `a token of ${megabytes} MiB, in process`,
    subject: 'openToken, both readings of the passphrase',
    baseline: 'base64, PBKDF2 and AES-256-CBC, once each, and no RSA',
    repetitions: functions,
    calls: 1,
    measured: async () => openToken(token, guest)?.plaintext.wipe(),
    compared: async () => {
      const derived = pbkdf2Sync(Buffer.from(wrapped, 'base64').subarray(0, 32), parsed.salt, 10_000, 48, 'sha256');
      const decipher = createDecipheriv('aes-256-cbc', derived.subarray(0, 32), derived.subarray(32));
      decipher.setAutoPadding(false);
      decipher.update(Buffer.from(body, 'base64').subarray(16));
      decipher.final();
    },
  };
};

const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x80;
  return copy;
};

/** A wrong token must not tell by its time what is wrong with it: each kind in turns with one for another key. */
const failures = async ({ functions }: Repetitions): Promise<readonly Row[]> => {
  const key = (name: string): KeyObject => createPrivateKey(readFileSync(fixture(`keys/THROWAWAY-${name}.pem`)));
  const guest = key('guest-2048-key');
  const plaintext = Buffer.alloc(100 * 1024, 'QUJD');
  const seal = (recipient: KeyObject): Promise<string> =>
    sealToken(entropy, plaintext, createPublicKey(recipient), 'hyper-protect-basic');
  const token = parseToken(await seal(guest));
  if (token === null) throw new TypeError('our own token does not parse');
  const { wrappedPassphrase, ciphertext } = token;
  const contract = (text: string): Buffer => Buffer.from(`workload: ${text}\nenv: "type: env"\n`);
  const changed = (change: Partial<Token>): Buffer => contract(renderToken({ ...token, ...change }));
  const refuse = (bytes: Buffer) => async (): Promise<void> => {
    try {
      decryptContract({ kind: 'sealed', bytes, source: 'bench', localHostname: null }, guest);
    } catch (error) {
      if (error instanceof AgentError && error.id === 'HPL11001E') return;
      throw error;
    }
    throw new Error('the token opened');
  };
  const wrongKey = contract(await seal(key('other-key')));
  const kinds: readonly (readonly [name: string, bytes: Buffer])[] = [
    ['for another key, again', wrongKey],
    ['with a broken RSA part', changed({ wrappedPassphrase: flipped(wrappedPassphrase, 255) })],
    ['with broken padding', changed({ ciphertext: flipped(ciphertext, ciphertext.length - 17) })],
    ['with a broken middle', changed({ ciphertext: flipped(ciphertext, 50_000) })],
    ['cut at a block', changed({ ciphertext: ciphertext.subarray(0, -16) })],
  ];
  return kinds.map(([name, bytes]) => ({
    name: `refusing a token ${name}`,
    subject: `decryptContract of a token of 100 KiB ${name}`,
    baseline: 'the same of one for another key',
    repetitions: functions,
    calls: 3,
    measured: refuse(bytes),
    compared: refuse(wrongKey),
  }));
};

/** `folder` is for files. */
export const contractRows = async (times: Repetitions, folder: string, shipped: Shipped): Promise<readonly Row[]> => {
  const guest = createPrivateKey(readFileSync(guestKeyPath));
  return [...(await typical(times, folder, shipped, guest)), await size(times, guest), ...(await failures(times))];
};
