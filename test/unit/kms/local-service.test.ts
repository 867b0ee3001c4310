/** The local key service, in this process and on a manual clock: it answers as the documented API does. */
import fc from 'fast-check';
import t from 'tap';
import { decodeBase64 } from '../../../agent/emulator/base64.ts';
import { type Fault, parseFaults, strike } from '../../../agent/emulator/faults.ts';
import { PLAIN_KEY } from '../../../agent/emulator/key-record.ts';
import { parseWrappedKey } from '../../../agent/emulator/wrapping.ts';
import { manualClock } from '../../fakes/clock.ts';
import { type Answer, INSTANCE, type LocalKms, localKms } from '../../fakes/local-kms.ts';

const SEED = Buffer.alloc(32, 5).toString('base64');

const setUp = async (role?: 'Reader' | 'ReaderPlus' | 'Writer' | 'Manager') => {
  const clock = manualClock();
  const kms = await localKms(clock, role === undefined ? {} : { role });
  const act = (key: string, action: string, body?: unknown): Promise<Answer> =>
    kms.request('POST', `/api/v2/keys/${key}/actions/${action}`, body);
  const wrapped = async (key: string): Promise<string> => (await act(key, 'wrap', { plaintext: SEED })).json.ciphertext;
  const state = async (key: string): Promise<number> =>
    (await kms.request('GET', `/api/v2/keys/${key}/metadata`)).json.resources[0].state;
  return { clock, kms, act, wrapped, state };
};
const keyBody = (resource: object): object => ({
  metadata: { collectionType: 'application/vnd.ibm.kms.key+json', collectionTotal: 1 },
  resources: [resource],
});
const codeOf = (answer: Answer): string | undefined => answer.json?.resources?.[0]?.reasons?.[0]?.code;

t.test('error bodies, to the byte', async (t) => {
  const { kms, act } = await setUp();
  const key = await kms.createKey();
  await act(key, 'disable');
  const conflict = await act(key, 'wrap');
  t.equal(conflict.status, 409);
  t.equal(
    conflict.text,
    '{"metadata":{"collectionType":"application/vnd.ibm.kms.error+json","collectionTotal":1},"resources":[{"errorMsg":' +
      '"Conflict: Wrap with key could not be performed: Please see `reasons` for more details (KEY_ACTION_INVALID_STATE_ERR)",' +
      '"reasons":[{"code":"KEY_ACTION_INVALID_STATE_ERR","message":"Key is not in a valid state","status":409,' +
      '"moreInfo":"https://cloud.ibm.com/apidocs/key-protect"}]}]}',
  );
  const refused = await kms.request('GET', '/api/v2/keys', undefined, { authorization: '' });
  t.equal(refused.status, 401);
  t.equal(
    refused.text,
    '{"metadata":{"collectionType":"application/vnd.ibm.kms.error+json","collectionTotal":1},"resources":[{"errorMsg":' +
      '"Unauthorized: The user does not have access to the specified resource"}]}',
  );
});

t.test('wrap, unwrap and rewrap, in both path forms', async (t) => {
  const { kms, act } = await setUp();
  const key = await kms.createKey();
  const legacy = (action: string, body: unknown) => kms.request('POST', `/api/v2/keys/${key}?action=${action}`, body);
  const made = await act(key, 'wrap', {});
  t.equal(Buffer.from(made.json.plaintext, 'base64').length, 32);
  t.equal(made.json.keyVersion.id, key);
  t.match(made.json.ciphertext, /^eyJjaXBoZXJ0ZXh0Ijoi/, 'begins like every wrapped key of the service');
  t.ok(
    made.json.ciphertext.length > 200 && made.json.ciphertext.length < 340,
    `${made.json.ciphertext.length} characters`,
  );
  t.same((await legacy('unwrap', { ciphertext: made.json.ciphertext })).json, {
    plaintext: made.json.plaintext,
    keyVersion: { id: key },
  });
  const [first, second] = [await act(key, 'wrap', { plaintext: SEED }), await legacy('wrap', { plaintext: SEED })];
  t.notOk('plaintext' in first.json, 'a given plaintext is not sent back');
  t.not(first.json.ciphertext, second.json.ciphertext);
  t.equal((await act(key, 'wrap', '')).status, 200, 'an empty body generates');
  const again = await act(key, 'rewrap', { ciphertext: first.json.ciphertext });
  t.match(again.json, { keyVersion: { id: key }, rewrappedKeyVersion: { id: key } });
  t.notOk('plaintext' in again.json);
});

