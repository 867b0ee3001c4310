/** What inspection says is what the scenario table, the intents and the contract make of each other. */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Inspection, inspectContract } from '../../../agent/contract/inspect.ts';
import { bootsOf, patience } from '../../../agent/contract/inspect-boots.ts';
import { renderInspection } from '../../../agent/contract/inspect-text.ts';
import type { Intent } from '../../../agent/contract/types.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const block = (text: string): string => text.replace(/^(?=.)/gm, '  ');
const key = createPrivateKey(read('fixtures/keys/THROWAWAY-guest-key.pem'));
const at = new Date('2026-06-01T00:00:00Z');

const inspect = async (text: string, withKey = false): Promise<Inspection> => {
  const outcome = await inspectContract(Buffer.from(text), { profile: 'hpvs', key: withKey ? key : null, at });
  if (outcome.kind === 'unreadable') throw new Error(outcome.findings.map(({ message }) => message).join('\n'));
  return outcome.value;
};
const [workload, env] = [read('fixtures/contracts/parts/workload.yaml'), read('fixtures/contracts/parts/env.yaml')];
const plain = `workload: |\n${block(workload)}env: |\n${block(env)}`;
const sealed = read('fixtures/contracts/sealed/signed.yaml');

t.test('every disk, root key and intent has its outcome', async (t) => {
  const subject = { rolls: false, hasOtherSeedSource: false, filesystem: 'xfs', mount: '/mnt/x' };
  const outcomes = (kmsEntries: number, intent: Intent, more: object = {}): readonly string[] =>
    bootsOf({ ...subject, kmsEntries, intent, ...more }).map(({ outcome, messages }) => {
      const verb = /^(FORMATTED|opened|refused)/.exec(outcome)?.[0] ?? outcome;
      return `${verb} ${messages[0]}`;
    });
  t.same(outcomes(0, 'auto'), [
    'FORMATTED HPL07005I',
    'opened HPL07005I',
    'refused TSD07019E',
    'opened HPL07005I',
    'refused TSD07013E',
  ]);
  const withKey = outcomes(1, 'auto');
  t.equal(withKey[0], 'FORMATTED HPL07004I');
  t.equal(withKey[2], 'opened HPL07004I');
  t.match(withKey[3], /^refused/);
  t.match(bootsOf({ ...subject, kmsEntries: 2, intent: 'auto' })[2]?.outcome, /moved to the first/);
  t.ok(
    outcomes(0, 'open').every((said) => !said.startsWith('FORMATTED')),
    'open never formats',
  );
  t.ok(
    outcomes(0, 'create').every((said) => !said.startsWith('opened')),
    'create never opens',
  );
  t.ok(outcomes(0, 'auto', { hasOtherSeedSource: true }).every((said) => said.startsWith('refused')));
  t.match(bootsOf({ ...subject, kmsEntries: 0, intent: 'auto' })[0]?.outcome, /xfs, mounted on \/mnt\/x/);
  t.match(patience(0), /one more try/);
  t.match(patience(7), /after 7 min .* restarts, after 7 more it shuts down/);
});

t.test('a plain contract', async (t) => {
  const found = await inspect(plain);
  t.match(found, {
    sections: { workload: { form: 'text', isOpen: true, token: null }, env: { form: 'text' } },
    signature: { state: 'none' },
    workload: { kind: 'compose', variables: ['LOG_LEVEL'] },
    env: { logging: { service: 'syslog', hostname: 'logs.example.com', port: 6514 } },
    volumes: [
      {
        key: 'data',
        env: true,
        workload: true,
        mount: '/mnt/data',
        filesystem: 'ext4',
        disk: 'data',
        intent: 'auto',
        rolls: [],
        kms: [{ service: 'kms', region: 'eu-de', type: 'public' }],
        kmsTimeoutMinutes: 10,
      },
    ],
  });
  const text = renderInspection(found, 'contract.yaml');
  t.match(text, /is not encrypted: do not deliver it like this/);
  t.match(text, /unsigned: triseed contract seal signs/);
});

