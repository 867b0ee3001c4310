/**
 * API keys, tokens, seeds and key material of the local service and of the key owner's commands: planted everywhere they
 * can be, in requests that succeed, fail, and hold them where they do not belong; then everything that anybody could read
 * is searched, the database included.
 */
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { describeChain } from '../../../agent/errors.ts';
import { clock } from '../../../agent/host/clock.ts';
import { entropy } from '../../../agent/host/entropy.ts';
import { makeHttp } from '../../../agent/host/http.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import { obtainSeed } from '../../../agent/kms/obtain-seed.ts';
import { Secret } from '../../../agent/secret.ts';
import { type Served, serve, triseed, triseedKms } from '../key-service.ts';
import { RawClient } from './raw-service.ts';

t.setTimeout(180_000);

const KEY = 'application/vnd.ibm.kms.key+json';
const random = (bytes: number): Buffer => entropy.bytes(bytes);
const MATERIAL = random(32);
const NEXT_MATERIAL = random(32);
const SEED = random(32).toString('base64');
const AAD_SEED = random(48).toString('base64');
const API_KEY = `c4n4ry-${random(24).toString('base64url')}`;
const WRONG_API_KEY = `c4n4ry-${random(24).toString('base64url')}`;

/** Every secret there is, by name; those that the service makes are added as they are seen. */
const secrets = new Map<string, Buffer>([
  ['key material', MATERIAL],
  ['rotated key material', NEXT_MATERIAL],
  ['seed', Buffer.from(SEED, 'base64')],
  ['seed with additional data', Buffer.from(AAD_SEED, 'base64')],
  ['API key', Buffer.from(API_KEY)],
  ['wrong API key', Buffer.from(WRONG_API_KEY)],
]);

/** The forms in which bytes show up in texts and files: raw, base64 at each of its three offsets, hexadecimal. */
const formsOf = (secret: Buffer): readonly Buffer[] => {
  const hex = secret.toString('hex');
  const encoded = [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), secret]).toString('base64');
    // Without the characters that also hold bits of what stands before and after.
    const core = text.slice(offset === 0 ? 0 : 4, text.replace(/=+$/, '').length - 2);
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [secret, ...[hex, hex.toUpperCase(), ...encoded].map((text) => Buffer.from(text))];
};

/** The name of a secret that is in `bytes`, or null. */
const leak = (bytes: Buffer | string): string | null => {
  const where = Buffer.from(bytes);
  for (const [name, secret] of secrets) if (formsOf(secret).some((form) => where.includes(form))) return name;
  return null;
};

const keyBody = (resource: object): object => ({
  metadata: { collectionType: KEY, collectionTotal: 1 },
  resources: [{ type: KEY, name: 'tests', extractable: false, ...resource }],
});

