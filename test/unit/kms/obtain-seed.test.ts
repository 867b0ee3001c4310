/** The boot's key work, scene by scene, on a manual clock: against the local key service, and against scripted backends. */
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import type { KeyBackend, KmsAnswer, KmsRefusal } from '../../../agent/kms/backend.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import { type ObtainedSeed, obtainSeed, type SeedRequest } from '../../../agent/kms/obtain-seed.ts';
import type { Host } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { type ManualClock, manualClock } from '../../fakes/clock.ts';
import { type LocalKms, localKms } from '../../fakes/local-kms.ts';

interface Scene {
  readonly clock: ManualClock;
  readonly notes: string[];
  readonly messages: { readonly name: string; readonly facts: Record<string, unknown> }[];
  readonly host: Pick<Host, 'clock' | 'entropy' | 'journal'>;
  run(backends: readonly KeyBackend[], request?: Partial<SeedRequest>): Promise<ObtainedSeed | AgentError>;
  /** Milliseconds since the start. */
  elapsedMs(): number;
}

const scene = (): Scene => {
  const clock = manualClock();
  const startedAtMs = clock.monotonicMs();
  const messages: { name: string; facts: Record<string, unknown> }[] = [];
  const notes: string[] = [];
  const host: Scene['host'] = {
    clock,
    entropy: { bytes: (n) => Buffer.alloc(n), fraction: () => 0.5, uuid: () => 'u' },
    journal: {
      message: (name, facts) => void messages.push({ name, facts: { ...facts } }),
      note: (_, text) => void notes.push(text),
    },
  };
  return {
    clock,
    messages,
    notes,
    host,
    elapsedMs: () => clock.monotonicMs() - startedAtMs,
    run: async (backends, request = {}) => {
      const work = obtainSeed(host, backends, {
        volume: 'data',
        stored: null,
        kmsTimeoutMinutes: 10,
        startedAtMs,
        ...request,
      });
      try {
        return await clock.run(work);
      } catch (error) {
        if (error instanceof AgentError) return error;
        throw error;
      }
    },
  };
};

const textOf = (result: ObtainedSeed | AgentError): string => {
  if (result instanceof AgentError) throw result;
  return result.seed3.expose((bytes) => bytes.toString('latin1'));
};
const opened = (result: ObtainedSeed | AgentError): ObtainedSeed => {
  if (result instanceof AgentError) throw result;
  return result;
};
const reasonsOf = (result: ObtainedSeed | AgentError): string[] => {
  if (!(result instanceof AgentError)) throw new Error('it opened');
  return ((result.cause as AggregateError).errors as AgentError[]).map((error) => error.message);
};

/** A service with one key, a stored seed wrapped by it, and backends for any of its keys. */
const withService = async () => {
  const s = scene();
  const kms: LocalKms = await localKms(s.clock);
  const key = await kms.createKey();
  const backend = (id: string, apiKey?: string) => backendFor(kms.host, kms.entry(id, apiKey), kms.settings);
  const wrap = async (id: string): Promise<string> =>
    (await kms.request('POST', `/api/v2/keys/${id}/actions/wrap`, { plaintext: SEED })).json.ciphertext;
  const act = async (id: string, action: string): Promise<number> =>
    (await kms.request('POST', `/api/v2/keys/${id}/actions/${action}`)).status;
  return { ...s, kms, key, backend, wrap, act };
};
const SEED = Buffer.alloc(32, 9).toString('base64');

t.test('a new seed: made by entry 1, unwrapped back, 44 characters of base64', async (t) => {
  const s = await withService();
  const made = opened(await s.run([s.backend(s.key), s.backend(await s.kms.createKey())]));
  t.match(made, { entryIndex: 0, rewrapped: false, keyVersion: s.key });
  t.equal(textOf(made).length, 44);
  const back = await s.kms.request('POST', `/api/v2/keys/${s.key}/actions/unwrap`, { ciphertext: made.wrapped });
  t.equal(back.json.plaintext, textOf(made));
  t.equal(s.elapsedMs(), 0);
  t.same(s.messages, []);
});

