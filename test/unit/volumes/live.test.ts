/** Is a mounted volume encrypted as its header says? Every way in which it is not, as a table. */
import t from 'tap';
import type { GatedHeader } from '../../../agent/volumes/gate.ts';
import { encryptionObjection, type Live, liveCipher, mountedAt } from '../../../agent/volumes/live.ts';
import { parseOpened, renderOpened } from '../../../agent/volumes/opened-record.ts';

const record = {
  volume: 'data',
  mount: '/mnt/data',
  mapping: 'triseed-data',
  device: '/dev/vdb2',
  luksUuid: '11111111-2222-4333-8444-555555555555',
  scenario: 'open',
} as const;

const header = {
  copy: { uuid: record.luksUuid },
  segment: { offsetBytes: 16_777_216, sectorBytes: 4096, cipher: 'aes-xts-plain64', keyBytes: 64 },
} as GatedHeader;

const table = `0 284672 crypt aes-xts-plain64 :64:logon:cryptsetup:${record.luksUuid}-d0 0 254:18 32768 1 sector_size:4096`;
const good: Live = {
  mounted: { device: '253:0', filesystem: 'ext4', source: '/dev/mapper/triseed-data' },
  sourceDevice: '253:0',
  mappingDevice: '253:0',
  table,
  backingDevice: '254:18',
  backingBytes: 16_777_216 + 284_672 * 512,
  header,
};

t.test('an encrypted volume', async (t) => {
  t.equal(encryptionObjection(record, good), null);
  t.equal(liveCipher(table), 'aes-xts-plain64');
  const btrfs = { device: '0:42', filesystem: 'btrfs', source: '/dev/dm-0' };
  t.equal(encryptionObjection(record, { ...good, mounted: btrfs }), null, 'btrfs has a device number of its own');
});

t.test('everything else', async (t) => {
  const cases: Readonly<Record<string, Partial<Live>>> = {
    'nothing is mounted': { mounted: null },
    'a plain disk is mounted': { mounted: { device: '254:16', filesystem: 'ext4', source: '/dev/vdb' } },
    'a memory file system is mounted over it': {
      mounted: { device: '0:42', filesystem: 'tmpfs', source: 'tmpfs' },
      sourceDevice: null,
    },
    'a memory file system that says it is the mapping': {
      mounted: { device: '0:42', filesystem: 'tmpfs', source: '/dev/mapper/triseed-data' },
    },
    'btrfs of another device': {
      mounted: { device: '0:42', filesystem: 'btrfs', source: '/dev/vdb' },
      sourceDevice: '254:16',
    },
    'the mapping is gone': { mappingDevice: null, table: '' },
    'the mapping is linear': { table: '0 284672 linear 254:18 32768' },
    'the cipher is null': { table: table.replace('aes-xts-plain64', 'cipher_null-ecb') },
    'the mapping lies on another disk': { backingDevice: '254:34' },
    'the disk is gone': { backingDevice: null },
    'it allows discards': { table: table.replace('1 sector_size:4096', '2 sector_size:4096 allow_discards') },
    'the header is forged': { header: { refused: 'segment cipher is "cipher_null-ecb"' } },
    'another header': { header: { ...header, copy: { ...header.copy, uuid: 'other' } } as GatedHeader },
  };
  for (const [name, change] of Object.entries(cases))
    t.type(encryptionObjection(record, { ...good, ...change }), 'string', name);
});

t.test('the mount table: the last mount on a point counts, names are unescaped', async (t) => {
  const text = [
    '22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw',
    '40 22 254:16 / /mnt/data rw,nosuid,nodev shared:2 - ext4 /dev/vdb rw',
    '41 40 253:0 / /mnt/data rw,nosuid,nodev - ext4 /dev/mapper/triseed-data rw',
    '42 22 253:1 / /mnt/a\\040b rw - xfs /dev/mapper/triseed-a_b rw',
    '',
  ].join('\n');
  t.strictSame(mountedAt(text, '/mnt/data'), {
    device: '253:0',
    filesystem: 'ext4',
    source: '/dev/mapper/triseed-data',
  });
  t.strictSame(mountedAt(text, '/mnt/a b'), {
    device: '253:1',
    filesystem: 'xfs',
    source: '/dev/mapper/triseed-a_b',
  });
  t.equal(mountedAt(text, '/mnt'), null);
});

t.test('the record of a boot comes back as it was, and nothing else is taken for one', async (t) => {
  const text = renderOpened([{ ...record, stored: 'is left out' } as typeof record]);
  t.strictSame(parseOpened(text), [record]);
  t.strictSame(parseOpened(renderOpened([])), []);
  const bad: Readonly<Record<string, string>> = {
    'no JSON': 'x',
    'another version': text.replace('"version":1', '"version":2'),
    'a field too many': text.replace('"scenario"', '"more":1,"scenario"'),
    'a field too few': text.replace('"mount":"/mnt/data",', ''),
    'a field twice': text.replace('"scenario"', '"mount":"/","scenario"'),
    'a number for a text': text.replace('"/mnt/data"', '1'),
    'no list': '{"version":1,"volumes":{}}',
  };
  for (const [name, document] of Object.entries(bad)) t.type(parseOpened(document), 'object', name);
  for (const [name, document] of Object.entries(bad)) t.ok('wrong' in parseOpened(document), name);
});
