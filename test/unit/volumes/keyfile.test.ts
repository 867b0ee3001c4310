/** The keyfile: base64(1) writes what we read, and what we write is what base64(1) reads. */
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { parseKeyfile, renderKeyfile, seedFactOf } from '../../../agent/volumes/keyfile.ts';
import { tool } from '../../fakes/sample-device.ts';

const longest = 'A'.repeat(60 * 1024);

t.test('what counts as a wrapped seed', async (t) => {
  const rows: readonly [string, string | Buffer, string | null][] = [
    ['plain', 'eyJhIjoxfQ==', 'eyJhIjoxfQ=='],
    ['a newline behind it', 'eyJhIjoxfQ==\n', 'eyJhIjoxfQ=='],
    ['white space around it', '\r\n\t eyJhIjoxfQ== \r\n\n', 'eyJhIjoxfQ=='],
    ['without need of padding', 'abcd', 'abcd'],
    [
      'all of the alphabet',
      'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
      'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
    ],
    ['longest', longest, longest],
    ['empty', '', null],
    ['only white space', ' \n', null],
    ['too long', `${longest}AAAA`, null],
    ['two lines', 'eyJhIjox\nfQ==', null],
    ['white space inside', 'eyJh IjoxfQ==', null],
    ['padding missing', 'eyJhIjoxfQ', null],
    ['padding too long', 'eyJhIjoxfQ====', null],
    ['padding inside', 'eyJh=Ijo', null],
    ['stray bits before the padding', 'eyJhIjoxfR==', null],
    ['alphabet of URLs', 'ab-_', null],
    ['no base64 at all', '{"ciphertext":"x"}', null],
    ['zeros, as after a cut', Buffer.alloc(64), null],
    ['zero behind it', 'abcd\0', null],
    ['other white space', '\u00a0abcd', null],
    ['byte order mark', '\ufeffabcd', null],
    ['high bytes', Buffer.from([0x61, 0x62, 0x63, 0xe4]), null],
  ];
  for (const [name, content, wrapped] of rows) {
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    t.match(parseKeyfile(bytes), wrapped === null ? { kind: 'bad' } : { kind: 'wrapped', wrapped }, name);
  }
});

t.test('base64(1) agrees in both directions', async (t) => {
  const work = t.testdir({});
  for (const length of [1, 2, 3, 32, 57, 58, 400]) {
    const plain = Buffer.alloc(length, 0xe5);
    writeFileSync(`${work}/plain`, plain);
    const encoded = (await tool('base64', ['-w', '0', `${work}/plain`])).text;
    const parsed = parseKeyfile(Buffer.from(`${encoded}\n`));
    t.same(parsed, { kind: 'wrapped', wrapped: encoded });
    writeFileSync(`${work}/keyfile`, renderKeyfile(encoded));
    const decoded = await tool('base64', ['-d', `${work}/keyfile`]);
    t.equal(decoded.exit, 0);
    t.equal(decoded.text, plain.toString());
  }
});

t.test('rendering is exact, and refuses what parsing would not give back', async (t) => {
  t.equal(renderKeyfile('eyJhIjoxfQ==').toString(), 'eyJhIjoxfQ==');
  for (const text of ['', 'abc', ' abcd', 'abcd\n', 'äbcd', `${longest}AAAA`])
    t.throws(() => renderKeyfile(text), TypeError);
});

t.test('the fact of the scenario table', async (t) => {
  t.same(seedFactOf({ kind: 'absent' }), { fact: 'none' });
  t.same(seedFactOf({ kind: 'noFilesystem' }), { fact: 'no-fs' });
  t.same(seedFactOf({ kind: 'unreadable', reason: 'why' }), { fact: 'unreadable', reason: 'why' });
  t.same(seedFactOf({ kind: 'file', bytes: Buffer.from('abcd\n') }), { fact: 'present', wrapped: 'abcd' });
  t.match(seedFactOf({ kind: 'file', bytes: Buffer.alloc(0) }), { fact: 'bad' });
});

t.test('any bytes: bad, or a text that renders and parses to itself', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.base64String().map((text) => Buffer.from(` ${text}\n`)),
  );
  fc.assert(
    fc.property(bytes, (content) => {
      const parsed = parseKeyfile(Buffer.from(content));
      if (parsed.kind === 'bad') return true;
      const again = parseKeyfile(renderKeyfile(parsed.wrapped));
      return (
        again.kind === 'wrapped' && again.wrapped === parsed.wrapped && /^[A-Za-z0-9+/]+={0,2}$/.test(parsed.wrapped)
      );
    }),
    { seed: 20260903, numRuns: 500 },
  );
  t.pass('500 contents');
});