t.test('a stored seed: state first, then unwrap', async (t) => {
  const s = await withService();
  const stored = await s.wrap(s.key);
  const before = s.kms.http.sent.length;
  const result = opened(await s.run([s.backend(s.key)], { stored }));
  t.equal(textOf(result), SEED);
  t.match(result, { wrapped: stored, entryIndex: 0, rewrapped: false, keyVersion: s.key });
  const paths = s.kms.http.sent.slice(before).map(({ url }) => url.replace(/.*\//, ''));
  t.same(paths, ['token', 'metadata', 'unwrap']);
});

t.test('every use of a key is on record, and asking for its state is none', async (t) => {
  const s = await withService();
  const old = await s.kms.createKey();
  const stored = await s.wrap(old);
  opened(await s.run([s.backend(s.key), s.backend(old)], { stored, crns: ['crn:new', 'crn:old'] }));
  const records = s.notes.map((text) => JSON.parse(text));
  t.strictSame(
    records.map(({ operation, rootKey, outcome }) => `${operation} ${rootKey} ${outcome}`),
    ['unwrap new this root key did not wrap the stored seed', 'unwrap old done', 'wrap new done', 'unwrap new done'],
  );
  for (const record of records) {
    t.match(record, { version: 1, what: 'key-used', volume: 'data' });
    t.type(record.correlationId, 'string');
  }
  t.notOk(s.notes.join().includes(SEED));
});

t.test('after a rotation the new wrapping is confirmed and handed back', async (t) => {
  const s = await withService();
  const stored = await s.wrap(s.key);
  t.equal(await s.act(s.key, 'rotate'), 204);
  const result = opened(await s.run([s.backend(s.key)], { stored }));
  t.equal(textOf(result), SEED);
  t.equal(result.rewrapped, true);
  t.not(result.wrapped, stored);
  t.not(result.keyVersion, s.key);
  const again = await s.kms.request('POST', `/api/v2/keys/${s.key}/actions/unwrap`, { ciphertext: result.wrapped });
  t.match(again.json, { plaintext: SEED, keyVersion: { id: result.keyVersion } });
});

t.test('migration: entry 2 unwraps, entry 1 wraps the same seed', async (t) => {
  const s = await withService();
  const old = await s.kms.createKey();
  const stored = await s.wrap(old);
  const result = opened(await s.run([s.backend(s.key), s.backend(old)], { stored }));
  t.equal(textOf(result), SEED);
  t.match(result, { entryIndex: 1, rewrapped: true, keyVersion: s.key });
  const back = await s.kms.request('POST', `/api/v2/keys/${s.key}/actions/unwrap`, { ciphertext: result.wrapped });
  t.equal(back.json.plaintext, SEED);
  t.match(s.messages, [{ name: 'KMS_SEED_MIGRATED', facts: { entry: 2 } }]);
});

t.test('a suspended key that is enabled in time opens; waiting is said every ten seconds or so', async (t) => {
  const s = await withService();
  const stored = await s.wrap(s.key);
  t.equal(await s.act(s.key, 'disable'), 204);
  void s.clock.sleep(95_000).then(() => s.act(s.key, 'enable'));
  const result = await s.run([s.backend(s.key)], { stored });
  t.equal(textOf(result), SEED);
  t.ok(s.elapsedMs() >= 95_000 && s.elapsedMs() <= 106_000, `opened after ${s.elapsedMs()} ms`);
  const waits = s.messages.filter(({ name }) => name === 'KMS_WAITING');
  t.ok(waits.length >= 6 && waits.length <= 10, `${waits.length} lines in 95 s`);
  t.match(waits[0]?.facts, { volume: 'data', reason: /suspended/, secondsLeft: 600 });
  t.notOk(
    s.kms.http.sent.some(({ url }, at) => url.endsWith('/unwrap') && at < s.kms.http.sent.length - 1),
    'unwrapped once',
  );
});

t.test('what the owner decided ends at the deadline, not before and not after', async (t) => {
  const rows: [string, string, (s: Awaited<ReturnType<typeof withService>>) => Promise<unknown>, object][] = [
    ['suspended', 'KMS_KEY_NOT_ACTIVE', (s) => s.act(s.key, 'disable'), { state: 'suspended' }],
    ['deleted', 'KMS_KEY_NOT_ACTIVE', (s) => s.kms.request('DELETE', `/api/v2/keys/${s.key}`), { state: 'destroyed' }],
  ];
  for (const [name, code, prepare, facts] of rows) {
    const s = await withService();
    const stored = await s.wrap(s.key);
    await prepare(s);
    const result = await s.run([s.backend(s.key)], { stored, kmsTimeoutMinutes: 3 });
    t.match(result, { code, facts }, name);
    t.equal(s.elapsedMs(), 180_000, `${name}: at the deadline`);
  }
  const denied = await withService();
  const result = await denied.run([denied.backend(denied.key, 'not-the-api-key')], {
    stored: await denied.wrap(denied.key),
    kmsTimeoutMinutes: 1,
  });
  t.match(result, { code: 'KMS_ACCESS_DENIED' });
  t.match(
    reasonsOf(result).join('\n'),
    /kms entry 1, read the key state: the token service refuses the API key \(\d+ times\)/,
  );
});

t.test('an expired key still unwraps, and still does not open', async (t) => {
  const s = await withService();
  const key = await s.kms.createKey({ expirationDate: new Date(s.clock.now().getTime() + 60_000).toISOString() });
  const stored = await s.wrap(key);
  await s.clock.advance(61_000);
  const unwrapped = await s.kms.request('POST', `/api/v2/keys/${key}/actions/unwrap`, { ciphertext: stored });
  t.equal(unwrapped.status, 200, 'the service would unwrap it');
  const result = await s.run([s.backend(key)], { stored, kmsTimeoutMinutes: 2 });
  t.match(result, { code: 'KMS_KEY_NOT_ACTIVE', facts: { state: 'deactivated' } });
});

t.test('an active older entry never bypasses an inactive first one', async (t) => {
  const s = await withService();
  const old = await s.kms.createKey();
  const stored = await s.wrap(old);
  await s.act(s.key, 'disable');
  const result = await s.run([s.backend(s.key), s.backend(old)], { stored, kmsTimeoutMinutes: 1 });
  t.match(result, { code: 'KMS_KEY_NOT_ACTIVE' });
  t.notOk(
    s.kms.http.sent.some(({ url }) => url.endsWith('/unwrap')),
    'the seed was not even unwrapped',
  );
});

t.test('every entry refusing the ciphertext, and a standard key, stop at once', async (t) => {
  const s = await withService();
  const stranger = await s.kms.createKey();
  const stored = await s.wrap(stranger);
  const result = await s.run([s.backend(s.key), s.backend(await s.kms.createKey())], { stored });
  t.match(result, { code: 'KMS_UNWRAP_FAILED', id: 'HPL07012E' });
  t.equal(reasonsOf(result).length, 2, 'one reason for each entry');
  t.equal(s.elapsedMs(), 0);

  const standard = await s.kms.createKey({ extractable: true });
  t.match(await s.run([s.backend(standard)]), { code: 'KMS_CONFIGURATION_REFUSED', facts: { entry: 1 } });
  t.equal(s.elapsedMs(), 0);
});

t.test('kmsTimeout 0 is one full pass', async (t) => {
  const s = await withService();
  const stored = await s.wrap(s.key);
  t.equal(textOf(await s.run([s.backend(s.key)], { stored, kmsTimeoutMinutes: 0 })), SEED);
  await s.act(s.key, 'disable');
  t.match(await s.run([s.backend(s.key)], { stored, kmsTimeoutMinutes: 0 }), { code: 'KMS_KEY_NOT_ACTIVE' });
  t.equal(s.elapsedMs(), 0);
  t.same(s.messages, [], 'nothing to wait for');
});

t.test('a token service that forgets a token, and a service in trouble, cost only time', async (t) => {
  const s = await withService();
  const stored = await s.wrap(s.key);
  const faults = [
    { operation: 'metadata', count: 1, effect: { status: 401 } },
    { operation: 'metadata', count: 2, effect: { status: 503, body: 'no healthy upstream' } },
    { operation: 'metadata', count: 1, effect: { status: 429, code: 'TOO_MANY', retryAfterSeconds: 20 } },
    { operation: 'unwrap', count: 1, effect: { drop: true } },
    { operation: 'unwrap', count: 1, effect: { malformed: true } },
    { operation: 'unwrap', count: 1, effect: { hang: true } },
  ];
  await s.kms.request('POST', '/__triseed/faults', { faults }, { host: '127.0.0.1' });
  const result = await s.run([s.backend(s.key)], { stored });
  t.equal(textOf(result), SEED);
  t.ok(s.elapsedMs() >= 30_000 && s.elapsedMs() < 70_000, `${s.elapsedMs()} ms: Retry-After and one hanging call`);
});

// Scripted backends: what no well-behaved service does.

const never: KeyBackend = {
  generateAndWrap: () => new Promise(() => {}),
  wrap: () => new Promise(() => {}),
  unwrap: () => new Promise(() => {}),
  rewrap: () => new Promise(() => {}),
  keyState: () => new Promise(() => {}),
};
const done = <T>(value: T): Promise<KmsAnswer<T>> => Promise.resolve({ kind: 'done', value, correlationId: 'c' });
const refuse = (refusal: KmsRefusal) => Promise.resolve({ ...refusal, correlationId: null });
const active = () => done({ state: 'active' as const, keyVersion: 'v1' });
const seed = (text = SEED) => Secret.fromText(text);
const away: KmsRefusal = { kind: 'retryable', reason: 'connect: ECONNREFUSED', afterMs: null };
const bad: KmsRefusal = { kind: 'badCiphertext' };

t.test('a service that never answers is cut at the deadline', async (t) => {
  const s = scene();
  const result = await s.run([never], { stored: 'YWJj', kmsTimeoutMinutes: 1 });
  t.match(result, { code: 'KMS_UNREACHABLE', id: 'HPL07010E', facts: { seconds: 60 } });
  t.ok(s.elapsedMs() <= 60_000, `${s.elapsedMs()} ms`);
  t.equal(s.clock.sleeping, 0, 'nothing is left behind');
  const once = scene();
  t.match(await once.run([never], { stored: 'YWJj', kmsTimeoutMinutes: 0 }), { code: 'KMS_UNREACHABLE' });
  t.ok(once.elapsedMs() <= 11_000);
});

t.test('a black-holed first entry leaves time for the second', async (t) => {
  const s = scene();
  let asked = -1;
  const second: KeyBackend = {
    ...never,
    unwrap: () => {
      if (asked < 0) asked = s.elapsedMs();
      return done({ seed3: seed(), keyVersion: 'v', rewrapped: null });
    },
  };
  const result = await s.run([never, second], { stored: 'YWJj', kmsTimeoutMinutes: 10 });
  t.ok(asked >= 0 && asked <= 11_000, `entry 2 was asked after ${asked} ms`);
  t.match(result, { code: 'KMS_UNREACHABLE' }, 'and still nothing opens without entry 1');
});

t.test('entry 1 comes back: the seed that entry 2 gave is migrated then', async (t) => {
  const s = scene();
  let wrapped: string | null = null;
  const up = () => s.elapsedMs() > 40_000;
  const first: KeyBackend = {
    ...never,
    keyState: () => (up() ? active() : refuse(away)),
    wrap: (given) => {
      wrapped = given.expose((bytes) => bytes.toString());
      return done({ wrapped: 'bmV3', keyVersion: 'v9' });
    },
    unwrap: (text) => (text === 'bmV3' ? done({ seed3: seed(), keyVersion: 'v9', rewrapped: null }) : refuse(bad)),
  };
  let unwraps = 0;
  const second: KeyBackend = {
    ...never,
    unwrap: () => {
      unwraps += 1;
      return done({ seed3: seed(), keyVersion: 'old', rewrapped: null });
    },
  };
  const result = opened(await s.run([first, second], { stored: 'YWJj' }));
  t.match(result, { wrapped: 'bmV3', keyVersion: 'v9', entryIndex: 1, rewrapped: true });
  t.equal(wrapped, SEED);
  t.equal(unwraps, 1, 'the seed is unwrapped once');
});

t.test('what does not unwrap to the same seed is never stored', async (t) => {
  const other = Buffer.alloc(32, 1).toString('base64');
  const liar: KeyBackend = {
    ...never,
    keyState: active,
    generateAndWrap: () => done({ seed3: seed(), wrapped: 'bmV3', keyVersion: 'v1' }),
    wrap: () => done({ wrapped: 'bmV3', keyVersion: 'v1' }),
    unwrap: (text) => (text === 'bmV3' ? done({ seed3: seed(other), keyVersion: 'v1', rewrapped: null }) : refuse(bad)),
  };
  t.match(await scene().run([liar]), { code: 'KMS_SEED_CHANGED' }, 'new seed');
  const old: KeyBackend = { ...never, unwrap: () => done({ seed3: seed(), keyVersion: 'o', rewrapped: null }) };
  t.match(await scene().run([liar, old], { stored: 'YWJj' }), { code: 'KMS_SEED_CHANGED' }, 'migration');

  const rotated: KeyBackend = {
    ...liar,
    unwrap: (text) =>
      text === 'bmV3'
        ? done({ seed3: seed(other), keyVersion: 'v2', rewrapped: null })
        : done({ seed3: seed(), keyVersion: 'v1', rewrapped: { wrapped: 'bmV3', keyVersion: 'v2' } }),
  };
  const result = opened(await scene().run([rotated], { stored: 'YWJj' }));
  t.match(result, { wrapped: 'YWJj', keyVersion: 'v1', rewrapped: false }, 'after a rotation the old wrapping is kept');
});

t.test('every kind of reason is kept once, with its count, for each entry', async (t) => {
  const s = scene();
  const first: KeyBackend = { ...never, keyState: active, unwrap: () => refuse(away) };
  const second: KeyBackend = { ...never, unwrap: () => refuse({ kind: 'gone' }) };
  const result = await s.run([first, second], { stored: 'YWJj', kmsTimeoutMinutes: 1 });
  t.match(result, { code: 'KMS_UNWRAP_FAILED' });
  const reasons = reasonsOf(result);
  t.equal(reasons.length, 2);
  t.match(reasons[0], /^kms entry 1, unwrap: connect: ECONNREFUSED \(\d+ times\)$/);
  t.match(reasons[1], /^kms entry 2, unwrap: the root key does not exist, or is deleted \(\d+ times\)$/);
});

t.test('an answer that comes after its call was given up leaves no seed behind', async (t) => {
  const s = scene();
  const late = seed();
  const first: KeyBackend = {
    ...never,
    keyState: active,
    unwrap: async () => {
      await s.clock.sleep(70_000);
      return { kind: 'done', value: { seed3: late, keyVersion: 'v', rewrapped: null }, correlationId: null };
    },
  };
  await s.run([first], { stored: 'YWJj', kmsTimeoutMinutes: 1 });
  await s.clock.advance(100_000);
  t.throws(() => late.expose(() => {}), 'the late seed was wiped');
});

t.test('a start after the deadline still makes one pass', async (t) => {
  const s = scene();
  const first: KeyBackend = {
    ...never,
    keyState: active,
    unwrap: () => done({ seed3: seed(), keyVersion: 'v', rewrapped: null }),
  };
  await s.clock.advance(900_000);
  t.equal(textOf(await s.run([first], { stored: 'YWJj', kmsTimeoutMinutes: 10 })), SEED);
});

t.test('onWaiting hears what the journal says', async (t) => {
  const s = scene();
  const heard: unknown[] = [];
  const first: KeyBackend = { ...never, keyState: () => refuse({ kind: 'denied', by: 'kms' }) };
  await s.run([first], { stored: 'YWJj', kmsTimeoutMinutes: 1, onWaiting: (facts) => heard.push(facts) });
  t.same(
    heard,
    s.messages.map(({ facts }) => facts),
  );
  t.ok(heard.length >= 4 && heard.length <= 7, `${heard.length} in a minute`);
});

t.test(
  'one of two stored seeds, refused by entry 1 while entry 2 is away: the other one is tried before anything is waited for',
  async (t) => {
    const s = await withService();
    const foreign = await s.wrap(await s.kms.createKey());
    const second: KeyBackend = { ...never, unwrap: () => refuse(away) };
    const backends = [s.backend(s.key), second];
    const result = await s.run(backends, { stored: foreign, hasAlternative: true });
    t.match(result, { code: 'KMS_UNWRAP_FAILED' });
    t.equal(s.elapsedMs(), 0, 'at once');
    const patient = await s.run(backends, { stored: foreign });
    t.match(patient, { code: 'KMS_UNWRAP_FAILED' });
    t.equal(s.elapsedMs(), 600_000, 'the only one is waited for: entry 2 may come back');
  },
);
