/** Mistakes of samples: each is told once, in words that say what was meant, at the place to change. */
import t from 'tap';
import { checkContract, checkSection } from '../../../agent/contract/check.ts';
import { renderFindings } from '../../../agent/contract/finding.ts';
import type { Finding } from '../../../agent/contract/types.ts';

const workload = 'workload: |\n  type: workload\n  compose:\n    archive: H4sIAAAAAAAAA0vPyU9KzAEAWbNAvQgAAAA=\n';
const env =
  'env: |\n  type: env\n  logging:\n    logRouter:\n      hostname: h.example.com\n      iamApiKey: not_a_real_api_key\n';
const withoutLogging = 'env: |\n  type: env\n';
const fields = 'hostname: h.example.com\n    iamApiKey: not_a_real_api_key\n';

const rules = { profile: 'hpvs', minimumSerial: 0, key: null } as const;
const errorsOf = (text: string): readonly Finding[] =>
  checkContract(Buffer.from(text), rules).findings.filter(
    // The archive is checked elsewhere.
    ({ severity, path }) => severity === 'error' && !path.startsWith('workload.compose'),
  );

/** Text, the one code that must come, the word at its place, a word that the hint must say. */
const table: Readonly<Record<string, readonly [text: string, code: string, at: RegExp, hint: RegExp]>> = {
  'folded section': [workload.replace('|', '>') + env, 'SECTION_FOLDED', /^>/, /workload: \|/],
  'folded section, later errors': [workload + env.replace('|', '>-'), 'SECTION_FOLDED', /^>-/, /env: \|/],
  'settings beside the name of their volume': [
    `${workload}  volumes:\n    test:\n    mount: /mnt/x\n    seed: workload_phrase_1\n    filesystem: ext4\n${env}  volumes:\n    test:\n      seed: env_phrase_1234\n`,
    'KEY_MISINDENTED',
    /^mount/,
    /test:\n {2}mount: …\n {2}seed: …\n {2}filesystem: …/,
  ],
  'settings beside the names of two volumes': [
    `${workload}  volumes:\n    one:\n    seed: workload_phrase_1\n    two:\n    seed: workload_phrase_2\n${env}`,
    'KEY_MISINDENTED',
    /^seed/,
    /two:\n {2}seed: …/,
  ],
  'settings without the name of a volume': [
    `${workload}  volumes:\n    seed: workload_phrase_1\n${env}  volumes:\n    data:\n      seed: env_phrase_1234\n`,
    'KEY_MISINDENTED',
    /^seed/,
    /data:\n {4}seed/,
  ],
  'log service beside logging': [
    `${workload}${withoutLogging}  logging:\n  logRouter:\n    ${fields}`,
    'KEY_MISINDENTED',
    /^logRouter/,
    /logging:\n {2}logRouter: …/,
  ],
  'fields of the log service beside logging': [
    `${workload}${withoutLogging}  logging:\n  ${fields.replace('    ', '  ')}`,
    'KEY_MISINDENTED',
    /^hostname/,
    /logging:\n {2}logRouter:\n {4}hostname/,
  ],
  'fields right below logging': [
    `${workload}${withoutLogging}  logging:\n    ${fields}`,
    'KEY_MISINDENTED',
    /^hostname/,
    /logRouter:/,
  ],
  'logging below type': [
    `${workload}${withoutLogging}    logging:\n      logRouter:\n        ${fields.replace('    ', '        ')}`,
    'KEY_MISINDENTED',
    /^env/,
    /same/,
  ],
  'logging among the variables': [
    `${workload}${withoutLogging}  env:\n    logging:\n      logRouter:\n        ${fields.replace('    ', '        ')}`,
    'KEY_MISINDENTED',
    /^logging/,
    /type: env\nlogging/,
  ],
  'logging at the left margin': [
    `${workload}${withoutLogging}logging:\n  logRouter:\n    ${fields}`,
    'SECTION_ENDS_EARLY',
    /^logging/,
    /indent/,
  ],
  'archive beside compose': [
    `workload: |\n  type: workload\n  compose:\n  archive: H4sIAAAAAAAAA0vPyU9KzAEAWbNAvQgAAAA=\n${env}`,
    'KEY_MISINDENTED',
    /^archive/,
    /compose:\n {2}archive/,
  ],
  'section on the line of its name': [`${workload}env: type: env\n`, 'PIPE_MISSING', /^type/, /env: \|/],
  'no pipe, no indentation': [
    `${workload}env:\ntype: env\nlogging:\n  logRouter:\n    ${fields}`,
    'SECTION_ENDS_EARLY',
    /^env/,
    /env: \|/,
  ],
  'pipe, no indentation': [
    `${workload}${env.replace(/^ {2}/gm, '')}`,
    'SECTION_ENDS_EARLY',
    /^type/,
    /env: \|\n {2}type/,
  ],
  'no indentation in either': [
    (workload + env).replace(/^ {2}/gm, ''),
    'SECTION_ENDS_EARLY',
    /^workload/,
    /workload: \|/,
  ],
  'one tab': [workload + env.replace('    logRouter', '\tlogRouter'), 'TAB_INDENT', /^\tlogRouter/, /spaces/],
  'tabs only': [workload + env.replace(/^ +/gm, '\t'), 'TAB_INDENT', /^\ttype/, /spaces/],
  'a tab deeper inside': [
    workload + env.replace('      hostname', '    \thostname'),
    'TAB_INDENT',
    /^\t?hostname/,
    /spaces/,
  ],
  'one line indented too little': [
    workload + env.replace('      hostname', ' hostname'),
    'SECTION_ENDS_EARLY',
    /^ ?hostname/,
    /by 2/,
  ],
  'one line not indented': [
    workload + env.replace('    logRouter', 'logRouter'),
    'SECTION_ENDS_EARLY',
    /^logRouter/,
    /indent/,
  ],
  'key text not deeper than its key': [
    `${workload}${env}  signingKey: |\n  -----BEGIN PUBLIC KEY-----\n  MIIBIjANBgkqhkiG9w0BAQEF\n  -----END PUBLIC KEY-----\n`,
    'KEY_MISINDENTED',
    /^(-----BEGIN|MIIB)/,
    /signingKey: \|\n {2}-----BEGIN/,
  ],
  'four dashes': [
    `${workload}${env}attestationPublicKey: |\n  -----BEGIN PUBLIC KEY-----\n  MIIB\n  -----END PUBLIC KEY----\n`,
    'PEM_DASHES',
    /^\|/,
    /five/,
  ],
  'indentation by no-break spaces': [
    workload + env.replace('    logRouter', '\u00a0\u00a0\u00a0\u00a0logRouter'),
    'COPIED_TEXT',
    /^\u00a0+logRouter/,
    /type it again/,
  ],
  'a fenced block': [`\`\`\`yaml\n${workload}${env}\`\`\`\n`, 'COPIED_TEXT', /^```/, /delete/],
  'typographic quotation marks': [
    `${workload}  volumes:\n    data:\n      seed: w0rkl0ad_0123456xyz\n${env}  volumes:\n    data:\n      seed: \u201cq83hfo38fhqo38f\u201d\n`,
    'COPIED_TEXT',
    /^\u201c/,
    /"/,
  ],
  'a dash too many': [
    `${workload}${withoutLogging}  logging:\n    - logRouter:\n        ${fields.replace('    ', '        ')}`,
    'KEY_MISINDENTED',
    /^- logRouter/,
    /remove the dash/,
  ],
  'a slash at the end': [
    `${workload}  volumes:\n    data:\n      seed: q83hfo38fhqo38fw\n      mount: /mnt//data/\n${env}  volumes:\n    data:\n      seed: 0zhw3foq93h8fqo3\n`,
    'WRONG_PATTERN',
    /^\/mnt/,
    /type \/mnt\/data$/,
  ],
  logDNA: [
    workload + env.replace('logRouter', 'logDNA').replace('iamApiKey', 'ingestionKey'),
    'LOGDNA_RETIRED',
    /^logDNA/,
    /logRouter/,
  ],
};

