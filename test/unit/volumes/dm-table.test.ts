import t from 'tap';
import { tableObjection } from '../../../agent/volumes/dm-table.ts';
import type { GatedHeader } from '../../../agent/volumes/gate.ts';

const header = { segment: { offsetBytes: 16_777_216, sectorBytes: 4096, keyBytes: 64 } } as GatedHeader;
const sizeBytes = 16_777_216 + 284_672 * 512;
const key = ':64:logon:cryptsetup:11111111-2222-4333-8444-555555555555-d0';
const good = `0 284672 crypt aes-xts-plain64 ${key} 0 98:2 32768 1 sector_size:4096\n`;

t.test('the table our profile gives is accepted', async (t) => {
  t.equal(tableObjection(good, header, sizeBytes), null);
});

t.test('every other table is refused', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['null cipher', good.replace('aes-xts-plain64', 'cipher_null-ecb')],
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
  for (const [name, table] of cases) t.type(tableObjection(table, header, sizeBytes), 'string', name);
});
