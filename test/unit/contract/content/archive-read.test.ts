/** What an archive may hold, and how everything else is refused. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { readArchive } from '../../../../agent/contract/content/archive-read.ts';
import { maximumUnpackedBytes } from '../../../../agent/contract/content/gunzip.ts';
import { end, member, packed, pax, tar } from './tar-blocks.ts';

const plain = tar(member({ name: 'a', body: 'A' }));
const names = (value: string): readonly string[] | string => {
  const read = readArchive(value);
  return read.kind === 'read'
    ? read.value.map(({ name, kind }) => (kind === 'file' ? name : `${name}/`))
    : refusal(value);
};
const refusal = (value: string): string => {
  const read = readArchive(value);
  return read.kind === 'read' ? 'read' : read.problems.map(({ code }) => code).join(' ');
};

t.test('archives of every usual writer are read', async (t) => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
  const table: Readonly<Record<string, readonly [Buffer, readonly string[]]>> = {
    ustar: [plain, ['a']],
    'with dot and folder, as tar -C DIR . writes it': [
      tar(
        member({ name: './', letter: '5' }),
        member({ name: './a' }),
        member({ name: './d/', letter: '5' }),
        member({ name: './d//x' }),
      ),
      ['a', 'd/', 'd/x'],
    ],
    'GNU magic': [tar(member({ name: 'a', magic: 'ustar  \0' })), ['a']],
    'before POSIX': [
      tar(member({ name: 'a', letter: '\0', magic: '' }), member({ name: 'd/', letter: '\0', magic: '' })),
      ['a', 'd/'],
    ],
    'prefix and name': [tar(member({ name: 'x', prefix: 'deep/er' })), ['deep/er/x']],
    'a GNU prefix field is no prefix': [tar(member({ name: 'x', prefix: '12345', magic: 'ustar  \0' })), ['x']],
    'long name of GNU': [tar(member({ letter: 'L', body: `${long}\0` }), member({ name: long.slice(0, 100) })), [long]],
    'long name of pax': [tar(pax({ path: long, mtime: '1.5' }), member({ name: 'short' })), [long]],
    'size of pax': [tar(pax({ size: '3' }), member({ name: 'a', body: 'abc' })), ['a']],
    'comment of git archive': [tar(pax({ comment: 'a'.repeat(40) }, 'g'), member({ name: 'a' })), ['a']],
    'a folder twice': [tar(member({ name: 'd/', letter: '5' }), member({ name: 'd', letter: '5' })), ['d/']],
    'names in any script': [tar(member({ name: 'größe 😀' })), ['größe 😀']],
    'padding to a record': [Buffer.concat([plain, Buffer.alloc(9 * 1024)]), ['a']],
    nothing: [end, []],
  };
  for (const [name, [archive, expected]] of Object.entries(table)) t.same(names(packed(archive)), expected, name);
  const two = Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))]);
  t.same(names(two.toString('base64')), ['a'], 'several gzip members are one stream');
  t.same(
    names(gzipHeader(plain).toString('base64')),
    ['a'],
    'gzip headers with name, comment, extra field and checksum',
  );
});

/** RFC 1952 with every optional field. */
function gzipHeader(archive: Buffer): Buffer {
  const ordinary = gzipSync(archive);
  const head = Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3]);
  const extra = Buffer.from([3, 0, 1, 2, 3]);
  return Buffer.concat([head, extra, Buffer.from('name.tar\0a comment\0'), Buffer.from([0, 0]), ordinary.subarray(10)]);
}

