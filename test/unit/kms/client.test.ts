/** The key service client against scripted answers: tokens, headers, strictness. */
import t from 'tap';
import type { KmsEntry } from '../../../agent/contract/types.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import { keyAdministration } from '../../../agent/kms/key-administration.ts';
import { Secret } from '../../../agent/secret.ts';
import { type ManualClock, manualClock } from '../../fakes/clock.ts';
import { type FakeAnswer, fakeHttp, type SentRequest } from '../../fakes/http.ts';

const KEY = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
const INSTANCE = '11111111-2222-4333-8444-555555555555';
const SEED = Buffer.alloc(32, 7).toString('base64');
const entry = (apiKey = 'api-key-0123456789', region = 'eu-gb'): KmsEntry => ({
  crn: `crn:v1:bluemix:public:kms:${region}:a/00:${INSTANCE}:key:${KEY}`,
  type: 'public',
  apiKey: Secret.fromText(apiKey),
});
const settings = {
  iam: 'https://iam.cloud.ibm.com',
  endpoints: {},
  ca: [],
  proxy: null,
  pollSeconds: 60,
  onRevoked: 'grace',
} as const;

let uuids = 0;
const entropy = { bytes: (n: number) => Buffer.alloc(n), fraction: () => 0.5, uuid: () => `uuid-${++uuids}` };
const token = (name: string, seconds = 3600): FakeAnswer => ({
  status: 200,
  body: { access_token: name, refresh_token: 'not_supported', token_type: 'Bearer', expires_in: seconds },
});
const metadata = (more: object = {}): FakeAnswer => ({
  status: 200,
  headers: { 'correlation-id': 'c-1' },
  body: {
    metadata: {},
    resources: [{ id: KEY, state: 1, extractable: false, keyVersion: { id: 'v1', creationDate: 'x' }, ...more }],
  },
});
const isToken = (request: SentRequest): boolean => request.url.endsWith('/identity/token');

const client = (
  answer: (request: SentRequest, count: number) => FakeAnswer | Promise<FakeAnswer>,
  options: { readonly clock?: ManualClock; readonly entry?: KmsEntry } = {},
) => {
  const clock = options.clock ?? manualClock();
  let count = 0;
  const http = fakeHttp(clock, (request) => answer(request, ++count));
  const host = { http: http.send, clock, entropy };
  return { clock, sent: http.sent, host, backend: backendFor(host, options.entry ?? entry(), settings) };
};
const always = (given: FakeAnswer) => client((request) => (isToken(request) ? token('tok') : given));

t.test('requests look as the documentation says, and the API key is escaped byte by byte', async (t) => {
  const { backend, sent } = client((request) => (isToken(request) ? token('t.o-k_1') : metadata()), {
    entry: entry('a+b&c=d%~ é-0123'),
  });
  t.match(await backend.keyState(), {
    kind: 'done',
    value: { state: 'active', keyVersion: 'v1' },
    correlationId: 'c-1',
  });
  const [tokenRequest, keyRequest] = sent;
  const form = new URLSearchParams(tokenRequest?.body);
  t.equal(tokenRequest?.url, 'https://iam.cloud.ibm.com/identity/token');
  t.equal(form.get('grant_type'), 'urn:ibm:params:oauth:grant-type:apikey');
  t.equal(form.get('apikey'), 'a+b&c=d%~ é-0123');
  t.equal(tokenRequest?.headers['content-type'], 'application/x-www-form-urlencoded');
  t.equal(keyRequest?.url, `https://eu-gb.kms.cloud.ibm.com/api/v2/keys/${KEY}/metadata`);
  t.match(keyRequest?.headers, { authorization: 'Bearer t.o-k_1', 'bluemix-instance': INSTANCE });
  t.match(keyRequest?.headers['correlation-id'], /^uuid-/);

  const wrapping = always({ status: 200, body: { ciphertext: 'YWJj', keyVersion: { id: 'v1' } } });
  t.match(await wrapping.backend.wrap(Secret.fromText(SEED)), {
    kind: 'done',
    value: { wrapped: 'YWJj', keyVersion: 'v1' },
  });
  t.same(JSON.parse(wrapping.sent[1]?.body ?? ''), { plaintext: SEED });
});

