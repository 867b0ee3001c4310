/** Documents that are made to harm their reader, with the one code that each must be refused with. */
import { randomBytes } from 'node:crypto';

export interface Hostile {
  readonly name: string;
  /** Made when it is its turn: together they would take half a gigabyte. */
  readonly bytes: () => Uint8Array;
  /** Code of every error that is found. */
  readonly code: string;
}

const full = 4 * 1024 * 1024;
const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');
const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');
/** `part` again and again, up to 4 MiB together with `before` and `after`. */
const filled = (part: string, before = '', after = ''): string =>
  before + part.repeat(Math.floor((full - before.length - after.length) / part.length)) + after;

const logging = 'logging:\n  logRouter: {hostname: logs.example.com, iamApiKey: none}\n';
const kind = 'play: {}\n';

/** A contract whose sections are valid but for what is added. */
export const contract = (workload: string, env = '', outer = ''): string =>
  `workload: |\n${indented(`type: workload\n${kind}${workload}`)}\nenv: |\n${indented(`type: env\n${logging}${env}`)}\n${outer}`;

/** As `contract`, with a workload of its own. */
const playing = (play: string): string =>
  `workload: |\n${indented(`type: workload\n${play}`)}\nenv: |\n${indented(`type: env\n${logging}`)}\n`;

/** As `contract`, with a log server whose certificate is given. */
const syslog = (server: string): string =>
  `workload: |\n${indented(`type: workload\n${kind}`)}\nenv: |\n${indented(`type: env\nlogging: {syslog: {hostname: logs.example.com, server: ${server}}}`)}\n`;

export const laughs = (name: string): string =>
  [
    `${name}0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]`,
    ...Array.from({ length: 9 }, (_, at) => `${name}${at + 1}: &a${at + 1} [${`*a${at}, `.repeat(9)}*a${at}]`),
  ].join('\n');

const text = (name: string, make: () => string, code: string): Hostile => ({
  name,
  bytes: () => Buffer.from(make()),
  code,
});

