/** Editing a contract as text: what is meant changes, every other byte stays. */
import fc from 'fast-check';
import t from 'tap';
import { insertInto, setValues, withByteOrderMark } from '../../../agent/contract/edit-text.ts';
import { insertSigningKey } from '../../../agent/contract/insert-key.ts';
import { parseStrictYaml, type StrictDocument } from '../../../agent/contract/strict-yaml.ts';

const parsed = (text: string): StrictDocument => {
  const read = parseStrictYaml(text);
  if (read.kind === 'refused') throw new Error(`${JSON.stringify(read.problems)}\n${text}`);
  return read.document;
};
const valueOfKey = (text: string, key: string): unknown => (parsed(text).value as Record<string, unknown>)[key];
const token = `hyper-protect-basic.${'Aa+/'.repeat(12)}==.U2FsdGVkX1${'b'.repeat(40)}=`;
const set = (text: string, values: Readonly<Record<string, string>> = { env: token }): string | null =>
  setValues(parsed(text), new Map(Object.entries(values)));

t.test('a value is replaced where it stands', async (t) => {
  const table: Readonly<Record<string, readonly [string, string]>> = {
    'block scalar': ['a: 1\nenv: |\n  type: env\n  x: 1\nb: 2\n', `a: 1\nenv: ${token}\nb: 2\n`],
    'at the end': ['a: 1\nenv: |\n  type: env\n', `a: 1\nenv: ${token}\n`],
    'at the end, without a line break': ['a: 1\nenv: |\n  type: env', `a: 1\nenv: ${token}`],
    'comment behind the pipe sign': [
      'env: | # by ops\n  type: env\n# next\nb: 2\n',
      `env: ${token} # by ops\n# next\nb: 2\n`,
    ],
    'comment that is part of the section': ['env: |\n  type: env\n  # mine\nb: 2\n', `env: ${token}\nb: 2\n`],
    'kept and stripped line ends': ['env: |+\n  type: env\n\n\nw: |-\n  x\n', `env: ${token}\n\n\nw: |-\n  x\n`],
    folded: ['env: >-\n  type: env\nb: 2 # two\n', `env: ${token}\nb: 2 # two\n`],
    quoted: ['env: "type: env\\n"  # quoted\nb: 2\n', `env: ${token}  # quoted\nb: 2\n`],
    'CR LF': ['# x\r\nenv: |\r\n  type: env\r\nb: 2\r\n', `# x\r\nenv: ${token}\r\nb: 2\r\n`],
    'a mapping in place': ['env:\n  type: env\n  x: {y: 1}\n# c\nb: 2\n', `env: ${token}\n# c\nb: 2\n`],
    'a mapping in place, commented': ['env: # mine\n  type: env\nb: 2\n', `env: # mine\n  ${token}\nb: 2\n`],
    'a mapping in brackets': ['env: {type: env}\nb: 2\n', `env: ${token}\nb: 2\n`],
    JSON: ['{"env": "type: env", "b": 2}', `{"env": "${token}", "b": 2}`],
    'document markers': ['---\nenv: |\n  type: env\n...\n', `---\nenv: ${token}\n...\n`],
    'a key in quotes': ['"env": |\n  type: env\n', `"env": ${token}\n`],
    'empty value': ['env:\nb: 2\n', `env: ${token}\nb: 2\n`],
  };
  for (const [name, [before, after]] of Object.entries(table)) t.equal(set(before), after, name);
});

t.test('a key that is not there becomes the last one', async (t) => {
  const table: Readonly<Record<string, readonly [string, string]>> = {
    plain: ['a: 1\n', `a: 1\nenv: ${token}\n`],
    'behind the last comment': ['a: 1\n# end\n', `a: 1\n# end\nenv: ${token}\n`],
    'without a line break': ['a: 1', `a: 1\nenv: ${token}\n`],
    'behind a block without a line break': ['a: |\n  x', `a: |\n  x\nenv: ${token}\n`],
    'behind kept lines': ['a: |+\n  x\n\n', `a: |+\n  x\n\nenv: ${token}\n`],
    'before the end of the document': ['a: 1\n...\n', `a: 1\nenv: ${token}\n...\n`],
    'CR LF': ['a: 1\r\n', `a: 1\r\nenv: ${token}\r\n`],
    JSON: ['{"a": 1\n}\n', `{"a": 1, "env": "${token}"\n}\n`],
  };
  for (const [name, [before, after]] of Object.entries(table)) t.equal(set(before), after, name);
});

