/**
 * The gate, on header bytes with valid checksums: for every field what is taken and what is not. Whoever can write the disk can
 * write any of these.
 */
import t from 'tap';
import type { LegacyProfile } from '../../../agent/configuration.ts';
import { type GateResult, gateHeader, legacyOf } from '../../../agent/volumes/gate.ts';
import {
  argon2id,
  copyIn,
  headerBytes,
  headerJson,
  keyslotAt,
  type Loose,
  pbkdf2,
  saltText,
  threeSeedToken,
  twoSeedToken,
} from '../../fakes/luks-header.ts';

type Edit = (json: Loose) => void;

const gate = async (
  edit: Edit,
  fields: Parameters<typeof headerBytes>[1] = {},
  legacy?: readonly LegacyProfile[],
): Promise<GateResult> => {
  const json = headerJson();
  edit(json);
  return gateHeader(await copyIn(headerBytes(json, fields)), legacy);
};

/** Puts `value` where `path` leads, dots between the names; undefined removes the field. */
const at =
  (path: string, value: unknown): Edit =>
  (json) => {
    const names = path.split('.');
    const last = names.pop() ?? '';
    const holder = names.reduce((inner: Loose, name) => inner[name], json);
    if (value === undefined) delete holder[last];
    else holder[last] = value;
  };

/** Keyslots with these numbers, each with an area of its own, all of them covered by the digest. */
const slots =
  (...ids: readonly string[]): Edit =>
  (json) => {
    json.keyslots = Object.fromEntries(ids.map((id, place) => [id, keyslotAt(place)]));
    json.digests['0'].keyslots = [...ids];
  };

const both =
  (...edits: readonly Edit[]): Edit =>
  (json) => {
    for (const edit of edits) edit(json);
  };

/** Keyslots for a 256-bit key: half the key, half the area. */
const halfKey: Edit = (json) => {
  json.keyslots['0'].key_size = 32;
  json.keyslots['0'].area.size = '131072';
};
const bytes = (length: number): string => Buffer.alloc(length, 0xab).toString('base64');
const slot = (name: string) => `keyslots.0.${name}`;
const segment = (name: string) => `segments.0.${name}`;
const digest = (name: string) => `digests.0.${name}`;

t.test('what the agent makes passes, with everything it knows of it', async (t) => {
  const passed = await gate((json) => {
    json.tokens['0'] = { ...threeSeedToken };
  });
  t.match(passed, { kind: 'passed' });
  if (passed.kind !== 'passed') return;
  const { copy, ...header } = passed.header;
  t.equal(copy.uuid, '11111111-2222-4333-8444-555555555555');
  t.strictSame(header, {
    profile: 'triseed',
    keyslots: [{ id: '0', areaOffsetBytes: 32_768, areaSizeBytes: 258_048, kdf: 'pbkdf2', ours: true }],
    segment: { offsetBytes: 16_777_216, sectorBytes: 4096, cipher: 'aes-xts-plain64', keyBytes: 64 },
    token: {
      volume: 'data',
      scheme: 'interim',
      keyslot: '0',
      stored: { wrapped: 'd3JhcHBlZA==', keyVersion: 'version-1', mac: '0f'.repeat(32) },
    },
  });
});