t.test('one token serves all volumes and entries of an API key, and is renewed at 80 % of its life', async (t) => {
  const clock = manualClock();
  let tokens = 0;
  const { host, sent } = client((request) => (isToken(request) ? token(`tok${++tokens}`, 1000) : metadata()), {
    clock,
  });
  const [one, two] = [backendFor(host, entry(), settings), backendFor(host, entry(), settings)];
  await clock.run(Promise.all([one.keyState(), two.keyState(), one.keyState()]));
  t.equal(tokens, 1, 'callers at the same time share one request');
  await clock.advance(799_000);
  await two.keyState();
  t.equal(tokens, 1);
  await clock.advance(2000);
  await Promise.all([one.keyState(), two.keyState(), one.keyState()]);
  t.equal(tokens, 2, 'one renewal, whoever notices');
  await clock.advance(0);
  await two.keyState();
  t.equal(sent.at(-1)?.headers.authorization, 'Bearer tok2');
  t.equal(tokens, 2);
  await backendFor(host, entry('another-key-9876'), settings).keyState();
  t.equal(tokens, 3, 'another API key has a token of its own');
});

t.test('nobody waits for a renewal while the old token serves', async (t) => {
  const clock = manualClock();
  let tokens = 0;
  const { backend, sent } = client(
    (request) => (isToken(request) ? (++tokens === 1 ? token('tok1', 1000) : 'hang') : metadata()),
    { clock },
  );
  await backend.keyState();
  await clock.advance(801_000);
  const beganMs = clock.monotonicMs();
  t.match(await backend.keyState(), { kind: 'done' });
  t.match(await backend.keyState(), { kind: 'done' });
  t.equal(clock.monotonicMs(), beganMs);
  t.equal(tokens, 2, 'the renewal is under way');
  t.equal(sent.filter(({ headers }) => headers.authorization === 'Bearer tok1').length, 3);
  await clock.advance(189_000);
  const late = backend.keyState({ timeoutMs: 3000 });
  t.match(await clock.run(late), { kind: 'retryable', reason: /^token service: / }, 'until it ends');
});

t.test(
  'while the token service is down the old token is used up to its end, and asked for once a minute',
  async (t) => {
    const clock = manualClock();
    let asked = 0;
    const { backend } = client(
      (request) => {
        if (!isToken(request)) return metadata();
        asked += 1;
        return asked === 1 ? token('tok', 1000) : { status: 503, body: 'down' };
      },
      { clock },
    );
    await backend.keyState();
    await clock.advance(801_000);
    for (const expected of [2, 2, 2]) {
      t.match(await backend.keyState(), { kind: 'done' });
      t.equal(asked, expected);
      await clock.advance(10_000);
    }
    await clock.advance(40_000);
    t.match(await backend.keyState(), { kind: 'done' });
    t.equal(asked, 3, 'tried again after a minute');
    await clock.advance(120_000);
    t.match(await backend.keyState(), { kind: 'retryable', reason: 'token service: HTTP 503', correlationId: null });
  },
);

t.test('a 401 is asked again once with a new token', async (t) => {
  let tokens = 0;
  const refreshing = client((request) => {
    if (isToken(request)) return token(`tok${++tokens}`);
    return request.headers.authorization === 'Bearer tok2' ? metadata() : { status: 401, body: {} };
  });
  t.match(await refreshing.backend.keyState(), { kind: 'done' });
  t.equal(tokens, 2);
  await refreshing.backend.keyState();
  t.equal(tokens, 2, 'the new token stays');

  const denied = always({ status: 401, body: {} });
  t.match(await denied.backend.keyState(), { kind: 'denied', by: 'kms' });
  t.equal(denied.sent.length, 4, 'two tokens, two attempts');
});