t.test('each mistake is one error, at the place to change', async (t) => {
  for (const [name, [text, code, at, hint]] of Object.entries(table)) {
    const errors = errorsOf(text);
    t.same(
      errors.map((found) => found.code),
      [code],
      `${name}\n${renderFindings(errors, name)}`,
    );
    const [found] = errors;
    if (found === undefined) continue;
    const line = text.split('\n')[found.line - 1] ?? '';
    t.match(line.slice(found.column - 1), at, `${name}: line ${found.line}, column ${found.column} of ${line}`);
    t.match(found.hint, hint, name);
    t.notMatch(renderFindings(errors, name), /not_a_real|_phrase_|q83hfo|0zhw3/, `${name}: nothing secret`);
  }
});

t.test('the same with Windows line ends', async (t) => {
  for (const [name, [text, code]] of Object.entries(table))
    t.same(
      errorsOf(text.replaceAll('\n', '\r\n')).map((found) => found.code),
      [code],
      name,
    );
});

t.test('a lint takes the place of errors and makes none', async (t) => {
  const valid: Readonly<Record<string, string>> = {
    'a folded section that means the same':
      workload +
      env
        .replace('|', '>')
        .replaceAll(/\n(?= )/g, '\n\n')
        .replace(/ {4,6}\S.*\n/g, ''),
    'unknown keys outside': `${workload}${env}logging: x\ntype: x\n`,
    'a variable called logging': `${workload}${env}  env:\n    logging: "info"\n`,
    'typographic marks in a variable': `${workload}${env}  env:\n    TITLE: \u201cx\u201d\n`,
    'a no-break space in a value': `${workload}${env}  env:\n    TITLE: "a\u00a0b"\n`,
  };
  const [first = ['', ''], ...others] = Object.entries(valid);
  t.ok(
    errorsOf(first[1]).every(({ code }) => code !== 'SECTION_FOLDED'),
    first[0],
  );
  for (const [name, text] of others) t.same(errorsOf(text), [], `${name}\n${renderFindings(errorsOf(text), name)}`);
});

t.test('real faults beside a mistake are still told', async (t) => {
  const text = `${workload}  volumes:\n    test:\n    seed: workload_phrase_1\n${env}  volumes:\n    test:\n      seed: short\n`;
  t.same(
    new Set(errorsOf(text).map(({ code }) => code)),
    new Set(['KEY_MISINDENTED', 'WRONG_PATTERN']),
    renderFindings(errorsOf(text), 'x'),
  );
});

t.test('one section on its own', async (t) => {
  const text = env.split('\n').slice(1).join('\n').replace(/^ {2}/gm, '').replace('  logRouter:', 'logRouter:');
  const codes = (section: string): readonly string[] =>
    checkSection(Buffer.from(section), 'env', rules).flatMap(({ code, severity }) =>
      severity === 'error' ? [code] : [],
    );
  t.same(codes(text), ['KEY_MISINDENTED']);
  t.same(codes(text.replace('logRouter', '\tlogRouter')), ['TAB_INDENT']);
});
