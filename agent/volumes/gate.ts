/**
 * The header gate: which LUKS2 headers may be given to cryptsetup at all. A LUKS2 header carries an unkeyed checksum,
 * so whoever writes the disk can recompute it; a forged one may name a null cipher, a key derivation that takes hours
 * or areas that overlap. Everything is compared with an allow-list of exact values, unknown fields are refused.
 * Field meanings: LUKS2 On-Disk Format Specification 1.1.2, chapter 3. Profiles and ceilings: docs/volumes.md.
 */
import type { LegacyProfile } from '../configuration.ts';
import { type Cipher, ciphersWith, type DataSegment, keySizes, legacyCipherName } from './ciphers.ts';
import type { HeaderCopy } from './luks-header.ts';
import type { Json } from './strict-json.ts';
import { parseToken, tokenType, type VolumeToken } from './token.ts';

type Fields = { readonly [key: string]: Json };

declare const gated: unique symbol;
/** A header that passed the gate; only `gateHeader` makes one. */
export interface GatedHeader {
  readonly [gated]: true;
  readonly copy: HeaderCopy;
  /** `cbc-essiv` when data or a keyslot is encrypted so: only with the setting that names it. */
  readonly profile: 'triseed' | 'compat-hpcr' | 'cbc-essiv';
  readonly keyslots: readonly Keyslot[];
  readonly segment: DataSegment;
  readonly token: VolumeToken | null;
}

export interface Keyslot {
  readonly id: string;
  readonly areaOffsetBytes: number;
  readonly areaSizeBytes: number;
  readonly kdf: 'pbkdf2' | 'argon2i' | 'argon2id';
  /** True for exactly the parameters we format with. */
  readonly ours: boolean;
}

export type GateResult =
  | { readonly kind: 'passed'; readonly header: GatedHeader }
  | { readonly kind: 'refused'; readonly reason: string };

/** Ceilings for volumes made elsewhere: no opening may take minutes or gigabytes because a host says so. */
export const ceilings = { argonMemoryKiB: 1_048_576, argonTime: 16, argonCpus: 4, pbkdf2Iterations: 20_000_000 };
/** What we format with: fixed, so that a disk opens on a smaller guest. */
export const ourKdf = {
  argon2id: { memoryKiB: 65_536, time: 4, cpus: 1 },
  pbkdf2: { iterations: 1000 },
} as const;
export const stripes = 4000;
const alignment = 4096;
const maxKeyslots = 8;
export const maxSegmentOffset = 1 << 30;

/** The setting under which a header was gated, for gating what is made of it. */
export const legacyOf = ({ profile }: GatedHeader): readonly LegacyProfile[] =>
  profile === 'cbc-essiv' ? ['cbc-essiv'] : [];

class Refusal extends Error {}
const refuse = (reason: string): never => {
  throw new Refusal(reason);
};

const object = (value: Json | undefined, what: string): Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Fields)
    : refuse(`${what} is not an object`);

/** The object's fields, which must be exactly `names`. */
const exactly = (value: Json | undefined, what: string, names: readonly string[]): Fields => {
  const fields = object(value, what);
  const extra = Object.keys(fields).filter((name) => !names.includes(name));
  const missing = names.filter((name) => !(name in fields));
  if (extra.length > 0) refuse(`${what} has an unknown field ${JSON.stringify(extra[0])}`);
  if (missing.length > 0) refuse(`${what} lacks ${missing[0]}`);
  return fields;
};

const decimal = (value: Json | undefined, what: string): number =>
  typeof value === 'string' && /^(0|[1-9]\d{0,14})$/.test(value) ? Number(value) : refuse(`${what} is not a number`);

const within = (value: Json | undefined, what: string, low: number, high: number): number =>
  typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
    ? value
    : refuse(`${what} is outside ${low} to ${high}`);

const same = (value: Json | undefined, what: string, allowed: readonly Json[]): void => {
  if (!allowed.some((entry) => entry === value)) refuse(`${what} is ${JSON.stringify(value)}`);
};

const cipherOf = (value: Json | undefined, what: string, allowed: readonly Cipher[]): Cipher =>
  allowed.find((name) => name === value) ?? refuse(`${what} is ${JSON.stringify(value)}`);

const base64 = (value: Json | undefined, what: string, low: number, high: number): void => {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) refuse(`${what} is not base64`);
  const length = Buffer.from(value as string, 'base64').length;
  if (length < low || length > high) refuse(`${what} has ${length} bytes`);
};

/** A keyslot, and what its key must fit. */
interface FoundKeyslot extends Keyslot {
  readonly keyBytes: number;
  readonly areaCipher: Cipher;
}