t.test('a refused API key is told apart from a token service in trouble', async (t) => {
  const rows: [FakeAnswer, object][] = [
    [
      { status: 400, body: { errorCode: 'BXNIM0415E' } },
      { kind: 'denied', by: 'iam' },
    ],
    [{ status: 400, body: '<html>' }, { kind: 'retryable' }],
    [
      { status: 429, headers: { 'retry-after': '3' } },
      { kind: 'retryable', afterMs: 3000 },
    ],
    [{ failure: 'lookup' }, { kind: 'retryable', reason: 'token service: lookup: as the test says' }],
    [{ status: 200, body: '<html>' }, { kind: 'retryable' }],
    [{ status: 200, body: { access_token: 'has spaces in it', expires_in: 3600 } }, { kind: 'retryable' }],
    [{ status: 200, body: { access_token: 'tok' } }, { kind: 'retryable' }],
    [{ status: 200, body: { access_token: 'tok', expires_in: 5 } }, { kind: 'retryable' }],
    [{ status: 200, body: { access_token: '', expires_in: 3600 } }, { kind: 'retryable' }],
  ];
  for (const [given, expected] of rows) {
    const { backend } = client((request) => (isToken(request) ? given : metadata()));
    t.match(await backend.keyState(), expected, JSON.stringify(given));
  }
});

t.test('a question that joins a token request begun early asks for itself when that reached nobody', async (t) => {
  const rows: readonly (readonly [name: string, FakeAnswer, kind: string, tokens: number])[] = [
    ['no connection', { failure: 'connect' }, 'done', 2],
    ['trouble', { status: 503, body: 'down' }, 'done', 2],
    ['patience is asked for', { status: 429, headers: { 'retry-after': '8' } }, 'retryable', 1],
    ['the API key is refused', { status: 400, body: { errorCode: 'BXNIM0415E' } }, 'denied', 1],
    ['a token', token('tok'), 'done', 1],
  ];
  for (const [name, early, kind, expected] of rows) {
    let tokens = 0;
    let answer = (_: FakeAnswer): void => {};
    const { backend } = client((request) => {
      if (!isToken(request)) return metadata();
      tokens += 1;
      return tokens > 1 ? token('tok') : new Promise<FakeAnswer>((resolve) => (answer = resolve));
    });
    const ready = backend.prepare?.();
    const asked = [backend.keyState(), backend.keyState()];
    answer(early);
    await ready;
    for (const { kind: found } of await Promise.all(asked)) t.equal(found, kind, name);
    t.equal(tokens, expected, `${name}: requests, whoever asks`);
  }
});

t.test('when the token service asks for patience, the callers of one API key ask once', async (t) => {
  const clock = manualClock();
  let asked = 0;
  const { host } = client(
    (request) => {
      if (!isToken(request)) return metadata();
      asked += 1;
      return asked === 1 ? { status: 429, headers: { 'retry-after': '8' } } : token('tok');
    },
    { clock },
  );
  const volumes = [1, 2, 3].map(() => backendFor(host, entry(), settings));
  for (const volume of volumes)
    t.match(await volume.keyState(), { kind: 'retryable', reason: 'token service: HTTP 429' });
  t.equal(asked, 1);
  await clock.advance(3000);
  t.match(await volumes[1]?.keyState(), { kind: 'retryable', afterMs: 5000 });
  await clock.advance(5000);
  t.match(await volumes[2]?.keyState(), { kind: 'done' });
  t.equal(asked, 2);
});

t.test('an API key that is withdrawn takes its cached token with it', async (t) => {
  const clock = manualClock();
  let asked = 0;
  const { backend, sent } = client(
    (request) => {
      if (!isToken(request)) return metadata();
      asked += 1;
      return asked === 1 ? token('tok', 1000) : { status: 400, body: { errorCode: 'BXNIM0415E' } };
    },
    { clock },
  );
  await backend.keyState();
  await clock.advance(801_000);
  t.match(await backend.keyState(), { kind: 'done' }, 'the request that noticed that a renewal is due');
  await clock.advance(0);
  t.match(await backend.keyState(), { kind: 'denied', by: 'iam' });
  t.match(await backend.keyState(), { kind: 'denied', by: 'iam' });
  t.equal(sent.filter((request) => !isToken(request)).length, 2, 'the old token is not sent any more');
});

