/** The set-up of remote logging: what is asked of the log server, what is left for the units that send, and what is left when it fails. */
import { basename } from 'node:path';
import t, { type Test } from 'tap';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { AgentError } from '../../../agent/errors.ts';
import { type ConfigurePorts, configureLogging } from '../../../agent/logging/configure.ts';
import { parseLogRouter } from '../../../agent/logging/log-router-file.ts';
import { loggingPlaces } from '../../../agent/logging/places.ts';
import type { LoggingSettings } from '../../../agent/logging/settings.ts';
import { Secret } from '../../../agent/secret.ts';
import type { Connections, TlsDelivery } from '../../../agent/service-ports.ts';
import { manualClock } from '../../fakes/clock.ts';
import { type FilesInMap, filesInMap } from '../../fakes/files-in-map.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { type FakeAnswer, fakeHttp } from '../../fakes/http.ts';

type Delivered = Awaited<ReturnType<Connections['deliver']>>;

const keyText = 'PLANTED-client-key';
const apiKeyText = 'PLANTED-log-api-key';
const syslog = (): LoggingSettings => ({
  kind: 'syslog',
  hostname: 'logs.example',
  port: 6514,
  ca: 'the authority\n',
  cert: 'the certificate\n',
  key: Secret.fromText(keyText),
});
const router = (): LoggingSettings => ({
  kind: 'logRouter',
  hostname: 'x.logs.example',
  port: 443,
  apiKey: Secret.fromText(apiKeyText),
  tags: ['blue'],
});

const setUp = (given: {
  readonly deliver?: (attempt: number) => Delivered;
  readonly answer?: (url: string) => FakeAnswer;
}) => {
  const run = '/run/triseed';
  const clock = manualClock();
  const base = hostOnFiles();
  const http = fakeHttp(clock, ({ url }) => given.answer?.(url) ?? { status: 500 });
  const deliveries: (TlsDelivery & { readonly record: string })[] = [];
  const connections: Connections = {
    reach: async () => ({ kind: 'reached' }),
    deliver: async (delivery) => {
      deliveries.push({ ...delivery, record: Buffer.from(delivery.bytes).toString() });
      return given.deliver?.(deliveries.length) ?? { kind: 'delivered', names: ['logs.example', '*.logs.example'] };
    },
  };
  const files = filesInMap({
    '/proc/sys/kernel/hostname': 'guest-7\n',
    '/proc/sys/kernel/random/boot_id': '6f0f7a8e-6d2b-4a0b-9c58-0f6f6f1d2c3b\n',
  });
  const host: ConfigurePorts = { ...base, files, clock, http: http.send, connections };
  const settings = { ...parseConfiguration(''), paths: { state: '/nowhere', run } };
  const places = loggingPlaces(run);
  const left = (): readonly string[] =>
    [...files.files.keys()]
      .filter((path) => path.startsWith(`${places.folder}/`))
      .map((path) => basename(path))
      .sort();
  const text = (path: string): string => files.files.get(path)?.bytes.toString('latin1') ?? '';
  const configure = (logging: LoggingSettings, patienceMs = 300_000): Promise<void> =>
    clock.run(configureLogging(host, settings, logging, patienceMs));
  return { clock, configure, deliveries, files, http, left, messages: base.messages, places, text };
};

const allPrivate = (t: Test, { files, folders }: FilesInMap, folder: string): void => {
  t.equal(folders.get(folder), 0o700);
  for (const [path, { mode }] of files) if (path.startsWith(`${folder}/`)) t.equal(mode, 0o600, path);
};

t.test('syslog: a first record, then what rsyslogd needs', async (t) => {
  const { configure, deliveries, files, left, places, text } = setUp({});
  await configure(syslog());
  t.equal(deliveries.length, 1);
  t.match(deliveries[0], { hostname: 'logs.example', port: 6514, ca: 'the authority\n', cert: 'the certificate\n' });
  t.match(deliveries[0]?.record, /^\d+ <30>1 \S+ \S+ hpcr-logging - - - authentication probe$/);
  t.strictSame(left(), ['ca.pem', 'cert.pem', 'key.pem', 'rsyslog.conf']);
  allPrivate(t, files, places.folder);
  t.equal(text(places.key), keyText);
  const configuration = text(places.rsyslogConfiguration);
  t.match(configuration, 'streamDriverPermittedPeers="logs.example"');
  t.match(configuration, 'target="logs.example" port="6514"');
  t.notMatch(configuration, /PLANTED/);
  t.match(configuration, '$!_BOOT_ID == "6f0f7a8e6d2b4a0b9c580f6f6f1d2c3b"');
  t.match(deliveries[0]?.record, / guest-7 /);
});

t.test('syslog by address: the names of the certificate count, because rsyslog compares no addresses', async (t) => {
  for (const hostname of ['10.1.2.3', 'fd00::1']) {
    const { configure, places, text } = setUp({});
    await configure({ ...syslog(), hostname });
    t.match(
      text(places.rsyslogConfiguration),
      `streamDriverPermittedPeers="${hostname},logs.example,*.logs.example"`,
      hostname,
    );
  }
});