const yaml: readonly Hostile[] = [
  text('billion laughs', () => laughs('a'), 'YAML_LIMIT'),
  text('billion laughs inside a section', () => contract(laughs('x')), 'YAML_LIMIT'),
  text('an anchor that holds itself', () => 'workload: &a [*a]\nenv: b', 'YAML_LIMIT'),
  text('a million aliases', () => filled('*a,', 'workload: &a b\nenv: [', ']'), 'YAML_LIMIT'),
  text('a key twice', () => `${contract('')}env: x`, 'YAML_DUPLICATE_KEY'),
  text('a key twice inside a section', () => contract('type: workload'), 'YAML_DUPLICATE_KEY'),
  text('a key twice, once as a number', () => contract('env:\n  1: a\n  "1": b'), 'YAML_DUPLICATE_KEY'),
  text('the key __proto__', () => contract('', '', '__proto__: {type: x}'), 'YAML_KEY'),
  text('the key __proto__ inside a section', () => contract('env: {__proto__: {A: b}}'), 'YAML_KEY'),
  text('the key __proto__ spelt with an escape', () => contract('env: {"\\x5f_proto__": {A: b}}'), 'YAML_KEY'),
  text('the key __proto__ in JSON', () => '{"__proto__": {"workload": "a"}, "workload": "b", "env": "c"}', 'YAML_KEY'),
  text('a tag that calls a function', () => contract('env: {A: !!js/function "x"}'), 'YAML_SYNTAX'),
  text('a tag that makes an object', () => contract('env: {A: !!python/object/apply:os.system [ls]}'), 'YAML_SYNTAX'),
  text('a binary tag', () => contract('env: {A: !!binary aGk=}'), 'YAML_SYNTAX'),
  text('a tag of its own', () => 'workload: !section a\nenv: b', 'YAML_SYNTAX'),
  text('YAML 1.1', () => `%YAML 1.1\n---\n${contract('')}`, 'YAML_DIRECTIVE'),
  text('YAML 1.1 inside a section', () => contract('').replace('|\n', '|\n  %YAML 1.1\n  ---\n'), 'YAML_DIRECTIVE'),
  text('70,000 directives', () => `${lines(70_000, (at) => `%TAG !${at}! tag:example.com`)}\n---\na: b`, 'YAML_LIMIT'),
  text('two documents', () => `${contract('')}---\nenv: x`, 'YAML_SYNTAX'),
  text('flow brackets, 4 MiB of them', () => filled('[', 'workload: '), 'YAML_LIMIT'),
  text('flow braces', () => filled('{a: ', 'workload: '), 'YAML_LIMIT'),
  text('closed brackets, 200 deep', () => `workload: ${'['.repeat(200)}${']'.repeat(200)}\nenv: a`, 'YAML_LIMIT'),
  text('block mappings, 2,000 deep', () => lines(2000, (at) => `${' '.repeat(at)}a:`), 'YAML_LIMIT'),
  text('block sequences', () => filled('- ', 'workload:\n  '), 'YAML_LIMIT'),
  text('explicit keys', () => filled('? '), 'YAML_LIMIT'),
  text('deep inside a section', () => contract(`x: ${'{a: '.repeat(100)}b${'}'.repeat(100)}`), 'YAML_LIMIT'),
  text('100,000 keys', () => lines(100_000, (at) => `k${at}: v`), 'YAML_LIMIT'),
  text('100,000 keys on one line', () => `{${Array.from({ length: 100_000 }, (_, at) => `k${at}: v`)}}`, 'YAML_LIMIT'),
  text('100,000 keys inside a section', () => contract(`env:\n${lines(100_000, (at) => `  K${at}: v`)}`), 'YAML_LIMIT'),
  text('400,000 times the same key', () => filled('a: b\n'), 'YAML_LIMIT'),
  text('a million values', () => filled('1,', 'workload: [', ']'), 'YAML_LIMIT'),
  text('two million line breaks', () => filled('\r\n'), 'YAML_LIMIT'),
  text('two million comments', () => filled('#\n'), 'YAML_LIMIT'),
  text('a block of a million lines', () => filled(' x\n', 'workload: |\n'), 'YAML_LIMIT'),
  text('a folded block of a million lines', () => filled(' x\n', 'workload: >\n'), 'YAML_LIMIT'),
  text('a million quotes', () => filled('"'), 'YAML_LIMIT'),
  text('a million anchors', () => filled('&a '), 'YAML_LIMIT'),
  text('a million tags', () => filled('!a '), 'YAML_LIMIT'),
  text('a quote that is never closed', () => filled('x ', 'workload: "'), 'YAML_LIMIT'),
  text('a quoted value over a million lines', () => filled(' x\n', 'workload: "', '"'), 'YAML_LIMIT'),
  text('a quoted value of 4 MiB with YAML escapes', () => filled('\\x41', 'workload: "', '"\nenv: a'), 'YAML_LIMIT'),
  text('a key of 4 MiB', () => filled('x', '', ': a'), 'YAML_LIMIT'),
  text('a number of 4 MiB', () => filled('9', 'workload: ', '\nenv: a'), 'WRONG_TYPE'),
  text('nothing but tabs', () => filled('\t'), 'TAB_INDENT'),
  text('nothing but spaces', () => filled(' '), 'NOT_A_MAPPING'),
  text('nothing', () => '', 'NOT_A_MAPPING'),
  { name: 'random bytes', bytes: () => randomBytes(full).fill(0xff, 0, 1), code: 'NOT_UTF8' },
  { name: 'UTF-16', bytes: () => Buffer.from(`\ufeff${contract('')}`, 'utf16le'), code: 'NOT_UTF8' },
  {
    name: 'a cut character at the end',
    bytes: () => Buffer.from(`${contract('')}# é`).subarray(0, -1),
    code: 'NOT_UTF8',
  },
  { name: 'an encoded surrogate', bytes: () => Buffer.from([0x61, 0x3a, 0xed, 0xa0, 0x80]), code: 'NOT_UTF8' },
  text('NUL', () => `${contract('')}# \0`, 'YAML_CHARACTER'),
  text('NUL by an escape', () => contract('env: {A: "\\0"}'), 'YAML_CHARACTER'),
  text('half a surrogate pair by an escape', () => contract('env: {A: "\\ud800"}'), 'YAML_CHARACTER'),
  text('a terminal escape', () => contract('env: {A: "\x1b]0;owned\x07"}'), 'YAML_CHARACTER'),
];

