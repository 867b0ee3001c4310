/** Where findings point, and what they show. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkContract } from '../../../agent/contract/check.ts';
import { closest } from '../../../agent/contract/closest.ts';
import { renderFindings } from '../../../agent/contract/finding.ts';
import type { Finding } from '../../../agent/contract/types.ts';

const workload = 'type: workload\ncompose:\n  archive: H4sIAAAA\n';
const env = 'type: env\nlogging:\n  logRouter:\n    hostname: h\n    iamApiKey: very_secret_key\n    prt: 443\n';
const block = (text: string, indent: string): string => text.replace(/^(?=.)/gm, indent);
const check = (text: string): readonly Finding[] =>
  checkContract(Buffer.from(text), { profile: 'hpvs', minimumSerial: 0, key: null }).findings;
const only = (text: string, code: string): Finding => {
  const found = check(text).filter((finding) => finding.code === code);
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} findings ${code} in\n${text}`);
  return found[0];
};
/** What stands at the finding's position in the delivered text. */
const wordAt = (text: string, { line, column }: Finding): string | undefined =>
  /^\S*?(?=:|$|\s)/.exec((text.split(/\r?\n/)[line - 1] ?? '').slice(column - 1))?.[0];

t.test('positions point into the document as delivered, whatever wraps the section', async (t) => {
  const plain = `workload: |\n${block(workload, '  ')}env: |\n`;
  const exact: Readonly<Record<string, string>> = {
    'two spaces': plain + block(env, '  '),
    'eight spaces': plain + block(env, '        '),
    'indentation given by number': `${plain.replace('env: |', 'env: |4')}${block(env, '    ')}`,
    'empty lines and a comment first': `${plain}\n\n${block(`# note\n\n${env}`, '   ')}`,
    'kept line ends': plain.replace('env: |', 'env: |+ # kept') + block(env, '  '),
    'CR LF': (plain + block(env, '  ')).replaceAll('\n', '\r\n'),
    'a mapping in place': `workload: |\n${block(workload, '  ')}env:\n${block(env, '  ')}`,
    'characters of several bytes before': `# 😀 ü\n${plain}${block(`# 😀\n${env}`, '  ')}`,
  };
  for (const [name, text] of Object.entries(exact)) {
    const finding = only(text, 'UNKNOWN_KEY');
    t.equal(wordAt(text, finding), 'prt', name);
    t.equal(finding.path, 'env.logging.logRouter.prt', name);
  }
  const loose: Readonly<Record<string, string>> = {
    quoted: `workload: |\n${block(workload, '  ')}env: ${JSON.stringify(env)}\n`,
    folded: `workload: |\n${block(workload, '  ')}env: >\n${block('type: env\nlogging: {logRouter: {hostname: h, iamApiKey: very_secret_key, prt: 443}}', '  ').replace('\n', '\n\n')}\n`,
  };
  for (const [name, text] of Object.entries(loose)) {
    const finding = only(text, 'UNKNOWN_KEY');
    t.same([finding.line, finding.column], [5, 6], `${name}: where the value begins`);
    t.match(finding.within, { section: 'env' }, name);
  }
  t.same(
    only(loose.quoted ?? '', 'UNKNOWN_KEY').within,
    { section: 'env', line: 6, column: 5 },
    'and the line of the section',
  );
});

t.test('syntax errors point, too, and show nothing but the key', async (t) => {
  const finding = only(
    `workload: |\n${block(workload, '  ')}env: |\n${block(env.replace('iamApiKey:', 'iamApiKey: a: '), '  ')}`.replace(
      'a:  very',
      'a: very',
    ),
    'YAML_SYNTAX',
  );
  t.equal(finding.line, 10);
  t.notMatch(finding.excerpt ?? '', /very_secret/);
  t.match(finding.excerpt ?? '', /iamApiKey: \[hidden\]/);
});

