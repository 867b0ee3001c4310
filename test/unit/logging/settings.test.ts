/** What a logging section becomes, and the documented code of every way in which it can be wrong. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { decryptContract } from '../../../agent/contract/decrypt.ts';
import type { OpenedContract, Profile } from '../../../agent/contract/types.ts';
import { AgentError } from '../../../agent/errors.ts';
import { loggingSettings, patienceMs } from '../../../agent/logging/settings.ts';
import { Authority } from '../../fakes/log-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'log-settings-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const authority = new Authority(join(folder, 'ca'));
const client = authority.sign('the guest');
const other = authority.sign('somebody else');
const openssl = (...args: readonly string[]): string =>
  execFileSync('openssl', args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
const rsaKey = openssl('genrsa', '-traditional', '2048');
const publicKey = openssl('ec', '-in', join('ca', 'pair-1.key'), '-pubout');

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const opened = (env: string, workload = 'type: workload\nplay: {}\n'): OpenedContract => {
  const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');
  const bytes = Buffer.from(`workload: |\n${indented(workload)}env: |\n${indented(env)}`);
  return decryptContract({ kind: 'sealed', bytes, source: 'test', localHostname: null }, null);
};
const withLogging = (logging: unknown, more = ''): OpenedContract =>
  opened(`type: env\n${more}logging: ${JSON.stringify(logging)}\n`);
const syslog = (changes: Readonly<Record<string, unknown>> = {}): OpenedContract => {
  const all = { hostname: 'logs.example', server: authority.cert, cert: client.cert, key: client.key, ...changes };
  return withLogging({ syslog: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) });
};

t.test('syslog: PEM and base64 of it, a chain, the documented port', async (t) => {
  const forms: readonly (readonly [string, OpenedContract])[] = [
    ['PEM', syslog()],
    ['base64', syslog({ server: base64(authority.cert), cert: base64(client.cert), key: base64(client.key) })],
    ['a chain', syslog({ server: authority.cert + other.cert })],
  ];
  for (const [what, contract] of forms) {
    const settings = loggingSettings(contract, 'hpvs');
    if (settings?.kind !== 'syslog') throw new Error(what);
    t.equal(settings.hostname, 'logs.example', what);
    t.equal(settings.port, 6514, 'RFC 5425, not the 514 of the schema');
    t.equal(settings.ca.match(/BEGIN CERTIFICATE/g)?.length, what === 'a chain' ? 2 : 1);
    t.equal(settings.cert.trim(), client.cert.trim());
  }
  t.equal(loggingSettings(syslog({ port: 514 }), 'hpvs')?.port, 514);
  t.equal(loggingSettings(syslog({ hostname: '10.1.2.3' }), 'hpvs')?.hostname, '10.1.2.3');
});

t.test('the client key is handed on as PKCS#8', async (t) => {
  const settings = loggingSettings(syslog(), 'hpvs');
  if (settings?.kind !== 'syslog') throw new Error('no syslog');
  const text = settings.key.expose((bytes) => bytes.toString('latin1'));
  const judged = execFileSync('openssl', ['pkey', '-pubout'], { input: text, encoding: 'utf8', stdio: 'pipe' });
  t.equal(judged, publicKey);
  t.match(text, /^-----BEGIN PRIVATE KEY-----/);
});

t.test('logRouter, and no logging at all', async (t) => {
  const settings = loggingSettings(
    withLogging({ logRouter: { hostname: 'x.logs.example', iamApiKey: 'a-key' } }),
    'hpvs',
  );
  t.match(settings, { kind: 'logRouter', hostname: 'x.logs.example', port: 443, tags: [] });
  const tagged = { logRouter: { hostname: 'x.logs.example', port: 8443, iamApiKey: 'a-key', tags: ['one', 'two'] } };
  t.match(loggingSettings(withLogging(tagged), 'ccco'), { port: 8443, tags: ['one', 'two'] });
  for (const profile of ['hpvs', 'ccco'] as const) t.equal(loggingSettings(opened('type: env\n'), profile), null);
});

t.test('every documented fault has its documented code', async (t) => {
  const router = { hostname: 'x.logs.example', iamApiKey: 'a-key' };
  const text = base64('no PEM at all, and long enough to be something');
  const damaged = client.cert.replace(/\n([A-Za-z0-9+/]{8})/, '\nAAAAAAAA');
  const faults: readonly (readonly [what: string, id: string, contract: OpenedContract, profile?: Profile])[] = [
    ['nothing in it', 'HPL01001E', withLogging({})],
    ['both', 'HPL01001E', withLogging({ logRouter: router, syslog: { hostname: 'x', server: authority.cert } })],
    ['retired', 'HPL01001E', withLogging({ logDNA: { ingestionKey: 'a'.repeat(32), hostname: 'x' } })],
    ['a text', 'HPL01001E', withLogging('syslog')],
    ['no host', 'HPL01001E', syslog({ hostname: undefined })],
    ['a host that is none', 'HPL01001E', syslog({ hostname: 'a"b' })],
    ['a host that ends a line', 'HPL01001E', syslog({ hostname: 'a\nb' })],
    ['no port', 'HPL01001E', syslog({ port: 0 })],
    ['no server certificate', 'HPL01001E', syslog({ server: undefined })],
    ['an unknown field', 'HPL01001E', syslog({ tls: true })],
    ['no API key', 'HPL01001E', withLogging({ logRouter: { hostname: 'x.logs.example' } })],
    ['an empty API key', 'HPL01001E', withLogging({ logRouter: { ...router, iamApiKey: '' } })],
    ['a server certificate that is no PEM', 'HPL01005E', syslog({ server: text })],
    ['a client certificate that is no PEM', 'HPL01005E', syslog({ cert: text })],
    ['a key that is no PEM', 'HPL01005E', syslog({ key: text })],
    ['a public key for a key', 'HPL01006E', syslog({ key: base64(publicKey) })],
    ['a certificate for a key', 'HPL01006E', syslog({ key: base64(client.cert) })],
    ['a key for a server certificate', 'HPL01007E', syslog({ server: base64(client.key) })],
    ['a damaged server certificate', 'HPL01007E', syslog({ server: base64(damaged) })],
    ['a key for a client certificate', 'HPL01008E', syslog({ cert: base64(client.key) })],
    ['no client certificate', 'HPL01008E', syslog({ cert: undefined })],
    ['no key', 'HPL01009E', syslog({ key: undefined })],
    ['the key of another certificate', 'HPL01009E', syslog({ key: other.key })],
    ['a key of another kind', 'HPL01009E', syslog({ key: rsaKey })],
    ['a damaged key', 'HPL01009E', syslog({ key: base64(client.key.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA')) })],
  ];
  for (const [what, id, contract, profile = 'hpvs'] of faults) {
    try {
      loggingSettings(contract, profile);
      t.fail(`${what} is taken`);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      t.equal(error.id, id, `${what}: ${error.message}`);
      t.notMatch(error.message, /PRIVATE KEY-----|a-key/, `${what}: nothing secret is said`);
    }
  }
});

t.test('a fault is found behind any number of faults elsewhere', async (t) => {
  const elsewhere = Array.from({ length: 600 }, (_, at) => `unknown${at}: 1\n`).join('');
  const whole = { hostname: 'logs.example', server: authority.cert, cert: client.cert, key: client.key };
  for (const logging of [
    'syslog',
    {},
    { syslog: 7 },
    { syslog: { ...whole, hostname: 7 } },
    { syslog: { ...whole, hostname: 'a"b' } },
    { syslog: { ...whole, port: 0 } },
    { syslog: { ...whole, port: '514' } },
    { syslog: { ...whole, server: [authority.cert] } },
    { syslog: { ...whole, tls: true } },
    { logRouter: { hostname: 'x.logs.example', iamApiKey: 7 } },
    { logRouter: { hostname: 'x.logs.example' } },
  ])
    t.throws(
      () => loggingSettings(withLogging(logging, elsewhere), 'hpvs'),
      { code: 'LOGGING_INVALID' },
      JSON.stringify(logging).slice(0, 60),
    );
  t.equal(loggingSettings(withLogging({ syslog: whole }, elsewhere), 'hpvs')?.hostname, 'logs.example');
});

t.test('whatever else is wrong with a contract is left to the boot', async (t) => {
  const wrong = `type: env\nvolumes: { data: { seed: short } }\nlogging: ${JSON.stringify({ logRouter: { hostname: 'x.example', iamApiKey: 'a-key' } })}\n`;
  t.equal(loggingSettings(opened(wrong, 'type: workload\n'), 'hpvs')?.hostname, 'x.example');
});

t.test('network and log server may stay away as long as a root key', async (t) => {
  const volumes = (text: string): OpenedContract => opened(`type: env\nvolumes: ${text}\n`);
  const cases: readonly (readonly [string, number])[] = [
    ['{}', 300],
    ['{ data: { seed: x } }', 300],
    ['{ data: { seed: x, kmsTimeout: 60 } }', 300],
    ['{ data: { seed: x, kms: [] } }', 600],
    ['{ data: { seed: x, kms: [], kmsTimeout: 2 } }', 300],
    ['{ data: { seed: x, kms: [], kmsTimeout: 60 }, b: { kms: [], kmsTimeout: 20 } }', 3600],
    ['{ data: { kms: [], kmsTimeout: 100000 } }', 300],
    ['{ data: { kms: [], kmsTimeout: soon } }', 300],
    ['[ 1 ]', 300],
  ];
  for (const [text, seconds] of cases) t.equal(patienceMs(volumes(text), 300), seconds * 1000, text);
});
