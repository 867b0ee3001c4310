/**
 * What every backend of agent/kms/backend.ts has to keep. `make` gives a fresh key at a service; the suite knows nothing
 * else of it. Run it in a test file: `keyBackendSuite(t, 'name of the service', make)`.
 */
import type { Test } from 'tap';
import { hasCode } from '../../agent/errors.ts';
import { clock } from '../../agent/host/clock.ts';
import { entropy } from '../../agent/host/entropy.ts';
import type { KeyBackend, KmsAnswer, WrappedSeed } from '../../agent/kms/backend.ts';
import { obtainSeed } from '../../agent/kms/obtain-seed.ts';
import { isWrappedText } from '../../agent/kms/wrapped-text.ts';
import { Secret } from '../../agent/secret.ts';

/** A key of its own, and what its owner and its operator can do. Null: the service has no such thing. */
export interface BackendUnderTest {
  readonly backend: KeyBackend;
  /** Another key of the same service. */
  readonly stranger: KeyBackend;
  /** The same key for a caller whom the service does not know. */
  readonly intruder: KeyBackend;
  readonly rotate: () => Promise<void>;
  readonly suspend: (() => Promise<void>) | null;
  readonly resume: (() => Promise<void>) | null;
  readonly destroy: (() => Promise<void>) | null;
  /** The service takes requests and never answers, until it is called with false. */
  readonly setSilent: (isSilent: boolean) => Promise<void>;
  /** The service answers that it is in trouble, until it is called with false. */
  readonly setInTrouble: (isInTrouble: boolean) => Promise<void>;
}

export type MakeBackend = (t: Test) => Promise<BackendUnderTest>;

const VERSION = /^[A-Za-z0-9_-]{1,64}$/;
const journal = { message: () => {}, note: () => {} };
/** Room for a busy machine beside the limit of a call. */
const SLACK_MS = 5000;

const textOf = (seed3: Secret): string => seed3.expose((bytes) => bytes.toString('latin1'));
const seedOf = (bytes: number): string => entropy.bytes(bytes).toString('base64');

const answered = <T>(answer: KmsAnswer<T>, what: string): T => {
  if (answer.kind !== 'done') throw new Error(`${what}: ${JSON.stringify(answer)}`);
  return answer.value;
};

const wrapped = async (backend: KeyBackend, seed: string): Promise<WrappedSeed> =>
  answered(await backend.wrap(Secret.fromText(seed)), 'wrap');

/** Every operation on `text`; none of them may succeed. */
const everyUse = async (backend: KeyBackend, text: string): Promise<readonly [string, KmsAnswer<unknown>][]> => [
  ['generateAndWrap', await backend.generateAndWrap()],
  ['wrap', await backend.wrap(Secret.fromText(seedOf(32)))],
  ['unwrap', await backend.unwrap(text)],
  ['rewrap', await backend.rewrap(text)],
];

const open = (backends: readonly KeyBackend[], stored: string | null) =>
  obtainSeed({ clock, entropy, journal }, backends, {
    volume: 'data',
    stored,
    kmsTimeoutMinutes: 0,
    startedAtMs: clock.monotonicMs(),
  });

