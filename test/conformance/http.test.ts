/** The HTTP port against servers that misbehave. */
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { makeHttp } from '../../agent/host/http.ts';
import { serveHttp } from '../../agent/host/http-server.ts';
import type { HttpOutcome } from '../../agent/ports.ts';
import { Secret } from '../../agent/secret.ts';
import type { ServerReply, ServerRequest } from '../../agent/service-ports.ts';
import { blackHole } from './black-hole.ts';
import { makeCa } from './key-service.ts';

const http = makeHttp({ extraCa: [], proxy: null });
const get = (
  url: string,
  more: { readonly timeoutMs?: number; readonly maxBodyBytes?: number } = {},
): Promise<HttpOutcome> => http({ method: 'GET', url, headers: {}, timeoutMs: 10_000, maxBodyBytes: 1000, ...more });

const reply = (status: number, body: string, headers: Record<string, string> = {}): ServerReply => ({
  kind: 'reply',
  status,
  headers,
  body,
});

const serving = async (t: Test, handle: (request: ServerRequest) => ServerReply): Promise<string> => {
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    tls: null,
    maxBodyBytes: 1000,
    handle: async (request) => handle(request),
    onError: () => {},
  });
  t.teardown(() => server.close());
  return server.url;
};

/** A server that sends `bytes` to whoever connects, then closes. */
const raw = async (t: Test, bytes: string): Promise<string> => {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
};

t.test('an answer, whatever its status, with lower-case headers; redirects are not followed', async (t) => {
  const seen: ServerRequest[] = [];
  const url = await serving(t, (request) => {
    seen.push(request);
    return request.target === '/elsewhere'
      ? reply(200, 'never')
      : reply(302, 'moved', { Location: '/elsewhere', 'X-One': 'a' });
  });
  t.match(await get(`${url}/here?x=1`), {
    kind: 'answer',
    response: { status: 302, headers: { location: '/elsewhere', 'x-one': 'a' }, body: Buffer.from('moved') },
  });
  t.same(
    seen.map(({ target }) => target),
    ['/here?x=1'],
  );
  t.equal(seen[0]?.headers['accept-encoding'], 'identity');
});

t.test('a secret body arrives, and its sender keeps it', async (t) => {
  const url = await serving(t, (request) => reply(200, request.body.toString('hex')));
  const body = Secret.take(Buffer.from([0, 1, 255, 10]));
  const outcome = await http({ method: 'POST', url, headers: {}, body, timeoutMs: 10_000, maxBodyBytes: 100 });
  t.equal(outcome.kind === 'answer' && outcome.response.body.toString(), '0001ff0a');
  t.equal(body.length, 4);
  t.equal(
    body.expose((bytes) => bytes.toString('hex')),
    '0001ff0a',
  );
});

t.test('a connection that is used again and again carries no load of listeners', async (t) => {
  const url = await serving(t, () => reply(200, 'x'));
  const warnings: string[] = [];
  const listen = (warning: Error): void => {
    warnings.push(warning.name);
  };
  process.on('warning', listen);
  for (let at = 0; at < 15; at += 1) t.match(await get(url), { kind: 'answer' });
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  t.same(warnings, []);
});

t.test('each trouble has its own name', async (t) => {
  const hanging = await serving(t, () => ({ kind: 'hang' }));
  const dropping = await serving(t, () => ({ kind: 'drop' }));
  const cutting = await serving(t, () => ({ kind: 'truncate', body: 'x'.repeat(100) }));
  const long = await serving(t, () => reply(200, 'x'.repeat(1001)));
  const packed = await serving(t, () => reply(200, 'x', { 'content-encoding': 'gzip' }));
  const rows: [string, () => Promise<HttpOutcome>, string][] = [
    ['no such name', () => get('https://no-such-host.invalid/', { timeoutMs: 5000 }), 'lookup'],
    ['nobody listens', () => get('http://127.0.0.1:1/'), 'connect'],
    ['plain server, TLS client', () => get(dropping.replace('http:', 'https:')), 'tls'],
    ['silence', () => get(hanging, { timeoutMs: 100 }), 'timeout'],
    ['closed without an answer', () => get(dropping), 'interrupted'],
    ['half a body', () => get(cutting), 'interrupted'],
    ['too long', () => get(long), 'tooLarge'],
    ['an encoding nobody asked for', () => get(packed), 'protocol'],
  ];
  for (const [name, ask, failure] of rows) t.match(await ask(), { kind: 'failure', failure }, name);
  t.match(await get(await raw(t, 'SSH-2.0-OpenSSH_9.2\r\n')), { failure: 'protocol' }, 'no HTTP at all');
  t.match(await get(await raw(t, `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(20_000)}\r\n`)), { failure: 'protocol' });
  t.match(await get(await raw(t, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')), { failure: 'interrupted' });
});

t.test('a limit for the connection alone: what swallows packets, and who shakes no hands, is left early', async (t) => {
  const hole = `127.0.0.1:${await blackHole(t)}`;
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const address = silent.address();
  const mute = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const slow = await serving(t, () => ({ kind: 'hang' }));
  const rows: [string, string, number, number, string][] = [
    ['packets are swallowed', `http://${hole}/`, 200, 5000, 'connect'],
    ['packets are swallowed, https', `https://${hole}/`, 200, 5000, 'connect'],
    ['no handshake', `https://${mute}/`, 200, 5000, 'tls'],
    ['the whole limit is the shorter one', `https://${mute}/`, 5000, 200, 'tls'],
    ['a connection, and then silence', slow, 100, 600, 'timeout'],
  ];
  for (const [name, url, connectTimeoutMs, timeoutMs, failure] of rows) {
    const beganMs = performance.now();
    const outcome = await http({ method: 'GET', url, headers: {}, timeoutMs, connectTimeoutMs, maxBodyBytes: 1000 });
    const tookMs = performance.now() - beganMs;
    t.match(outcome, { kind: 'failure', failure, detail: /127\.0\.0\.1:\d+ in time$/ }, name);
    t.ok(tookMs >= (failure === 'timeout' ? 550 : 150) && tookMs < 4500, `${name}: ${Math.round(tookMs)} ms`);
  }
});

t.test('addresses that are refused before anything is sent', async (t) => {
  const rows = [
    'http://10.0.2.2/',
    'http://kms.example/',
    'http://0.0.0.0/',
    'http://[::ffff:10.0.0.1]/',
    'http://127.0.0.1.evil.example/',
    'https://user:pass@127.0.0.1/',
    'ftp://127.0.0.1/',
    'file:///etc/passwd',
    'nonsense',
    '',
  ];
  for (const url of rows) t.match(await get(url), { kind: 'failure', failure: 'protocol' }, url);
});

t.test('the environment cannot switch verification off', async (t) => {
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  });
  const { ca, cert, key } = makeCa(t.testdir());
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    tls: { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') },
    maxBodyBytes: 1000,
    handle: async () => reply(200, 'ok'),
    onError: () => {},
  });
  t.teardown(() => server.close());
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  t.match(await get(server.url), { kind: 'failure', failure: 'tls' });
  const trusting = makeHttp({ extraCa: [readFileSync(ca, 'utf8')], proxy: null });
  const outcome = await trusting({ method: 'GET', url: server.url, headers: {}, timeoutMs: 10_000, maxBodyBytes: 10 });
  t.match(outcome, { kind: 'answer' });
});