t.test('what cannot be edited alone is refused', async (t) => {
  t.equal(set('env: &x |\n  type: env\nb: *x\n'), null, 'somebody else uses the value');
  t.equal(set('{}'), null);
});

t.test('a piece is inserted into a string', async (t) => {
  const inner = 'type: env\n# note\nlogging: {}\n';
  const longer = 'signingKey: abc\ntype: env\n# note\nlogging: {}\n';
  const block = (indent: string): string => inner.replace(/^(?=.)/gm, indent);
  const table: Readonly<Record<string, readonly [string, string]>> = {
    'block scalar': [`a: 1\nenv: |\n${block('  ')}b: 2\n`, `a: 1\nenv: |\n  signingKey: abc\n${block('  ')}b: 2\n`],
    'given indentation': [`env: |4\n${block('    ')}b: 2\n`, `env: |4\n    signingKey: abc\n${block('    ')}b: 2\n`],
    'CR LF': [
      `env: |\n${block('  ')}b: 2\n`.replaceAll('\n', '\r\n'),
      `env: |\n  signingKey: abc\n${block('  ')}b: 2\n`.replaceAll('\n', '\r\n'),
    ],
    quoted: [`env: ${JSON.stringify(inner)} # q\nb: 2\n`, `env: ${JSON.stringify(longer)} # q\nb: 2\n`],
    JSON: [JSON.stringify({ env: inner, b: 2 }), JSON.stringify({ env: longer, b: 2 })],
    folded: [
      'env: > # f\n  type: env\n\n  # note\n\n  logging: {}\nb: 2\n',
      `env: ${JSON.stringify(longer)} # f\nb: 2\n`,
    ],
  };
  for (const [name, [before, after]] of Object.entries(table)) {
    t.equal(valueOfKey(before, 'env'), inner, name);
    t.equal(insertInto(parsed(before), 'env', longer), after, name);
  }
});

t.test('whatever the section looks like, the edit says what was meant and keeps the rest', async () => {
  const line = fc.constantFrom('a: 1', 'b: {c: 2}', '', '# remark', 'd: "x # y"', 'e:', '  f: 3', "g: 'h'");
  const outer = fc.constantFrom('', '\n', '# c\n', 'zz: 1\n', 'zz: |\n  text\n', 'zz: {y: [1, 2]} # c\n');
  const header = fc.constantFrom('|', '|-', '|+', '| # c', '>', '>-', '|2');
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), outer, outer, header, (lines, before, after, sign) => {
      const body = ['type: env', ...lines].map((text) => (text === '' ? '' : `  ${text}`)).join('\n');
      const text = `${before}env: ${sign}\n${body}\n${after.replace('zz', 'yy')}`;
      const document = parsed(text);
      const replaced = setValues(document, new Map([['env', token]]));
      if (replaced === null) return false;
      const rest = text.slice(before.length + 5 + sign.length + 1 + body.length);
      const kept = replaced.startsWith(`${before}env: ${token}`) && replaced.endsWith(rest.replace(/^\n+/, ''));
      const env = (document.value as { env: string }).env;
      const section = parseStrictYaml(env);
      const longer = section.kind === 'parsed' ? insertSigningKey(section.document, 'abc') : null;
      if (longer === null) return kept;
      const inserted = insertInto(document, 'env', longer);
      return kept && inserted !== null && valueOfKey(inserted, 'env') === longer;
    }),
    { numRuns: 300 },
  );
});

t.test('a byte order mark stays', async (t) => {
  t.equal(withByteOrderMark(Buffer.from('\u{feff}a: 1'), 'a: 2'), '\u{feff}a: 2');
  t.equal(withByteOrderMark(Buffer.from('a: 1'), 'a: 2'), 'a: 2');
});
