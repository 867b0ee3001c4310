/** Our configuration of rsyslog before a real rsyslogd, and our first record: both against one syslog server over mutual TLS. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { connections } from '../../agent/host/connections.ts';
import { forwardingConfiguration, journalInput, permittedNames } from '../../agent/logging/rsyslog.ts';
import { syslogRecord } from '../../agent/logging/syslog-record.ts';
import { Secret } from '../../agent/secret.ts';
import { Authority, type LogServer, type Pair, startLogServer } from '../fakes/log-server.ts';
import { steadyPort } from '../fakes/steady-port.ts';

t.setTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), 'remote-logging-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const ours = new Authority(join(folder, 'ours'));
const theirs = new Authority(join(folder, 'theirs'));
const client = ours.sign('the guest');
const ruleset = 'remote';
const program = '/usr/sbin/rsyslogd';

let count = 0;
/** A folder with what the forwarding unit gets as credentials. */
const configured = (
  { port }: LogServer,
  {
    hostname = 'localhost',
    names = ['localhost'] as readonly string[],
    cert = client.cert,
    key = client.key,
    ca = ours.cert,
  } = {},
) => {
  count += 1;
  const work = mkdtempSync(join(folder, `work-${count}-`));
  const files = { ca: join(work, 'ca'), cert: join(work, 'cert'), key: join(work, 'key'), work };
  writeFileSync(files.ca, ca);
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key, { mode: 0o600 });
  return { work, forwarding: forwardingConfiguration({ hostname, port, names, files }, ruleset) };
};

const server = async (t: Test, pair: Pair, authority = ours.cert): Promise<LogServer> => {
  const started = await startLogServer(pair, authority);
  t.teardown(() => started.close());
  return started;
};

/** rsyslogd with our forwarding part; records come from a socket, because this machine may have no journal. */
const startRsyslog = (t: Test, { work, forwarding }: ReturnType<typeof configured>): { send(text: string): void } => {
  const socket = join(work, 'input');
  const configuration = join(work, 'conf');
  const input = `module(load="imuxsock" sysSock.use="off")\ninput(type="imuxsock" socket="${socket}" ruleset="${ruleset}")\n`;
  writeFileSync(configuration, `${forwarding}${input}`);
  // Ends with this process, however that ends.
  const command = ['--pdeathsig', 'KILL', program, '-n', '-iNONE', '-f', configuration];
  const child: ChildProcess = spawn('setpriv', command, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  for (let waited = 0; !existsSync(socket); waited += 1) {
    if (waited > 100) throw new Error('rsyslogd does not listen');
    execFileSync('sleep', ['0.1']);
  }
  return {
    send: (text) => {
      execFileSync('logger', [
        '--socket',
        socket,
        '--tag',
        'keydaemon',
        '--id=77',
        '--priority',
        'daemon.warning',
        text,
      ]);
    },
  };
};

const inDays = (days: number): Date => new Date(Date.now() + days * 24 * 60 * 60 * 1000);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

t.test('rsyslogd takes the whole configuration as it is left for a guest', async (t) => {
  const { work, forwarding } = configured(await server(t, ours.sign('localhost')), {
    names: ['localhost', '*.logs.example', '10.1.2.3'],
  });
  const file = join(work, 'conf');
  const judged = () => spawnSync(program, ['-N1', '-f', file], { encoding: 'utf8' });
  writeFileSync(file, forwarding + journalInput('6f0f7a8e-6d2b-4a0b-9c58-0f6f6f1d2c3b', ruleset));
  t.equal(judged().status, 0);
  t.notMatch(judged().stderr, /error|warning/i);
  // The judge sees what it should: a file that is missing, a parameter that does not exist.
  writeFileSync(file, forwarding.replace(`${work}/key`, `${work}/nowhere`));
  t.not(judged().status, 0);
  writeFileSync(file, forwarding.replace('streamDriverMode', 'streamDriverModes'));
  t.not(judged().status, 0);
});

t.test('records reach the server as RFC 5424, from a client that has proved itself', async (t) => {
  const log = await server(t, ours.sign('localhost'));
  const { send } = startRsyslog(t, configured(log));
  send('HPL18002W: a record with ümlauts, "quotes" and 100 %');
  const record = await log.waitFor(/HPL18002W/, 20_000);
  // <daemon.warning>1 TIME HOST APP-NAME PROCID MSGID SD MSG
  t.match(
    record,
    /^<28>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:\d\d) \S+ keydaemon 77 - - +HPL18002W: a record with ümlauts, "quotes" and 100 %$/,
  );
  t.strictSame(log.clients, ['the guest']);
});

