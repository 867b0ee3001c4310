/** DER values as revocation lists hold them, and everything else refused. */
import fc from 'fast-check';
import t from 'tap';
import { readCrl } from '../../../agent/contract/crl.ts';
import { DerFault, type DerNode, derAt, derChildren, derOid, derSerial, derTime } from '../../../agent/contract/der.ts';

const node = (hex: string): DerNode => derAt(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 0);
const time = (tag: '17' | '18', text: string): string =>
  `${tag} ${Buffer.from([text.length]).toString('hex')} ${Buffer.from(text).toString('hex')}`;

t.test('values', async (t) => {
  t.equal(derOid(node('06 09 2a864886f70d01010d')), '1.2.840.113549.1.1.13');
  t.equal(derOid(node('06 03 550415')), '2.5.4.21');
  t.equal(derOid(node('06 03 883703')), '2.999.3');
  t.equal(derSerial(node('02 03 00f0e1')), 'f0e1');
  t.equal(derSerial(node('02 01 07')), '7');
  t.same(derTime(node(time('17', '491231235959Z'))), new Date('2049-12-31T23:59:59Z'));
  t.same(derTime(node(time('17', '500101000000Z'))), new Date('1950-01-01T00:00:00Z'));
  t.same(derTime(node(time('18', '20500101000000Z'))), new Date('2050-01-01T00:00:00Z'));
  t.equal(node(`04 8180 ${'00'.repeat(128)}`).content.length, 128);
  t.same(
    [...derChildren(node('30 06 020101 020102'))].map(({ raw }) => raw.toString('hex')),
    ['020101', '020102'],
  );
});

t.test('what is no DER, or not the value that is expected', async (t) => {
  const table: Readonly<Record<string, () => unknown>> = {
    empty: () => node(''),
    'no length': () => node('02'),
    'ends outside': () => node('02 02 01'),
    'indefinite length': () => node('30 80 0000'),
    'long form of a short length': () => node('04 81 01 00'),
    'length with a zero in front': () => node(`04 82 0080 ${'00'.repeat(128)}`),
    'length of five bytes': () => node('04 85 0100000000'),
    'tag of several bytes': () => node('1f 01 00'),
    'a child that ends outside': () => [...derChildren(node('30 03 020201'))],
    'no identifier': () => derOid(node('02 01 01')),
    'an endless arc': () => derOid(node(`06 0a ${'ff'.repeat(9)}7f`)),
    'no integer': () => derSerial(node('04 01 01')),
    'nothing at all': () => derSerial(undefined),
    'no time': () => derTime(node('02 01 01')),
    'a time with a zone': () => derTime(node(time('17', '2601010000+0100'))),
    'a time without seconds': () => derTime(node(time('17', '2601010000Z'))),
    'a month that does not exist': () => derTime(node(time('17', '261301000000Z'))),
    'four digits where two belong': () => derTime(node(time('17', '20260101000000Z'))),
  };
  for (const [name, act] of Object.entries(table)) {
    try {
      act();
      t.fail(name);
    } catch (error) {
      t.ok(error instanceof DerFault, name);
    }
  }
});

t.test('whatever the bytes are, a list is read or refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
      const read = await readCrl(Buffer.from([0x30, bytes.length, ...bytes]), 'x');
      return read === null || read.revoked.size >= 0;
    }),
    { numRuns: 200 },
  );
});