/** Fields one by one: values that pass, and values that must be refused. */
const fields: readonly (readonly [path: string, taken: readonly unknown[], refused: readonly unknown[]])[] = [
  [slot('type'), ['luks2'], ['reencrypt', 'LUKS2', '', undefined]],
  [slot('key_size'), [64], [32, 63, 128, 0, '64', undefined]],
  [slot('af.type'), ['luks1'], ['none', undefined]],
  [slot('af.stripes'), [4000], [3999, 4001, 1, '4000', undefined]],
  [slot('af.hash'), ['sha256'], ['sha1', 'md5', undefined]],
  [slot('af.extra'), [undefined], [1]],
  [slot('af'), [], [null, [], 'luks1', undefined]],
  [slot('area.type'), ['raw'], ['none', 'journal', 'checksum', undefined]],
  [slot('area.encryption'), ['aes-xts-plain64'], ['cipher_null-ecb', 'aes-ecb', 'aes-cbc-essiv:sha256', undefined]],
  [slot('area.key_size'), [64, 32], [16, 65, '64', undefined]],
  [slot('area.size'), ['258048'], ['258047', '262144', '253952', '0', 258048, undefined]],
  [slot('area.extra'), [undefined], [1]],
  [slot('area.offset'), ['32768', '36864', '16519168'], ['32767', '28672', '33280', '0', '16523264', 32768, '032768']],
  [slot('area.offset'), [], ['32768 ', '32768x', '-32768', '3.2768e4', '', '1'.repeat(16), undefined]],
  [slot('area'), [], [null, [], undefined]],
  [slot('kdf'), [pbkdf2, argon2id], [null, [], 'pbkdf2', {}, { type: 'scrypt' }, undefined]],
  [slot('priority'), [undefined], [0, 1, 2]],
  [segment('type'), ['crypt'], ['linear', undefined]],
  [segment('size'), ['dynamic'], ['16777216', 'Dynamic', undefined]],
  [segment('iv_tweak'), ['0'], ['8', '00', 0, undefined]],
  [segment('encryption'), ['aes-xts-plain64'], ['cipher_null-ecb', 'aes-ecb', 'AES-XTS-PLAIN64', 'null', undefined]],
  [segment('sector_size'), [512, 4096], [1024, 2048, 511, 4095, '4096', undefined]],
  [segment('offset'), ['16777216', '1073741824'], ['1073745920', '16777728', '16773120', '0', 16777216, undefined]],
  [segment('integrity'), [undefined], [{ type: 'none' }]],
  [segment('flags'), [undefined], [[], ['in-reencryption']]],
  ['segments.1', [undefined], [{ type: 'linear', offset: '0', size: '512' }]],
  ['segments', [], [{}, null, [], undefined]],
  [digest('type'), ['pbkdf2'], ['none', undefined]],
  [digest('hash'), ['sha256'], ['sha1', 'sha512', undefined]],
  [digest('iterations'), [1000, 20_000_000], [999, 20_000_001, 1000.5, '1000', null, undefined]],
  [digest('salt'), [bytes(16), bytes(64), saltText], [bytes(15), bytes(65), '', 'no base64!', 7, undefined]],
  [digest('salt'), [], [`${saltText.slice(0, 24)}===`, `-_${saltText}`, ` ${saltText}`, `${saltText}\n`]],
  [digest('digest'), [bytes(32)], [bytes(31), bytes(33), undefined]],
  [digest('keyslots'), [['0']], [[], ['1'], ['0', '1'], ['0', '0'], [0], '0', undefined]],
  [digest('segments'), [['0']], [[], ['1'], ['0', '1'], [0], '0', undefined]],
  [digest('extra'), [undefined], [1]],
  ['digests.1', [undefined], [{ type: 'pbkdf2' }]],
  ['digests', [], [{}, null, undefined]],
  ['config.json_size', ['12288'], ['12287', '12289', '16384', 12288, '012288', undefined]],
  [
    'config.keyslots_size',
    ['16744448', '258048'],
    ['16744449', '300000', '16748544', '253952', '4096', '258047', '0', undefined],
  ],
  ['config.requirements', [undefined], [{ mandatory: ['online-reencrypt-v2'] }, {}]],
  ['config.flags', [undefined], [['allow-discards'], []]],
  ['config', [], [null, [], undefined]],
  ['keyslots', [], [{}, null, [], '', undefined]],
  ['tokens', [{}], [[], null, '', undefined]],
  ['tokens.0', [twoSeedToken, undefined], [null, [], 'triseed', {}, { type: 'triseed' }]],
  [
    'tokens.0',
    [],
    [
      { ...twoSeedToken, type: 'luks2-keyring' },
      { ...twoSeedToken, type: 'Triseed' },
    ],
  ],
  [
    'tokens.0',
    [],
    [
      { ...twoSeedToken, keyslots: ['1'] },
      { ...twoSeedToken, version: 2 },
    ],
  ],
  ['Config', [undefined], [{}]],
];

t.test('each field by itself', async (t) => {
  for (const [path, taken, refused] of fields) {
    for (const value of taken)
      t.match(await gate(at(path, value)), { kind: 'passed' }, `${path} ${JSON.stringify(value)} is taken`);
    for (const value of refused)
      t.match(await gate(at(path, value)), { kind: 'refused' }, `${path} ${JSON.stringify(value)} is refused`);
  }
});