t.test('the limit of a call covers the token as well', async (t) => {
  const hanging = client(() => 'hang');
  const startedMs = hanging.clock.monotonicMs();
  const answer = await hanging.clock.run(hanging.backend.keyState({ timeoutMs: 2000 }));
  t.match(answer, { kind: 'retryable', correlationId: null });
  t.equal(hanging.clock.monotonicMs() - startedMs, 2000);

  const slowToken = client(async (request, _count) => {
    if (!isToken(request)) return 'hang';
    await slowToken.clock.sleep(1500);
    return token('tok');
  });
  await slowToken.clock.run(slowToken.backend.keyState({ timeoutMs: 2000 }));
  t.equal(slowToken.sent.at(-1)?.timeoutMs, 500);
});

t.test('answers are read strictly', async (t) => {
  const good = { plaintext: SEED, ciphertext: 'YWJj', keyVersion: { id: 'v1' } };
  const generated: [string, unknown, string][] = [
    ['as documented', good, 'done'],
    ['more members', { ...good, extra: 1 }, 'done'],
    ['no plaintext', { ...good, plaintext: undefined }, 'retryable'],
    ['31 bytes', { ...good, plaintext: Buffer.alloc(31).toString('base64') }, 'retryable'],
    ['no base64', { ...good, plaintext: 'a.b-' }, 'retryable'],
    ['no ciphertext', { ...good, ciphertext: undefined }, 'retryable'],
    ['ciphertext not canonical', { ...good, ciphertext: 'YWJ=' }, 'retryable'],
    ['ciphertext no base64', { ...good, ciphertext: '!!' }, 'retryable'],
    ['empty ciphertext', { ...good, ciphertext: '' }, 'retryable'],
    ['endless ciphertext', { ...good, ciphertext: 'A'.repeat(8000) }, 'retryable'],
    ['no key version', { ...good, keyVersion: {} }, 'retryable'],
    ['key version with a newline', { ...good, keyVersion: { id: 'a\nb' } }, 'retryable'],
    ['a list', [good], 'retryable'],
    ['no JSON', '<html>', 'retryable'],
  ];
  for (const [name, body, kind] of generated) {
    const { backend } = always({ status: 200, body });
    t.equal((await backend.generateAndWrap()).kind, kind, `wrap: ${name}`);
  }
  const made = await always({ status: 200, body: good }).backend.generateAndWrap();
  t.equal(
    made.kind === 'done' && made.value.seed3.expose((bytes) => bytes.toString()),
    SEED,
    'seed3 is the base64 text',
  );

  const unwrapped: [string, unknown, object][] = [
    ['as documented', { plaintext: SEED, keyVersion: { id: 'v1' } }, { kind: 'done', value: { rewrapped: null } }],
    [
      'after a rotation',
      { plaintext: SEED, keyVersion: { id: 'v1' }, ciphertext: 'bmV3', rewrappedKeyVersion: { id: 'v2' } },
      { kind: 'done', value: { keyVersion: 'v1', rewrapped: { wrapped: 'bmV3', keyVersion: 'v2' } } },
    ],
    [
      'new ciphertext without its version',
      { plaintext: SEED, keyVersion: { id: 'v1' }, ciphertext: 'bmV3' },
      { kind: 'done', value: { rewrapped: null } },
    ],
    ['a seed of 8 bytes', { plaintext: 'AAAAAAAAAAA=', keyVersion: { id: 'v1' } }, { kind: 'badConfiguration' }],
    ['no key version', { plaintext: SEED }, { kind: 'retryable' }],
    ['two plaintexts', `{"plaintext":"${SEED}","plaintext":"${SEED}","keyVersion":{"id":"v"}}`, { kind: 'retryable' }],
  ];
  for (const [name, body, expected] of unwrapped) {
    t.match(await always({ status: 200, body }).backend.unwrap('YWJj'), expected, `unwrap: ${name}`);
  }

  const rewrapped: [unknown, string][] = [
    [{ ciphertext: 'bmV3', keyVersion: { id: 'v1' }, rewrappedKeyVersion: { id: 'v2' } }, 'done'],
    [{ ciphertext: 'bmV3', keyVersion: { id: 'v1' } }, 'retryable'],
  ];
  for (const [body, kind] of rewrapped)
    t.equal((await always({ status: 200, body }).backend.rewrap('YWJj')).kind, kind);

  const states: [string, FakeAnswer, object][] = [
    ['suspended', metadata({ state: 2 }), { kind: 'done', value: { state: 'suspended' } }],
    ['expired', metadata({ state: 3 }), { kind: 'done', value: { state: 'deactivated' } }],
    ['deleted flag', metadata({ deleted: true }), { kind: 'done', value: { state: 'destroyed' } }],
    ['unknown state', metadata({ state: 9 }), { kind: 'done', value: { state: 'unknown' } }],
    ['standard key', metadata({ extractable: true }), { kind: 'badConfiguration' }],
    ['another key', metadata({ id: KEY.replace('a', 'b') }), { kind: 'retryable' }],
    ['no key', { status: 200, body: { resources: [] } }, { kind: 'retryable' }],
    ['no JSON', { status: 200, body: 'OK' }, { kind: 'retryable' }],
    ['an unasked 204', { status: 204 }, { kind: 'retryable' }],
  ];
  for (const [name, given, expected] of states)
    t.match(await always(given).backend.keyState(), expected, `metadata: ${name}`);
});

