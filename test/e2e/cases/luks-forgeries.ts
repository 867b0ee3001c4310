/**
 * What whoever holds a disk can make of a LUKS2 header. Each leaves both checksums right, so nothing but a judgement of the contents
 * tells it from a header that its owner made. `stock` is what cryptsetup 2.6.1, which many guests have, does with it when it tests
 * the right passphrase; `reason` is why our gate refuses it, or where our reader stops.
 */
import { createHash, pbkdf2Sync } from 'node:crypto';
import { forge, forgeCopy, type LuksJson, resealed } from './luks-file.ts';

export interface Forgery {
  /** Fit for a volume key. */
  readonly key: string;
  /** Changes the header area, which begins at 0. */
  readonly make: (area: Buffer) => void;
  /**
   * `opens`: as if nothing were wrong. `repairs`: opens, and writes to the disk. `hangs`: busy for longer than the test waits.
   * `refuses`: notices it as well.
   */
  readonly stock: 'opens' | 'repairs' | 'hangs' | 'refuses';
  readonly reason: RegExp;
}

const only = <Value>(record: Readonly<Record<string, Value>>): Value => {
  const [value] = Object.values(record);
  if (value === undefined) throw new Error('the header lacks what is to be forged');
  return value;
};
const segment = (json: LuksJson) => only(json.segments);
const slot = (json: LuksJson) => only(json.keyslots);
const digest = (json: LuksJson) => only(json.digests);

const json = (key: string, stock: Forgery['stock'], reason: RegExp, edit: (json: LuksJson) => unknown): Forgery => ({
  key,
  stock,
  reason,
  make: (area) => forge(area, 0, edit),
});

const text = (key: string, stock: Forgery['stock'], from: string, to: string, reason = /strict JSON/): Forgery =>
  json(key, stock, reason, (json) => {
    const before = JSON.stringify(json);
    const after = before.replace(from, to);
    if (after === before) throw new Error(`${key}: nothing to replace`);
    return after;
  });

const copyBytes = 16_384;
const bothCopies = (area: Buffer, change: (copy: Buffer) => void): void => {
  for (const start of [0, copyBytes]) {
    const copy = area.subarray(start, start + copyBytes);
    change(copy);
    resealed(copy);
  }
};
const binary = (key: string, stock: Forgery['stock'], reason: RegExp, change: (copy: Buffer) => void): Forgery => ({
  key,
  stock,
  reason,
  make: (area) => bothCopies(area, change),
});

/** A key that whoever forges knows, and what else of a volume follows from it. */
export const knownKey = Buffer.alloc(64, 'known to the host ');

/** Anti-forensic splitter of LUKS with SHA-256 (LUKS1 On-Disk Format §2.4): the last stripe undoes the others. */
const split = (key: Buffer, stripes: number): Buffer => {
  const out = Buffer.alloc(key.length * stripes);
  let mixed = Buffer.alloc(key.length);
  for (let stripe = 0; stripe < stripes - 1; stripe += 1) {
    const block = createHash('shake256', { outputLength: key.length }).update(`stripe ${stripe}`).digest();
    block.copy(out, stripe * key.length);
    const xored = mixed.map((byte, at) => byte ^ (block[at] ?? 0));
    const pieces: Buffer[] = [];
    for (let at = 0; at < xored.length; at += 32) {
      const number = Buffer.alloc(4);
      number.writeUInt32BE(at / 32);
      pieces.push(
        createHash('sha256')
          .update(number)
          .update(xored.subarray(at, at + 32))
          .digest(),
      );
    }
    mixed = Buffer.concat(pieces);
  }
  mixed
    .map((byte, at) => byte ^ (key[at] ?? 0))
    .forEach((byte, at) => {
      out[(stripes - 1) * key.length + at] = byte;
    });
  return out;
};

/** A keyslot without encryption that holds `knownKey`: it opens with any passphrase, for it needs none. */
export const openToAnybody = (area: Buffer): void => {
  forge(area, 0, (json) => {
    const { area: place, af } = slot(json);
    place.encryption = 'cipher_null-ecb';
    split(knownKey, Number(af.stripes)).copy(area, Number(place.offset));
    const { salt, iterations } = digest(json);
    digest(json).digest = pbkdf2Sync(knownKey, Buffer.from(String(salt), 'base64'), iterations, 32, 'sha256').toString(
      'base64',
    );
  });
};

