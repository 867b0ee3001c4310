/** Remarks that only authors get: seeds, outages, disks. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { checkContract } from '../../../agent/contract/check.ts';
import { renderFindings } from '../../../agent/contract/finding.ts';
import { seedWeakness } from '../../../agent/contract/seed-strength.ts';
import type { Finding } from '../../../agent/contract/types.ts';

const seed = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 32);
const crn = (key: string): string =>
  `crn:v1:bluemix:public:kms:eu-de:a/0123456789abcdef0123456789abcdef:8e19aaff-df40-4623-bef2-86cb19a9d8bd:key:${key}`;

type Volume = Readonly<Record<string, unknown>>;
type Volumes = Readonly<Record<string, Volume>>;

/** Two sections with these volumes; a seed of its own where none is given. */
const contract = (env: Volumes, workload: Volumes = {}, settings: unknown = {}): string => {
  const filled = (section: string, given: Volumes, index: (key: string, volume: Volume) => Volume): Volumes =>
    Object.fromEntries(
      Object.keys(env).map((key) => {
        const volume = given[key] ?? {};
        return [key, { seed: seed(`${section} ${key}`), ...index(key, volume) }];
      }),
    );
  const sections = {
    workload: {
      type: 'workload',
      compose: { archive: 'H4sIAAAAAAAAA0vPyU9KzAEAWbNAvQgAAAA=' },
      volumes: filled('workload', workload, (key, volume) => ({ mount: `/mnt/${key}`, ...volume })),
      triseed: settings,
    },
    env: {
      type: 'env',
      logging: { logRouter: { hostname: 'h.example.com', iamApiKey: 'not_a_real_api_key' } },
      volumes: filled('env', env, (_key, volume) => volume),
    },
  };
  return `workload: |\n  ${JSON.stringify(sections.workload)}\nenv: |\n  ${JSON.stringify(sections.env)}\n`;
};

const found = (text: string): readonly Finding[] =>
  checkContract(Buffer.from(text), { profile: 'hpvs', minimumSerial: 0, key: null }).findings.filter(
    ({ path }) => !path.startsWith('workload.compose') && !path.startsWith('workload.triseed'),
  );
const kms = (...keys: readonly string[]) => keys.map((key) => ({ apiKey: 'not_a_real_api_key', crn: crn(key) }));

const table: Readonly<Record<string, readonly [text: string, codes: readonly string[], paths: readonly string[]]>> = {
  'nothing to say': [contract({ data: {}, logs: { kms: kms('a', 'b') } }), [], []],
  'a seed of the documentation': [
    contract({ data: { seed: 'env_phrase12345' } }),
    ['SEED_WEAK'],
    ['env.volumes.data.seed'],
  ],
  'one seed in both sections': [
    contract({ data: { seed: seed('one') } }, { data: { seed: seed('one') } }),
    ['SEED_REPEATED'],
    ['env.volumes.data.seed'],
  ],
  'one seed for two volumes': [
    contract({ data: { seed: seed('one') }, logs: { seed: seed('one') } }),
    ['SEED_REPEATED'],
    ['env.volumes.logs.seed'],
  ],
  'the old seed again': [
    contract({ data: { seed: seed('one'), previousSeed: seed('one') } }),
    ['PREVIOUS_SEED_IDLE'],
    ['env.volumes.data.previousSeed'],
  ],
  'an old seed for a new volume': [
    contract({ data: {} }, { data: { previousSeed: seed('old') } }, { volumes: { data: { intent: 'create' } } }),
    ['PREVIOUS_SEED_IDLE'],
    ['workload.volumes.data.previousSeed'],
  ],
  'no patience': [
    contract({ data: { kms: kms('a'), kmsTimeout: 0 } }),
    ['KMS_TIMEOUT_SHORT'],
    ['env.volumes.data.kmsTimeout'],
  ],
  'little patience': [
    contract({ data: { kms: kms('a'), kmsTimeout: 4 } }),
    ['KMS_TIMEOUT_SHORT'],
    ['env.volumes.data.kmsTimeout'],
  ],
  'patience without a key service': [contract({ data: { kmsTimeout: 0 } }), [], []],
  'two patiences': [
    contract({ data: { kms: kms('a'), kmsTimeout: 15 }, logs: { kms: kms('a') } }),
    ['KMS_TIMEOUTS_DIFFER'],
    ['env.volumes.data.kmsTimeout'],
  ],
  'one root key twice': [
    contract({ data: { kms: kms('a', 'b', 'a') } }),
    ['KMS_KEY_REPEATED'],
    ['env.volumes.data.kms[2].crn'],
  ],
  'one disk twice': [
    contract({ data: { volumeName: 'disk' }, logs: { volumeName: 'disk' } }),
    ['VOLUME_DISK_REPEATED'],
    ['env.volumes.logs.volumeName'],
  ],
  'a name that is the key of another': [
    contract({ data: { volumeName: 'logs' }, logs: {} }),
    ['VOLUME_DISK_REPEATED'],
    ['env.volumes.logs'],
  ],
  'an id goes before a name': [contract({ data: { volumeName: 'logs', volumeID: '0726-451e' }, logs: {} }), [], []],
  'names alike in what a disk can tell': [
    contract({ data: { volumeName: 'production-database-1' }, logs: { volumeName: 'production-database-2' } }),
    ['VOLUME_DISK_UNCLEAR'],
    ['env.volumes.logs.volumeName'],
  ],
};

t.test('each remark, where it belongs', async (t) => {
  for (const [name, [text, codes, paths]] of Object.entries(table)) {
    const findings = found(text);
    t.same(
      findings.map(({ code }) => code),
      codes,
      `${name}\n${renderFindings(findings, name)}`,
    );
    t.same(
      findings.map(({ path }) => path),
      paths,
      name,
    );
  }
});

t.test('what is said holds nothing of a seed', async (t) => {
  const weak = ['aaaaaaaaaaaaaaaa', 'changemechangeme', 'qwertyuiopasdfgh'];
  for (const one of weak) {
    const text = renderFindings(found(contract({ data: { seed: one } }, { data: { seed: one } })), 'x');
    t.match(text, /SEED_WEAK/);
    t.notOk(text.includes(one.slice(0, 6)), text);
  }
});

t.test('seeds that are plainly weak, and seeds that are not', async (t) => {
  const weak = [
    'aaaaaaaaaaaaaaa',
    '123456789012345',
    'abcdefghijklmnop',
    'zyxwvutsrqponmlk',
    'qwertyuiopasdfgh',
    'abcabcabcabcabc',
    'passwordpassword',
    'password12345678',
    'changeme_changeme_1',
    '111111222222333333',
    'AAAABBBBCCCCDDDD',
    'workload_phrase',
    'secretsecret1234',
  ];
  for (const one of weak) t.ok(seedWeakness(one), one);
  const good = ['correct-horse-battery-staple', 'Tr0ub4dor_and_3_more', 'K7mQ2xT9vB4nR8w1', 'quiet.lamp.river.77'];
  for (const one of good) t.equal(seedWeakness(one), null, one);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 32 }), (bytes) => {
      const random = createHash('sha256').update(bytes).digest();
      return (
        seedWeakness(random.toString('hex').slice(0, 24)) === null &&
        seedWeakness(random.toString('base64url').slice(0, 15)) === null
      );
    }),
    { numRuns: 250, seed: 20261122 },
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      const reason = seedWeakness(text);
      return reason === null || !reason.includes(text) || text.length < 4;
    }),
    { numRuns: 200, seed: 20261122 },
  );
});