const seedsOf = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend, stranger, intruder } = await make(t);
  const made = answered(await backend.generateAndWrap(), 'generateAndWrap');
  t.equal(Buffer.from(textOf(made.seed3), 'base64').length, 32, 'a made seed has 32 bytes');
  t.equal(Buffer.from(textOf(made.seed3), 'base64').toString('base64'), textOf(made.seed3), 'as base64 text');
  const again = answered(await backend.generateAndWrap(), 'generateAndWrap');
  t.not(textOf(again.seed3), textOf(made.seed3), 'each time another');

  const known = [seedOf(16), seedOf(32), seedOf(64), textOf(made.seed3)];
  const texts = new Set<string>();
  for (const seed of known) {
    const secret = Secret.fromText(seed);
    const first = answered(await backend.wrap(secret), 'wrap');
    const second = answered(await backend.wrap(secret), 'wrap');
    t.equal(textOf(secret), seed, 'the caller keeps its secret');
    for (const { wrapped: text, keyVersion } of [first, second]) {
      t.ok(isWrappedText(text), 'canonical base64 of bounded length');
      t.notOk(Buffer.from(text, 'base64').includes(seed), 'which does not show the seed');
      t.match(keyVersion, VERSION);
      texts.add(text);
      const back = answered(await backend.unwrap(text), 'unwrap');
      t.equal(textOf(back.seed3), seed, 'comes back as it went in');
      t.equal(back.keyVersion, keyVersion);
      t.equal(back.rewrapped, null, 'no newer version exists');
    }
  }
  t.equal(texts.size, 2 * known.length, 'the same seed never wraps into the same text');

  for (const use of [stranger, backend, intruder]) {
    const text = use === backend ? (await wrapped(stranger, seedOf(32))).wrapped : made.wrapped;
    const expected = use === intruder ? 'denied' : 'badCiphertext';
    t.match(await use.unwrap(text), { kind: expected }, 'unwrap with another key, or as a stranger');
    t.match(await use.rewrap(text), { kind: expected }, 'rewrap too');
  }
  t.match(await intruder.keyState(), { kind: 'denied' });
  t.match(await intruder.generateAndWrap(), { kind: 'denied' });
};

const damage = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend } = await make(t);
  const seed = seedOf(32);
  const { wrapped: text } = await wrapped(backend, seed);
  const bytes = Buffer.from(text, 'base64');
  for (let at = 0; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / 24))) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] as number) ^ (1 << (at % 8));
    const answer = await backend.unwrap(changed.toString('base64'));
    // A byte that says nothing may change; a seed that comes back is the right one.
    if (answer.kind === 'done') t.equal(textOf(answer.value.seed3), seed, `byte ${at}`);
    else t.match(answer.kind, /^(badCiphertext|badConfiguration|retryable)$/, `byte ${at}`);
  }
  const strange = ['', 'abc', 'AAAA', text.slice(0, -4), `${text}\n`, ` ${text}`, 'A'.repeat(8192), '{}', 'Zm9v\u0000'];
  for (const nonsense of strange) {
    t.match(await backend.unwrap(nonsense), { kind: 'badCiphertext' }, JSON.stringify(nonsense.slice(0, 20)));
    t.match(await backend.rewrap(nonsense), { kind: 'badCiphertext' });
  }
};

const rotation = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend, rotate, stranger } = await make(t);
  const seed = seedOf(32);
  const old = await wrapped(backend, seed);
  const before = answered(await backend.keyState(), 'keyState');
  t.equal(before.state, 'active');
  if (before.keyVersion !== null) t.equal(before.keyVersion, old.keyVersion);
  await rotate();
  const after = answered(await backend.keyState(), 'keyState');
  t.equal(after.state, 'active', 'a rotated key stays active');
  if (after.keyVersion !== null) t.not(after.keyVersion, before.keyVersion, 'a poll sees the rotation');

  const opened = answered(await backend.unwrap(old.wrapped), 'unwrap');
  t.equal(textOf(opened.seed3), seed, 'what an older version wrapped can be unwrapped');
  t.equal(opened.keyVersion, old.keyVersion);
  const fresh = answered(await backend.rewrap(old.wrapped), 'rewrap');
  t.not(fresh.keyVersion, old.keyVersion);
  for (const renewed of [fresh, ...(opened.rewrapped === null ? [] : [opened.rewrapped])]) {
    const back = answered(await backend.unwrap(renewed.wrapped), 'unwrap what was rewrapped');
    t.equal(textOf(back.seed3), seed);
    t.match(back, { keyVersion: fresh.keyVersion, rewrapped: null });
    if (after.keyVersion !== null) t.equal(renewed.keyVersion, after.keyVersion);
  }
  t.match(await stranger.unwrap(fresh.wrapped), { kind: 'badCiphertext' });

  const boot = await open([backend], old.wrapped);
  t.equal(textOf(boot.seed3), seed, 'a boot opens with the old text');
};