const secondSlot = (json: LuksJson, change: (second: LuksJson['keyslots'][string]) => void): void => {
  const second = structuredClone(slot(json));
  change(second);
  json.keyslots['1'] = second;
  (digest(json).keyslots as string[]).push('1');
};

export const forgeries: readonly Forgery[] = [
  // Ciphers. The digest of a header covers the volume key, not what it is used for.
  json('null_segment', 'opens', /segment cipher/, (json) => {
    segment(json).encryption = 'cipher_null-ecb';
  }),
  json('ecb_segment', 'opens', /segment cipher/, (json) => {
    segment(json).encryption = 'aes-ecb';
  }),
  // Without device-mapper cryptsetup cannot read it; in a guest it can.
  { key: 'null_keyslot', stock: 'refuses', reason: /keyslot 0 area cipher/, make: openToAnybody },
  json('ecb_keyslot', 'refuses', /keyslot 0 area cipher/, (json) => {
    slot(json).area.encryption = 'aes-ecb';
  }),
  json('shifted_tweak', 'opens', /iv_tweak/, (json) => {
    segment(json).iv_tweak = '8';
  }),
  json('odd_sectors', 'opens', /sector size/, (json) => {
    segment(json).sector_size = 2048;
  }),
  json('fixed_size', 'opens', /segment size/, (json) => {
    segment(json).size = '1048576';
  }),

  // Two readings of one text.
  text(
    'twice_the_field',
    'opens',
    '"encryption":"aes-xts-plain64","sector',
    '"encryption":"aes-xts-plain64","encryption":"cipher_null-ecb","sector',
  ),
  text(
    'twice_escaped',
    'opens',
    '"encryption":"aes-xts-plain64","sector',
    '"encryption":"aes-xts-plain64","encr\\u0079ption":"cipher_null-ecb","sector',
  ),
  text('twice_a_segment', 'opens', '"segments":{"0":', '"segments":{"0":{"type":"crypt"},"0":'),
  json('other_case', 'opens', /unknown field "Encryption"/, (json) => {
    Object.assign(segment(json), { Encryption: 'aes-xts-plain64', encryption: 'cipher_null-ecb' });
  }),
  json(
    'unknown_in_keyslot',
    'opens',
    /unknown field "hint"/,
    (json) => Object.assign(slot(json), { hint: 1 }) && undefined,
  ),
  json(
    'unknown_in_kdf',
    'opens',
    /unknown field "hint"/,
    (json) => Object.assign(slot(json).kdf, { hint: 1 }) && undefined,
  ),
  json(
    'unknown_in_config',
    'opens',
    /unknown field "hint"/,
    (json) => Object.assign(json.config, { hint: 1 }) && undefined,
  ),
  json('unknown_on_top', 'opens', /unknown field "hint"/, (json) => Object.assign(json, { hint: {} }) && undefined),

  // Cost.
  json('costly_kdf', 'hangs', /iterations/, (json) => {
    slot(json).kdf.iterations = 400_000_000;
  }),
  json('costly_digest', 'hangs', /digest iterations/, (json) => {
    digest(json).iterations = 400_000_000;
  }),
  json('costly_argon', 'hangs', /kdf time/, (json) => {
    slot(json).kdf = { type: 'argon2id', time: 100_000, memory: 65_536, cpus: 1, salt: slot(json).kdf.salt };
  }),
  json('costly_memory', 'refuses', /kdf memory/, (json) => {
    slot(json).kdf = { type: 'argon2id', time: 4, memory: 4_294_967_295, cpus: 1, salt: slot(json).kdf.salt };
  }),

  // Areas.
  json('area_in_headers', 'refuses', /overlaps/, (json) => {
    slot(json).area.offset = '16384';
  }),
  json('area_in_data', 'refuses', /outside the keyslot area/, (json) => {
    slot(json).area.offset = segment(json).offset;
  }),
  json('area_twice', 'refuses', /keyslot 1 overlaps/, (json) => secondSlot(json, () => undefined)),
  json('area_too_small', 'opens', /area size/, (json) => {
    slot(json).area.size = '4096';
  }),
  json('data_over_keyslots', 'refuses', /reaches into the data/, (json) => {
    segment(json).offset = '32768';
  }),
  json('keyslots_over_data', 'refuses', /reaches into the data/, (json) => {
    json.config.keyslots_size = '33521664';
  }),
  json('data_far_away', 'opens', /segment offset/, (json) => {
    segment(json).offset = String(2 ** 40);
  }),

  // Re-encryption, integrity, further segments: machinery that acts on what it finds (CVE-2021-4122).
  json('reencryption', 'refuses', /unknown field "requirements"/, (json) => {
    json.config.requirements = { mandatory: ['online-reencrypt-v2'] };
  }),
  json('unknown_requirement', 'opens', /unknown field "requirements"/, (json) => {
    json.config.requirements = { mandatory: ['of-another-time'] };
  }),
  json('reencrypt_slot', 'refuses', /keyslot 1 has an unknown field|keyslot 1/, (json) => {
    json.keyslots['1'] = {
      type: 'reencrypt',
      key_size: 1,
      mode: 'decrypt',
      direction: 'forward',
      area: { type: 'none', offset: '290816', size: '4096' },
    } as unknown as LuksJson['keyslots'][string];
  }),
  json('segment_flags', 'opens', /unknown field "flags"/, (json) => {
    segment(json).flags = ['in-reencryption'];
  }),
  json('integrity', 'opens', /unknown field "integrity"/, (json) => {
    segment(json).integrity = { type: 'hmac(sha256)', journal_encryption: 'none', journal_integrity: 'none' };
  }),
  json('plain_segment', 'opens', /segments has an unknown field "1"/, (json) => {
    json.segments['1'] = {
      type: 'linear',
      offset: '25165824',
      size: 'dynamic',
    } as unknown as LuksJson['segments'][string];
    segment(json).size = '8388608';
  }),
  json('second_digest', 'opens', /digests has an unknown field "1"/, (json) => {
    json.digests['1'] = { ...structuredClone(digest(json)), keyslots: [], segments: [] } as LuksJson['digests'][string];
  }),

  // Things that act, or that decide for others.
  json('foreign_token', 'opens', /token made by another program/, (json) => {
    json.tokens['0'] = { type: 'luks2-keyring', keyslots: ['0'], key_description: 'x' };
  }),
  json('flags', 'opens', /unknown field "flags"/, (json) => {
    json.config.flags = ['allow-discards', 'no-read-workqueue'];
  }),
  json('ignored_slot', 'refuses', /unknown field "priority"/, (json) => {
    slot(json).priority = 0;
  }),
  json('no_stripes', 'opens', /stripes/, (json) => {
    slot(json).af.stripes = 1;
  }),
  json('weak_splitter', 'refuses', /splitter hash/, (json) => {
    slot(json).af.hash = 'sha1';
  }),
  json('no_slot', 'refuses', /no keyslot/, (json) => {
    json.keyslots = {};
    digest(json).keyslots = [];
  }),
  json('uncovered_slot', 'refuses', /digest does not cover the keyslots/, (json) => {
    digest(json).keyslots = [];
  }),
  json('uncovered_segment', 'refuses', /digest does not cover the segment/, (json) => {
    digest(json).segments = [];
  }),

  // The binary header.
  binary('sequence_at_its_end', 'opens', /sequence number/, (copy) =>
    copy.writeBigUInt64BE(0xffff_ffff_ffff_fffen, 16),
  ),
  binary('label', 'opens', /label or subsystem/, (copy) => copy.write('triseed', 24)),
  binary('uuid_as_path', 'opens', /UUID/, (copy) => copy.fill(0, 168, 208) && copy.write('../../etc/passwd', 168)),
  binary('other_checksum', 'opens', /checksum algorithm/, (copy) => copy.fill(0, 72, 104) && copy.write('sha512', 72)),
  binary('hidden_bytes', 'opens', /padding/, (copy) => copy.write('hidden', 1000)),
  binary('version_3', 'refuses', /version/, (copy) => copy.writeUInt16BE(3, 6)),
  binary('other_place', 'refuses', /header offset/, (copy) => copy.writeBigUInt64BE(8192n, 256)),

  // Two copies, of which one is looked at and the other is used.
  {
    key: 'newer_second_copy',
    stock: 'repairs',
    reason: /segment cipher/,
    make: (area) => {
      const second = area.subarray(copyBytes, 2 * copyBytes);
      second.writeBigUInt64BE(second.readBigUInt64BE(16) + 1n, 16);
      forgeCopy(second, (json) => {
        segment(json).encryption = 'cipher_null-ecb';
      });
    },
  },
];

export const forgeryNamed = (key: string): Forgery => {
  const found = forgeries.find((forgery) => forgery.key === key);
  if (found === undefined) throw new Error(`there is no forgery ${key}`);
  return found;
};
