/**
 * LUKS2 headers as bytes, made without cryptsetup: as small programs and forgers make them. By itself it is what the agent formats
 * with three seeds; a conformance test shows that cryptsetup takes it.
 */
import { type HeaderCopy, readLuksHeader, renderLuksHeader } from '../../agent/volumes/luks-header.ts';
import type { Json } from '../../agent/volumes/strict-json.ts';

/** Any JSON, but with places that can be set. */
// biome-ignore lint/suspicious/noExplicitAny: a forger knows no types
export type Loose = any;

/** 24 bytes whose base64 has every kind of character. */
export const saltText = 'ab+/CDEF0189xyzABCghij+/klmnop5Q';
const digestText = 'q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=';

export const argon2id = { type: 'argon2id', time: 4, memory: 65_536, cpus: 1, salt: saltText };
export const pbkdf2 = { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: saltText };

/** A keyslot whose area is the `place`-th of the keyslot area. */
export const keyslotAt = (place: number, kdf: Loose = pbkdf2): Loose => ({
  type: 'luks2',
  key_size: 64,
  af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
  area: {
    type: 'raw',
    offset: String(32_768 + place * 258_048),
    size: '258048',
    encryption: 'aes-xts-plain64',
    key_size: 64,
  },
  kdf: { ...kdf },
});

export const twoSeedToken = { type: 'triseed', keyslots: ['0'], version: 1, volume: 'data', scheme: 'two-seed' };
export const threeSeedToken = {
  ...twoSeedToken,
  scheme: 'interim',
  wrapped: 'd3JhcHBlZA==',
  key_version: 'version-1',
  mac: '0f'.repeat(32),
};

export const headerJson = (): Loose => ({
  keyslots: { '0': keyslotAt(0) },
  tokens: {},
  segments: {
    '0': {
      type: 'crypt',
      offset: '16777216',
      size: 'dynamic',
      iv_tweak: '0',
      encryption: 'aes-xts-plain64',
      sector_size: 4096,
    },
  },
  digests: {
    '0': {
      type: 'pbkdf2',
      keyslots: ['0'],
      segments: ['0'],
      hash: 'sha256',
      iterations: 1000,
      salt: saltText,
      digest: digestText,
    },
  },
  config: { json_size: '12288', keyslots_size: '16744448' },
});

/** The fields of the binary header that matter. */
const binary = {
  headerSizeBytes: 16_384,
  sequence: 3n,
  uuid: '11111111-2222-4333-8444-555555555555',
  label: '',
  subsystem: '',
};

/** Both copies, one behind the other, with correct checksums. */
export const headerBytes = (json: Loose, fields: Partial<typeof binary> = {}): Buffer => {
  const copy = { ...binary, ...fields };
  const rendered = renderLuksHeader(copy, json as Json, copy.sequence, [Buffer.alloc(64, 1), Buffer.alloc(64, 2)]);
  if (rendered === null) throw new Error('the JSON does not fit');
  return Buffer.concat([rendered.primary, rendered.secondary]);
};

/** The copy that is read from these bytes. Throws when there is none. */
export const copyIn = async (bytes: Buffer): Promise<HeaderCopy> => {
  const read = async (offset: number, length: number) => Buffer.from(bytes.subarray(offset, offset + length));
  const found = await readLuksHeader(read, bytes.length);
  if (found.kind !== 'luks2') throw new Error(`the header is ${JSON.stringify(found)}`);
  return found.current;
};