t.test('a log server that comes late, and one that does not', async (t) => {
  const away: Delivered = { kind: 'failure', failure: 'connect', detail: 'ECONNREFUSED' };
  const late = setUp({ deliver: (attempt) => (attempt < 5 ? away : { kind: 'delivered', names: [] }) });
  await late.configure(syslog());
  t.match(late.messages, [{ name: 'LOG_SERVER_WAITING', facts: { reason: /ECONNREFUSED/ } }]);
  const never = setUp({ deliver: () => away });
  const from = never.clock.monotonicMs();
  await t.rejects(never.configure(syslog(), 60_000), { code: 'LOG_SERVER_NOT_USABLE' });
  t.equal(never.clock.monotonicMs() - from, 60_000);
  t.strictSame(never.left(), [], 'nothing to send with');
});

t.test('a certificate that is refused ends it at once', async (t) => {
  const { configure, deliveries, left } = setUp({
    deliver: () => ({ kind: 'failure', failure: 'refused', detail: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
  });
  await t.rejects(configure(syslog()), { code: 'LOG_SERVER_NOT_USABLE', message: /ERR_TLS_CERT_ALTNAME_INVALID/ });
  t.equal(deliveries.length, 1);
  t.strictSame(left(), []);
});

t.test('dates that are wrong are waited for: the clock of the guest may be', async (t) => {
  const early: Delivered = { kind: 'failure', failure: 'dates', detail: 'CERT_NOT_YET_VALID' };
  const late = setUp({ deliver: (attempt) => (attempt < 5 ? early : { kind: 'delivered', names: [] }) });
  await late.configure(syslog());
  t.match(late.messages, [{ name: 'LOG_SERVER_WAITING', facts: { reason: /CERT_NOT_YET_VALID/ } }]);
  const never = setUp({ deliver: () => early });
  const from = never.clock.monotonicMs();
  await t.rejects(never.configure(syslog(), 60_000), { code: 'LOG_SERVER_NOT_USABLE', message: /CERT_NOT_YET_VALID/ });
  t.equal(never.clock.monotonicMs() - from, 60_000);
});

const token = { status: 200, body: { access_token: 'PLANTED-token', expires_in: 3600 } };
const iam = 'https://iam.cloud.ibm.com/identity/token';
const singles = 'https://x.logs.example:443/logs/v1/singles';

t.test('logRouter: a token, a first record, then what the forwarder needs', async (t) => {
  const { configure, files, http, left, places, text } = setUp({
    answer: (url) => (url === iam ? token : { status: 200 }),
  });
  await configure(router());
  t.strictSame(
    http.sent.map(({ method, url }) => `${method} ${url}`),
    [`POST ${iam}`, `POST ${singles}`],
  );
  t.equal(http.sent[1]?.headers.authorization, 'Bearer PLANTED-token');
  t.match(JSON.parse(http.sent[1]?.body ?? ''), [
    { severity: 3, subsystemName: 'hpcr-logging', category: 'blue', text: /authentication probe/ },
  ]);
  t.strictSame(left(), ['log-router.json']);
  allPrivate(t, files, places.folder);
  const handed = parseLogRouter(Buffer.from(text(places.logRouter)));
  t.match(handed.settings, { hostname: 'x.logs.example', port: 443, tags: ['blue'] });
  t.equal(
    handed.settings.apiKey.expose((bytes) => bytes.toString()),
    apiKeyText,
  );
  t.strictSame(handed.ways, { iam: 'https://iam.cloud.ibm.com', ca: [], proxy: null });
});

t.test('logRouter: a bad answer ends the start, a service that is away is waited for', async (t) => {
  const bad: readonly (readonly [string, (url: string) => FakeAnswer])[] = [
    [
      'the API key is not known',
      (url) => (url === iam ? { status: 400, body: { errorCode: 'BXNIM0415E' } } : { status: 200 }),
    ],
    ['no role', (url) => (url === iam ? token : { status: 403 })],
    ['the token is refused twice', (url) => (url === iam ? token : { status: 401 })],
    ['another service', (url) => (url === iam ? token : { status: 404 })],
    ['it does not like the record', (url) => (url === iam ? token : { status: 400 })],
  ];
  for (const [what, answer] of bad) {
    const { configure, clock, left } = setUp({ answer });
    const from = clock.monotonicMs();
    await t.rejects(configure(router()), { code: 'LOG_SERVER_NOT_USABLE' }, what);
    t.equal(clock.monotonicMs(), from, `${what}: at once`);
    t.strictSame(left(), [], what);
  }
  for (const away of [{ status: 503 }, { status: 429 }, { failure: 'connect' }] as const) {
    let asked = 0;
    const { configure, left } = setUp({
      answer: (url) => {
        if (url === iam) return token;
        asked += 1;
        return asked < 4 ? away : { status: 200 };
      },
    });
    await configure(router());
    t.strictSame(left(), ['log-router.json'], JSON.stringify(away));
  }
});

t.test('what an older set-up has left does not stay when the new one fails', async (t) => {
  let works = true;
  const { configure, left } = setUp({
    deliver: () => (works ? { kind: 'delivered', names: [] } : { kind: 'failure', failure: 'refused', detail: 'X' }),
  });
  await configure(syslog());
  works = false;
  await t.rejects(configure(syslog()), AgentError);
  t.notOk(left().includes('rsyslog.conf'), 'the forwarding unit is not started');
});

t.test('a hand-over that is none', async (t) => {
  for (const text of ['', '{}', '[]', '{"version":2}', '{"version":1,"hostname":"x"}', 'null'])
    t.throws(() => parseLogRouter(Buffer.from(text)), { code: 'LOG_HAND_OVER_INVALID' }, text);
});