const crn = 'crn:v1:bluemix:public:kms:eu-de:a/a:b:key:';

const sections: readonly Hostile[] = [
  text(
    '3,400 volumes at one mount point',
    () => {
      const volumes = `volumes:\n${lines(3400, (at) => `  v${at}: {seed: abcdefghijklmnopq}`)}`;
      return contract(volumes, volumes);
    },
    'WRONG_LENGTH',
  ),
  text('16,000 wrong resources', () => playing(`play: {resources: [${'{},'.repeat(16_000)}]}`), 'MISSING_KEY'),
  text(
    '900 wrong resources behind 99 aliases',
    () => {
      const resources = `resources: &a [${'{},'.repeat(900)}]`;
      return playing(`play:\n  ${resources}\n  templates: [${'*a,'.repeat(99)}]`);
    },
    'MISSING_KEY',
  ),
  text('6,000 numbers for variables', () => contract(`env:\n${lines(6000, (at) => `  K${at}: 1`)}`), 'WRONG_TYPE'),
  text('7,500 names that are none', () => contract(`env:\n${lines(7500, (at) => `  "${at}-": "1"`)}`), 'UNKNOWN_KEY'),
  text('6,000 registries', () => contract(`auths:\n${lines(6000, (at) => `  a${at}.com: {}`)}`), 'MISSING_KEY'),
  text(
    '2,700 kms entries',
    () => {
      const entries = Array.from({ length: 2700 }, (_, at) => `{apiKey: none-at-all, crn: "${crn}${at}"}`).join(', ');
      return contract(
        'volumes: {data: {seed: K7mQ2xT9vB4nR8wL}}',
        `volumes: {data: {seed: Zz1Yy2Xx3Ww4Vv5U, kms: [${entries}]}}`,
      );
    },
    'WRONG_LENGTH',
  ),
  text('5,000 certificate authorities', () => contract('', `cacerts: [${'{a: AAAA},'.repeat(5000)}]`), 'WRONG_LENGTH'),
  ...(
    [
      ['without spaces', 'aaaa'],
      ['with spaces', 'aaaa '],
      ['that begins like PEM', '-----BEGIN CERTIFICATE-----\\nAAAA\\n'],
    ] as const
  ).map(([name, part]) =>
    text(
      `a certificate of 3 MiB ${name}`,
      () => syslog(`"${part.repeat(Math.floor(3_000_000 / part.length))}!"`),
      'WRONG_PATTERN',
    ),
  ),
  text(
    'a seed of 3 MiB',
    () =>
      contract(`volumes: {data: {seed: "${'a b'.repeat(1_000_000)}"}}`, 'volumes: {data: {seed: Zz1Yy2Xx3Ww4Vv5U}}'),
    'WRONG_PATTERN',
  ),
  text(
    'a mount path of 3 MiB',
    () =>
      contract(
        `volumes: {data: {seed: K7mQ2xT9vB4nR8wL, mount: ${'/a'.repeat(1_500_000)}}}`,
        'volumes: {data: {seed: Zz1Yy2Xx3Ww4Vv5U}}',
      ),
    'WRONG_LENGTH',
  ),
  text(
    'a signature of 3 MiB',
    () => contract('', '', `envWorkloadSignature: "${'AAAA '.repeat(600_000)}!"`),
    'WRONG_PATTERN',
  ),
  text(
    'an attestation key of 3 MiB',
    () => contract('', '', `attestationPublicKey: "${'-----BEGIN PUBLIC KEY-----\\n'.repeat(100_000)}"`),
    'ATTESTATION_KEY_INVALID',
  ),
];

export const hostileDocuments: readonly Hostile[] = [...yaml, ...sections];