t.test('rotation: old wrappings unwrap and bring a new one along', async (t) => {
  const { clock, kms, act, wrapped } = await setUp();
  const key = await kms.createKey();
  const old = await wrapped(key);
  t.equal((await act(key, 'rotate')).status, 204);
  const answer = (await act(key, 'unwrap', { ciphertext: old })).json;
  t.match(answer, { plaintext: SEED, keyVersion: { id: key } });
  const version = answer.rewrappedKeyVersion.id;
  t.not(version, key);
  t.same((await act(key, 'unwrap', { ciphertext: answer.ciphertext })).json, {
    plaintext: SEED,
    keyVersion: { id: version },
  });
  t.match((await act(key, 'rewrap', { ciphertext: old })).json, { rewrappedKeyVersion: { id: version } });
  const shown = (await kms.request('GET', `/api/v2/keys/${key}/metadata`)).json.resources[0];
  t.match(shown, { id: key, state: 1, keyVersion: { id: version }, lastRotateDate: /Z$/ });
  const versions = (await kms.request('GET', `/api/v2/keys/${key}/versions`)).json.resources;
  t.same(
    versions.map(({ id }: { id: string }) => id),
    [version, key],
    'newest first',
  );

  t.equal(codeOf(await act(key, 'rotate')), 'KEY_ROTATION_NOT_PERMITTED');
  await clock.advance(3_599_000);
  t.equal((await act(key, 'rotate')).status, 409);
  await clock.advance(2000);
  t.equal((await act(key, 'rotate')).status, 204);
  t.equal((await act(key, 'unwrap', { ciphertext: old })).json.plaintext, SEED);
});

t.test('what each state allows', async (t) => {
  const { clock, kms, act, wrapped, state } = await setUp();
  const make = async (enter: (key: string) => Promise<unknown>, resource: object = {}) => {
    const key = await kms.createKey(resource);
    const ciphertext = await wrapped(key);
    await enter(key);
    return { key, ciphertext };
  };
  const soon = new Date(clock.now().getTime() + 3_600_000).toISOString();
  const keys = {
    active: await make(async () => {}),
    suspended: await make((key) => act(key, 'disable')),
    deactivated: await make(async () => {}, { expirationDate: soon }),
    destroyed: await make((key) => kms.request('DELETE', `/api/v2/keys/${key}`)),
  };
  await clock.advance(3_601_000);
  const numbers = { active: 1, suspended: 2, deactivated: 3, destroyed: 5 };
  const table: Record<string, Record<keyof typeof keys, string>> = {
    wrap: { active: '200', suspended: '409', deactivated: '409', destroyed: '410' },
    unwrap: { active: '200', suspended: '409', deactivated: '200', destroyed: '410' },
    rewrap: { active: '200', suspended: '409', deactivated: '200', destroyed: '410' },
    enable: { active: '409', suspended: '204', deactivated: '409', destroyed: '410' },
    disable: { active: '204', suspended: '204', deactivated: '409', destroyed: '410' },
  };
  for (const [name, { key }] of Object.entries(keys))
    t.equal(await state(key), numbers[name as keyof typeof keys], name);
  for (const [action, row] of Object.entries(table)) {
    for (const [name, expected] of Object.entries(row)) {
      const { key, ciphertext } = keys[name as keyof typeof keys];
      const body = action === 'wrap' ? {} : action.endsWith('wrap') ? { ciphertext } : undefined;
      const answer = await act(key, action, body);
      t.equal(String(answer.status), expected, `${action} of a key that is ${name}`);
      const code = { 409: 'KEY_ACTION_INVALID_STATE_ERR', 410: 'KEY_DELETED_ERR' }[answer.status];
      if (code !== undefined) t.equal(codeOf(answer), code);
    }
  }
  t.equal(codeOf(await act('no-such-key', 'wrap')), 'KEY_NOT_FOUND_ERR');
});