t.test('what cannot be unpacked, or read in one way only, is refused', async (t) => {
  const file = member({ name: 'a' });
  const table: Readonly<Record<string, readonly [Buffer, string]>> = {
    'symbolic link': [tar(member({ letter: '2', link: '/etc/passwd' })), 'ARCHIVE_MEMBER_KIND'],
    'hard link': [tar(file, member({ name: 'b', letter: '1', link: 'a' })), 'ARCHIVE_MEMBER_KIND'],
    'character device': [tar(member({ letter: '3' })), 'ARCHIVE_MEMBER_KIND'],
    'block device': [tar(member({ letter: '4' })), 'ARCHIVE_MEMBER_KIND'],
    fifo: [tar(member({ letter: '6' })), 'ARCHIVE_MEMBER_KIND'],
    'sparse file of GNU': [tar(member({ letter: 'S' })), 'ARCHIVE_MEMBER_KIND'],
    'sparse file of pax': [tar(pax({ 'GNU.sparse.major': '1' }), file), 'ARCHIVE_MEMBER_KIND'],
    'unknown kind': [tar(member({ letter: 'V' })), 'ARCHIVE_MEMBER_KIND'],
    'global names': [tar(pax({ path: 'b' }, 'g'), file), 'ARCHIVE_MEMBER_KIND'],
    'link with content': [tar(member({ letter: '1', link: 'a', body: 'x' })), 'ARCHIVE_DAMAGED'],
    'folder with content': [tar(member({ name: 'd/', letter: '5', body: 'x' })), 'ARCHIVE_DAMAGED'],
    absolute: [tar(member({ name: '/etc/passwd' })), 'ARCHIVE_MEMBER_NAME'],
    'out of the folder': [tar(member({ name: '../x' })), 'ARCHIVE_MEMBER_NAME'],
    'out of the folder later': [tar(member({ name: 'a/../../x' })), 'ARCHIVE_MEMBER_NAME'],
    'out of the folder by pax': [tar(pax({ path: 'a/../../x' }), file), 'ARCHIVE_MEMBER_NAME'],
    'out of the folder by prefix': [tar(member({ name: 'x', prefix: '..' })), 'ARCHIVE_MEMBER_NAME'],
    'NUL in a name of pax': [tar(pax({ path: 'a\0b' }), file), 'ARCHIVE_MEMBER_NAME'],
    'line feed in a name': [tar(member({ name: 'a\nb' })), 'ARCHIVE_MEMBER_NAME'],
    'no name': [tar(member({ name: '' })), 'ARCHIVE_MEMBER_NAME'],
    'the folder itself as a file': [tar(member({ name: '.' })), 'ARCHIVE_MEMBER_NAME'],
    'a part too long': [tar(pax({ path: 'a'.repeat(256) }), file), 'ARCHIVE_MEMBER_NAME'],
    'a path too long': [tar(pax({ path: `${'a'.repeat(200)}/`.repeat(6) }), file), 'ARCHIVE_MEMBER_NAME'],
    'too many folders in folders': [tar(pax({ path: 'a/'.repeat(65) }), file), 'ARCHIVE_MEMBER_NAME'],
    'not UTF-8': [tar(member({ name: Buffer.from([0x61, 0xff]) })), 'ARCHIVE_MEMBER_NAME'],
    'two files of one name': [tar(file, member({ name: './a' })), 'ARCHIVE_MEMBER_NAME'],
    'file and folder of one name': [tar(file, member({ name: 'a/', letter: '5' })), 'ARCHIVE_MEMBER_NAME'],
    'below a file': [tar(file, member({ name: 'a/b' })), 'ARCHIVE_MEMBER_NAME'],
    'a file over what is below it': [tar(member({ name: 'a/b' }), file), 'ARCHIVE_MEMBER_NAME'],
    'wrong checksum': [tar(file, member({ name: 'b', checksum: '000000\0 ' })), 'ARCHIVE_DAMAGED'],
    'no octal size': [tar(member({ size: '0000000000x\0' })), 'ARCHIVE_DAMAGED'],
    'size in base-256': [tar(member({ size: '\x80\0\0\0\0\0\0\0\0\0\0\x01' })), 'ARCHIVE_DAMAGED'],
    'size of another archive': [tar(member({ size: '77777777777\0' })), 'ARCHIVE_DAMAGED'],
    'unknown magic': [tar(member({ magic: 'ustar\x0099' })), 'ARCHIVE_DAMAGED'],
    'no end': [file, 'ARCHIVE_DAMAGED'],
    'half an end': [Buffer.concat([file, Buffer.alloc(512)]), 'ARCHIVE_DAMAGED'],
    'cut off in a header': [plain.subarray(0, 300), 'ARCHIVE_DAMAGED'],
    'cut off in a file': [tar(member({ body: 'x'.repeat(2000) })).subarray(0, 1024), 'ARCHIVE_DAMAGED'],
    'a second archive behind the end': [Buffer.concat([plain, tar(member({ name: 'hidden' }))]), 'ARCHIVE_DAMAGED'],
    'an extended header at the end': [tar(pax({ path: 'b' })), 'ARCHIVE_DAMAGED'],
    'two extended headers': [tar(pax({ path: 'b' }), pax({ path: 'c' }), file), 'ARCHIVE_DAMAGED'],
    'two names': [tar(member({ letter: 'L', body: 'b' }), pax({ path: 'c' }), file), 'ARCHIVE_DAMAGED'],
    'a record that is cut off': [tar(member({ letter: 'x', body: '99 path=b\n' }), file), 'ARCHIVE_DAMAGED'],
    'a record without a value': [tar(member({ letter: 'x', body: '7 path\n' }), file), 'ARCHIVE_DAMAGED'],
    'one thing said twice': [tar(member({ letter: 'x', body: '10 path=b\n10 path=c\n' }), file), 'ARCHIVE_DAMAGED'],
    'an endless extended header': [tar(member({ letter: 'x', body: '0'.repeat(70_000) }), file), 'ARCHIVE_DAMAGED'],
    'text, not tar': [Buffer.from('hello world\n'.repeat(100)), 'ARCHIVE_DAMAGED'],
    'too many members': [
      tar(...Array.from({ length: 4097 }, (_, index) => member({ name: `f${index}` }))),
      'ARCHIVE_TOO_LARGE',
    ],
    'a hundred thousand members': [tar(...new Array<Buffer>(100_000).fill(file)), 'ARCHIVE_TOO_LARGE'],
    'a bomb': [Buffer.alloc(maximumUnpackedBytes + 1), 'ARCHIVE_TOO_LARGE'],
  };
  for (const [name, [archive, code]] of Object.entries(table)) t.equal(refusal(packed(archive)), code, name);
  t.equal(
    refusal(packed(Buffer.concat([plain, Buffer.alloc(maximumUnpackedBytes - plain.length)]))),
    'read',
    'the limit itself',
  );
});

