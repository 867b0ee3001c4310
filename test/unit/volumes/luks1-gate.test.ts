/** Parser and gate of LUKS1: for every field what is taken and what is not. There is no checksum, so anybody writes any of these. */
import fc from 'fast-check';
import t from 'tap';
import type { LegacyProfile } from '../../../agent/configuration.ts';
import { gateLuks1, type Luks1GateResult } from '../../../agent/volumes/luks1-gate.ts';
import { parseLuks1Header, readLuks1Header } from '../../../agent/volumes/luks1-header.ts';
import { active, inactive, type Luks1Fields, luks1Bytes, luks1Fields, luks1Uuid } from '../../fakes/luks1-header.ts';
import { readerOf } from '../../fakes/sample-device.ts';

type Edit = (fields: Luks1Fields) => void;

const sizeBytes = 32 << 20;
const allowed: readonly LegacyProfile[] = ['luks1'];
const both: readonly LegacyProfile[] = ['luks1', 'cbc-essiv'];

const gateBytes = (bytes: Buffer, legacy = allowed, size = sizeBytes): Luks1GateResult =>
  gateLuks1(parseLuks1Header(bytes), size, legacy);
const gate = (edit: Edit, legacy = allowed, size = sizeBytes): Luks1GateResult => {
  const fields = luks1Fields();
  edit(fields);
  return gateBytes(luks1Bytes(fields), legacy, size);
};
const set =
  (values: Partial<Luks1Fields>): Edit =>
  (fields) =>
    void Object.assign(fields, values);
const slot =
  (at: number, values: Partial<Luks1Fields['keyslots'][number]>): Edit =>
  ({ keyslots }) =>
    void Object.assign(keyslots[at] ?? {}, values);
const all =
  (...edits: readonly Edit[]): Edit =>
  (fields) => {
    for (const edit of edits) edit(fields);
  };
/** Room for keys of this size, as cryptsetup lays it out. */
const keyOf = (keyBytes: number): Edit =>
  all(set({ keyBytes }), ({ keyslots }) => {
    for (const [at, keyslot] of keyslots.entries()) keyslot.offset = 8 + at * 8 * Math.ceil((keyBytes * 4000) / 4096);
  });
const cbc = set({ cipherMode: 'cbc-essiv:sha256' });

t.test('what cryptsetup makes passes, with everything that is known of it', async (t) => {
  const passed = gate(() => undefined);
  if (passed.kind !== 'passed') throw new Error(passed.reason);
  const { copy, ...header } = passed.header;
  t.equal(copy.uuid, luks1Uuid);
  t.strictSame(copy.bytes, luks1Bytes(luks1Fields()));
  t.strictSame(header, {
    profile: 'luks1',
    keyslots: [{ id: '0', area: { offset: 4096, length: 256_000 } }],
    segment: { offsetBytes: 2_097_152, sectorBytes: 512, cipher: 'aes-xts-plain64', keyBytes: 64 },
    token: null,
  });
});

t.test('only with the setting that names it', async (t) => {
  for (const legacy of [[], ['cbc-essiv']] as const) {
    t.match(
      gate(() => undefined, legacy),
      { kind: 'refused', reason: /LUKS1.*legacyProfiles/ },
    );
    t.match(gateBytes(Buffer.alloc(592), legacy), { kind: 'refused', reason: /LUKS1.*legacyProfiles/ });
  }
});

