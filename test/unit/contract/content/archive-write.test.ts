/** The same members give the same text, on every machine: the digests here may only change with a line in CHANGELOG. */
import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { readArchive } from '../../../../agent/contract/content/archive-read.ts';
import { writeArchive } from '../../../../agent/contract/content/archive-write.ts';
import { deflate } from '../../../../agent/contract/content/deflate.ts';
import { codeLengths } from '../../../../agent/contract/content/prefix-codes.ts';
import type { PlainMember } from '../../../../agent/contract/content/tar-write.ts';

const file = (name: string, text: string, isExecutable = false): PlainMember => ({
  name,
  kind: 'file',
  bytes: Buffer.from(text),
  isExecutable,
});
const folder = (name: string): PlainMember => ({ name, kind: 'folder', bytes: Buffer.alloc(0), isExecutable: true });
const sha256 = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');

/** Numbers that look random and are the same everywhere. */
const noise = (length: number, symbols: number): Buffer => {
  let state = 1;
  return Buffer.from(
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 16) % symbols;
    }),
  );
};

const project = [
  folder('config'),
  file('config/nginx.conf', 'events {}\nhttp { server { listen 8443 ssl; } }\n'.repeat(40)),
  file('docker-compose.yaml', 'services:\n  web:\n    image: registry.example.com/team/web@sha256:00\n'),
  file('entry.sh', '#!/bin/sh\nexec "$@"\n', true),
  file(`${'deep/'.repeat(30)}file`, 'prefix'),
  file(`${'very-long-name-'.repeat(15)}x`, 'pax'),
  file('größe', 'UTF-8'),
];

t.test('the bytes of an archive are fixed', async (t) => {
  const { text } = writeArchive(project);
  t.equal(sha256(text), '5f1c051910c106419e7b5db284370d8322498d79ec6b1b6638e2eeaf00942554');
  t.equal(writeArchive([...project].reverse()).text, text, 'in whatever order the members come');
  const packed = Buffer.from(text, 'base64');
  t.equal(packed.subarray(0, 10).toString('hex'), '1f8b08000000000000ff', 'no name, no time, no system');
});

t.test('the bytes of DEFLATE are fixed', async (t) => {
  const table: Readonly<Record<string, readonly [Buffer, string]>> = {
    nothing: [Buffer.alloc(0), '9b4fb24edd6d1d88'],
    'one byte': [Buffer.from('a'), '59fced9a2ff83dab'],
    'a run': [Buffer.alloc(1000, 'a'), '8bdc4a8dbfaf6e82'],
    'noise that is stored': [noise(70_000, 256), '62b0cf98fa209a5e'],
    'several blocks': [noise(100_000, 40), 'c6d640ef58fb9531'],
    text: [Buffer.from('the quick brown fox jumps over the lazy dog\n'.repeat(7)), 'c6adba126329a07e'],
  };
  for (const [name, [data, digest]] of Object.entries(table)) {
    const packed = deflate(data);
    t.ok(inflateRawSync(packed).equals(data), `${name} comes back`);
    t.equal(sha256(packed).slice(0, 16), digest, name);
  }
});

t.test('an archive comes back as it went in', async (t) => {
  const read = readArchive(writeArchive(project).text);
  t.equal(read.kind, 'read');
  if (read.kind !== 'read') return;
  const back = read.value.map(({ name, kind, bytes }) => [name, kind, bytes.toString()]);
  const sorted = [...project].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  t.same(
    back,
    sorted.map(({ name, kind, bytes }) => [name, kind, Buffer.from(bytes).toString()]),
  );
  t.throws(
    () => writeArchive([file('../x', '')]),
    { code: 'ARCHIVE_NOT_WRITTEN' },
    'what would not come back is not written',
  );
});

t.test('DEFLATE is read by zlib whatever the data', async (t) => {
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc
      .array(fc.constantFrom('services:', '  image: ', 'a', '\n', ' '), { maxLength: 400 })
      .map((words) => Buffer.from(words.join(''))),
    fc.tuple(fc.nat(70_000), fc.integer({ min: 1, max: 255 })).map(([length, symbols]) => noise(length, symbols)),
  );
  const comesBack = fc.property(data, (bytes) => inflateRawSync(deflate(bytes)).equals(bytes));
  t.doesNotThrow(() => fc.assert(comesBack, { numRuns: 100 }));
});

t.test('codes keep their limit and leave no gap', async (t) => {
  const fibonacci = [1, 1];
  while (fibonacci.length < 40) fibonacci.push((fibonacci.at(-1) ?? 0) + (fibonacci.at(-2) ?? 0));
  const table: Readonly<Record<string, readonly number[]>> = {
    fibonacci,
    one: [0, 7, 0],
    none: [0, 0, 0],
    two: [3, 0, 1],
  };
  for (const [name, frequencies] of Object.entries(table)) {
    for (const limit of [7, 15]) {
      const lengths = [...codeLengths(frequencies, limit)];
      t.ok(
        lengths.every((length) => length <= limit),
        `${name}, ${limit} bits`,
      );
      // Kraft: a complete code uses up all bit patterns.
      t.equal(
        lengths.reduce((sum, length) => sum + (length === 0 ? 0 : 2 ** -length), 0),
        1,
        `${name} is complete`,
      );
    }
  }
});