t.test('excerpts hide what may be secret, and nothing else', async (t) => {
  const excerpt = (envText: string): string => {
    const [finding] = check(`workload: |\n${block(workload, '  ')}env: |\n${block(envText, '  ')}`);
    return finding?.excerpt ?? '';
  };
  const logging = 'type: env\nlogging: {logRouter: {hostname: h, iamApiKey: x}}\n';
  const table: readonly (readonly [string, string])[] = [
    [
      `${logging}volumes:\n  data: {seed: aVerySecretSeed1, mount: /x} # also secret`,
      '  data: {seed: [hidden], mount: /x}\n                         ^',
    ],
    [`${logging}volumes:\n  data: {sead: aVerySecretSeed1}`, '  data: {sead: [hidden]}\n         ^'],
    [`${logging}volumes:\n  data:\n    seed: short`, '    seed: [hidden]\n          ^'],
    [
      `${logging}volumes:\n  data:\n    seed: aVerySecretSeed1\n    kmsTimeout: -5`,
      '    kmsTimeout: -5\n                ^',
    ],
    [`${logging}env:\n  port: 5`, '  port: [hidden]\n        ^'],
    [
      `${logging}auths:\n  "registry/with/path": {username: aVerySecret, password: aVerySecret}`,
      '  "registry/with/path": {username: [hidden], password: [hidden]}\n  ^',
    ],
  ];
  for (const [text, expected] of table) t.equal(excerpt(text), expected);
});

t.test('an excerpt of one section hides the other, too, when both stand on one line', async (t) => {
  const text = '{"workload": {"type": "workload", "seed": "aVerySecretSeed1"}, "env": {"seed": "aVerySecretSeed2"}}';
  const found = check(text);
  t.ok(found.some(({ path }) => path === 'env') && found.some(({ path }) => path === 'workload'));
  t.notMatch(renderFindings(found, 'x'), /aVerySecret/);
});

t.test('a value that lost the space before it, and so is part of its key, is hidden', async (t) => {
  const logRouter = (inside: string): string => {
    const text = block(`type: env\nlogging:\n  logRouter: {hostname: h, ${inside}}\n`, '  ');
    return renderFindings(check(`workload: |\n${block(workload, '  ')}env: |\n${text}`), 'x');
  };
  for (const key of ['iamApiKey:aVerySecretKey', '"iamApiKey:aVerySecretKey"', "'iamApiKey: aVerySecretKey': b"]) {
    t.match(logRouter(key), /iamApiKey:\[hidden\]/, key);
    t.notMatch(logRouter(key), /aVerySecretKey/, key);
    t.notMatch(logRouter(`${key}, ${key}`), /aVerySecretKey/, `${key}, twice`);
  }
  t.match(logRouter('"registry.example.com:5000": b'), /registry\.example\.com:5000/, 'ports are no secret');
  t.match(logRouter('"https://a": b'), /https:\/\/a/);
});

t.test('names out of the contract cannot drive the terminal', async (t) => {
  const finding = only(
    `workload: |\n${block(workload, '  ')}env: |\n${block(env.replace('prt', '"\u202eprt\u2066"'), '  ')}`,
    'UNKNOWN_KEY',
  );
  t.notMatch(renderFindings([finding], 'x'), /[\p{Cf}]/u);
  const knobs = `${workload}volumes: {"\u202edata": {seed: K7mQ2xT9vB4nR8wL}}\ntriseed: {volumes: {other: {intent: open}}}\n`;
  const found = check(`workload: |\n${block(knobs, '  ')}env: |\n${block(env, '  ')}`);
  t.ok(found.some(({ code }) => code === 'TRISEED_VOLUME_UNKNOWN'));
  t.notMatch(renderFindings(found, 'x'), /[\p{Cf}]/u, 'hints neither');
});

t.test('the report reads well', async (t) => {
  const broken = readFileSync(join(import.meta.dirname, '../../../fixtures/contracts/parts/env.yaml'), 'utf8')
    .replace('hostname:', 'hostnme:')
    .replace('kmsTimeout: 10', 'kmsTimeout: ten')
    .replace('crn:v1:', 'crn:1:');
  const text = `workload: |\n${block(workload, '  ')}env: |\n${block(broken, '  ')}`;
  const golden = join(import.meta.dirname, '../../golden/contract/report.txt');
  const report = renderFindings(check(text), 'contract.yaml');
  if (process.env.TRISEED_GOLDEN === 'write') writeFileSync(golden, report);
  t.equal(report, readFileSync(golden, 'utf8'));
});

t.test('did you mean', async (t) => {
  const table: readonly (readonly [string, readonly string[], string | null])[] = [
    ['sead', ['seed', 'mount'], 'seed'],
    ['Seed', ['seed'], 'seed'],
    ['muont', ['seed', 'mount'], 'mount'],
    ['xyz', ['seed', 'mount'], null],
    ['a', ['b'], 'b'],
    ['seed', [], null],
  ];
  for (const [word, candidates, expected] of table) t.equal(closest(word, candidates), expected, word);
});
