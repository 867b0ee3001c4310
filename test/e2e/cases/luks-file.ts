/** LUKS headers on plain files: made and read by cryptsetup(8), and forged by hand (LUKS2 On-Disk Format 1.1.3, §2). */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decryptEssiv, encryptEssiv } from './essiv.ts';
import { decryptSectors, encryptSectors, type Sectors } from './xts.ts';

type Json = Record<string, unknown>;
/** A LUKS2 JSON area as loosely as its forger needs it. */
export interface LuksJson {
  keyslots: Record<string, Json & { area: Json; kdf: Json; af: Json }>;
  segments: Record<string, Json & { encryption: string; offset: string; sector_size: number }>;
  digests: Record<string, Json & { iterations: number }>;
  tokens: Record<
    string,
    Json & { type: string; keyslots: string[]; wrapped?: string; mac?: string; key_version?: string }
  >;
  config: Json;
}

export const cryptsetup = (args: readonly string[], input = ''): string =>
  execFileSync('cryptsetup', args, { input, stdio: ['pipe', 'pipe', 'pipe'] }).toString('latin1');

const keyFrom = (passphrase: string): readonly string[] => ['--key-file=-', `--keyfile-size=${passphrase.length}`];

/** Whether stock cryptsetup opens a keyslot of `file` with this passphrase. */
export const opensWith = (file: string, passphrase: string): boolean => {
  try {
    cryptsetup(['open', '--test-passphrase', ...keyFrom(passphrase), file], passphrase);
    return true;
  } catch {
    return false;
  }
};

export const luksJsonOf = (file: string): LuksJson =>
  JSON.parse(cryptsetup(['luksDump', '--dump-json-metadata', file])) as LuksJson;

/** The volume key. Throws when the passphrase does not open the volume. */
export const volumeKeyOf = (file: string, passphrase: string): Buffer => {
  const folder = mkdtempSync(join(tmpdir(), 'volume-key-'));
  try {
    const out = join(folder, 'key');
    cryptsetup(
      ['luksDump', '--batch-mode', '--dump-volume-key', `--volume-key-file=${out}`, ...keyFrom(passphrase), file],
      passphrase,
    );
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

/** What people and other products use; `settings` are further arguments of cryptsetup luksFormat. */
export const luksFormat = (file: string, passphrase: string, settings: readonly string[]): void => {
  cryptsetup(['luksFormat', '--batch-mode', ...settings, ...keyFrom(passphrase), file], passphrase);
};

/** Where the data of a LUKS volume lies, and how it is encrypted, as `cryptsetup luksDump` says. */
export interface DataOf {
  readonly offset: number;
  readonly cipher: string;
  readonly sectorBytes: number;
}

export const dataOf = (file: string): DataOf => {
  const text = cryptsetup(['luksDump', file]);
  const field = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? '';
  if (field(/^Version:\s+(\d)/m) === '1') {
    const cipher = `${field(/^Cipher name:\s+(\S+)/m)}-${field(/^Cipher mode:\s+(\S+)/m)}`;
    return { offset: Number(field(/^Payload offset:\s*(\d+)/m)) * 512, cipher, sectorBytes: 512 };
  }
  const segment = luksJsonOf(file).segments['0'];
  if (segment === undefined) throw new Error(`${file} has no segment`);
  return { offset: Number(segment.offset), cipher: segment.encryption, sectorBytes: segment.sector_size };
};

const ciphers: Readonly<Record<string, readonly [encrypt: typeof encryptSectors, decrypt: typeof decryptSectors]>> = {
  'aes-xts-plain64': [encryptSectors, decryptSectors],
  'aes-cbc-essiv:sha256': [encryptEssiv, decryptEssiv],
};

const cipherNamed = (name: string) => {
  const found = ciphers[name];
  if (found === undefined) throw new Error(`no test knows ${name}`);
  return found;
};

export const decrypt = (cipher: string, sectors: Sectors, bytes: Buffer): Buffer =>
  cipherNamed(cipher)[1](sectors, bytes);

/** Puts `plain` behind the header of `file`, encrypted. */
export const fillLuks = (file: string, passphrase: string, plain: Buffer): void => {
  const { offset, cipher, sectorBytes } = dataOf(file);
  const key = volumeKeyOf(file, passphrase);
  const bytes = readFileSync(file);
  cipherNamed(cipher)[0]({ key, sectorBytes }, plain).copy(bytes, offset);
  writeFileSync(file, bytes);
};

/** Formats `file` (made `sizeBytes` long) and fills it. */
export const makeLuks = (
  file: string,
  sizeBytes: number,
  passphrase: string,
  settings: readonly string[],
  plain: Buffer,
): void => {
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  luksFormat(file, passphrase, settings);
  fillLuks(file, passphrase, plain);
};

const jsonStart = 4096;
const sumAt = 448;

/** Corrects the checksum of one header copy, with the algorithm that it names. */
export const resealed = (copy: Buffer): void => {
  const algorithm = copy.toString('latin1', 72, copy.indexOf(0, 72));
  copy.fill(0, sumAt, sumAt + 64);
  createHash(algorithm).update(copy).digest().copy(copy, sumAt);
};

/** Rewrites the JSON area of one header copy; the checksum is corrected, as it has no key. */
export const forgeCopy = (copy: Buffer, edit: (json: LuksJson) => unknown): void => {
  const end = copy.indexOf(0, jsonStart);
  const json = JSON.parse(copy.toString('utf8', jsonStart, end)) as LuksJson;
  const answer = edit(json);
  const text = typeof answer === 'string' ? answer : JSON.stringify(json);
  copy.fill(0, jsonStart);
  copy.write(text, jsonStart);
  resealed(copy);
};

/**
 * The same to both copies in `bytes`, from `offset` on: what whoever writes to the disk can do unnoticed.
 */
export const forge = (bytes: Buffer, offset: number, edit: (json: LuksJson) => unknown): void => {
  const headerBytes = Number(bytes.readBigUInt64BE(offset + 8));
  for (const start of [offset, offset + headerBytes]) forgeCopy(bytes.subarray(start, start + headerBytes), edit);
};