/** Key derivations: whether they pass, and whether they are the very ones that we format with. */
const kdfs: readonly (readonly [Loose, 'ours' | 'compatible' | 'refused'])[] = [
  [pbkdf2, 'ours'],
  [{ ...pbkdf2, hash: 'sha512' }, 'compatible'],
  [{ ...pbkdf2, iterations: 1001 }, 'compatible'],
  [{ ...pbkdf2, iterations: 20_000_000 }, 'compatible'],
  [{ ...pbkdf2, iterations: 20_000_001 }, 'refused'],
  [{ ...pbkdf2, iterations: 999 }, 'refused'],
  [{ ...pbkdf2, iterations: -1000 }, 'refused'],
  [{ ...pbkdf2, hash: 'sha1' }, 'refused'],
  [{ ...pbkdf2, salt: bytes(15) }, 'refused'],
  [{ ...pbkdf2, salt: bytes(16) }, 'ours'],
  [{ ...pbkdf2, salt: bytes(64) }, 'ours'],
  [{ ...pbkdf2, salt: bytes(65) }, 'refused'],
  [{ ...pbkdf2, time: 4 }, 'refused'],
  [argon2id, 'ours'],
  [{ ...argon2id, type: 'argon2i' }, 'compatible'],
  [{ ...argon2id, type: 'argon2d' }, 'refused'],
  [{ ...argon2id, time: 5 }, 'compatible'],
  [{ ...argon2id, time: 1 }, 'compatible'],
  [{ ...argon2id, time: 16 }, 'compatible'],
  [{ ...argon2id, time: 17 }, 'refused'],
  [{ ...argon2id, time: 0 }, 'refused'],
  [{ ...argon2id, memory: 65_535 }, 'compatible'],
  [{ ...argon2id, memory: 32 }, 'compatible'],
  [{ ...argon2id, memory: 31 }, 'refused'],
  [{ ...argon2id, memory: 1_048_576 }, 'compatible'],
  [{ ...argon2id, memory: 1_048_577 }, 'refused'],
  [{ ...argon2id, cpus: 4 }, 'compatible'],
  [{ ...argon2id, cpus: 5 }, 'refused'],
  [{ ...argon2id, cpus: 0 }, 'refused'],
  [{ ...argon2id, salt: bytes(15) }, 'refused'],
  [{ ...argon2id, salt: bytes(16) }, 'ours'],
  [{ ...argon2id, salt: bytes(64) }, 'ours'],
  [{ ...argon2id, salt: bytes(65) }, 'refused'],
  [{ ...argon2id, iterations: 1000 }, 'refused'],
];

t.test('key derivations are bounded on both sides', async (t) => {
  for (const [kdf, expected] of kdfs) {
    const found = await gate(at(slot('kdf'), kdf));
    const keyslot = found.kind === 'passed' ? found.header.keyslots[0] : undefined;
    t.equal(keyslot === undefined ? 'refused' : keyslot.ours ? 'ours' : 'compatible', expected, JSON.stringify(kdf));
    if (keyslot !== undefined) t.equal(keyslot.kdf, kdf.type);
    const small = await gate(both(at(slot('kdf'), kdf), at(slot('area.key_size'), 32)));
    if (small.kind === 'passed') t.notOk(small.header.keyslots[0]?.ours, 'a keyslot area with half a key is not ours');
  }
});

const withToken = at('tokens.0', { ...threeSeedToken });

t.test('only exactly what we make carries our profile', async (t) => {
  const cases: readonly (readonly [string, Edit, 'triseed' | 'compat-hpcr'])[] = [
    ['our token on our header', withToken, 'triseed'],
    ['a two-seed volume of ours', both(at('tokens.0', twoSeedToken), at(slot('kdf'), argon2id)), 'triseed'],
    ['no token', () => undefined, 'compat-hpcr'],
    ['another derivation', both(withToken, at(slot('kdf.iterations'), 1001)), 'compat-hpcr'],
    ['a second keyslot', both(slots('0', '1'), withToken), 'compat-hpcr'],
    ['half a key', both(withToken, halfKey), 'compat-hpcr'],
  ];
  for (const [name, edit, profile] of cases) t.match(await gate(edit), { kind: 'passed', header: { profile } }, name);
});

t.test('key and sector sizes are reported as they are', async (t) => {
  t.match(await gate(halfKey), { header: { segment: { keyBytes: 32, sectorBytes: 4096 } } });
  t.match(await gate(at(segment('sector_size'), 512)), { header: { segment: { keyBytes: 64, sectorBytes: 512 } } });
  t.match(await gate(at(segment('offset'), '1073741824')), { header: { segment: { offsetBytes: 1_073_741_824 } } });
});