type OnConnect = (socket: Socket, target: string) => void;

/** A proxy that leaves it to `answer` what happens to a CONNECT request; its URL, and the targets it was asked for. */
const proxied = async (t: Test, answer: OnConnect) => {
  const targets: string[] = [];
  const server = createHttpServer();
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    targets.push(request.url ?? '');
    answer(socket, request.url ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return { targets, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` };
};

const tunnel: OnConnect = (socket, target) => {
  const [host, port] = target.split(':');
  const onward = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
};

t.test('https goes through the configured proxy, end to end; what the proxy does wrong is told apart', async (t) => {
  const { ca, cert, key } = makeCa(t.testdir());
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    tls: { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') },
    maxBodyBytes: 1000,
    handle: async () => reply(200, 'ok'),
    onError: () => {},
  });
  t.teardown(() => server.close());
  const through = (proxy: string, { trusted = true, timeoutMs = 10_000 } = {}) => {
    const send = makeHttp({ extraCa: trusted ? [readFileSync(ca, 'utf8')] : [], proxy });
    return send({ method: 'GET', url: server.url, headers: {}, timeoutMs, maxBodyBytes: 10 });
  };
  const good = await proxied(t, tunnel);
  t.match(await through(good.url), { kind: 'answer', response: { status: 200, body: Buffer.from('ok') } });
  t.strictSame(good.targets, [new URL(server.url).host]);
  t.match(
    await through(good.url, { trusted: false }),
    { kind: 'failure', failure: 'tls' },
    'the proxy is no reason to trust more',
  );

  const refusing = await proxied(t, (socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
  t.match(await through(refusing.url), { kind: 'failure', failure: 'connect' });
  const silent = await proxied(t, () => {});
  t.match(await through(silent.url, { timeoutMs: 500 }), { kind: 'failure', failure: 'connect' });
  t.match(await through('http://127.0.0.1:9'), { kind: 'failure', failure: 'connect' });

  const url = await serving(t, () => reply(200, 'plain'));
  const send = makeHttp({ extraCa: [], proxy: refusing.url });
  const plain = await send({ method: 'GET', url, headers: {}, timeoutMs: 10_000, maxBodyBytes: 10 });
  t.match(plain, { kind: 'answer' }, 'loopback is not asked for through a proxy');

  process.env.HTTPS_PROXY = refusing.url;
  process.env.NODE_USE_ENV_PROXY = '1';
  t.teardown(() => {
    delete process.env.HTTPS_PROXY;
    delete process.env.NODE_USE_ENV_PROXY;
  });
  const direct = makeHttp({ extraCa: [readFileSync(ca, 'utf8')], proxy: null });
  const outcome = await direct({ method: 'GET', url: server.url, headers: {}, timeoutMs: 10_000, maxBodyBytes: 10 });
  t.match(outcome, { kind: 'answer' }, 'the environment has no say');
});

t.test('settings that cannot work are refused when they are read', async (t) => {
  for (const proxy of ['proxy', 'ftp://proxy', 'http://proxy/path'])
    t.throws(() => makeHttp({ extraCa: [], proxy }), { code: 'KMS_PROXY_INVALID' });
  t.throws(() => makeHttp({ extraCa: ['no certificate'], proxy: null }), { code: 'KMS_CA_UNUSABLE' });
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  t.throws(() => makeHttp({ extraCa: [broken], proxy: null }), { code: 'KMS_CA_UNUSABLE' });
});

t.test('a request that is too long for the server is turned away', async (t) => {
  const url = await serving(t, () => reply(200, 'ok'));
  const body = 'x'.repeat(1001);
  const outcome = await http({ method: 'POST', url, headers: {}, body, timeoutMs: 10_000, maxBodyBytes: 100 });
  t.match(outcome, { kind: 'answer', response: { status: 413 } });
});