t.test('every answer and every failure carries the name of its request', async (t) => {
  const rows: [string, FakeAnswer, FakeAnswer, RegExp | null][] = [
    ['as the service names it', token('tok'), { status: 409, headers: { 'correlation-id': 'theirs' } }, /^theirs$/],
    ['as we named it', token('tok'), { status: 409 }, /^uuid-\d+$/],
    ['a name that is none', token('tok'), { status: 409, headers: { 'correlation-id': 'a\u001b[2J' } }, /^uuid-\d+$/],
    ['no answer', token('tok'), { failure: 'interrupted' }, /^uuid-\d+$/],
    ['the token service', { status: 503, headers: { 'transaction-id': 'tx.1-2_3' } }, metadata(), /^tx\.1-2_3$/],
    ['no answer of the token service', { failure: 'connect' }, metadata(), null],
  ];
  for (const [name, iam, kms, expected] of rows) {
    const { backend, sent } = client((request) => (isToken(request) ? iam : kms));
    const { correlationId } = await backend.keyState();
    if (expected === null) t.equal(correlationId, null, name);
    else t.match(correlationId, expected, name);
    if (correlationId?.startsWith('uuid-')) t.equal(sent.at(-1)?.headers['correlation-id'], correlationId);
  }
});

t.test('a host without an address: older instances get advice, others the bare failure', async (t) => {
  const crn = `crn:v1:bluemix:public:hs-crypto:eu-de:a/00:${INSTANCE}:key:${KEY}`;
  const reason = async (given: KmsEntry) => {
    const { backend } = client((request) => (isToken(request) ? token('tok') : { failure: 'lookup' }), {
      entry: given,
    });
    const answer = await backend.keyState();
    return answer.kind === 'retryable' ? answer.reason : answer.kind;
  };
  t.match(await reason({ ...entry(), crn }), /^lookup: .*kms\.endpoints/);
  t.notMatch(await reason(entry()), /kms\.endpoints/);
});