t.test('several faults are told together, but not without end', async (t) => {
  const links = (count: number): string =>
    packed(tar(...Array.from({ length: count }, (_, i) => member({ name: `l${i}`, letter: '2' }))));
  t.equal(refusal(links(3)), 'ARCHIVE_MEMBER_KIND ARCHIVE_MEMBER_KIND ARCHIVE_MEMBER_KIND');
  t.equal(refusal(links(300)).split(' ').length, 10);
});

t.test('what is no gzip is named', async (t) => {
  const gz = gzipSync(plain);
  const table: Readonly<Record<string, readonly [string, string, RegExp]>> = {
    'line breaks': ['H4sI\nAAAA', 'ARCHIVE_NOT_BASE64', /base64 on one line/],
    'no padding': [
      gz
        .toString('base64')
        .replace(/=+$/, '')
        .padEnd(1, 'A')
        .replace(/^(?:.{4})*$/, 'AAAAA'),
      'ARCHIVE_NOT_BASE64',
      /base64/,
    ],
    'base64 of URLs': ['H4-_', 'ARCHIVE_NOT_BASE64', /base64/],
    'not compressed': [plain.toString('base64'), 'ARCHIVE_NOT_GZIP', /tar archive that is not compressed/],
    zip: [Buffer.from('504b030414000000', 'hex').toString('base64'), 'ARCHIVE_NOT_GZIP', /zip/],
    xz: [Buffer.from('fd377a585a0000', 'hex').toString('base64'), 'ARCHIVE_NOT_GZIP', /xz/],
    bzip2: [Buffer.from('BZh91AY').toString('base64'), 'ARCHIVE_NOT_GZIP', /bzip2/],
    'base64 twice': [Buffer.from(gz.toString('base64')).toString('base64'), 'ARCHIVE_NOT_GZIP', /base64 once more/],
    text: [Buffer.from('services:\n').toString('base64'), 'ARCHIVE_NOT_GZIP', /plain text/],
    nothing: ['', 'ARCHIVE_NOT_GZIP', /something else/],
    'trailing garbage': [
      Buffer.concat([gz, Buffer.from('x')]).toString('base64'),
      'ARCHIVE_NOT_GZIP',
      /1 bytes follow/,
    ],
    'trailing zeros': [
      Buffer.concat([gz, Buffer.alloc(512)]).toString('base64'),
      'ARCHIVE_NOT_GZIP',
      /512 bytes follow/,
    ],
    'cut off': [gz.subarray(0, -9).toString('base64'), 'ARCHIVE_NOT_GZIP', /cut off/],
    'trailer cut off': [gz.subarray(0, -1).toString('base64'), 'ARCHIVE_NOT_GZIP', /cut off/],
    'header cut off': [gzipHeader(plain).subarray(0, 20).toString('base64'), 'ARCHIVE_NOT_GZIP', /cut off/],
    'wrong checksum': [flipped(gz, gz.length - 5).toString('base64'), 'ARCHIVE_NOT_GZIP', /checksum/],
    'wrong length': [flipped(gz, gz.length - 1).toString('base64'), 'ARCHIVE_NOT_GZIP', /length/],
    'reserved flag': [flipped(gz, 3, 0x80).toString('base64'), 'ARCHIVE_NOT_GZIP', /unknown kind/],
    'broken data': [flipped(gz, 10, 0x06).toString('base64'), 'ARCHIVE_NOT_GZIP', /damaged/],
    'a thousand gzip members': [
      Buffer.concat(new Array<Buffer>(1000).fill(gzipSync(''))).toString('base64'),
      'ARCHIVE_NOT_GZIP',
      /members/,
    ],
  };
  for (const [name, [value, code, words]] of Object.entries(table)) {
    const read = readArchive(value);
    t.match(read, { kind: 'refused', problems: [{ code, message: words, hint: /triseed contract archive/ }] }, name);
  }
  const bombs = Buffer.concat(new Array<Buffer>(3).fill(gzipSync(Buffer.alloc(7 * 1024 * 1024))));
  t.equal(refusal(bombs.toString('base64')), 'ARCHIVE_TOO_LARGE', 'members count together');
});

function flipped(bytes: Buffer, at: number, mask = 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

t.test('no bytes make the reader fail in another way', async (t) => {
  const base = tar(
    pax({ path: 'long/name', size: '2' }),
    member({ name: 'a', body: 'ab' }),
    member({ letter: 'L', body: 'other\0' }),
    member({ name: 'b' }),
  );
  const mutation = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 6 });
  const mutated = fc.property(mutation, fc.nat(base.length), (changes, length) => {
    const copy = Buffer.from(base);
    for (const [at, value] of changes) copy[at] = value;
    const outcome = readArchive(packed(copy.subarray(0, length)));
    return outcome.kind === 'read' || outcome.problems.length > 0;
  });
  t.doesNotThrow(() => fc.assert(mutated, { numRuns: 200 }), 'a changed archive');
  const random = fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    const outcome = readArchive(Buffer.concat([gzipSync(plain).subarray(0, 10), bytes]).toString('base64'));
    return outcome.kind === 'refused';
  });
  t.doesNotThrow(() => fc.assert(random, { numRuns: 200 }), 'random compressed data');
});
