/** The slow work of the daemon: polls, rewraps and stores. Each ends in exactly one event; none ever throws. */
import { reasonOf } from '../errors.ts';
import type { KeyBackend } from '../kms/backend.ts';
import { mayOpen } from '../kms/fallback.ts';
import { withinTime } from '../kms/time-limit.ts';
import type { Host } from '../ports.ts';
import type { ProtectedVolume } from '../volumes/stored-seed.ts';
import { describeAnswer } from './grace.ts';
import type { PolledKey } from './hand-over.ts';
import type { Effect, Event, PollAnswer } from './state.ts';

const rewrapLimitMs = 60_000;
const storeLimitMs = 120_000;

type EffectOf<Kind extends Effect['kind']> = Extract<Effect, { kind: Kind }>;

export interface Errands {
  poll(effect: EffectOf<'poll'>): void;
  rewrap(effect: EffectOf<'rewrap'>): void;
  store(effect: EffectOf<'store'>): void;
  /** Resolves when no store is under way; for a daemon that ends. */
  storesFinished(): Promise<void>;
}

/**
 * One at a time: work that was given up goes on unobserved, and the next waits for it. Resolves to null after
 * `limitMs`; work whose turn has not come by then is never begun.
 */
const oneAtATime = (host: Host) => {
  const last = new Map<string, Promise<unknown>>();
  const run = <T>(name: string, limitMs: number, work: () => Promise<T>): Promise<T | null> => {
    const before = last.get(name) ?? Promise.resolve();
    let isWanted = true;
    const turn = before.then(() => (isWanted ? work() : null));
    last.set(
      name,
      turn.catch(() => null),
    );
    return withinTime(host.clock, limitMs, turn).finally(() => {
      isWanted = false;
    });
  };
  return { run, settled: () => Promise.all(last.values()) };
};

export const errands = (
  host: Host,
  given: {
    readonly keys: readonly PolledKey[];
    /** By the id of the key; asked for each request, since settings may be read again. */
    readonly backendOf: (key: string) => KeyBackend;
    readonly storeSeed: (
      volume: Pick<ProtectedVolume, 'key' | 'crn'>,
      wrapped: string,
      keyVersion: string,
    ) => Promise<void>;
    readonly finished: (event: Event) => void;
  },
): Errands => {
  const requests = oneAtATime(host);
  const stores = oneAtATime(host);
  const now = (): number => host.clock.monotonicMs();
  const keyNamed = (id: string) => {
    const key = given.keys.find((entry) => entry.id === id);
    if (key === undefined) throw new TypeError(`no key is called ${id}`);
    return key;
  };

  const askState = async (key: PolledKey, limitMs: number): Promise<PollAnswer> => {
    try {
      const backend = given.backendOf(key.id);
      const answer = await requests.run(`poll ${key.id}`, limitMs, () => backend.keyState({ timeoutMs: limitMs }));
      if (answer === null) return { kind: 'retryable', reason: `no answer within ${limitMs} ms`, afterMs: null };
      if (answer.kind !== 'done') return answer;
      const { state, keyVersion } = answer.value;
      // The boot's own rule: what may not be opened now may not stay open either, and the other way round.
      const opens = mayOpen({ firstKey: answer, unwrappedBy: 0, wrappedByFirst: true });
      const { correlationId } = answer;
      return opens ? { kind: 'active', keyVersion, correlationId } : { kind: 'notActive', state, correlationId };
    } catch (error) {
      const reason = reasonOf(error);
      for (const { key: volume } of key.volumes) host.journal.message('UNEXPECTED_FAILURE', { volume, reason });
      return { kind: 'retryable', reason, afterMs: null };
    }
  };

  const poll = async (effect: EffectOf<'poll'>): Promise<void> => {
    const answer = await askState(keyNamed(effect.key), effect.limitMs);
    given.finished({
      kind: 'pollFinished',
      atMs: now(),
      key: effect.key,
      answer,
      jitter: host.entropy.fraction(),
    });
  };

  const renew = async (effect: EffectOf<'rewrap'>): Promise<(Event & { kind: 'rewrapFinished' })['outcome']> => {
    const backend = given.backendOf(effect.key);
    try {
      const answer = await requests.run(`rewrap ${effect.volume}`, rewrapLimitMs, () =>
        backend.rewrap(effect.wrapped, { timeoutMs: rewrapLimitMs }),
      );
      if (answer === null) return { kind: 'failed', reason: `no answer within ${rewrapLimitMs} ms` };
      if (answer.kind !== 'done') return { kind: 'failed', reason: describeAnswer(answer) };
      const { wrapped, keyVersion } = answer.value;
      return { kind: 'done', wrapped, keyVersion, correlationId: answer.correlationId };
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) };
    }
  };

  const rewrap = async (effect: EffectOf<'rewrap'>): Promise<void> => {
    const outcome = await renew(effect);
    given.finished({ kind: 'rewrapFinished', atMs: now(), volume: effect.volume, outcome });
  };

  const keep = async (effect: EffectOf<'store'>): Promise<(Event & { kind: 'storeFinished' })['outcome']> => {
    const handed = given.keys.flatMap(({ volumes }) => volumes).find(({ key }) => key === effect.volume);
    if (handed === undefined) throw new TypeError(`no volume is called ${effect.volume}`);
    try {
      // One at a time for the whole guest: each is a process of its own.
      const stored = await stores.run('store', storeLimitMs, async () => {
        await given.storeSeed(handed, effect.wrapped, effect.keyVersion);
        return true;
      });
      return stored === null ? { kind: 'failed', reason: `not done within ${storeLimitMs} ms` } : { kind: 'done' };
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) };
    }
  };

  const store = async (effect: EffectOf<'store'>): Promise<void> => {
    const outcome = await keep(effect);
    given.finished({ kind: 'storeFinished', atMs: now(), volume: effect.volume, outcome });
  };

  return {
    poll: (effect) => void poll(effect),
    rewrap: (effect) => void rewrap(effect),
    store: (effect) => void store(effect),
    storesFinished: async () => {
      await stores.settled();
    },
  };
};
