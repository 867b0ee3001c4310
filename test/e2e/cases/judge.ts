/**
 * The disk of a volume after a run, judged on the host by stock tools: sgdisk, cryptsetup, e2fsck, debugfs. The passphrase is
 * computed with sha256sum, the third seed unwrapped by the key owner's command.
 */
import { rmSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import { passphraseOf, type SeedTexts } from './by-hand.ts';
import { breathe, type Content, checkExt4, copyOut, fileOf, MiB, partitionOf, take, tool } from './image.ts';
import { cryptsetup, dataOf, decrypt, type LuksJson, luksJsonOf, opensWith, volumeKeyOf } from './luks-file.ts';
import type { Stage } from './stage.ts';
import { fsBytes } from './volume-case.ts';

export interface TokenFields {
  readonly type: string;
  readonly keyslots: readonly string[];
  readonly volume: string;
  readonly scheme: string;
  readonly wrapped?: string;
  readonly key_version?: string;
  readonly mac?: string;
}

export interface Expected {
  readonly key: string;
  readonly file: string;
  readonly seeds: SeedTexts;
  /** Root key that wrapped the third seed; absent for two seeds. */
  readonly keyName?: string;
  /** Default: partitions `metadata` and `data`. */
  readonly whole?: boolean;
  /** Formatted by the agent, so that header and table have our profile; else by stock tools. */
  readonly madeHere: boolean;
  /** Default: how this project formats. */
  readonly passphrase?: (seeds: SeedTexts) => string;
  /** Size of an encrypted sector; default 4096. */
  readonly sectorBytes?: number;
  /** Our token is there; default: yes for three seeds and for what the agent formatted. */
  readonly token?: boolean;
  readonly scheme?: string;
  /** The one keyslot; default 0. */
  readonly keyslot?: string;
  /** The disk became larger than it was made: the file system fills the partition, although it was made elsewhere. */
  readonly grown?: boolean;
  /** A passphrase that used to open it. */
  readonly closedTo?: (seeds: SeedTexts) => string;
  /** Files of the opened volume. */
  readonly content: Content;
}

const ourCipher = 'aes-xts-plain64';

const judgeProfile = (t: Test, header: LuksJson, seedCount: number, sectorBytes: number): void => {
  const { keyslots, segments, digests } = header;
  t.strictSame(Object.keys(keyslots), ['0'], 'one keyslot');
  const kdf =
    seedCount === 3
      ? { type: 'pbkdf2', hash: 'sha256', iterations: 1000 }
      : { type: 'argon2id', time: 4, memory: 65_536, cpus: 1 };
  t.match(
    keyslots['0'],
    { key_size: 64, area: { encryption: ourCipher, key_size: 64 }, kdf },
    'profile of the keyslot',
  );
  t.match(segments['0'], {
    encryption: ourCipher,
    sector_size: sectorBytes,
    offset: String(16 * MiB),
    size: 'dynamic',
  });
  t.strictSame([Object.keys(segments).length, Object.keys(digests).length], [1, 1]);
};

/** The token as stock cryptsetup exports it. */
export const tokenOf = (headerFile: string): TokenFields =>
  JSON.parse(cryptsetup(['token', 'export', '--token-id=0', headerFile])) as TokenFields;

const dataPartitionOf = ({ file, whole }: Expected) =>
  whole === true ? { offset: 0, length: 0 } : partitionOf(file, 2);

/** The token of a disk image, without judging anything else. */
export const tokenOnDisk = (file: string, piece: string): TokenFields => {
  writeFileSync(piece, take(file, partitionOf(file, 2).offset, 16 * MiB));
  try {
    return tokenOf(piece);
  } finally {
    rmSync(piece);
  }
};

const judgeMetadata = (t: Test, expected: Expected, stage: Stage, wrapped: string | undefined): void => {
  const piece = stage.piece();
  copyOut(expected.file, partitionOf(expected.file, 1), piece);
  checkExt4(piece);
  if (wrapped !== undefined) t.equal(fileOf(piece, '/keyfile').trim(), wrapped, 'keyfile mirrors the token');
  else if (expected.madeHere) t.equal(fileOf(piece, '/keyfile'), '', 'no keyfile');
  rmSync(piece);
};

const judgeContent = (t: Test, expected: Expected, json: LuksJson, key: Buffer, stage: Stage): void => {
  const segment = json.segments['0'];
  if (segment === undefined) throw new Error('no segment');
  const { offset, length } = dataPartitionOf(expected);
  const start = offset + Number(segment.offset);
  const bytes = take(expected.file, start, length === 0 ? fsBytes : length - Number(segment.offset));
  const used = expected.madeHere || expected.grown === true ? bytes : bytes.subarray(0, fsBytes);
  const whole = used.subarray(0, used.length - (used.length % segment.sector_size));
  const piece = stage.piece();
  const sectors = { key, sectorBytes: segment.sector_size };
  writeFileSync(piece, decrypt(segment.encryption, sectors, whole), { mode: 0o600 });
  checkExt4(piece);
  for (const [name, text] of Object.entries(expected.content)) t.equal(fileOf(piece, `/${name}`), text, name);
  rmSync(piece);
};

/** Asserts everything and answers the token, if any. The guest must be off. */
export const judge = async (t: Test, stage: Stage, expected: Expected): Promise<TokenFields | null> => {
  const { file, seeds, keyName, key } = expected;
  if (expected.whole !== true) {
    t.match(tool('sgdisk', ['--verify', file]), /No problems found/, 'sgdisk --verify');
    t.strictSame([partitionOf(file, 1).name, partitionOf(file, 2).name], ['metadata', 'data']);
    if (expected.madeHere)
      t.equal(tool('sgdisk', ['--info=2', file]).includes('0FC63DAF-8483-4772-8E79-3D69D8477DE4'), true);
  }
  await breathe();
  const header = stage.piece();
  writeFileSync(header, take(file, dataPartitionOf(expected).offset, 16 * MiB + 4096), { mode: 0o600 });
  const json = luksJsonOf(header);
  const seedCount = keyName === undefined ? 2 : 3;
  if (expected.madeHere) judgeProfile(t, json, seedCount, expected.sectorBytes ?? 4096);
  const hasToken = expected.token ?? (expected.madeHere || seedCount === 3);
  t.equal(Object.keys(json.tokens).length, hasToken ? 1 : 0, 'tokens');
  const token = hasToken ? tokenOf(header) : null;
  if (token !== null) {
    const scheme = expected.scheme ?? (seedCount === 3 ? 'interim' : 'two-seed');
    t.match(token, { type: 'triseed', keyslots: [expected.keyslot ?? '0'], volume: key, scheme }, 'token');
  }
  const wrapped = token?.wrapped;
  const third = keyName === undefined ? null : await stage.unwrap(keyName, wrapped ?? '');
  if (seeds.third !== null) t.equal(third, seeds.third, 'the stored seed is the one from before');
  await breathe();
  const passphrase = (expected.passphrase ?? passphraseOf)({ ...seeds, third });
  t.equal(opensWith(header, passphrase), true, 'the passphrase by sha256sum opens the header');
  t.equal(opensWith(header, `${passphrase.slice(0, -1)}x`), false, 'and no other');
  if (expected.closedTo !== undefined)
    t.equal(opensWith(header, expected.closedTo({ ...seeds, third })), false, 'the previous passphrase does not');
  t.strictSame(Object.keys(json.keyslots), [expected.keyslot ?? '0'], 'one keyslot');
  await breathe();
  const volumeKey = volumeKeyOf(header, passphrase);
  rmSync(header);
  await breathe();
  if (expected.whole !== true) judgeMetadata(t, expected, stage, wrapped);
  await breathe();
  judgeContent(t, expected, json, volumeKey, stage);
  return token;
};

/** The start of a volume's LUKS header, as far as LUKS1 has one: everything before the data. */
const luks1Bytes = 2 * MiB;

/** What must be the same after a run: header and keyslots of a LUKS1 volume, and the metadata partition beside it. */
export const beforeData = (expected: Pick<Expected, 'file' | 'whole'>): Buffer => {
  const [from, data] = expected.whole === true ? [0, 0] : [MiB, partitionOf(expected.file, 2).offset];
  return take(expected.file, from, data + luks1Bytes - from);
};

/** A LUKS1 volume after a run: nothing before its data has changed, and stock tools find the data behind it. */
export const judgeLuks1 = async (
  t: Test,
  stage: Stage,
  expected: Pick<Expected, 'file' | 'whole' | 'seeds' | 'content'>,
  before: Buffer,
): Promise<void> => {
  const { file, whole, seeds, content } = expected;
  t.ok(beforeData(expected).equals(before), 'header, keyslots and metadata partition are as they were');
  const start = whole === true ? 0 : partitionOf(file, 2).offset;
  const piece = stage.piece();
  writeFileSync(piece, take(file, start, luks1Bytes + fsBytes), { mode: 0o600 });
  await breathe();
  const passphrase = passphraseOf(seeds);
  t.equal(opensWith(piece, passphrase), true, 'the passphrase by sha256sum opens the header');
  const { offset, cipher, sectorBytes } = dataOf(piece);
  t.equal(offset, luks1Bytes);
  const key = volumeKeyOf(piece, passphrase);
  await breathe();
  writeFileSync(piece, decrypt(cipher, { key, sectorBytes }, take(file, start + offset, fsBytes)), { mode: 0o600 });
  checkExt4(piece);
  for (const [name, text] of Object.entries(content)) t.equal(fileOf(piece, `/${name}`), text, name);
  rmSync(piece);
};
