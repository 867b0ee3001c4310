/** What the workload is given: merged variables, credentials and the blanked contract, from a contract on the real line. */
import t from 'tap';
import { parse } from 'yaml';
import type { Contract } from '../../../agent/contract/types.ts';
import { blankedContract } from '../../../agent/workload/blanked-contract.ts';
import { mergedEnvironment } from '../../../agent/workload/merged-environment.ts';
import { onTheLine, plainEnv } from './contract-on-the-line.ts';

const contractOf = (workload: string, env: string): Contract => onTheLine(workload, env).contract;

const workload = `type: workload
compose: { archive: H4sIAAAAAAAA }
auths:
  registry.example.com: { username: workload-reader, password: of-workload }
  only.example.com: { username: someone, password: password-1 }
env: { BOTH: of workload, constructor: mine, SHARED: "wl_seed_12345678" }
volumes:
  # seed: an-old-seed-in-a-comment
  data: { seed: wl_seed_12345678, previousSeed: abc123!previous }
`;
const env = `type: env
logging: { logRouter: { hostname: logs.example.com, iamApiKey: log-api-key-1 } }
auths:
  registry.example.com: { username: env-reader, password: of-env-section }
env: { BOTH: of env, ONLY_ENV: "1" }
volumes:
  data:
    seed: &seed "env_seed_1234567"
    previousSeed: 'env_previous_seed'
    kms:
      - { apiKey: an-api-key-of-the-kms, crn: "crn:v1:bluemix:public:kms:eu-de:a/1:i-1:key:k-1" }
      - { apiKey: another-api-key-here, crn: "crn:v1:bluemix:public:kms:eu-de:a/1:i-2:key:k-2" }
    kmsTimeout: 5
`;

t.test('the workload section wins over env, name by name', async (t) => {
  const merged = mergedEnvironment(contractOf(workload, env));
  t.strictSame(Object.fromEntries(merged.env), {
    BOTH: 'of workload',
    ONLY_ENV: '1',
    constructor: 'mine',
    SHARED: 'wl_seed_12345678',
  });
  const shown = [...merged.auths].map(([registry, { username, password }]) => [
    registry,
    username,
    password.expose((bytes) => bytes.toString('utf8')),
  ]);
  t.strictSame(shown, [
    ['registry.example.com', 'workload-reader', 'of-workload'],
    ['only.example.com', 'someone', 'password-1'],
  ]);
});

t.test('a contract without variables and credentials gives empty maps', async (t) => {
  const bare = contractOf('type: workload\ncompose: { archive: H4sIAAAAAAAA }\n', plainEnv);
  const { env, auths } = mergedEnvironment(bare);
  t.equal(env.size, 0);
  t.equal(auths.size, 0);
});

t.test('nothing that opens a volume is left in the blanked contract', async (t) => {
  const text = blankedContract(contractOf(workload, env));
  for (const secret of [
    'wl_seed_12345678',
    'abc123!previous',
    'env_seed_1234567',
    'env_previous_seed',
    'an-api-key-of-the-kms',
    'another-api-key-here',
    'an-old-seed-in-a-comment',
  ])
    t.notOk(text.includes(secret), secret);
});

t.test('everything else is there, with asterisks of the same length', async (t) => {
  const outer = parse(blankedContract(contractOf(workload, env)));
  t.strictSame(Object.keys(outer), ['workload', 'env']);
  const [inWorkload, inEnv] = [parse(outer.workload), parse(outer.env)];
  t.strictSame(inWorkload.volumes, { data: { seed: '*'.repeat(16), previousSeed: '*'.repeat(15) } });
  t.equal(inWorkload.env.SHARED, '*'.repeat(16), 'a seed used twice is blanked twice');
  t.equal(inWorkload.auths['registry.example.com'].password, 'of-workload');
  t.equal(inEnv.volumes.data.seed.length, 'env_seed_1234567'.length);
  t.equal(inEnv.volumes.data.kms[1].crn, 'crn:v1:bluemix:public:kms:eu-de:a/1:i-2:key:k-2');
  t.match(inEnv.volumes.data.kms[0].apiKey, /^\*{21}$/);
  t.equal(inEnv.logging.logRouter.iamApiKey, 'log-api-key-1', "logging is the services' own");
  t.equal(inEnv.volumes.data.kmsTimeout, 5);
});

t.test('the blanked contract is still a valid contract', async (t) => {
  const outer = parse(blankedContract(contractOf(workload, env)));
  t.equal(contractOf(outer.workload, outer.env).volumes.length, 1);
});

t.test('only a validated contract is taken', async (t) => {
  const forged = { ...contractOf(workload, env) };
  t.throws(() => blankedContract(forged), TypeError);
  t.throws(() => mergedEnvironment(forged), TypeError);
});
