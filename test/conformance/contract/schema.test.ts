/** The schemas as documents, what is generated from them, and the agent configuration. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import t from 'tap';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { hasCode } from '../../../agent/errors.ts';
import { fieldsOf } from '../../../scripts/schema-fields.ts';
import { type JsonObject, schemas, sectionSchemas, sharedSchemas } from '../../../scripts/schemas.ts';

const root = join(import.meta.dirname, '../../..');
/** Started at once, as it takes longest; the other tests run beside it. */
const checked = new Promise<{ readonly status: number | null; readonly stderr: string }>((resolve) => {
  const child = spawn(process.execPath, [join(root, 'scripts/generate.ts'), '--check'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  child.on('close', (status) => resolve({ status, stderr }));
});

const documents: Readonly<Record<string, JsonObject>> = {
  contract: schemas.contract,
  network: schemas.network,
  agent: schemas.agent,
  ...sectionSchemas,
};

t.test('every field has a description and an example, and every example is one', async (t) => {
  const ajv = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true, inlineRefs: false });
  for (const [name, schema] of Object.entries({ ...sharedSchemas, ...documents })) ajv.addSchema(schema, name);
  const seen = new Set<string>();
  for (const [name, schema] of Object.entries(documents)) {
    for (const { key, name: field, whole } of fieldsOf(schema)) {
      const address = key.startsWith('#') ? `${name}${key}` : key;
      if (whole === false || seen.has(address)) continue;
      seen.add(address);
      const { description, examples } = whole as { description?: unknown; examples?: unknown };
      const said = typeof description === 'string' && Array.isArray(examples) && examples.length > 0;
      if (!said) t.fail(`${name}: ${field} has no description or no example`);
      for (const example of said ? examples : []) {
        if (ajv.getSchema(address)?.(example) !== true) {
          t.fail(`${name}: ${field}: ${JSON.stringify(example)} ${JSON.stringify(ajv.getSchema(address)?.errors)}`);
        }
      }
    }
  }
  t.ok(seen.size > 250, `${seen.size} fields`);
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
      certificate: null,
      profile: 'hpvs',
      trustedSigners: [],
      minimumSerial: 0,
    },
    kms: { iam: 'https://iam.cloud.ibm.com', endpoints: {}, ca: [], proxy: null, pollSeconds: 60, onRevoked: 'grace' },
    logging: { remote: 'required', waitSeconds: 300 },
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
    ['contract: {certificate: relative.pem}\n', /right form/],
    ['logging: {remote: optional}\n', /one of required, off/],
    ['logging: {waitSeconds: -1}\n', /least 0/],
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

t.test('what is generated is up to date', async (t) => {
  const { status, stderr } = await checked;
  t.equal(status, 0, stderr);
});