t.test('keyslots: numbers, and how many', async (t) => {
  for (const id of ['0', '5', '9', '10', '19', '25', '29', '30', '31'])
    t.match(await gate(slots(id)), { kind: 'passed', header: { keyslots: [{ id }] } }, id);
  for (const id of ['32', '39', '40', '00', '01', '100', '130', '-1', 'a', '1x', ' 1', ''])
    t.match(await gate(slots(id)), { kind: 'refused' }, JSON.stringify(id));
  const eight = ['0', '1', '2', '3', '4', '5', '6', '10'];
  t.match(await gate(slots(...eight)), { kind: 'passed', header: { keyslots: { length: 8 } } });
  t.match(await gate(slots(...eight, '11')), { kind: 'refused' });
  const listedBackwards: Edit = (json) => json.digests['0'].keyslots.reverse();
  t.match(await gate(both(slots('2', '10'), listedBackwards)), { kind: 'passed' });
  t.match(await gate(both(slots('2', '10'), at(digest('keyslots'), ['2', '11']))), { kind: 'refused' });
  const named = at('tokens.0', { ...threeSeedToken, keyslots: ['10'] });
  t.match(await gate(both(slots('2', '10'), named)), { kind: 'passed', header: { token: { keyslot: '10' } } });
  t.match(await gate(both(slots('2', '10'), at('keyslots.10', null))), { kind: 'refused' });
  t.match(await gate(both(slots('0', '1'), halfKey)), { kind: 'refused' }, 'keys of two sizes');
});

t.test('keyslot areas: in any order, and never over each other or anything else', async (t) => {
  const place = (id: string, offset: number): Edit => at(`keyslots.${id}.area.offset`, String(offset));
  const two = (first: number, second: number): Edit => both(slots('0', '1'), place('0', first), place('1', second));
  const first = 32_768;
  const size = 258_048;
  const cases: readonly (readonly [string, Edit, GateResult['kind']])[] = [
    ['one behind the other', two(first, first + size), 'passed'],
    ['in the other order', two(first + size, first), 'passed'],
    ['with room between them', two(first + size + 4096, first), 'passed'],
    ['the same area twice', two(first, first), 'refused'],
    ['overlapping by a block', two(first, first + size - 4096), 'refused'],
    ['overlapping, in the other order', two(first + size - 4096, first), 'refused'],
    ['over the secondary header', two(first - 4096, first + size), 'refused'],
    ['to the last byte', both(at('config.keyslots_size', String(2 * size)), two(first, first + size)), 'passed'],
    ['a block beyond', both(at('config.keyslots_size', String(2 * size - 4096)), two(first, first + size)), 'refused'],
    ['off by a sector', two(first, first + size + 512), 'refused'],
    ['keyslots up to the data', at(segment('offset'), String(first + 16_744_448)), 'passed'],
    ['keyslots into the data', at(segment('offset'), String(first + 16_744_448 - 4096)), 'refused'],
    ['an area that ends in the data', both(at('config.keyslots_size', '258048'), place('0', first + 4096)), 'refused'],
  ];
  for (const [name, edit, kind] of cases) t.match(await gate(edit), { kind }, name);
});

/** A header as `cryptsetup luksFormat --cipher aes-cbc-essiv:sha256` makes it, with a key of 128 or 256 bits. */
const essiv = (keyBytes: number, data = 'aes-cbc-essiv:sha256', area = data, areaKeyBytes = keyBytes): Edit =>
  both(
    at(segment('encryption'), data),
    at(slot('key_size'), keyBytes),
    at(slot('area.encryption'), area),
    at(slot('area.key_size'), areaKeyBytes),
    at(slot('area.size'), String(Math.ceil((keyBytes * 4000) / 4096) * 4096)),
  );
const xts = 'aes-xts-plain64';
const cbc = 'aes-cbc-essiv:sha256';

t.test('cbc-essiv: by its name in the setting, and nothing else with it', async (t) => {
  const cases: readonly (readonly [string, Edit, GateResult['kind']])[] = [
    ['256 bits', essiv(32), 'passed'],
    ['128 bits', essiv(16), 'passed'],
    ['192 bits', essiv(24), 'refused'],
    ['512 bits', essiv(64), 'refused'],
    ['data only', essiv(32, cbc, xts, 64), 'passed'],
    ['keyslot only', essiv(64, xts, cbc, 32), 'passed'],
    ['keyslot only, with the key size of XTS', essiv(64, xts, cbc, 64), 'refused'],
    ['XTS with the key size of CBC', essiv(16, xts), 'refused'],
    ['XTS with a key of half the size, in a keyslot that could hold it', essiv(16, xts, cbc, 16), 'refused'],
    ['CBC with a key of twice the size, in a keyslot that could hold it', essiv(64, cbc, xts, 64), 'refused'],
    ['XTS keyslot with the key size of CBC', essiv(32, cbc, xts, 16), 'refused'],
    ['a plain IV', essiv(32, 'aes-cbc-plain64'), 'refused'],
    ['a plain IV of the keyslot', essiv(32, cbc, 'aes-cbc-plain64'), 'refused'],
    ['another hash', essiv(32, 'aes-cbc-essiv:sha1'), 'refused'],
    ['another block cipher', essiv(32, 'serpent-cbc-essiv:sha256'), 'refused'],
    ['no cipher', essiv(32, 'cipher_null-ecb'), 'refused'],
    ['no cipher over the keyslot', essiv(32, cbc, 'cipher_null-ecb'), 'refused'],
    ['an area for another key', both(essiv(16), at(slot('area.size'), '131072')), 'refused'],
    ['costly', both(essiv(32), at(slot('kdf.iterations'), 20_000_001)), 'refused'],
  ];
  for (const [name, edit, kind] of cases) {
    t.match(await gate(edit, {}, ['cbc-essiv']), { kind }, name);
    t.match(await gate(edit, {}, ['luks1', 'cbc-essiv']), { kind }, `${name}, LUKS1 allowed too`);
    t.match(await gate(edit), { kind: 'refused' }, `${name}: not without the setting`);
    t.match(await gate(edit, {}, ['luks1']), { kind: 'refused' }, `${name}: not with another setting`);
  }
  t.match(await gate(essiv(32), {}, ['cbc-essiv']), {
    header: {
      profile: 'cbc-essiv',
      segment: { cipher: cbc, keyBytes: 32, sectorBytes: 4096 },
      keyslots: [{ ours: false }],
    },
  });
});

