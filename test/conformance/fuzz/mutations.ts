/** Ways to change a text. Each is given the text, randomness, and another text to take parts from. */
import type { Seeded } from '../../fakes/seeded.ts';

export type Mutation = (text: string, random: Seeded, other: string) => string;

/** Longer documents come from `repeat` now and then; most are short, so that many can be tried. */
const maxLength = 64 * 1024;

const fragments = [
  ...['&a ', '*a', '<<: *a\n', '!!str ', '!!binary ', '!local ', '? ', ': ', '- ', ', ', '{', '}', '[', ']', '|', '>-'],
  ...['|2\n', '"', "'", '\\', '\\x41', '\\u0000', '#', ' #', '%YAML 1.1\n', '%TAG ! x\n', '---\n', '...\n', '\t'],
  ...['\r', '\r\n', '\n', '\n\n', ' ', '    ', '\u0000', '\u0085', '\u2028', '\ufeff', '\u00a0', '\u202e', '\u{1f600}'],
  ...['__proto__: x\n', '"constructor": 1', 'toString: 1\n', 'null: 1\n', '1: 1\n', '{{ .Env.X }}', '$' + '{X}', '```'],
  ...['hyper-protect-basic.', 'contract-basic.A.B', '-----BEGIN CERTIFICATE-----\n', 'workload: |\n', 'env: |\n'],
];

const values = [
  ...['null', '~', 'true', 'no', '0', '-0', '1', '-1', '1e999', '.nan', '.inf', '0x1f', '0o17', '012', '1_000'],
  ...['9007199254740993', '99999999999999999999', '[]', '{}', '""', "''", '[[]]', '{a: b}', '"\\ud800"', '2001-01-01'],
  ...[
    '*a',
    '&a x',
    '!!int x',
    '/',
    '/mnt/data',
    '..',
    '/mnt/../etc',
    'a'.repeat(300),
    'REPLACE_ME',
    '$' + '{A}',
    '|',
    '>',
  ],
];

const keys = [
  ...['type', 'workload', 'env', 'volumes', 'data', 'seed', 'previousSeed', 'mount', 'kms', 'kmsTimeout', 'crn'],
  ...['apiKey', 'auths', 'images', 'dct', 'rhs', 'publicKey', 'logging', 'syslog', 'logRouter', 'logDNA', 'hostname'],
  ...['compose', 'archive', 'play', 'resources', 'templates', 'triseed', 'serial', 'intent', 'signingKey', 'cacerts'],
  ...['attestationPublicKey', 'envWorkloadSignature', 'uv-secret-id', 'grep11', 'volumeName', 'volumeID', 'toString'],
];

const place = (text: string, random: Seeded): number => random.below(text.length + 1);
const range = (text: string, random: Seeded, longest = 40): readonly [number, number] => {
  const start = place(text, random);
  return [start, Math.min(text.length, start + 1 + random.below(longest))];
};
const replaced = (text: string, start: number, end: number, part: string): string =>
  text.slice(0, start) + part + text.slice(end);

const bytes: Mutation = (text, random) => {
  const copy = Buffer.from(text, 'latin1');
  if (copy.length > 0) copy[random.below(copy.length)] = random.below(256);
  return copy.toString('latin1');
};

const insert: Mutation = (text, random) => {
  const at = place(text, random);
  return replaced(text, at, at, random.pick(fragments));
};

const remove: Mutation = (text, random) => replaced(text, ...range(text, random), '');

const repeat: Mutation = (text, random) => {
  const [start, end] = range(text, random, 80);
  const count = random.below(random.below(80) === 0 ? 2000 : 12);
  return replaced(text, end, end, text.slice(start, end).repeat(count)).slice(0, maxLength);
};

const truncate: Mutation = (text, random) => text.slice(0, place(text, random));

const behead: Mutation = (text, random) => text.slice(place(text, random));

const splice: Mutation = (text, random, other) =>
  (text.slice(0, place(text, random)) + other.slice(place(other, random))).slice(0, maxLength);

/** Changes lines as a list. */
const onLines =
  (change: (lines: string[], at: number, random: Seeded, other: readonly string[]) => void): Mutation =>
  (text, random, other) => {
    const lines = text.split('\n');
    change(lines, random.below(lines.length), random, other.split('\n'));
    return lines.join('\n');
  };

const lineMutations: readonly Mutation[] = [
  onLines((lines, at) => void lines.splice(at, 1)),
  onLines((lines, at, random) => void lines.splice(random.below(lines.length), 0, lines[at] ?? '')),
  onLines((lines, at, random, other) => void lines.splice(at, 0, random.pick(other))),
  onLines((lines, at, random, other) => void lines.splice(at, 1 + random.below(5), ...other.slice(0, random.below(9)))),
  onLines((lines, at, random) => {
    lines[at] = ' '.repeat(random.below(7)) + (lines[at] ?? '').trimStart();
  }),
  onLines((lines, at, random) => {
    for (let line = at; line < at + 1 + random.below(4); line += 1) {
      if (lines[line] !== undefined) lines[line] = `  ${lines[line]}`;
    }
  }),
  onLines((lines, at, random) => {
    lines[at] = (lines[at] ?? '').replace(/^(\s*(?:- )?)[^:\s]+/, (_, start: string) => start + random.pick(keys));
  }),
  onLines((lines, at, random) => {
    lines[at] = (lines[at] ?? '').replace(/: .*$/, () => `: ${random.pick(values)}`);
  }),
  onLines((lines, at, random) => {
    const depth = 1 + random.below(random.below(10) === 0 ? 5000 : 70);
    const [open, close] = random.pick([
      ['[', ']'],
      ['{a: ', '}'],
      ['- ', ''],
    ] as const);
    lines[at] =
      `${(lines[at] ?? '').replace(/: .*$/, ':')} ${open.repeat(depth)}${close.repeat(random.pick([0, depth]))}`;
  }),
];

/** Lines come up more often: they leave more of a document intact. */
export const mutations: readonly Mutation[] = [
  ...[bytes, bytes, insert, insert, remove, repeat, truncate, behead, splice],
  ...lineMutations,
  ...lineMutations,
];

/** Mostly one change, so that what lies behind the first check is reached, too. */
export const mutated = (text: string, random: Seeded, other: string): string => {
  let changed = text;
  for (let left = random.pick([1, 1, 1, 1, 2, 2, 3, 8]); left > 0; left -= 1) {
    changed = random.pick(mutations)(changed, random, other);
  }
  return changed;
};

/** A document out of nothing: soup of fragments, or a tree with known and unknown keys. */
export const randomText = (random: Seeded): string => {
  const parts = [...fragments, ...values, ...keys];
  return Array.from(
    { length: random.below(60) },
    () => random.pick(parts) + random.pick(['', ' ', ': ', '\n', '\n  ']),
  ).join('');
};

export const randomTree = (random: Seeded, depth: number): unknown => {
  const scalars = [
    null,
    true,
    false,
    0,
    -1,
    8080,
    1e300,
    '',
    'x',
    'open',
    'ext4',
    '/mnt/data',
    'AAAA',
    'K7mQ2xT9vB4nR8wL',
  ];
  if (depth === 0 || random.below(4) === 0) return random.pick(scalars);
  const children = Array.from({ length: random.below(5) }, () => randomTree(random, depth - 1));
  if (random.below(4) === 0) return children;
  return Object.fromEntries(children.map((child) => [random.pick(keys), child]));
};
