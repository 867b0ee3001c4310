/** `.env` files: what is written is what Docker Compose reads back. The reader here is our own, from its documentation. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { objectionTo, quoteValue, renderDotenv } from '../../../agent/workload/dotenv.ts';

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"' };

/** Escapes, then interpolation, as in double quotes; `known` are the variables read so far. */
const expanded = (raw: string, known: ReadonlyMap<string, string>): string => {
  const unescaped = raw.replace(/\\([nrt$"\\])/g, (_, letter: string) =>
    letter === '$' ? '$$' : (escapes[letter] ?? ''),
  );
  return unescaped.replace(/\$(?:(\$)|\{(\w+)\}|([A-Za-z_]\w*))/g, (_, dollar, braced, plain) =>
    dollar === undefined ? (known.get(braced ?? plain) ?? '') : '$',
  );
};

/** Docker documentation, "Syntax for environment files in Docker Compose". Throws for what Compose refuses. */
const read = (text: string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>();
  let rest = text;
  for (;;) {
    rest = rest.replace(/^(?:\s+|#.*)+/, '');
    if (rest === '') return found;
    const statement = /^(?:export\s+)?([\w.]+)[ \t]*=[ \t]*/.exec(rest);
    if (statement === null) throw new Error(`no statement: ${rest.slice(0, 40)}`);
    const [all, name = ''] = statement;
    rest = rest.slice(all.length);
    const quote = rest[0];
    if (quote !== "'" && quote !== '"') {
      const line = /^.*/.exec(rest)?.[0] ?? '';
      found.set(name, expanded(line.replace(/ #.*/, '').trimEnd(), found));
      rest = rest.slice(line.length);
      continue;
    }
    let raw = '';
    let at = 1;
    for (; rest[at] !== quote; at += 1) {
      if (at >= rest.length) throw new Error('unterminated');
      const isEscape = rest[at] === '\\' && at + 1 < rest.length;
      if (isEscape) at += 1;
      raw += isEscape && rest[at] !== quote ? `\\${rest[at]}` : rest[at];
    }
    found.set(name, quote === '"' ? expanded(raw, found) : raw);
    rest = rest.slice(at + 1);
  }
};

const awkward = [
  '',
  'plain',
  ' blanks around ',
  'a=b',
  `$HOME $\{HOME} $$ $(id) \`id\``,
  "it's",
  '"quoted"',
  `both ' and "`,
  'ends with \\',
  'ends with two \\\\',
  "\\' behind a backslash",
  '\\n is no line feed',
  'first line\nsecond line\n',
  'carriage\r\nreturn',
  '# no comment',
  'value # no comment',
  'tab\tinside',
  "'''",
  '\\$HOME \\\\$HOME \\0101',
  "'\\$HOME'\\\\",
  'KEY=value\nOTHER=smuggled',
  "'\nOTHER=smuggled\nX='",
  '"\nOTHER=smuggled\nX="',
  'grüße, 世界 🌍\u2028\u0085',
];

t.test('awkward values come back, and none of them becomes another variable', async (t) => {
  for (const [at, value] of awkward.entries()) {
    const text = renderDotenv(
      '',
      new Map([
        ['BEFORE', 'x'],
        ['VALUE', value],
        ['AFTER', 'y'],
      ]),
    );
    t.strictSame(
      [...read(text)],
      [
        ['BEFORE', 'x'],
        ['VALUE', value],
        ['AFTER', 'y'],
      ],
      `value ${at}`,
    );
    t.equal(objectionTo(text), null, `value ${at}: and the file can be added to`);
  }
});

const characters = fc.constantFrom(...'aZ0 \t\n\r\'"\\$`#={}()!é');
const values = fc.oneof(
  fc.array(characters, { maxLength: 24 }).map((all) => all.join('')),
  fc.string({ unit: 'grapheme', maxLength: 24 }).filter((text) => !text.includes('\0')),
);

t.test('any value comes back', async () => {
  fc.assert(
    fc.property(fc.array(values, { maxLength: 4 }), (all) => {
      const env = new Map(all.map((value, at) => [`NAME_${at}`, value]));
      const text = renderDotenv('', env);
      return JSON.stringify([...read(text)]) === JSON.stringify([...env]) && objectionTo(text) === null;
    }),
    { numRuns: 300 },
  );
});

t.test('a shell reads the same from single quotes, and never runs anything', async (t) => {
  const shared = awkward.filter((value) => quoteValue(value).startsWith("'"));
  t.ok(shared.length > 12, `${shared.length} values`);
  const file = join(t.testdir(), 'env');
  writeFileSync(file, renderDotenv('', new Map(shared.map((value, at) => [`V_${at}`, value]))));
  const names = shared.map((_, at) => `"$V_${at}"`).join(' ');
  const said = execFileSync('bash', ['-c', `. "$1"; printf '%s\\0' ${names}`, '-', file], { encoding: 'utf8' });
  t.strictSame(said.split('\0').slice(0, -1), shared);
});

t.test("the archive's own file stays as it is; variables of the contract win", async (t) => {
  const existing = '# project\nBASE=/srv\nDATA=$BASE/data # comment\nPASSWORD="default"';
  t.equal(objectionTo(existing), null);
  const text = renderDotenv(
    existing,
    new Map([
      ['PASSWORD', '$ecret'],
      ['NEW', 'n'],
    ]),
  );
  t.ok(text.startsWith(`${existing}\n`), 'byte for byte');
  t.strictSame(Object.fromEntries(read(text)), { BASE: '/srv', DATA: '/srv/data', PASSWORD: '$ecret', NEW: 'n' });
  t.equal(renderDotenv('A=1\n', new Map()), 'A=1\n');
  t.equal(renderDotenv('', new Map()), '');
});

t.test('a file that would swallow what is added is refused with its line', async (t) => {
  const bad: Readonly<Record<string, RegExp>> = {
    'A=1\nB="never closed\nC=2\n': /quote in line 2 is never closed/,
    "A='ends in a backslash\\'\n": /quote in line 1 is never closed/,
    'A=1\nno statement at all\n': /line 2 is no NAME=VALUE/,
    '\n\n=value\n': /line 3 is no NAME=VALUE/,
    'A="x" trailing words\n': /line 1 is no NAME=VALUE/,
    '{ "json": true }': /line 1 is no NAME=VALUE/,
  };
  for (const [text, reason] of Object.entries(bad)) t.match(objectionTo(text), reason, JSON.stringify(text));
  const good = [
    '',
    '\ufeffA=1\n',
    'export A=1\nB: yaml style\nINHERITED\nC=\n',
    'A="a \\" b"\nB=\'it\\\'s\' # comment\n',
    'A=it"s\nB=1',
    'INHERITED',
    '# only a comment',
    'A="two\nlines"\nB=2\n',
  ];
  for (const text of good) t.equal(objectionTo(text), null, JSON.stringify(text));
});

t.test('files made to be slow are read, too', async (t) => {
  const size = 1 << 20;
  const slow: Readonly<Record<string, readonly [string, RegExp | null]>> = {
    'number signs': ['#'.repeat(size), null],
    blanks: [' '.repeat(size), null],
    'backslashes without quotes': [`A=${'\\'.repeat(size)}`, null],
    'backslashes in quotes': [`A="${'\\'.repeat(size)}`, /never closed/],
    'many statements': ['A=\n'.repeat(size / 4), null],
    'a long name': ['A'.repeat(size), null],
    'a long name with a bad end': [`${'A'.repeat(size)}!`, /line 1/],
  };
  for (const [name, [text, reason]] of Object.entries(slow)) t.match(objectionTo(text), reason as RegExp, name);
});
