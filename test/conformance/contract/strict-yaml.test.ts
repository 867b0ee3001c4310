import fc from 'fast-check';
import t from 'tap';
import { decodeUtf8, parseStrictYaml, positionOf } from '../../../agent/contract/strict-yaml.ts';

const outcome = (text: string): unknown => {
  const read = parseStrictYaml(text);
  return read.kind === 'parsed' ? read.document.value : read.problems[0]?.code;
};

t.test('what is read, and what is refused', async (t) => {
  const table: readonly (readonly [string, unknown])[] = [
    ['a: yes\nb: 012\nc: 0o14\nd: 2001-01-01\ne: 1_000', { a: 'yes', b: 12, c: 12, d: '2001-01-01', e: '1_000' }],
    ['a: |\n  x \n\n', { a: 'x \n' }],
    ['a: !!str 5', { a: '5' }],
    ['a: &x {b: 1}\nc: *x', { a: { b: 1 }, c: { b: 1 } }],
    ['a: &x 1\nb: &y [*x]\nc: &x 2\nd: *y\ne: *x', { a: 1, b: [1], c: 2, d: [1], e: 2 }],
    ['&k a: 1\nb: *k', { a: 1, b: 'a' }],
    ['b: *x\na: &x 1', 'YAML_SYNTAX'],
    ['constructor: a\ntoString: b', { constructor: 'a', toString: 'b' }],
    ['{"a": [1, null, true]}', { a: [1, null, true] }],
    ['', null],
    ['<<: {a: 1}\nb: 2', { '<<': { a: 1 }, b: 2 }],
    ['a: 1\na: 2', 'YAML_DUPLICATE_KEY'],
    ['1: a\n"1": b', 'YAML_DUPLICATE_KEY'],
    ['__proto__: {a: 1}', 'YAML_KEY'],
    ['a: {"__proto__": 1}', 'YAML_KEY'],
    ['"\\u005f_proto__": 1', 'YAML_KEY'],
    ['? [a]\n: b', 'YAML_KEY'],
    ['? {a: b}\n: c', 'YAML_KEY'],
    ['null: a', 'YAML_KEY'],
    [`${'k'.repeat(1025)}: a`, 'YAML_LIMIT'],
    [`? ${'k'.repeat(1025)}\n: a`, 'YAML_LIMIT'],
    ['a: !!binary aGk=', 'YAML_SYNTAX'],
    ['a: !!set {b: null}', 'YAML_SYNTAX'],
    ['a: !local b', 'YAML_SYNTAX'],
    ['a: *nowhere', 'YAML_SYNTAX'],
    ['a: b\n---\nc: d', 'YAML_SYNTAX'],
    ['a: b\n c: d', 'YAML_SYNTAX'],
    ['a: [1', 'YAML_SYNTAX'],
    ['a:\tb: c\n\td: e', 'YAML_SYNTAX'],
    ['%YAML 1.1\n---\na: yes', 'YAML_DIRECTIVE'],
    ['a: b\u0000', 'YAML_CHARACTER'],
    ['a: b\u001b[2J', 'YAML_CHARACTER'],
    ['a: "\\0"', 'YAML_CHARACTER'],
    ['a: "\\ud800"', 'YAML_CHARACTER'],
    ['"\\x1b": a', 'YAML_CHARACTER'],
  ];
  for (const [text, expected] of table) t.same(outcome(text), expected, JSON.stringify(text.slice(0, 40)));
});

t.test('documents that grow are refused', async (t) => {
  const laughs = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]'];
  for (let i = 1; i < 12; i += 1)
    laughs.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(',')}]`,
    );
  const table: readonly (readonly [string, string])[] = [
    ['billion laughs', laughs.join('\n')],
    ['an anchor that holds itself', 'a: &a [*a]'],
    ['deep brackets', `a: ${'['.repeat(20_000)}`],
    ['deep but closed', `${'['.repeat(200)}${']'.repeat(200)}`],
    ['deep indentation', Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['too many values', `[${'1,'.repeat(50_001)}]`],
    ['too many values behind aliases', `a: &a [${'1,'.repeat(2000)}]\nb: [${'*a,'.repeat(60)}]`],
    ['too many aliases', `a: &a 1\nb: [${'*a,'.repeat(101)}]`],
    ['too many lines', '#\n'.repeat(80_001)],
  ];
  for (const [name, text] of table) t.equal(outcome(text), 'YAML_LIMIT', name);
});

t.test('a map of many keys is read', async (t) => {
  const keys = Array.from({ length: 7000 }, (_, i) => `k${i}: v`).join('\n');
  t.equal(Object.keys(outcome(keys) as object).length, 7000);
});

t.test('long quoted values', async (t) => {
  const long = 'x'.repeat(2_000_000);
  const table: readonly (readonly [string, string, unknown])[] = [
    ['as JSON', `{"a": "\\n${long}\\u00e9\\\\'\\/", "b": 1}`, { a: `\n${long}é\\'/`, b: 1 }],
    ['in a list, with an anchor', `- &x "${long}"\n- *x`, [long, long]],
    ['in single quotes', `a: '${long}'''`, { a: `${long}'` }],
    ['with an escape that JSON lacks', `a: "\\x41${'x'.repeat(5000)}"`, { a: `A${'x'.repeat(5000)}` }],
    ['with a line break', `a: "${'x'.repeat(5000)}\n  y"`, { a: `${'x'.repeat(5000)} y` }],
    ['with such an escape, too long', `a: "\\x41${long}"`, 'YAML_LIMIT'],
    ['never closed', `a: "${long}`, 'YAML_LIMIT'],
    ['a control character', `a: "${long}\\u0000"`, 'YAML_CHARACTER'],
    ['a key', `"${long}": a`, 'YAML_LIMIT'],
  ];
  for (const [name, text, expected] of table) t.strictSame(outcome(text), expected, name);
});

t.test('any text is parsed or refused, never thrown at', async () => {
  const fragment = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '- ',
    '|',
    '>',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    '&x',
    '*x',
    '!',
    '#',
    '%',
    '?',
    ',',
    '\t',
    '0',
    '---',
    '...',
    '<<',
    '\r\n',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(fragment, { maxLength: 60 }).map((parts) => parts.join('')),
      ),
      (text) => {
        const read = parseStrictYaml(text);
        if (read.kind === 'refused') return read.problems.length > 0;
        return read.document.places.every(({ start, end }) => start <= end && end <= text.length);
      },
    ),
    { numRuns: 400, seed: 20261121 },
  );
});

t.test('what JSON says is read the same', async () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6 }),
      (value) => {
        const text = JSON.stringify(value);
        const read = parseStrictYaml(text);
        // Lone surrogates, controls and __proto__ are rightly refused.
        return read.kind === 'refused' || JSON.stringify(read.document.value) === text;
      },
    ),
    { numRuns: 300, seed: 20261121 },
  );
});

t.test('UTF-8 is decoded or refused', async (t) => {
  t.equal(decodeUtf8(Buffer.from('é€😀')), 'é€😀');
  t.equal(decodeUtf8(Buffer.from('\ufeffa: b')), 'a: b');
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80]]) {
    t.equal(decodeUtf8(Buffer.from(bytes)), null);
  }
});

t.test('positions count from one', async (t) => {
  const text = 'ab\ncd\n\nef';
  t.same(
    [0, 1, 2, 3, 6, 7, 9].map((offset) => Object.values(positionOf(text, offset))),
    [
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 1],
      [3, 1],
      [4, 1],
      [4, 3],
    ],
  );
});