t.test('waits between actions follow the clock of the service, which can be moved', async (t) => {
  const { kms, act, state } = await setUp();
  const admin = (seconds: unknown, headers: Record<string, string> = {}) =>
    kms.request('POST', '/__triseed/clock', { advanceSeconds: seconds }, { host: '127.0.0.1:8080', ...headers });
  const key = await kms.createKey();
  await act(key, 'disable');
  t.equal(codeOf(await act(key, 'enable')), 'REQ_TOO_EARLY_ERR');
  await admin(29);
  t.equal((await act(key, 'enable')).status, 409);
  t.equal((await admin(2)).status, 200);
  t.equal((await act(key, 'enable')).status, 204);

  await kms.request('DELETE', `/api/v2/keys/${key}`);
  const restore = () => kms.request('POST', `/api/v2/keys/${key}/restore`);
  t.equal(codeOf(await restore()), 'REQ_TOO_EARLY_ERR');
  await admin(31);
  t.equal((await restore()).status, 201);
  t.equal(await state(key), 1);
  t.equal(codeOf(await restore()), 'KEY_ACTION_INVALID_STATE_ERR');
  await kms.request('DELETE', `/api/v2/keys/${key}`);
  await admin(31 * 86_400);
  t.equal(codeOf(await restore()), 'KEY_RESTORE_EXPIRED');
  const hidden = await kms.request('GET', '/api/v2/keys');
  t.equal(hidden.json.metadata.collectionTotal, 0, 'destroyed keys are listed only on request');
  t.equal((await kms.request('GET', '/api/v2/keys?state=5')).json.metadata.collectionTotal, 1);
  t.equal((await kms.request('HEAD', '/api/v2/keys?state=5')).headers['key-total'], '1');

  for (const seconds of [-1, '5', null, Number.NaN]) t.equal((await admin(seconds)).status, 400, String(seconds));
});

t.test('the back door is for this machine only, and not for web pages', async (t) => {
  const { kms } = await setUp();
  const rows: [Record<string, string>, number][] = [
    [{ host: '127.0.0.1:8080' }, 200],
    [{ host: 'localhost' }, 200],
    [{ host: '[::1]:8080' }, 200],
    [{ host: '10.0.2.2:8080' }, 403],
    [{ host: 'evil.example' }, 403],
    [{ host: '127.0.0.1.evil.example' }, 403],
    [{ host: '127.0.0.1:8080', origin: 'https://evil.example' }, 403],
  ];
  for (const [headers, status] of rows) {
    t.equal((await kms.request('GET', '/__triseed/clock', undefined, headers)).status, status, JSON.stringify(headers));
  }
});

t.test('tokens end, and cannot be made by others', async (t) => {
  const { clock, kms } = await setUp();
  const key = await kms.createKey();
  const form = `grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=${encodeURIComponent('an-api-key_of-the.tests~ +&=')}`;
  const answer = await kms.request('POST', '/oidc/token', form);
  t.match(answer.json, { token_type: 'Bearer', expires_in: 3600, refresh_token: 'not_supported' });
  const [header, claims, signature] = answer.json.access_token.split('.');
  const parsed = JSON.parse(Buffer.from(claims, 'base64url').toString());
  t.equal(parsed.exp - parsed.iat, 3600);
  t.match(parsed.iam_id, /^iam-/);
  const read = (authorization: string) =>
    kms.request('GET', `/api/v2/keys/${key}/metadata`, undefined, { authorization });
  t.equal((await read(`Bearer ${header}.${claims}.${signature}`)).status, 200);
  const forged = Buffer.from(JSON.stringify({ ...parsed, exp: parsed.exp + 9999 })).toString('base64url');
  t.equal((await read(`Bearer ${header}.${forged}.${signature}`)).status, 401);
  t.equal((await read(`Bearer ${header}.${claims}.AAAA`)).status, 401);
  t.match(await read('Basic abc'), { status: 400, text: /BEARER_SUB_EXTRACTION_ERR/ });
  await clock.advance(3_600_000);
  t.equal((await read(`Bearer ${header}.${claims}.${signature}`)).status, 401);

  const wrong = await kms.request('POST', '/identity/token', form.replace('an-api', 'no-api'));
  t.match(wrong, { status: 400, json: { errorCode: 'BXNIM0415E', context: { url: /iam/ } } });
  t.match(await kms.request('POST', '/identity/token', `${form}&response_type=x`), {
    json: { errorCode: 'BXNIM0106E' },
  });
});