t.test('a sealed contract, without and with the key', async (t) => {
  const closed = await inspect(sealed);
  t.match(closed, {
    sections: { env: { form: 'token', isOpen: false, token: { prefix: 'hyper-protect-basic', recipientBits: 4096 } } },
    signature: { state: 'unknown' },
    workload: null,
    env: null,
    volumes: [],
  });
  t.match(renderInspection(closed, 'x'), /which volumes there are is not known/);
  const open = await inspect(sealed, true);
  t.match(open, { sections: { env: { isOpen: true } }, signature: { state: 'good', signer: { trusted: false } } });
  t.equal(open.volumes.length, 1);
  t.equal(open.sections.env.sha256, closed.sections.env.sha256, 'hashes are of what is delivered');
  const tampered = sealed.replace(/^envWorkloadSignature: ..../m, 'envWorkloadSignature: AAAA');
  t.match((await inspect(tampered, true)).signature, { state: 'bad', id: 'HPL12001E' });
  const late = await inspectContract(Buffer.from(read('fixtures/contracts/sealed/expires-2027.yaml')), {
    profile: 'hpvs',
    key,
    at: new Date('2029-01-01T00:00:00Z'),
  });
  t.match(late, { value: { signature: { state: 'bad', id: 'HPL12007E' } } });
});

t.test('one section closed: what cannot be compared is said', async (t) => {
  const token = /^workload: (.*)$/m.exec(sealed)?.[1] ?? '';
  const found = await inspect(`workload: ${token}\nenv: |\n${block(env)}`);
  t.match(found.volumes, [{ key: 'data', env: true, workload: null, mount: null, boots: [] }]);
  t.match(renderInspection(found, 'x'), /whether workload names it, too, is not known: ask its owner/);
});

t.test('a contract that is not valid is told as far as it can be read', async (t) => {
  const renamed = plain.replace(/^( +)data:\n( +seed: workload)/m, '$1dta:\n$2');
  const found = await inspect(renamed);
  t.same(
    found.volumes.map(({ key, env, workload }) => [key, env, workload]),
    [
      ['data', true, false],
      ['dta', false, true],
    ],
  );
  t.match(renderInspection(found, 'x'), /MISSING in workload/);
  t.match(renderInspection(found, 'x'), /error HPL07015E/);
  const wild = await inspect(
    'workload: "type: 5\\nvolumes: [1]\\nimages: x\\nenv: 7\\nauths: []"\nenv: "volumes: {a: 1, b: null, c: {kms: [1, {crn: 5}], kmsTimeout: x}}\\nlogging: {syslog: 3}"\n',
  );
  t.equal(wild.volumes.length, 3, 'wrong types everywhere');
  t.ok(renderInspection(wild, 'x').length > 0);
  const rolled = await inspect(
    plain.replace('seed: env_phrase', 'previousSeed: old_phrase_0000001\n      seed: env_phrase'),
  );
  t.match(rolled.volumes[0]?.rolls, ['env']);
});

t.test('names cannot drive the terminal, and values are not shown', async (t) => {
  const secret = 'canary_7f3a';
  const text = `workload: |\n${block(
    `type: workload\nplay:\n  resources: []\nenv:\n  "A\\u202eB": ${secret}\nauths:\n  r.example.com: {username: ${secret}, password: ${secret}}\nvolumes:\n  a: {seed: ${secret}00000, previousSeed: ${secret}11111}\n`,
  )}env: |\n${block(
    `type: env\nlogging:\n  logRouter: {hostname: h, iamApiKey: ${secret}}\nvolumes:\n  a: {seed: ${secret}22222, apiKey: ${secret}, kms: [{crn: "crn:v1:bluemix:public:kms:eu-de:a/x:y:key:z", apiKey: ${secret}}]}\n`,
  )}`;
  const found = await inspect(text);
  const said = renderInspection(found, 'x') + JSON.stringify(found);
  t.notMatch(said, /canary/);
  t.notMatch(said, /[\p{Cf}]/u);
});