const cases: readonly (readonly [string, Edit, Luks1GateResult['kind']])[] = [
  ['256 bits', keyOf(32), 'passed'],
  ['128 bits for XTS', keyOf(16), 'refused'],
  ['no key', keyOf(0), 'refused'],
  ['a key of 63 bytes', keyOf(63), 'refused'],
  ['a huge key', set({ keyBytes: 0xffff_ffff }), 'refused'],
  ['SHA-1', set({ hash: 'sha1' }), 'passed'],
  ['SHA-512', set({ hash: 'sha512' }), 'passed'],
  ['MD5', set({ hash: 'md5' }), 'refused'],
  ['SHA-256 in capitals', set({ hash: 'SHA256' }), 'refused'],
  ['no hash', set({ hash: '' }), 'refused'],
  ['null cipher', set({ cipherName: 'cipher_null', cipherMode: 'ecb' }), 'refused'],
  ['ECB', set({ cipherMode: 'ecb' }), 'refused'],
  ['a plain IV', set({ cipherMode: 'xts-plain' }), 'refused'],
  ['CBC with a plain IV', set({ cipherMode: 'cbc-plain64' }), 'refused'],
  ['another block cipher', set({ cipherName: 'serpent' }), 'refused'],
  ['the dash elsewhere', set({ cipherName: 'aes-xts', cipherMode: 'plain64' }), 'passed'],
  ['no cipher', set({ cipherName: '' }), 'refused'],
  ['least iterations of the digest', set({ digestIterations: 1000 }), 'passed'],
  ['fewer', set({ digestIterations: 999 }), 'refused'],
  ['most iterations of the digest', set({ digestIterations: 20_000_000 }), 'passed'],
  ['more', set({ digestIterations: 20_000_001 }), 'refused'],
  ['least iterations of a keyslot', slot(0, { iterations: 1000 }), 'passed'],
  ['fewer in a keyslot', slot(0, { iterations: 999 }), 'refused'],
  ['most iterations of a keyslot', slot(0, { iterations: 20_000_000 }), 'passed'],
  ['more in a keyslot', slot(0, { iterations: 20_000_001 }), 'refused'],
  ['minutes of them', slot(0, { iterations: 0xffff_ffff }), 'refused'],
  ['any number in a keyslot that is not used', slot(1, { iterations: 0xffff_ffff }), 'passed'],
  ['a second keyslot', slot(1, { state: active, iterations: 1000 }), 'passed'],
  ['a costly second keyslot', slot(1, { state: active, iterations: 20_000_001 }), 'refused'],
  ['only the last keyslot', all(slot(0, { state: inactive }), slot(7, { state: active, iterations: 1000 })), 'passed'],
  ['no keyslot', slot(0, { state: inactive }), 'refused'],
  ['a keyslot in no state', slot(0, { state: 0 }), 'refused'],
  ['an unused keyslot in no state', slot(7, { state: 1 }), 'refused'],
  ['fewer stripes', slot(0, { stripes: 3999 }), 'refused'],
  ['more stripes', slot(0, { stripes: 4001 }), 'refused'],
  ['no stripes', slot(0, { stripes: 0 }), 'refused'],
  ['other stripes where nothing is', slot(7, { stripes: 1 }), 'refused'],
  ['right behind the header', slot(0, { offset: 2 }), 'passed'],
  ['over the header', slot(0, { offset: 1 }), 'refused'],
  ['at the start', slot(0, { offset: 0 }), 'refused'],
  ['apart by nothing', slot(0, { offset: 12 }), 'passed'],
  ['overlapping by a sector', slot(0, { offset: 13 }), 'refused'],
  ['one keyslot over another', slot(1, { offset: 8 }), 'refused'],
  ['in another order', all(slot(0, { offset: 8 + 504 }), slot(1, { offset: 8 })), 'passed'],
  ['an unused keyslot over another', slot(6, { offset: 8 + 7 * 504 }), 'refused'],
  ['up to the data', slot(7, { offset: 4096 - 500 }), 'passed'],
  ['a sector into the data', slot(7, { offset: 4096 - 499 }), 'refused'],
  ['beyond everything', slot(7, { offset: 0xffff_ffff }), 'refused'],
  ['data right behind the keyslots', set({ payload: 8 + 7 * 504 + 500 }), 'passed'],
  ['data over the last keyslot', set({ payload: 8 + 7 * 504 + 499 }), 'refused'],
  ['data at the start', set({ payload: 0 }), 'refused'],
  ['data in the header', set({ payload: 1 }), 'refused'],
  ['data moved behind', set({ payload: 8192 }), 'passed'],
  ['one sector of data', set({ payload: sizeBytes / 512 - 1 }), 'passed'],
  ['no data', set({ payload: sizeBytes / 512 }), 'refused'],
  ['data beyond the end', set({ payload: 0xffff_ffff }), 'refused'],
  ['a UUID in capitals', set({ uuid: luks1Uuid.replace('5', 'F') }), 'refused'],
  ['no UUID', set({ uuid: '' }), 'refused'],
  ['a UUID that goes on', set({ uuid: `${luks1Uuid}0` }), 'refused'],
];

t.test('each field by itself', async (t) => {
  for (const [name, edit, kind] of cases) t.match(gate(edit), { kind }, name);
});

t.test('data must not start out of reach, however large the device is', async (t) => {
  const size = 2 ** 40;
  t.match(gate(set({ payload: 2 ** 21 }), allowed, size), {
    kind: 'passed',
    header: { segment: { offsetBytes: 2 ** 30 } },
  });
  t.match(gate(set({ payload: 2 ** 21 + 1 }), allowed, size), { kind: 'refused' });
});

t.test('aes-cbc-essiv needs both settings', async (t) => {
  for (const [keyBytes, kind] of [
    [16, 'passed'],
    [24, 'refused'],
    [32, 'passed'],
    [64, 'refused'],
  ] as const) {
    t.match(gate(all(cbc, keyOf(keyBytes)), both), { kind }, `${keyBytes * 8} bits`);
    for (const legacy of [['luks1'], ['cbc-essiv'], []] as const)
      t.match(gate(all(cbc, keyOf(keyBytes)), legacy), { kind: 'refused' }, JSON.stringify(legacy));
  }
  t.match(gate(all(cbc, keyOf(32)), both), { header: { segment: { cipher: 'aes-cbc-essiv:sha256', keyBytes: 32 } } });
  t.match(
    gate(() => undefined, both),
    { kind: 'passed' },
  );
});