t.test('roles, instances and headers', async (t) => {
  const { kms: owner } = await setUp();
  t.equal(
    (await owner.request('GET', '/api/v2/keys', undefined, { 'bluemix-instance': INSTANCE.replace('1', '2') })).status,
    401,
  );
  const allowed: Record<string, string[]> = {
    Reader: ['GET keys', 'GET metadata', 'POST wrap'],
    ReaderPlus: ['GET keys', 'GET metadata', 'POST wrap', 'GET key'],
    Writer: ['GET keys', 'GET metadata', 'POST wrap', 'GET key', 'POST rotate', 'POST keys'],
  };
  for (const [role, may] of Object.entries(allowed)) {
    const { kms } = await setUp(role as 'Reader');
    const now = 0;
    const version = { id: 'v1', createdMs: now };
    kms.store.save(
      {
        ...PLAIN_KEY,
        instance: INSTANCE,
        id: 'k1',
        name: 'n1',
        createdMs: now,
        createdBy: 'x',
        updatedMs: now,
        versions: [version],
      },
      { versionId: 'v1', material: Buffer.alloc(32) },
    );
    const requests: Record<string, () => Promise<Answer>> = {
      'GET keys': () => kms.request('GET', '/api/v2/keys'),
      'GET metadata': () => kms.request('GET', '/api/v2/keys/k1/metadata'),
      'GET key': () => kms.request('GET', '/api/v2/keys/k1'),
      'POST wrap': () => kms.request('POST', '/api/v2/keys/k1/actions/wrap'),
      'POST rotate': () => kms.request('POST', '/api/v2/keys/k1/actions/rotate'),
      'POST keys': () => kms.request('POST', '/api/v2/keys', keyBody({ name: 'n2' })),
      'POST disable': () => kms.request('POST', '/api/v2/keys/k1/actions/disable'),
      'DELETE key': () => kms.request('DELETE', '/api/v2/keys/k1'),
    };
    for (const [name, send] of Object.entries(requests)) {
      const { status } = await send();
      t.equal(status === 401, !may.includes(name), `${role}: ${name} gives ${status}`);
    }
  }
  const given = await owner.request('GET', '/api/v2/keys', undefined, { 'correlation-id': 'my-own-id' });
  t.equal(given.headers['correlation-id'], 'my-own-id');
  t.match((await owner.request('GET', '/api/v2/keys')).headers['correlation-id'], /^[0-9a-f-]{36}$/);
});

