/** The schemas as documents, what is generated from them, and the agent configuration. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { hasCode } from '../../../agent/errors.ts';

const root = join(import.meta.dirname, '../../..');
const names = ['common', 'play', 'workload', 'env', 'contract', 'network', 'agent', 'profiles'];

/** Every schema of a field: below `properties`, `patternProperties`, `additionalProperties`, `items`, or a patch. */
const fieldsOf = (schema: unknown, path: string): { path: string; field: Record<string, unknown> }[] => {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) => {
    const here = `${path}/${key}`;
    const isFieldMap = ['properties', 'patternProperties', '$defs'].includes(key);
    const isField = ['additionalProperties', 'items'].includes(key) && typeof value === 'object' && value !== null;
    const own = isFieldMap
      ? Object.entries(value as object).map(([name, field]) => ({ path: `${here}/${name}`, field }))
      : isField
        ? [{ path: here, field: value as Record<string, unknown> }]
        : [];
    return [
      ...own.filter(({ field }) => typeof field === 'object'),
      ...(['examples', 'default', 'if'].includes(key) ? [] : fieldsOf(value, here)),
    ];
  });
};

t.test('every field has a description and an example', async (t) => {
  let fields = 0;
  for (const name of names) {
    const schema = JSON.parse(readFileSync(join(root, 'contract-schema', `${name}.json`), 'utf8'));
    for (const { path, field } of fieldsOf(schema, name)) {
      if ('$ref' in field) continue;
      fields += 1;
      t.ok(typeof field.description === 'string' && Array.isArray(field.examples), path);
    }
  }
  t.ok(fields > 90, `${fields} fields`);
});

t.test('what is generated is up to date', async (t) => {
  const result = spawnSync(process.execPath, [join(root, 'scripts/generate.ts'), '--check'], { encoding: 'utf8' });
  t.equal(result.status, 0, result.stderr);
});

t.test('validators need no code generation at run time', async (t) => {
  const script =
    "const m = await import('./contract-schema/generated/profiles.ts'); process.stdout.write(String(m.profiles.hpvs.env({type: 'env'})))";
  const options = { cwd: root, encoding: 'utf8' } as const;
  const result = spawnSync(
    process.execPath,
    ['--disallow-code-generation-from-strings', '--input-type=module', '-e', script],
    options,
  );
  t.equal(result.stdout, 'false', result.stderr);
  for (const file of ['contract-validators.js', 'network-validator.js', 'agent-validator.js']) {
    const text = readFileSync(join(root, 'contract-schema/generated', file), 'utf8');
    t.notOk(/new Function|[^.\w]eval\(|^import /m.test(text), `${file} stands alone`);
  }
});

t.test('the configuration: defaults, and every kind of fault with its line', async (t) => {
  const defaults = parseConfiguration('');
  t.same(defaults, {
    contract: {
      sources: [{ nocloud: 'cidata' }, { credential: 'triseed.contract' }],
      key: '/etc/triseed/contract-key.pem',
      profile: 'hpvs',
      trustedSigners: [],
      minimumSerial: 0,
    },
    kms: { iam: 'https://iam.cloud.ibm.com', endpoints: {}, ca: [], proxy: null, pollSeconds: 60, onRevoked: 'grace' },
    volumes: { devices: {}, deviceWaitSeconds: 900, legacyProfiles: [] },
    paths: { state: '/var/hyperprotect', run: '/run/triseed' },
    workload: { folder: '/data1', registryAuth: '/root/.docker/config.json' },
    power: 'systemd',
  });
  t.same(parseConfiguration('# nothing\n'), defaults);
  t.same(parseConfiguration('kms: {pollSeconds: 5}\n').kms, { ...defaults.kms, pollSeconds: 5 });
  t.equal(parseConfiguration('kms: {iam: "http://127.0.0.1:8080/identity"}').kms.iam, 'http://127.0.0.1:8080/identity');
  const faults: readonly (readonly [string, RegExp])[] = [
    ['kms:\n  pollSecond: 5\n', /:2:3: .*pollSecond.*\n.*\n.*\n.*"pollSeconds" meant/],
    ['kms: {pollSeconds: 0}\n', /least 1/],
    ['kms: {iam: "http://example.com"}\n', /right form/],
    ['kms: {iam: "http://127.0.0.1.example.com"}\n', /right form/],
    ['kms: {endpoints: {a: "ftp://x"}}\n', /right form/],
    ['contract: {sources: []}\n', /at least 1/],
    ['contract: {sources: [{nocloud: a, file: /b}]}\n', /at most 1/],
    ['contract: {sources: [{credential: "../x/y"}]}\n', /right form/],
    ['contract: {trustedSigners: [ABC]}\n', /right form/],
    ['contract: {minimumSerial: -1}\n', /least 0/],
    ['contract: {key: relative.pem}\n', /right form/],
    ['volumes: {devices: {data: vdb}}\n', /right form/],
    ['power: off\n', /one of systemd, report\n {4}power: off/],
    ['paths: {run: /run, run: /x}\n', /appears twice/],
    ['- a\n', /no YAML mapping/],
    ['a: [\n', /YAML_SYNTAX/],
  ];
  for (const [text, words] of faults) {
    try {
      parseConfiguration(text, 'agent.yaml');
      t.fail(text);
    } catch (error) {
      if (!hasCode(error, 'CONFIGURATION_INVALID')) throw error;
      t.match(error.message, words, text);
    }
  }
});
