import t from 'tap';
import type { DataSegment } from '../../../agent/volumes/ciphers.ts';
import { tableObjection } from '../../../agent/volumes/dm-table.ts';

const segment: DataSegment = {
  offsetBytes: 16_777_216,
  sectorBytes: 4096,
  cipher: 'aes-xts-plain64',
  keyBytes: 64,
};
const sizeBytes = 16_777_216 + 284_672 * 512;
const key = ':64:logon:cryptsetup:11111111-2222-4333-8444-555555555555-d0';
const good = `0 284672 crypt aes-xts-plain64 ${key} 0 98:2 32768 1 sector_size:4096\n`;

t.test('the table our profile gives is accepted', async (t) => {
  t.equal(tableObjection(good, segment, sizeBytes), null);
});

t.test('every other table is refused', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['null cipher', good.replace('aes-xts-plain64', 'cipher_null-ecb')],
    ['the legacy cipher', good.replace('aes-xts-plain64', 'aes-cbc-essiv:sha256')],
    ['half the key', good.replace(':64:', ':32:')],
    ['iv offset', good.replace(' 0 98:2', ' 8 98:2')],
    ['data elsewhere', good.replace('32768', '0')],
    ['shorter', good.replace('284672', '284664')],
    ['other sector size', good.replace(' 1 sector_size:4096', '')],
    ['discards', good.replace('1 sector_size:4096', '2 sector_size:4096 allow_discards')],
    ['two segments', good + good],
    ['linear', '0 284672 linear 98:2 32768\n'],
    ['nothing', ''],
  ];
  for (const [name, table] of cases) t.type(tableObjection(table, segment, sizeBytes), 'string', name);
});

t.test('legacy forms: the table must name the cipher of the header, and nothing else', async (t) => {
  const essiv = good.replace('aes-xts-plain64', 'aes-cbc-essiv:sha256').replace(':64:', ':32:');
  const legacy: DataSegment = { ...segment, cipher: 'aes-cbc-essiv:sha256', keyBytes: 32 };
  t.equal(tableObjection(essiv, legacy, sizeBytes), null);
  t.type(tableObjection(good, legacy, sizeBytes), 'string');
  t.type(tableObjection(essiv.replace('essiv:sha256', 'plain64'), legacy, sizeBytes), 'string');
  // LUKS1: sectors of 512 bytes, the key in the table itself, which dmsetup shows as zeros, data right behind the keyslots.
  const luks1: DataSegment = { offsetBytes: 4096 * 512, sectorBytes: 512, cipher: 'aes-xts-plain64', keyBytes: 64 };
  const table = `0 284673 crypt aes-xts-plain64 ${'0'.repeat(128)} 0 98:2 4096\n`;
  const size = (4096 + 284_673) * 512;
  t.equal(tableObjection(table, luks1, size), null);
  t.type(tableObjection(table.replace('0'.repeat(128), '0'.repeat(64)), luks1, size), 'string', 'half the key');
  t.type(tableObjection(table.replace(' 4096', ' 4097'), luks1, size), 'string', 'data elsewhere');
  t.type(tableObjection(table, luks1, size + 512), 'string', 'shorter than the device');
});