t.test('bodies are read strictly', async (t) => {
  const { kms, act, wrapped } = await setUp();
  const key = await kms.createKey();
  const standard = await kms.createKey({ extractable: true });
  const ciphertext = await wrapped(key);
  const other = await wrapped(await kms.createKey());
  const tampered = Buffer.from(JSON.parse(Buffer.from(ciphertext, 'base64').toString()).ciphertext, 'base64');
  tampered[0] = (tampered[0] ?? 0) ^ 1;
  const changed = Buffer.from(
    JSON.stringify({
      ...JSON.parse(Buffer.from(ciphertext, 'base64').toString()),
      ciphertext: tampered.toString('base64'),
    }),
  ).toString('base64');
  const rows: [string, string, unknown, number, string][] = [
    ['unwrap', 'no body', undefined, 400, 'NO_BODY_ERR'],
    ['unwrap', 'not JSON', '{', 400, 'BAD_BODY_ERR'],
    ['unwrap', 'unknown member', { ciphertext, extra: 1 }, 400, 'BAD_BODY_ERR'],
    ['unwrap', 'no ciphertext', {}, 400, 'INVALID_FIELD_ERR'],
    ['unwrap', 'not base64', { ciphertext: 'a-b' }, 400, 'INVALID_FIELD_ERR'],
    ['unwrap', 'another key', { ciphertext: other }, 422, 'UNPROCESSABLE_CIPHERTEXT_ERR'],
    ['unwrap', 'tampered', { ciphertext: changed }, 422, 'UNPROCESSABLE_CIPHERTEXT_ERR'],
    ['unwrap', 'no wrapped key', { ciphertext: 'AAAA' }, 422, 'UNPROCESSABLE_CIPHERTEXT_ERR'],
    ['unwrap', 'foreign aad', { ciphertext, aad: ['x'] }, 422, 'UNPROCESSABLE_CIPHERTEXT_ERR'],
    ['wrap', 'not base64', { plaintext: '!!!' }, 400, 'INVALID_FIELD_ERR'],
    ['wrap', 'long aad', { aad: ['x'.repeat(256)] }, 400, 'INVALID_FIELD_ERR'],
    ['rotate', 'payload on a generated key', { payload: SEED }, 400, 'INVALID_QUERY_PARAM_ERR'],
  ];
  for (const [action, name, body, status, code] of rows) {
    const answer = await act(key, action, body);
    t.match({ status: answer.status, code: codeOf(answer) }, { status, code }, `${action}: ${name}`);
  }
  t.match((await act(key, 'unwrap', { ciphertext: 'ab!d' })).text, /illegal base64 data at input byte 2/);
  t.match((await act(key, 'wrap', { odd: 1 })).text, /json: unknown field \\"odd\\"/);
  t.equal(codeOf(await act(standard, 'wrap')), 'KEY_ROOT_REQ_ERR');
  const aad = await act(key, 'wrap', { plaintext: SEED, aad: ['a', 'b'] });
  t.equal((await act(key, 'unwrap', { ciphertext: aad.json.ciphertext, aad: ['a', 'b'] })).json.plaintext, SEED);
  t.equal((await act(key, 'unwrap', { ciphertext: aad.json.ciphertext, aad: ['b', 'a'] })).status, 422);
  t.equal((await kms.request('GET', '/api/v2/elsewhere')).status, 404);
  t.equal((await kms.request('GET', '/api/v2/keys/%')).status, 404, 'a broken escape');
});

t.test('imported keys with the same material unwrap each other, whatever their ids', async (t) => {
  const { kms, act } = await setUp();
  const payload = Buffer.alloc(24, 3).toString('base64');
  const [one, two] = [await kms.createKey({ payload }), await kms.createKey({ payload, aliases: ['spare'] })];
  const { ciphertext } = (await act(one, 'wrap', { plaintext: SEED })).json;
  t.match((await act('spare', 'unwrap', { ciphertext })).json, { plaintext: SEED, keyVersion: { id: two } });
  t.equal(codeOf(await act(one, 'rotate')), 'KEY_PAYLOAD_REQ_ERR');
  t.equal((await act(one, 'rotate', { payload: Buffer.alloc(16).toString('base64') })).status, 204);
  for (const size of [0, 15, 33]) {
    const payload = Buffer.alloc(size).toString('base64');
    const answer = await kms.request('POST', '/api/v2/keys', keyBody({ name: 'bad', extractable: false, payload }));
    t.equal(answer.status, 400, `${size} bytes`);
  }
  const shown = await kms.request('GET', `/api/v2/keys/${one}`);
  t.notOk('payload' in shown.json.resources[0], 'a root key never shows its payload');
  const standard = await kms.createKey({ extractable: true, payload: 'AAAA' });
  t.equal((await kms.request('GET', `/api/v2/keys/${standard}`)).json.resources[0].payload, 'AAAA');
});

