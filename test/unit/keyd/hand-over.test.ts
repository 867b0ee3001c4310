import t from 'tap';
import { parseHandOver, polledKeys, renderHandOver, watchConfigurationOf } from '../../../agent/keyd/hand-over.ts';
import { readHandOver } from '../../../agent/keyd/read-hand-over.ts';
import { Secret } from '../../../agent/secret.ts';
import { apiKeyText, bootId, daemonHost, handedVolume, handOver } from './daemon-host.ts';

const document = (): { [key: string]: unknown } =>
  renderHandOver(handOver(daemonHost().clock)).expose((bytes) => JSON.parse(bytes.toString('utf8')));
const parse = (value: unknown) => parseHandOver(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
const withVolume = (change: object): unknown => {
  const made = document();
  const [volume] = made.volumes as readonly object[];
  return { ...made, volumes: [{ ...volume, ...change }] };
};

t.test('what boot writes is what the daemon reads; API keys become secrets at once', async (t) => {
  const given = handOver(daemonHost().clock, [handedVolume(), handedVolume({ key: 'logs', metadataDevice: null })]);
  const read = renderHandOver(given).expose(parseHandOver);
  if (typeof read === 'string') throw new Error(read);
  t.equal(read.volumes[0]?.apiKey.expose(String), apiKeyText);
  t.notOk(JSON.stringify(read).includes(apiKeyText));
  const withoutSecrets = ({ volumes, ...rest }: typeof given) => ({
    ...rest,
    volumes: volumes.map(({ apiKey: _, ...volume }) => volume),
  });
  t.strictSame(withoutSecrets(read), withoutSecrets(given));
});

t.test('anything else is refused without repeating a value', async (t) => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ['nothing', ''],
    ['not JSON', '{'],
    ['a list', '[]'],
    ['a key named twice', JSON.stringify(document()).replace('{', '{"version":1,')],
    ['another version', { ...document(), version: 2 }],
    ['no boot id', { ...document(), bootId: null }],
    ['no volumes', { ...document(), volumes: [] }],
    ['the same volume twice', { ...document(), volumes: [document().volumes, document().volumes].flat() }],
    ['volume without API key', withVolume({ apiKey: undefined })],
    ['negative timeout', withVolume({ kmsTimeoutMinutes: -1 })],
    ['timeout beyond 1000 minutes', withVolume({ kmsTimeoutMinutes: 1001 })],
    ['timeout as text', withVolume({ kmsTimeoutMinutes: '10' })],
    ['unknown endpoint type', withVolume({ type: 'both' })],
    ['no settings', { ...document(), settings: {} }],
  ];
  for (const [name, value] of wrong) {
    const reason = parse(value);
    t.type(reason, 'string', name);
    t.notOk(String(reason).includes(apiKeyText), `${name}: no secret in the reason`);
  }
});

t.test('one poll a distinct key reference, fanned out to its volumes', async (t) => {
  const other = Secret.fromText('another-api-key');
  const volumes = [
    handedVolume({ key: 'a' }),
    handedVolume({ key: 'b' }),
    handedVolume({ key: 'c', type: 'private' }),
    handedVolume({ key: 'd', apiKey: other }),
    handedVolume({ key: 'e', crn: 'crn:v1:bluemix:public:kms:us-south:a/1:2:key:4' }),
  ];
  t.strictSame(
    polledKeys(volumes).map(({ id, volumes }) => [id, volumes.map(({ key }) => key).join()]),
    [
      ['key-1', 'a,b'],
      ['key-2', 'c'],
      ['key-3', 'd'],
      ['key-4', 'e'],
    ],
  );
  const { volumes: watched } = watchConfigurationOf(handOver(daemonHost().clock, volumes));
  t.match(watched[1], { volume: 'b', key: 'key-1', kmsTimeoutMs: 600_000 });
  t.notOk(JSON.stringify(watched).includes('api'), 'the machine gets no secrets');
});

t.test('reading the file', async (t) => {
  const path = '/run/triseed/keyd.json';
  const bootIdPath = '/proc/sys/kernel/random/boot_id';
  const host = daemonHost();
  await t.rejects(readHandOver(host.files, path), { code: 'KEY_DAEMON_CONFIGURATION', id: 'HPL18006E' });
  host.written.set(path, renderHandOver(handOver(host.clock)).expose(String));
  host.written.set(bootIdPath, `${bootId}\n`);
  t.equal((await readHandOver(host.files, path)).bootId, bootId);
  host.written.set(bootIdPath, '00000000-0000-4000-8000-000000000000\n');
  await t.rejects(readHandOver(host.files, path), { code: 'KEY_DAEMON_CONFIGURATION' }, 'of another boot');
});