t.test('what the setting allows never carries our profile, and is gated again under the same setting', async (t) => {
  const legacy = ['cbc-essiv'] as const;
  for (const [name, edit, profile] of [
    ['data', both(withToken, essiv(32)), 'cbc-essiv'],
    ['data alone', both(withToken, essiv(32, cbc, xts, 64)), 'cbc-essiv'],
    ['one keyslot', both(withToken, essiv(64, xts, cbc, 32)), 'cbc-essiv'],
    ['none of it', withToken, 'triseed'],
  ] as const) {
    const found = await gate(edit, {}, legacy);
    t.match(found, { kind: 'passed', header: { profile } }, name);
    if (found.kind === 'passed') t.strictSame(legacyOf(found.header), profile === 'cbc-essiv' ? legacy : [], name);
  }
});

t.test('tokens: ours, once', async (t) => {
  t.match(await gate(at('tokens.3', { ...twoSeedToken })), { kind: 'passed', header: { token: { volume: 'data' } } });
  t.match(await gate(both(withToken, at('tokens.1', { ...threeSeedToken }))), { kind: 'refused' });
  t.match(await gate(() => undefined), { kind: 'passed', header: { token: null } });
});

t.test('the binary header', async (t) => {
  const none: Edit = () => undefined;
  t.match(await gate(none, { sequence: (1n << 62n) - 1n }), { kind: 'passed' });
  t.match(await gate(none, { sequence: 1n << 62n }), { kind: 'refused' }, 'could never be renewed');
  t.match(await gate(none, { label: 'x' }), { kind: 'refused' });
  t.match(await gate(none, { subsystem: 'x' }), { kind: 'refused' });
  const large = { headerSizeBytes: 32_768 };
  const moved = both(at(slot('area.offset'), '65536'), at('config.keyslots_size', '16711680'));
  t.match(await gate(both(moved, at('config.json_size', '28672')), large), { kind: 'passed' });
  t.match(await gate(moved, large), { kind: 'refused' }, 'the JSON speaks of another header size');
  t.match(await gate(both(at('config.json_size', '28672'), at('config.keyslots_size', '16711680')), large), {
    kind: 'refused',
  });
});

t.test('a reason is short, whatever the header says', async (t) => {
  const found = await gate(at(segment('encryption'), 'x'.repeat(1000)));
  t.equal(found.kind === 'refused' ? found.reason.length : 0, 200);
});

t.test('a reason names what is wrong, for whoever has to explain it', async (t) => {
  const cases: readonly (readonly [Edit, RegExp])[] = [
    [at(slot('af.stripes'), undefined), /lacks stripes/],
    [at(segment('Encryption'), 'aes-xts-plain64'), /unknown field "Encryption"/],
    [at('keyslots', {}), /no keyslot/],
    [at('tokens.0', { type: 'luks2-keyring', keyslots: ['0'], key_description: 'x' }), /another program/],
    [at('tokens.0', { type: 'triseed' }), /malformed/],
  ];
  for (const [edit, reason] of cases) t.match(await gate(edit), { kind: 'refused', reason });
});

t.test('a fault of our own is not called a bad header', async (t) => {
  const copy = await copyIn(headerBytes(headerJson()));
  const broken = Object.defineProperty({ ...copy }, 'label', {
    get: () => {
      throw new RangeError('broken');
    },
  });
  t.throws(() => gateHeader(broken), RangeError);
});