t.test('base64: agrees with the strict standard decoder, and names the first wrong byte', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const decoded = decodeBase64(Buffer.from(bytes).toString('base64'));
      return decoded.kind === 'bytes' && decoded.bytes.equals(bytes);
    }),
  );
  const rows: [string, number | null][] = [
    ['', null],
    ['YWJj', null],
    ['YW\nJj', null],
    ['YWI=\r\n', null],
    ['YW==', null],
    ['Y', 0],
    ['YW', 0],
    ['YWJ', 0],
    ['YWJjY', 4],
    ['YW-_', 2],
    ['YW=', 3],
    ['YW=a', 3],
    ['=YWJ', 0],
    ['Y===', 1],
    ['YWI=YWI=', 4],
    ['YWJj YWJj', 4],
  ];
  for (const [text, at] of rows) {
    const decoded = decodeBase64(text);
    t.equal(decoded.kind === 'illegal' ? decoded.at : null, at, JSON.stringify(text));
  }
  t.equal(parseWrappedKey(Buffer.from('null')), null);
});

t.test('faults strike as scripted', async (t) => {
  const effect = { kind: 'drop' } as const;
  const base: Fault = { operation: 'any', instance: null, key: null, skip: 0, count: null, effect };
  const request = { operation: 'unwrap', instance: INSTANCE, key: 'k' } as const;
  const hits = (fault: Fault, times: number): boolean[] => {
    let faults: readonly Fault[] = [fault];
    return Array.from({ length: times }, () => {
      const struck = strike(faults, request, 0);
      faults = struck.left;
      return struck.stroke !== null;
    });
  };
  t.same(hits(base, 3), [true, true, true]);
  t.same(hits({ ...base, count: 2 }, 4), [true, true, false, false]);
  t.same(hits({ ...base, skip: 1, count: 1 }, 4), [false, true, false, false]);
  t.same(hits({ ...base, operation: 'wrap' }, 1), [false]);
  t.same(hits({ ...base, key: 'other' }, 1), [false]);
  t.same(hits({ ...base, instance: 'other' }, 1), [false]);

  const bad: unknown[] = [
    null,
    [],
    {},
    { faults: {} },
    { faults: [{}] },
    { faults: [{ operation: 'explode', effect: { drop: true } }] },
    { faults: [{ operation: 'any', effect: {} }] },
    { faults: [{ operation: 'any', effect: { status: 99 } }] },
    { faults: [{ operation: 'any', effect: { delayMs: -1 } }] },
    { faults: [{ operation: 'any', effect: { drop: true }, count: 1.5 }] },
    { faults: [{ operation: 'any', effect: { drop: true }, surprise: 1 }] },
  ];
  for (const value of bad) t.equal(parseFaults(value).kind, 'invalid', JSON.stringify(value));

  const { kms }: { kms: LocalKms } = await setUp();
  const key = await kms.createKey();
  const admin = (method: string, body?: unknown) =>
    kms.request(method, '/__triseed/faults', body, { host: '127.0.0.1' });
  const faults = [
    { operation: 'metadata', count: 1, effect: { status: 429, code: 'SLOW_DOWN', retryAfterSeconds: 7 } },
  ];
  t.equal((await admin('POST', { faults })).status, 200);
  const struck = await kms.request('GET', `/api/v2/keys/${key}/metadata`);
  t.match(
    { status: struck.status, code: codeOf(struck), headers: struck.headers },
    { status: 429, code: 'SLOW_DOWN', headers: { 'retry-after': '7' } },
  );
  t.equal((await kms.request('GET', `/api/v2/keys/${key}/metadata`)).status, 200);
  t.match((await admin('GET')).json, { faults: [{ count: 0 }] });
  t.equal((await admin('DELETE')).status, 200);
  t.same((await admin('GET')).json, { faults: [] });
  t.equal((await admin('POST', { faults: [{}] })).status, 400);
});