const keyslotOf = (id: string, value: Json, ciphers: readonly Cipher[]): FoundKeyslot => {
  const what = `keyslot ${id}`;
  if (!/^(0|[1-9]|[12]\d|3[01])$/.test(id)) refuse(`${what} has no valid number`);
  const slot = exactly(value, what, ['type', 'key_size', 'af', 'area', 'kdf']);
  same(slot.type, `${what} type`, ['luks2']);
  same(
    slot.key_size,
    `${what} key size`,
    ciphers.flatMap((cipher) => keySizes[cipher]),
  );
  const keyBytes = Number(slot.key_size);
  const af = exactly(slot.af, `${what} splitter`, ['type', 'stripes', 'hash']);
  same(af.type, `${what} splitter type`, ['luks1']);
  same(af.stripes, `${what} stripes`, [stripes]);
  same(af.hash, `${what} splitter hash`, ['sha256']);
  const area = exactly(slot.area, `${what} area`, ['type', 'offset', 'size', 'encryption', 'key_size']);
  same(area.type, `${what} area type`, ['raw']);
  const areaCipher = cipherOf(area.encryption, `${what} area cipher`, ciphers);
  same(area.key_size, `${what} area key size`, keySizes[areaCipher]);
  const areaSizeBytes = decimal(area.size, `${what} area size`);
  if (areaSizeBytes !== Math.ceil((keyBytes * stripes) / alignment) * alignment) refuse(`${what} area size is wrong`);
  const areaOffsetBytes = decimal(area.offset, `${what} area offset`);
  return { id, areaOffsetBytes, areaSizeBytes, keyBytes, areaCipher, ...kdfOf(slot.kdf, what, area.key_size === 64) };
};

const kdfOf = (value: Json | undefined, what: string, fullArea: boolean): Pick<Keyslot, 'kdf' | 'ours'> => {
  const kind = object(value, `${what} kdf`).type;
  if (kind === 'pbkdf2') {
    const kdf = exactly(value, `${what} kdf`, ['type', 'hash', 'iterations', 'salt']);
    same(kdf.hash, `${what} kdf hash`, ['sha256', 'sha512']);
    const iterations = within(kdf.iterations, `${what} kdf iterations`, 1000, ceilings.pbkdf2Iterations);
    base64(kdf.salt, `${what} kdf salt`, 16, 64);
    const ours = kdf.hash === 'sha256' && iterations === ourKdf.pbkdf2.iterations && fullArea;
    return { kdf: 'pbkdf2', ours };
  }
  if (kind !== 'argon2i' && kind !== 'argon2id') return refuse(`${what} kdf is ${JSON.stringify(kind)}`);
  const kdf = exactly(value, `${what} kdf`, ['type', 'time', 'memory', 'cpus', 'salt']);
  const time = within(kdf.time, `${what} kdf time`, 1, ceilings.argonTime);
  const memory = within(kdf.memory, `${what} kdf memory`, 32, ceilings.argonMemoryKiB);
  const cpus = within(kdf.cpus, `${what} kdf cpus`, 1, ceilings.argonCpus);
  base64(kdf.salt, `${what} kdf salt`, 16, 64);
  const { argon2id } = ourKdf;
  const asWeFormat = time === argon2id.time && memory === argon2id.memoryKiB && cpus === argon2id.cpus;
  return { kdf: kind, ours: kind === 'argon2id' && asWeFormat && fullArea };
};

const segmentOf = (value: Json | undefined, keyBytes: number, ciphers: readonly Cipher[]): DataSegment => {
  const segments = exactly(value, 'segments', ['0']);
  const fields = ['type', 'offset', 'size', 'iv_tweak', 'encryption', 'sector_size'];
  const segment = exactly(segments['0'], 'segment 0', fields);
  same(segment.type, 'segment type', ['crypt']);
  same(segment.size, 'segment size', ['dynamic']);
  same(segment.iv_tweak, 'segment iv_tweak', ['0']);
  const cipher = cipherOf(segment.encryption, 'segment cipher', ciphers);
  same(keyBytes, 'key size', keySizes[cipher]);
  same(segment.sector_size, 'segment sector size', [512, 4096]);
  const offsetBytes = decimal(segment.offset, 'segment offset');
  if (offsetBytes % alignment !== 0 || offsetBytes > maxSegmentOffset) refuse('segment offset is unusable');
  const sectorBytes = segment.sector_size === 512 ? 512 : 4096;
  return { offsetBytes, sectorBytes, cipher, keyBytes };
};

