/** The small documents of the hand-over: registry credentials, variables and pods for podman, hashes. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { hasCode } from '../../../agent/errors.ts';
import { Secret } from '../../../agent/secret.ts';
import { contractRecord } from '../../../agent/workload/contract-record.ts';
import { configMap, podDocuments } from '../../../agent/workload/pods.ts';
import { registryAuth } from '../../../agent/workload/registry-auth.ts';
import { renderTemplate } from '../../../agent/workload/template.ts';
import { onTheLine, plainEnv } from './contract-on-the-line.ts';

const credential = (username: string, password: string) => ({ username, password: Secret.fromText(password) });
const authOf = (...auths: readonly (readonly [string, ReturnType<typeof credential>])[]) =>
  registryAuth(new Map(auths)).expose((bytes) => JSON.parse(bytes.toString('utf8')));

t.test('registry credentials', async (t) => {
  const read = authOf(
    ['registry.example.com:5000', credential('reader', 'pässword:with colon')],
    ['docker.io', credential('hub-user', 'hub-password')],
    ['constructor', credential('odd', 'name')],
  );
  const users = Object.entries(read.auths as Record<string, { auth: string }>).map(([registry, { auth }]) => [
    registry,
    Buffer.from(auth, 'base64').toString('utf8'),
  ]);
  t.strictSame(users, [
    ['registry.example.com:5000', 'reader:pässword:with colon'],
    ['docker.io', 'hub-user:hub-password'],
    ['constructor', 'odd:name'],
    ['https://index.docker.io/v1/', 'hub-user:hub-password'],
  ]);
  const own = authOf(
    ['docker.io', credential('aaa', 'bbb')],
    ['https://index.docker.io/v1/', credential('ccc', 'ddd')],
  );
  t.equal(
    Buffer.from(own.auths['https://index.docker.io/v1/'].auth, 'base64').toString(),
    'ccc:ddd',
    'given one stays',
  );
  t.strictSame(authOf(), { auths: {} });
  t.throws(() => authOf(['r.example.com', credential('a:b', 'secret-word')]), {
    code: 'REGISTRY_AUTH_UNUSABLE',
    facts: { registry: 'r.example.com' },
  });
});

const env = new Map([
  ['NAME', 'value'],
  ['YES', 'yes'],
  ['OCTAL', '010'],
  ['Y', "it's: {{ .Env.NAME }} #"],
  ['LINES', 'one\ntwo\u2028three\u0085four'],
]);

t.test('the ConfigMap holds strings, whatever reads it', async (t) => {
  const text = configMap(env);
  const [document] = parseAllDocuments(text, { version: '1.1' });
  t.strictSame(document?.toJS(), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'contract.config.map' },
    data: Object.fromEntries(env),
  });
});

t.test('template expressions', async (t) => {
  t.equal(renderTemplate('{{ .Env.NAME }}', env, 'x'), 'value');
  t.equal(renderTemplate('{{.Env.NAME}}/{{ .Env.YES }}', env, 'x'), 'value/yes');
  t.equal(renderTemplate('a \n{{- .Env.NAME -}}\n b', env, 'x'), 'avalueb', 'dashes trim');
  t.equal(renderTemplate('{{ .Env.NAME -}} {{- .Env.NAME }}', env, 'x'), 'valuevalue');
  t.equal(renderTemplate('no braces }} here', env, 'x'), 'no braces }} here');
  t.equal(renderTemplate('{{ .Env.Y }}', env, 'x'), env.get('Y'), 'a value is not looked into');
  const nested = renderTemplate(
    { '{{ .Env.NAME }}': ['{{ .Env.YES }}', 7, null, { deep: 'x{{ .Env.OCTAL }}' }] },
    env,
    'templates[0]',
  );
  t.strictSame(nested, { '{{ .Env.NAME }}': ['yes', 7, null, { deep: 'x010' }] });
  const bad = [
    '{{ .Env.MISSING }}',
    '{{ .Env }}',
    '{{ env "NAME" }}',
    '{{ .Env.NAME | quote }}',
    '{{ if .Env.NAME }}x{{ end }}',
    '{{ .Env.NAME',
    '{{',
    '{{/* comment */}}',
    '{{- .Env.NAME-}}',
    '{{-.Env.NAME }}',
  ];
  for (const text of bad)
    t.throws(() => renderTemplate({ a: [text] }, env, 'templates[0]'), { name: 'TemplateError' }, text);
  t.throws(() => renderTemplate({ a: ['x', '{{ .Env.MISSING }}'] }, env, 'templates[0]'), {
    message: 'templates[0].a[1] asks for MISSING, which neither env nor workload sets',
  });
});

t.test('no value of a variable changes the structure of a pod', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const pod = { kind: 'Pod', image: '{{ .Env.V }}', rest: 'kept' };
      const [document, ...more] = parseAllDocuments(
        podDocuments({ resources: [], templates: [pod] }, new Map([['V', value]])),
      );
      return more.length === 0 && JSON.stringify(document?.toJS()) === JSON.stringify({ ...pod, image: value });
    }),
    { numRuns: 200 },
  );
});

t.test('resources come before templates, as they are', async (t) => {
  const text = podDocuments(
    { resources: [{ kind: 'Pod', raw: '{{ not looked at' }], templates: [{ kind: 'ConfigMap' }] },
    env,
  );
  t.strictSame(
    parseAllDocuments(text).map((document) => document.toJS()),
    [{ kind: 'Pod', raw: '{{ not looked at' }, { kind: 'ConfigMap' }],
  );
  t.equal(podDocuments({ resources: [], templates: [] }, env), '');
  for (const number of [Number.POSITIVE_INFINITY, Number.NaN, 2 ** 53])
    t.throws(() => podDocuments({ resources: [{ a: [number] }], templates: [] }, env), { name: 'TemplateError' });
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

t.test('the record', async (t) => {
  const workload = 'type: workload\nplay: {}\n';
  const { contract, sealed } = onTheLine(workload, plainEnv, {
    cidata: { metaData: Buffer.from('instance-id: x\n'), vendorData: null },
  });
  const stripped = (text: string): string => text.replaceAll('\n', '');
  t.strictSame(contractRecord(contract, sealed).split('\n'), [
    'Triseed: not signed',
    `${sha256('instance-id: x\n')} cidata/meta-data`,
    `${sha256(sealed.bytes.toString())} cidata/user-data`,
    `${sha256(workload)} contract:workload`,
    `${sha256(stripped(workload))} contract:workload (line breaks removed)`,
    `${sha256(plainEnv)} contract:env`,
    `${sha256(stripped(plainEnv))} contract:env (line breaks removed)`,
    '',
  ]);
  const { cidata: _, ...file } = sealed;
  t.match(contractRecord(contract, file), /^[0-9a-f]{64} user-data$/m, 'a contract that came as a file');
  t.throws(() => contractRecord({ ...contract }, sealed), TypeError);
});

t.test('errors name no password', async (t) => {
  try {
    authOf(['r.example.com', credential('a:b', 'PLANTED-password')]);
    t.fail('taken');
  } catch (error) {
    t.ok(hasCode(error, 'REGISTRY_AUTH_UNUSABLE'));
    t.notMatch(JSON.stringify(error) + String(error), /PLANTED/);
  }
});