/** A service that says back whatever it is sent, as gateways in trouble do. */
const echoing = async (): Promise<{ readonly url: string; readonly close: () => void }> => {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const message = `you said ${Buffer.concat(chunks)} ${JSON.stringify(request.headers)}`;
      const isToken = request.url?.startsWith('/identity') === true;
      const token = { access_token: 'echo', token_type: 'Bearer', expires_in: 3600 };
      const error = {
        resources: [{ errorMsg: message, reasons: [{ code: 'INVALID_FIELD_ERR', message, status: 400 }] }],
      };
      response.writeHead(isToken ? 200 : 400, {
        'content-type': 'application/json',
        'correlation-id': message.slice(0, 60).replace(/[^\w-]/g, ''),
      });
      response.end(JSON.stringify(isToken ? token : error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
};

t.test('the detector sees every form', async (t) => {
  for (const [name, secret] of secrets) {
    for (const text of [secret.toString('base64'), secret.toString('base64url'), secret.toString('hex')])
      t.equal(leak(`x ${text} y`), name, `${name} as text`);
    for (const before of ['', 'a', 'ab'])
      t.equal(leak(Buffer.from(`${before}${secret.toString('latin1')}zz`, 'latin1').toString('base64')), name);
    t.equal(leak(Buffer.concat([random(5), secret, random(5)])), name, `${name} as bytes`);
  }
  t.equal(leak(random(100_000)), null);
});

t.test('no log, error, event or file of the service and of its commands holds a secret', async (t) => {
  const folder = t.testdir({
    'api-key': `${API_KEY}\n`,
    'wrong-key': `${WRONG_API_KEY}\n`,
    seed: `${SEED}\n`,
    store: {},
  });
  const at = (name: string): string => `${folder}/${name}`;
  writeFileSync(at('material'), MATERIAL);
  writeFileSync(at('next-material'), NEXT_MATERIAL);
  writeFileSync(at('seed-without-base64'), `!${SEED}!`);
  /** What is said by anybody, with the name of what said it. */
  const said: [name: string, text: string][] = [];
  const args = [
    ...['--db', at('store/keys.db'), '--events', at('store/events'), '--verbose'],
    ...['--api-key-file', at('api-key'), '--role', 'Manager+KeyPurge', '--instance', 'one'],
  ];
  const start = async (): Promise<Served> => {
    const served = await serve(args);
    served.process.stdout?.setEncoding('utf8').on('data', (text: string) => said.push(['stdout of the service', text]));
    served.process.stderr?.setEncoding('utf8').on('data', (text: string) => said.push(['stderr of the service', text]));
    return served;
  };
  const served = await start();
  t.teardown(() => served.stop('SIGKILL'));
  const access = ['--instance', 'one', '--api-key-file', at('api-key'), '--endpoint', served.url];
  const codes = new Map<number | null, number>();
  const run = async (...given: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await triseedKms(...given);
    said.push([given.map((arg) => arg.split('/').at(-1)).join(' '), `${stdout}\n${stderr}`]);
    codes.set(status, (codes.get(status) ?? 0) + 1);
    return stdout;
  };
  const key = (verb: string, ...given: readonly string[]) => run('key', verb, ...given, ...access);

  // Well-formed: everything that carries a secret.
  const made = JSON.parse(
    await key('import', 'imported', '--payload-file', at('material'), '--alias', 'ours', '--json'),
  );
  const { id } = made;
  writeFileSync(at('keyfile'), await key('wrap', id, '--seed-file', at('seed')));
  await key('wrap', id, '--seed-out', at('new-seed'));
  secrets.set('new seed', Buffer.from(readFileSync(at('new-seed'), 'utf8'), 'base64'));
  await key('unwrap', id, '--ciphertext-file', at('keyfile'), '--seed-out', at('seed-again'));
  t.equal(readFileSync(at('seed-again'), 'utf8'), SEED);
  await key('rotate', id, '--yes', '--payload-file', at('next-material'));
  for (const format of [[], ['--json']]) {
    await key('rewrap', id, '--ciphertext-file', at('keyfile'), ...format);
    await key('show', id, ...format);
    await key('list', ...format);
    await key('policy', id, ...format);
    await run('ring', 'list', ...access, ...format);
    await run('policies', 'list', ...access, ...format);
  }

  const client = new RawClient(served.url);
  const token = await client.logIn(API_KEY);
  const [, , signature = ''] = token.split('.');
  secrets.set('token', Buffer.from(token));
  secrets.set("token's signature", Buffer.from(signature, 'base64url'));
  const aad = { aad: ['volume'] };
  const wrapped = JSON.parse(
    (await client.api('one', 'POST', `keys/${id}/actions/wrap`, { plaintext: AAD_SEED, ...aad })).text,
  );
  await client.api('one', 'POST', `keys/${id}/actions/unwrap`, { ciphertext: wrapped.ciphertext, ...aad });
  const standard = await client.api('one', 'POST', 'keys', keyBody({ extractable: true, payload: SEED }));
  await client.api('one', 'GET', `keys/${JSON.parse(standard.text).resources[0].id}`);
  await client.api('one', 'POST', 'import_token', {});
  const imported = JSON.parse((await client.api('one', 'GET', 'import_token')).text);
  secrets.set('import nonce', Buffer.from(imported.nonce, 'base64'));

  // A secret where none belongs: what a slip of the hand sends.
  const misplaced = [API_KEY, WRONG_API_KEY, SEED, token, MATERIAL.toString('hex'), encodeURIComponent(SEED)];
  const authorization = { authorization: `Bearer ${token}`, 'bluemix-instance': 'one' };
  const status = new Map<number, number>();
  const raw = async (method: string, path: string, body = '', headers: Record<string, string> = authorization) => {
    const answer = await client.send(method, path, body, headers);
    said.push([`answer to ${method}`, answer.status === 200 ? '' : answer.text]);
    status.set(answer.status, (status.get(answer.status) ?? 0) + 1);
  };
  for (const secret of misplaced) {
    const name = encodeURIComponent(secret);
    for (const path of [`keys/${name}`, `keys/${name}/metadata`, `keys/${name}/versions`, `key_rings/${name}/x`])
      await raw('GET', `/api/v2/${path}?apikey=${name}`);
    for (const action of ['wrap', 'unwrap', 'rewrap', 'rotate', 'disable'])
      await raw(
        'POST',
        `/api/v2/keys/${name}/actions/${action}`,
        JSON.stringify({ plaintext: SEED, ciphertext: SEED }),
      );
    await raw('POST', `/api/v2/keys/${id}/aliases/${name}x${'y'.repeat(90)}`);
    await raw('DELETE', `/api/v2/keys/${id}/aliases/${name}`);
    await raw('DELETE', `/api/v2/key_rings/${name}`);
    await raw('PUT', `/api/v2/keys/${id}/policies?policy=${name}`, JSON.stringify({ policy: secret }));
    await raw('GET', `/identity/token?apikey=${name}`);
    await raw('POST', '/identity/token', `grant_type=${name}&apikey=${name}`, {});
    await raw('GET', `/crypto_v2/instances/${name}`);
    await raw('POST', `/__triseed/${name}`, JSON.stringify({ [secret]: secret }), {});
    await raw('POST', '/__triseed/faults', JSON.stringify({ faults: [{ operation: secret }] }), {});
    await raw('GET', '/api/v2/keys', '', { ...authorization, authorization: `Bearer ${secret}` });
    await raw('GET', '/api/v2/keys', '', { ...authorization, 'bluemix-instance': secret.slice(0, 60) });
    await raw('GET', '/api/v2/keys', '', { ...authorization, 'x-kms-key-ring': secret.slice(0, 60) });
    for (const body of [
      secret,
      `{"plaintext":"${secret}`,
      `{"${secret}":1}`,
      `{"plaintext":"${secret}!"}`,
      `[${secret}]`,
    ])
      for (const path of [`keys/${id}/actions/wrap`, `keys/${id}/actions/unwrap`, `keys/${id}/actions/rotate`, 'keys'])
        await raw('POST', `/api/v2/${path}`, body);
  }

  // Failing commands.
  const elsewhere = await echoing();
  const wrongKey = access.with(3, at('wrong-key'));
  for (const place of [access, wrongKey, access.with(5, elsewhere.url), access.with(5, 'http://127.0.0.1:1')]) {
    for (const given of [
      ['list'],
      ['show', id],
      ['wrap', id, '--seed-file', at('seed')],
      ['wrap', id, '--seed-file', at('seed-without-base64')],
      ['wrap', id, '--seed-out', at('new-seed')],
      ['import', 'again', '--payload-file', at('seed')],
      ['rotate', id, '--yes', '--payload-file', at('seed')],
      ['unwrap', id, '--ciphertext-file', at('seed'), '--seed-out', at('nowhere/seed')],
      ['unwrap', API_KEY, '--ciphertext-file', at('keyfile'), '--seed-out', at('seed-again')],
      ['rewrap', id, '--ciphertext-file', at('seed')],
      ['show', token],
      ['show', API_KEY],
      ['alias', id, SEED],
      ['move', id, SEED],
    ])
      await run('key', ...given, ...place);
  }
  elsewhere.close();
  for (const given of [
    ['key', 'list', '--api-key', API_KEY],
    ['key', 'list', API_KEY, ...access],
    ['key', 'list', ...access.with(1, API_KEY)],
    ['key', 'list', ...access, '--region', SEED],
    ['key', 'list', ...access, '--endpoint', `http://${API_KEY}@127.0.0.1:1`],
    ['key', 'list', ...access, '--proxy', `http://u:${API_KEY}@127.0.0.1:1/x`],
    ['serve', '--api-key-file', at('seed-without-base64'), '--db', at('material')],
    ['serve', '--db', at('other.db'), '--db-key-file', at('seed'), '--api-key-file', at('api-key')],
    ['serve', '--faults', at('api-key'), '--api-key-file', at('api-key')],
    ['serve', '--tls-cert', at('api-key'), '--tls-key', at('material'), '--api-key-file', at('api-key')],
  ])
    await run(...given);

  // The agent's own client, in trouble of every kind, and what the boot would put into the journal.
  const journal = {
    message: (...given: unknown[]) => void said.push(['journal', JSON.stringify(given)]),
    note: () => {},
  };
  const host = { http: makeHttp({ extraCa: [], proxy: null }), clock, entropy };
  const effects = [
    { malformed: true },
    { truncate: true },
    { drop: true },
    { status: 503, body: 'x' },
    { status: 401 },
    { status: 422 },
  ];
  for (const effect of effects) {
    const faults = JSON.stringify({ faults: [{ operation: 'any', effect }] });
    await client.send('POST', '/__triseed/faults', faults);
    for (const apiKey of [API_KEY, WRONG_API_KEY]) {
      const crn = `crn:v1:bluemix:public:kms:us-south:a/0:one:key:${id}`;
      const entry = { crn, type: 'public', apiKey: Secret.fromText(apiKey) } as const;
      const settings = {
        iam: served.url,
        endpoints: { one: served.url },
        ca: [],
        proxy: null,
        pollSeconds: 60,
        onRevoked: 'grace',
      } as const;
      const work = obtainSeed({ clock, entropy, journal }, [backendFor(host, entry, settings)], {
        volume: 'data',
        stored: readFileSync(at('keyfile'), 'utf8').trim(),
        kmsTimeoutMinutes: 0,
        startedAtMs: clock.monotonicMs(),
      });
      await work.then(
        () => t.fail('the fault did not strike'),
        (error: unknown) => said.push(['boot', `${describeChain(error)} ${JSON.stringify(error)}`]),
      );
    }
    await client.send('DELETE', '/__triseed/faults');
  }

  const filesOf = (): readonly (readonly [string, Buffer])[] =>
    readdirSync(at('store'))
      .filter((name) => name !== 'keys.db.key')
      .map((name) => [name, readFileSync(at(`store/${name}`))] as const);
  const search = (when: string): void => {
    for (const [name, bytes] of filesOf()) {
      t.equal(leak(bytes), null, `${name}, ${bytes.length} bytes, ${when}`);
      t.equal(statSync(at(`store/${name}`)).mode & 0o077, 0, `${name} is for its owner`);
    }
  };
  search('while the service works');
  t.ok(
    filesOf().some(([, bytes]) => bytes.includes(id)),
    'the search would have found it: the key id is there',
  );
  const own = `/proc/${served.process.pid}`;
  for (const name of ['cmdline', 'environ']) t.equal(leak(readFileSync(`${own}/${name}`)), null, name);

  // It breaks: there is more in its store than it holds in memory, and the files under it are overwritten.
  const payload = Buffer.alloc(7000, MATERIAL).toString('base64');
  const many: string[] = [];
  for (let count = 0; count < 500; count += 1) {
    const { text } = await client.api('one', 'POST', 'keys', keyBody({ extractable: true, payload }));
    many.push(JSON.parse(text).resources[0].id);
  }
  search('with many keys');
  for (const name of ['keys.db', 'keys.db-wal']) {
    const file = openSync(at(`store/${name}`), 'r+');
    for (let place = 0; place < statSync(at(`store/${name}`)).size; place += 4096)
      writeSync(file, random(4096), 0, 4096, place);
    closeSync(file);
  }
  for (const one of many) await raw('GET', `/api/v2/keys/${one}`);
  for (const secret of misplaced) {
    await raw('POST', `/api/v2/keys/${id}/actions/wrap`, JSON.stringify({ plaintext: secret }));
    await raw('POST', '/api/v2/keys', JSON.stringify(keyBody({ payload: SEED })));
    await raw('GET', `/api/v2/keys/${id}`);
  }
  client.close();
  search('after it broke');
  await served.stop('SIGABRT');
  const broken = await triseed(['kms', 'serve', '--listen', '127.0.0.1:0', ...args]);
  t.equal(broken.status, 3, 'a broken store is refused');
  said.push(['a start with a broken store', `${broken.stdout}${broken.stderr}`]);
  chmodSync(at('api-key'), 0o600);
  rmSync(at('store/keys.db.key'));
  const keyless = await triseed(['kms', 'serve', '--listen', '127.0.0.1:0', ...args]);
  said.push(['a start without its key', `${keyless.stdout}${keyless.stderr}`]);
  search('in the end');

  const bytes = said.reduce((sum, [, text]) => sum + text.length, 0);
  for (const [name, text] of said) {
    const found = leak(text);
    if (found !== null) t.fail(`${name} tells the ${found}`, { text: text.slice(0, 2000) });
  }
  const by = (name: string): string =>
    said
      .filter(([who]) => who === name)
      .map(([, text]) => text)
      .join('');
  t.match(
    by('stderr of the service'),
    /^wrap [0-9a-f-]{36}: 200 OK, correlation id [0-9a-f-]{36}$/m,
    'the log tells what is done',
  );
  t.match(by('stderr of the service'), /^metadata -: 404 Not Found/m, 'and hides what is no id');
  t.match(by('stderr of the service'), /^internal error: .*, correlation id/m, 'it really broke');
  t.match(readFileSync(at('store/events'), 'utf8'), /"requestURI":"\/api\/v2\/keys\/-\/metadata"/);
  for (const code of [0, 1, 2, 3]) t.ok((codes.get(code) ?? 0) > 0, `commands ended with ${code}: ${codes.get(code)}`);
  for (const code of [400, 401, 404, 500])
    t.ok((status.get(code) ?? 0) > 0, `answers with ${code}: ${status.get(code)}`);
  t.comment(`${said.length} texts of ${bytes} bytes were searched for ${secrets.size} secrets`);
});