t.test('an older instance is found by asking the broker, once, when its own host does not exist', async (t) => {
  const crn = `crn:v1:bluemix:public:hs-crypto:eu-de:a/00:${INSTANCE}:key:${KEY}`;
  const older = 'https://api.eu-de.hs-crypto.cloud.ibm.com:11399';
  const told: FakeAnswer = {
    status: 200,
    body: {
      instance_id: INSTANCE,
      kms: { public: older.slice(8), private: 'api.private.eu-de.hs-crypto.cloud.ibm.com:9' },
    },
  };
  const isBroker = ({ url }: SentRequest): boolean => url.includes('/crypto_v2/');
  const world = (answers: { readonly broker: FakeAnswer; readonly own?: FakeAnswer; readonly old?: FakeAnswer }) =>
    client(
      (request) => {
        if (isToken(request)) return token('tok');
        if (isBroker(request))
          return request.url.startsWith('https://broker.') ? { failure: 'lookup' } : answers.broker;
        return request.url.startsWith(older) ? (answers.old ?? metadata()) : (answers.own ?? { failure: 'lookup' });
      },
      { entry: { ...entry(), crn } },
    );

  const found = world({ broker: told });
  t.match(await found.backend.keyState(), { kind: 'done', value: { state: 'active' } });
  t.match(await found.backend.keyState(), { kind: 'done' });
  t.equal(found.sent.filter(isBroker).length, 2, 'both names, once');
  t.ok(found.sent.filter(isBroker).every(({ headers }) => headers.authorization === 'Bearer tok'));
  t.equal(found.sent.at(-1)?.url, `${older}/api/v2/keys/${KEY}/metadata`, 'and then kept');
  t.match(
    await world({ broker: told, old: { status: 401 } }).backend.keyState(),
    { kind: 'denied' },
    'its answer counts',
  );

  for (const own of [
    metadata(),
    metadata({ state: 2 }),
    { status: 401 },
    { status: 503 },
    { failure: 'connect' },
  ] as const) {
    const near = world({ broker: told, own });
    await near.backend.keyState();
    t.notOk(near.sent.some(isBroker), `not asked when the host is there: ${JSON.stringify(own).slice(0, 30)}`);
  }
  t.match(await world({ broker: told, own: { status: 404, body: 'no such host' } }).backend.keyState(), {
    kind: 'done',
  });

  const silent = world({ broker: { failure: 'connect' } });
  for (let poll = 0; poll < 5; poll += 1) {
    t.match(await silent.backend.keyState(), { kind: 'retryable', reason: /^lookup: .*kms\.endpoints/ });
    await silent.clock.advance(10_000);
  }
  t.equal(silent.sent.filter(isBroker).length, 2, 'a broker that does not help is left alone');
  await silent.clock.advance(20_000);
  await silent.backend.keyState();
  t.equal(silent.sent.filter(isBroker).length, 4, 'for a minute');
  const liar = world({ broker: { status: 200, body: { instance_id: INSTANCE, kms: { public: 'evil.example:443' } } } });
  t.match(await liar.backend.keyState(), { kind: 'retryable' });
  t.notOk(liar.sent.some(({ url }) => url.includes('evil')));
});

t.test("the key owner's requests find the instance by the same rules, and say the name of the request", async (t) => {
  const own = `https://${INSTANCE}.api.us-south.kms.appdomain.cloud`;
  const { host, sent } = client((request) => {
    if (isToken(request)) return token('tok');
    if (!request.url.startsWith(own)) return { status: 401, body: {} };
    return request.method === 'POST' ? { status: 409, headers: { 'correlation-id': 'their-name' } } : metadata();
  });
  const keys = keyAdministration(host, {
    instanceId: INSTANCE,
    baseUrls: ['https://us-south.kms.cloud.ibm.com', own],
    broker: null,
    whenUnknown: null,
    iamUrl: 'https://iam.cloud.ibm.com',
    apiKey: Secret.fromText('api-key-0123456789'),
  });
  t.match(await keys.resources({ action: 'list the keys', method: 'GET', path: 'keys' }), [{ id: KEY }]);
  await t.rejects(keys.call({ action: 'disable the key', method: 'POST', path: `keys/${KEY}/actions/disable` }), {
    code: 'KMS_COMMAND_REFUSED',
    message: /HTTP 409.*correlation id their-name/,
  });
  t.equal(sent.filter(({ url }) => url.startsWith('https://us-south.')).length, 2, 'two tokens, then never again');
});