const checkDigest = (value: Json | undefined, keyslotIds: readonly string[]): void => {
  const digests = exactly(value, 'digests', ['0']);
  const fields = ['type', 'keyslots', 'segments', 'hash', 'iterations', 'salt', 'digest'];
  const digest = exactly(digests['0'], 'digest 0', fields);
  same(digest.type, 'digest type', ['pbkdf2']);
  same(digest.hash, 'digest hash', ['sha256']);
  within(digest.iterations, 'digest iterations', 1000, ceilings.pbkdf2Iterations);
  base64(digest.salt, 'digest salt', 16, 64);
  base64(digest.digest, 'digest value', 32, 32);
  const named = Array.isArray(digest.keyslots) ? [...digest.keyslots].sort() : refuse('digest keyslots missing');
  if (JSON.stringify(named) !== JSON.stringify([...keyslotIds].sort())) refuse('digest does not cover the keyslots');
  if (JSON.stringify(digest.segments) !== '["0"]') refuse('digest does not cover the segment');
};

const checkAreas = (
  keyslots: readonly Keyslot[],
  copy: HeaderCopy,
  keyslotsSize: number,
  segmentOffset: number,
): void => {
  const start = 2 * copy.headerSizeBytes;
  const end = start + keyslotsSize;
  if (keyslotsSize % alignment !== 0 || end > segmentOffset) refuse('the keyslot area reaches into the data');
  const sorted = [...keyslots].sort((a, b) => a.areaOffsetBytes - b.areaOffsetBytes);
  let free = start;
  for (const slot of sorted) {
    if (slot.areaOffsetBytes % alignment !== 0 || slot.areaOffsetBytes < free) refuse(`keyslot ${slot.id} overlaps`);
    free = slot.areaOffsetBytes + slot.areaSizeBytes;
  }
  if (free > end) refuse('a keyslot lies outside the keyslot area');
};

const tokenOf = (value: Json | undefined, keyslotIds: readonly string[]): VolumeToken | null => {
  const tokens = Object.entries(object(value, 'tokens'));
  const [first] = tokens;
  if (first === undefined) return null;
  if (tokens.length > 1) refuse('there is more than one token');
  if (object(first[1], 'token').type !== tokenType) refuse('a token made by another program is present');
  const token = parseToken(first[1]) ?? refuse('the triseed token is malformed');
  if (!keyslotIds.includes(token.keyslot)) refuse('the triseed token names a keyslot that does not exist');
  return token;
};

const judge = (copy: HeaderCopy, ciphers: readonly Cipher[]): GatedHeader => {
  // Room for every later write: a host could otherwise leave us a header that can never be renewed.
  if (copy.sequence >= 1n << 62n) refuse('the sequence number is out of reach');
  if (copy.label !== '' || copy.subsystem !== '') refuse('label or subsystem is set');
  const json = exactly(copy.json, 'the header', ['keyslots', 'tokens', 'segments', 'digests', 'config']);
  const config = exactly(json.config, 'config', ['json_size', 'keyslots_size']);
  if (decimal(config.json_size, 'json_size') !== copy.headerSizeBytes - 4096) refuse('json_size does not match');
  const found = Object.entries(object(json.keyslots, 'keyslots'));
  if (found.length > maxKeyslots) refuse(`there are more than ${maxKeyslots} keyslots`);
  const slots = found.map(([id, value]) => keyslotOf(id, value, ciphers));
  const [first] = slots;
  if (first === undefined) return refuse('there is no keyslot');
  const { keyBytes } = first;
  if (slots.some((slot) => slot.keyBytes !== keyBytes)) refuse('keyslots hold keys of different sizes');
  const ids = slots.map(({ id }) => id);
  const segment = segmentOf(json.segments, keyBytes, ciphers);
  checkDigest(json.digests, ids);
  checkAreas(slots, copy, decimal(config.keyslots_size, 'keyslots_size'), segment.offsetBytes);
  const token = tokenOf(json.tokens, ids);
  const legacy = [segment.cipher, ...slots.map(({ areaCipher }) => areaCipher)].includes(legacyCipherName);
  const ours = token !== null && slots.length === 1 && first.ours && segment.keyBytes === 64;
  const profile = legacy ? 'cbc-essiv' : ours ? 'triseed' : 'compat-hpcr';
  const keyslots = slots.map(({ keyBytes: _, areaCipher: __, ...slot }) => slot);
  return { copy, profile, keyslots, segment, token } as unknown as GatedHeader;
};

/**
 * Passes or refuses one header copy. `legacy` is `volumes.legacyProfiles` of the agent configuration. Pure; `reason` never
 * holds more than a field name and a short value.
 */
export const gateHeader = (copy: HeaderCopy, legacy: readonly LegacyProfile[] = []): GateResult => {
  try {
    return { kind: 'passed', header: judge(copy, ciphersWith(legacy)) };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', reason: error.message.slice(0, 200) };
    throw error;
  }
};