const ownersNo = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend, suspend, resume, destroy } = await make(t);
  const seed = seedOf(32);
  const { wrapped: text } = await wrapped(backend, seed);
  const refuses = async (name: string): Promise<void> => {
    const state = await backend.keyState();
    t.notOk(state.kind === 'done' && state.value.state === 'active', `${name}: not active`);
    t.match(state.kind, /^(done|notActive|gone)$/, `${name}: said, not guessed`);
    for (const [operation, answer] of await everyUse(backend, text))
      t.match(answer.kind, /^(notActive|gone)$/, `${name}: ${operation}`);
    await t.rejects(open([backend], text), { code: 'KMS_KEY_NOT_ACTIVE' }, `${name}: a boot does not open`);
  };
  if (suspend !== null && resume !== null) {
    await suspend();
    await refuses('suspended');
    await resume();
    t.equal(textOf((await open([backend], text)).seed3), seed, 'and opens again when the owner allows it');
  }
  if (destroy !== null) {
    await destroy();
    await refuses('destroyed');
  }
};

const trouble = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend, setSilent, setInTrouble } = await make(t);
  const seed = seedOf(32);
  const { wrapped: text } = await wrapped(backend, seed);
  await setInTrouble(true);
  for (const [operation, answer] of await everyUse(backend, text))
    t.match(answer, { kind: 'retryable', reason: /./ }, `in trouble: ${operation}`);
  t.match(await backend.keyState(), { kind: 'retryable' });
  const refused = await open([backend], text).catch((error: unknown) => error);
  t.ok(hasCode(refused, 'KMS_UNREACHABLE'));
  t.notMatch(JSON.stringify(refused), seed);
  await setInTrouble(false);

  await setSilent(true);
  const limits = { timeoutMs: 400 };
  const calls: readonly [string, () => Promise<KmsAnswer<unknown>>][] = [
    ['generateAndWrap', () => backend.generateAndWrap(limits)],
    ['wrap', () => backend.wrap(Secret.fromText(seed), limits)],
    ['unwrap', () => backend.unwrap(text, limits)],
    ['rewrap', () => backend.rewrap(text, limits)],
    ['keyState', () => backend.keyState(limits)],
  ];
  for (const [operation, call] of calls) {
    const beganMs = clock.monotonicMs();
    t.match(await call(), { kind: 'retryable' }, `silent: ${operation}`);
    const tookMs = clock.monotonicMs() - beganMs;
    t.ok(tookMs <= limits.timeoutMs + SLACK_MS, `${operation} ends within its limit: ${tookMs} ms`);
  }
  await setSilent(false);
  t.equal(textOf((await open([backend], text)).seed3), seed, 'and afterwards all is well');
};

const crowd = async (t: Test, make: MakeBackend): Promise<void> => {
  const { backend } = await make(t);
  const seeds = Array.from({ length: 24 }, () => seedOf(32));
  const opened = await Promise.all(
    seeds.map(async (seed) => answered(await backend.unwrap((await wrapped(backend, seed)).wrapped), 'unwrap')),
  );
  t.same(
    opened.map(({ seed3 }) => textOf(seed3)),
    seeds,
    'answers do not get mixed up',
  );
};

/** A seed of another service moves here: the old one unwraps, this one wraps and confirms. */
export const migrates = async (t: Test, from: KeyBackend, to: KeyBackend): Promise<void> => {
  const seed = seedOf(32);
  const { wrapped: stored } = await wrapped(from, seed);
  const moved = await open([to, from], stored);
  t.match(
    { text: textOf(moved.seed3), entryIndex: moved.entryIndex, rewrapped: moved.rewrapped },
    {
      text: seed,
      entryIndex: 1,
      rewrapped: true,
    },
  );
  const alone = await open([to], moved.wrapped);
  t.match({ text: textOf(alone.seed3), entryIndex: alone.entryIndex }, { text: seed, entryIndex: 0 });
};

export const keyBackendSuite = (t: Test, service: string, make: MakeBackend): Promise<unknown> =>
  t.test(service, async (t) => {
    await t.test('seeds are made, wrapped and unwrapped, by this key and for its callers only', (t) =>
      seedsOf(t, make),
    );
    await t.test('a text that was damaged or is none never becomes another seed', (t) => damage(t, make));
    await t.test('rotation is seen; old texts open and are renewed', (t) => rotation(t, make));
    await t.test('the owner says no', (t) => ownersNo(t, make));
    await t.test('trouble and silence end within the limits, and are no answer', (t) => trouble(t, make));
    await t.test('many calls at once', (t) => crowd(t, make));
  });