t.test('a stored text that is no base64 never leaves the guest', async (t) => {
  for (const text of ['', 'abc', 'a b=', 'abcd\n', '{"ciphertext":1}', 'A'.repeat(4100)]) {
    const { backend, sent } = always(metadata());
    t.match(await backend.unwrap(text), { kind: 'badCiphertext' }, JSON.stringify(text.slice(0, 20)));
    t.match(await backend.rewrap(text), { kind: 'badCiphertext' });
    t.equal(sent.length, 0);
  }
});

t.test(
  'a dedicated instance is found behind the regional host, and only when that one does not know the key',
  async (t) => {
    const dedicated = `https://${INSTANCE}.api.us-south.kms.appdomain.cloud/`;
    const hosts = (regional: FakeAnswer, own: FakeAnswer) =>
      client((request) => (isToken(request) ? token('tok') : request.url.startsWith(dedicated) ? own : regional), {
        entry: entry(undefined, 'us-south'),
      });
    const unknownKey: FakeAnswer = { status: 404, body: { resources: [{ reasons: [{ code: 'KEY_NOT_FOUND_ERR' }] }] } };

    const found = hosts(unknownKey, metadata());
    t.match(await found.backend.keyState(), { kind: 'done' });
    await found.backend.keyState();
    t.equal(found.sent.filter((request) => request.url.startsWith('https://us-south.')).length, 1, 'and then kept');

    t.match(await hosts(unknownKey, { failure: 'lookup' }).backend.keyState(), { kind: 'gone' }, 'no such host');
    t.match(
      await hosts({ failure: 'connect' }, metadata()).backend.keyState(),
      { kind: 'done' },
      'only its own is near',
    );
    const away = await hosts({ failure: 'connect' }, { failure: 'lookup' }).backend.keyState();
    t.match(away, { kind: 'retryable', reason: /^connect/ }, 'the regional host in trouble');
    t.match(await hosts({ failure: 'timeout' }, metadata()).backend.keyState(), { kind: 'retryable' });
    t.match(await hosts({ status: 401 }, metadata({ state: 2 })).backend.keyState(), { value: { state: 'suspended' } });
    t.match(await hosts({ status: 401 }, { status: 401 }).backend.keyState(), { kind: 'denied' });
    const standard = hosts(metadata({ state: 2 }), metadata());
    t.match(await standard.backend.keyState(), { value: { state: 'suspended' } });
    t.notOk(
      standard.sent.some((request) => request.url.startsWith(dedicated)),
      'a known key is not looked for elsewhere',
    );
  },
);

t.test('neither seed nor key nor token appears in what is said about a failure', async (t) => {
  const echo: FakeAnswer = { status: 500, body: `seed ${SEED} key api-key-0123456789 token tok-secret` };
  const { backend } = client((request) => (isToken(request) ? token('tok-secret') : echo));
  const said = JSON.stringify([await backend.wrap(Secret.fromText(SEED)), await backend.unwrap('YWJj')]);
  t.notMatch(said, /api-key|tok-secret|BwcHBwcH/);
});

t.test('a reference that cannot work is refused before anything is sent', async (t) => {
  const { host, sent } = client(() => 'hang');
  const bad =
    (given: Partial<KmsEntry>, more: object = {}) =>
    () =>
      backendFor(host, { ...entry(), ...given }, { ...settings, ...more });
  t.throws(bad({ crn: 'crn:v1:x' }), { code: 'KMS_REFERENCE_INVALID' });
  t.throws(bad({}, { endpoints: { [INSTANCE]: 'http://10.0.2.2' } }), { code: 'KMS_REFERENCE_INVALID' });
  t.throws(bad({}, { iam: 'http://iam.example' }), { code: 'KMS_REFERENCE_INVALID' });
  t.equal(sent.length, 0);
});