t.test('every used keyslot is known by its place', async (t) => {
  const found = gate(all(slot(3, { state: active, iterations: 2000 }), slot(5, { state: active, iterations: 3000 })));
  t.match(found, {
    header: {
      keyslots: [
        { id: '0', area: { offset: 4096, length: 256_000 } },
        { id: '3', area: { offset: (8 + 3 * 504) * 512, length: 256_000 } },
        { id: '5', area: { offset: (8 + 5 * 504) * 512, length: 256_000 } },
      ],
    },
  });
});

t.test('texts are printable, and padded with nothing but zeros', async (t) => {
  for (const [name, offset, bytes] of [
    ['behind the cipher', 8 + 20, 'x'],
    ['behind the mode', 40 + 31, 'x'],
    ['behind the hash', 72 + 10, '\0x'],
    ['behind the UUID', 168 + 38, 'x'],
    ['a blank in the cipher', 8, 'a s'],
    ['a control character', 72, 'sha25\x01'],
    ['no end', 40, 'x'.repeat(32)],
    ['another magic', 0, 'L'.repeat(6)],
    ['another version', 6, '\x00\x02'],
  ] as const) {
    const forged = luks1Bytes(luks1Fields());
    forged.write(bytes, offset, 'latin1');
    t.type(parseLuks1Header(forged), 'string', name);
    t.match(gateBytes(forged), { kind: 'refused' }, name);
  }
  t.type(await readLuks1Header(readerOf(Buffer.alloc(591)), 591), 'string', 'a device too small for a header');
});

t.test('a reason is short and names what is wrong', async (t) => {
  t.match(gate(set({ cipherName: 'cipher_null', cipherMode: 'ecb' })), { reason: /cipher_null-ecb/ });
  t.match(gate(slot(1, { offset: 8 })), { reason: /keyslot [01] overlaps/ });
  t.match(gate(slot(0, { state: inactive })), { reason: /no keyslot in use/ });
  t.match(gate(set({ payload: 0xffff_ffff })), { reason: /beyond|reach/ });
});

t.test('a fault of our own is not called a bad header', async (t) => {
  const header = parseLuks1Header(luks1Bytes(luks1Fields()));
  if (typeof header === 'string') throw new Error(header);
  const broken = Object.defineProperty({ ...header }, 'hash', {
    get: () => {
      throw new RangeError('broken');
    },
  });
  t.throws(() => gateLuks1(broken, sizeBytes, allowed), RangeError);
});

/** What must be true of whatever passes, said once more and in another way: from the bytes. */
const isSound = (bytes: Buffer, found: Luks1GateResult): boolean => {
  if (found.kind === 'refused') return true;
  const { segment, keyslots } = found.header;
  const areas = Array.from({ length: 8 }, (_, at) => bytes.readUInt32BE(208 + at * 48 + 40) * 512);
  const length = segment.keyBytes * 4000;
  const name = bytes.subarray(8, 72).toString('latin1').replaceAll('\0', '');
  return (
    ['aesxts-plain64', 'aescbc-essiv:sha256'].includes(name) &&
    [16, 32, 64].includes(segment.keyBytes) &&
    areas.every((start) => start >= 592 && start + length <= segment.offsetBytes) &&
    areas.every((start, at) => areas.every((other, to) => at === to || Math.abs(start - other) >= length)) &&
    segment.offsetBytes < sizeBytes &&
    keyslots.length > 0 &&
    keyslots.every(({ id }) => {
      const iterations = bytes.readUInt32BE(208 + Number(id) * 48 + 4);
      return iterations >= 1000 && iterations <= 20_000_000;
    })
  );
};

t.test('whatever is changed, what passes is sound', async (t) => {
  const word = fc.oneof(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.constantFrom(0, 1, 8, 16, 32, 64, 512, 1000, 4000, 4096, active, inactive, 0xffff_ffff),
    fc.integer({ min: 0, max: 5000 }),
  );
  const place = fc.oneof(
    fc.constantFrom(104, 108, 164),
    fc.tuple(fc.integer({ min: 0, max: 7 }), fc.constantFrom(0, 4, 40, 44)).map(([at, field]) => 208 + at * 48 + field),
    fc.integer({ min: 0, max: 588 }),
  );
  let taken = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(place, word), { minLength: 1, maxLength: 3 }), (changes) => {
      const bytes = luks1Bytes(luks1Fields());
      for (const [offset, value] of changes) bytes.writeUInt32BE(value, offset);
      const found = gateBytes(bytes, both);
      taken += found.kind === 'passed' ? 1 : 0;
      return isSound(bytes, found);
    }),
    { numRuns: 1000, seed: 20_261_121 },
  );
  t.ok(taken > 50, `${taken} of 1000 passed`);
});

t.test('bytes of any kind are refused, never a fault', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 592, maxLength: 592 }), fc.boolean(), (random, withMagic) => {
      const bytes = Buffer.from(random);
      if (withMagic) Buffer.from('4c554b53babe0001', 'hex').copy(bytes);
      return gateBytes(bytes, both).kind === 'refused';
    }),
    { numRuns: 200 },
  );
  t.pass('200 of them');
});

t.test('why there is no header to look at is handed on', async (t) => {
  t.strictSame(gateLuks1('it says why', sizeBytes, allowed), { kind: 'refused', reason: 'it says why' });
});