t.test('records wait for a server that comes later', async (t) => {
  const port = await steadyPort();
  const first = await startLogServer(ours.sign('localhost'), ours.cert, { port });
  const settings = configured(first);
  await first.close();
  const { send } = startRsyslog(t, settings);
  for (const text of ['one', 'two', 'three']) send(text);
  await pause(500);
  const later = await startLogServer(ours.sign('localhost'), ours.cert, { port });
  t.teardown(() => later.close());
  await later.waitFor(/three$/, 40_000);
  t.strictSame(
    later.records.map((record) => record.split(' ').at(-1)),
    ['one', 'two', 'three'],
    'all, in their order',
  );
});

const strangers: readonly (readonly [string, () => Pair, Parameters<typeof configured>[1]])[] = [
  ['a server that somebody else has signed', () => theirs.sign('localhost'), { ca: theirs.cert }],
  ['a server with another name', () => ours.sign('other.example'), { names: ['other.example'] }],
];

t.test('nothing is told to strangers', async (t) => {
  for (const [what, pair, trusting] of strangers) {
    const log = await server(t, pair());
    startRsyslog(t, configured(log)).send('a secret of the workload');
    await pause(2_000);
    t.ok(log.attempts() > 0, `${what}: rsyslogd tried`);
    t.strictSame(log.records, [], what);
    // That setting, and nothing else, keeps them out.
    startRsyslog(t, configured(log, trusting)).send('told to a friend');
    await log.waitFor(/told to a friend$/, 20_000);
  }
});

t.test('the first record: who is believed, and what is said about the others', async (t) => {
  const other = theirs.sign('the guest');
  const cases: readonly (readonly [
    what: string,
    server: Pair,
    client: Pair,
    ca: string,
    hostname: string,
    expected: string,
  ])[] = [
    ['as it should be', ours.sign('localhost'), client, ours.cert, 'localhost', 'delivered'],
    ['an address in its certificate', ours.sign('127.0.0.1'), client, ours.cert, '127.0.0.1', 'delivered'],
    ['a server that somebody else has signed', theirs.sign('localhost'), client, ours.cert, 'localhost', 'refused'],
    ['a server with another name', ours.sign('other.example'), client, ours.cert, 'localhost', 'refused'],
    [
      'a server whose time has not come, as far as this clock knows',
      ours.sign('localhost', ['localhost'], { from: inDays(1), until: inDays(2) }),
      client,
      ours.cert,
      'localhost',
      'dates',
    ],
    [
      'a server whose time is over',
      ours.sign('localhost', ['localhost'], { from: inDays(-2), until: inDays(-1) }),
      client,
      ours.cert,
      'localhost',
      'dates',
    ],
    [
      'an address that the certificate does not have',
      ours.sign('localhost'),
      client,
      ours.cert,
      '127.0.0.1',
      'refused',
    ],
    ['a client that the server does not know', ours.sign('localhost'), other, ours.cert, 'localhost', 'refused'],
  ];
  for (const [what, pair, { cert, key }, ca, hostname, expected] of cases) {
    const log = await server(t, pair);
    const bytes = syslogRecord(new Date('2027-01-02T03:04:05Z'), 'guest 1', 'authentication probe');
    const secret = Secret.fromText(key);
    const outcome = await connections.deliver({
      hostname,
      port: log.port,
      ca,
      cert,
      key: secret,
      bytes,
      timeoutMs: 10_000,
    });
    secret.wipe();
    t.equal(
      outcome.kind === 'failure' ? outcome.failure : outcome.kind,
      expected,
      `${what}: ${JSON.stringify(outcome)}`,
    );
    t.strictSame(
      log.records,
      expected === 'delivered' ? ['<30>1 2027-01-02T03:04:05.000Z guest1 hpcr-logging - - - authentication probe'] : [],
      what,
    );
  }
});

t.test('rsyslogd believes a server by address under the names that the first record has shown', async (t) => {
  const log = await server(t, ours.sign('127.0.0.1'));
  const key = Secret.fromText(client.key);
  const target = { hostname: '127.0.0.1', port: log.port };
  const bytes = syslogRecord(new Date(), 'guest', 'first');
  const shown = await connections.deliver({
    ...target,
    ca: ours.cert,
    cert: client.cert,
    key,
    bytes,
    timeoutMs: 10_000,
  });
  const names = permittedNames('127.0.0.1', shown.kind === 'delivered' ? shown.names : []);
  const { send } = startRsyslog(t, configured(log, { hostname: '127.0.0.1', names }));
  send('by address');
  await log.waitFor(/by address$/, 20_000);
});

/** Common name and subjectAltName of the server, the name that the contract asks for, and whether it is believed. */
const certificates: readonly (readonly [
  what: string,
  pair: () => Pair,
  hostname: string,
  shown: readonly string[],
  believed: boolean,
])[] = [
  [
    'one name of several',
    () => ours.sign('server-7', ['other.example', 'a.logs.example']),
    'a.logs.example',
    ['other.example', 'a.logs.example', 'server-7'],
    true,
  ],
  [
    'a wildcard for the name',
    () => ours.sign('server-7', ['*.logs.example']),
    'a.logs.example',
    ['*.logs.example', 'server-7'],
    true,
  ],
  [
    'a common name without alternatives',
    () => ours.sign('a.logs.example', []),
    'a.logs.example',
    ['a.logs.example'],
    true,
  ],
  [
    'a neighbour under the wildcard that the first record has seen',
    () => ours.sign('b.logs.example'),
    'a.logs.example',
    ['*.logs.example'],
    false,
  ],
  [
    'another name of the certificate that the first record has seen',
    () => ours.sign('other.example'),
    'a.logs.example',
    ['other.example', 'a.logs.example'],
    false,
  ],
  ['a wildcard one level up', () => ours.sign('server-7', ['*.example']), 'a.logs.example', ['*.example'], false],
];

t.test('rsyslogd believes the name of the contract, and no other name of the certificate', async (t) => {
  for (const [what, pair, hostname, shown, believed] of certificates) {
    const log = await server(t, pair());
    const names = permittedNames(hostname, shown);
    startRsyslog(t, configured(log, { hostname: '127.0.0.1', names })).send('a record');
    if (believed) await t.resolves(log.waitFor(/a record$/, 20_000), what);
    else {
      await pause(2_000);
      t.ok(log.attempts() > 0, `${what}: rsyslogd tried`);
      t.strictSame(log.records, [], what);
    }
  }
});

t.test('what cannot be reached', async (t) => {
  const log = await startLogServer(ours.sign('localhost'), ours.cert);
  const open = { hostname: 'localhost', port: log.port };
  t.strictSame(await connections.reach(open, 5_000), { kind: 'reached' });
  await log.close();
  t.match(await connections.reach(open, 5_000), { kind: 'failure', failure: 'connect', detail: 'ECONNREFUSED' });
  const nowhere = { hostname: 'no-such-host.invalid', port: 6514 };
  t.match(await connections.reach(nowhere, 5_000), { kind: 'failure', failure: 'lookup' });
  const key = Secret.fromText(client.key);
  const delivery = { ...open, ca: ours.cert, cert: client.cert, key, bytes: Buffer.from('x'), timeoutMs: 5_000 };
  t.match(await connections.deliver(delivery), { kind: 'failure', failure: 'connect' });
});
