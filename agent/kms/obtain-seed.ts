/** The boot's key work for one volume: get seed3, or say why not. */
import { auditIdentifier, type KeyAudit, renderAudit, rootKeyOf } from '../keyd/audit.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { Attempts } from './attempts.ts';
import type { CallLimits, KeyBackend, KmsAnswer, WrappedSeed } from './backend.ts';
import { describeRefusal } from './classify.ts';
import { type NextStep, nextStep, type Pass, startPass, withFirstKey, withUnwrapRefusal } from './fallback.ts';
import { type FinalStep, giveUp } from './give-up.ts';
import { bootPolling, retryDelayMs } from './retry.ts';
import { withinTime } from './time-limit.ts';

export interface WaitingFacts {
  readonly volume: string;
  readonly reason: string;
  readonly correlationId: string | null;
  readonly secondsLeft: number;
}

export interface SeedRequest {
  /** Volume key of the contract, for messages. */
  readonly volume: string;
  /** The wrapped seed as stored; null makes a new one with entry 1. */
  readonly stored: string | null;
  /** There is another stored seed: give this one up as soon as entry 1 says that it did not make it and no other entry unwraps it. */
  readonly hasAlternative?: boolean;
  /** 0 to 1000; 0 is one full pass over all entries. */
  readonly kmsTimeoutMinutes: number;
  /** Monotonic time from which kmsTimeout counts. */
  readonly startedAtMs: number;
  /** Whom the records of the audit name: the CRN of each entry. */
  readonly crns?: readonly string[];
  readonly onWaiting?: (facts: WaitingFacts) => void;
}

export interface ObtainedSeed {
  readonly seed3: Secret;
  /** To be stored; verified to unwrap to seed3 with entry 1. */
  readonly wrapped: string;
  /** Version of entry 1's root key that made `wrapped`. */
  readonly keyVersion: string;
  /** Index of the entry that unwrapped `stored`; 0 for a new seed. */
  readonly entryIndex: number;
  /** `wrapped` is not what was stored: another entry or an older key version had wrapped it. */
  readonly rewrapped: boolean;
  /** Monotonic time just before entry 1 was asked for the state of its key and said active. */
  readonly askedAtMs: number;
}

export type SeedPorts = Pick<Host, 'clock' | 'entropy' | 'journal'>;

/** One call, token included: a service that drops packets must leave time for the others. */
const CALL_LIMIT_MS = 10_000;
/** A backend that does not keep its own limit is left behind this much later. */
const GRACE_MS = 100;
const WAITING_NOTICE_MS = 10_000;

type KeyUse = Extract<KeyAudit, { readonly what: 'key-used' }>['operation'];

/** What is asked of a key service, and as which use of a key it is on record; its state may be asked for by anybody. */
const useOf = {
  'read the key state': null,
  'generate and wrap': 'generate',
  wrap: 'wrap',
  unwrap: 'unwrap',
  'unwrap what was just wrapped': 'unwrap',
} as const satisfies Readonly<Record<string, KeyUse | null>>;

interface Held {
  readonly seed3: Secret;
  readonly entryIndex: number;
  /** Wrapping by entry 1, once there is a confirmed one. */
  readonly wrapped: WrappedSeed | null;
}

const wipeLate = (answer: KmsAnswer<unknown>): void => {
  if (answer.kind !== 'done') return;
  const { seed3 } = answer.value as { readonly seed3?: Secret };
  seed3?.wipe();
};

/**
 * Opens a stored seed, or makes a new one. Opening needs entry 1's key to be active and some entry to unwrap; a seed
 * unwrapped by another entry is wrapped by entry 1, unwrapped back and compared first (migration). Polls until
 * kmsTimeout is over; what can never work ends at once.
 *
 * @param backends one for each kms entry of the volume, in contract order, at least one
 * @throws KMS_UNREACHABLE, KMS_KEY_NOT_ACTIVE, KMS_ACCESS_DENIED, KMS_WRAP_FAILED or KMS_UNWRAP_FAILED when the time is
 *   over; KMS_CONFIGURATION_REFUSED, KMS_UNWRAP_FAILED or KMS_SEED_CHANGED at once. The cause holds every reason.
 */
export const obtainSeed = async (
  host: SeedPorts,
  backends: readonly KeyBackend[],
  request: SeedRequest,
): Promise<ObtainedSeed> => {
  const first = backends[0];
  if (first === undefined) throw new TypeError('a volume without kms entries has no third seed');
  const { volume, stored } = request;
  const deadlineMs = request.startedAtMs + request.kmsTimeoutMinutes * 60_000;
  const beganMs = host.clock.monotonicMs();
  const singlePass = beganMs >= deadlineMs;
  const attempts = new Attempts();
  /** By entry: the correlation id of its latest answer. */
  const lastIds = new Map<number, string | null>();
  /** By entry: when it may be asked again after it asked for patience. */
  const patientUntilMs = new Map<number, number>();
  let held: Held | null = null;
  let noticedMs: number | null = null;
  let askedAtMs = beganMs;

  const leftMs = (): number => deadlineMs - host.clock.monotonicMs();

  const audit = (entryIndex: number, operation: KeyUse, answer: KmsAnswer<unknown>): void => {
    const crn = request.crns?.[entryIndex];
    const { keyVersion = null } = (answer.kind === 'done' ? answer.value : {}) as { readonly keyVersion?: string };
    const record = {
      what: 'key-used',
      operation,
      volume,
      rootKey: crn === undefined ? null : rootKeyOf(crn),
      outcome: answer.kind === 'done' ? 'done' : describeRefusal(answer),
      keyVersion,
      correlationId: answer.correlationId,
    } as const;
    host.journal.note(auditIdentifier, renderAudit(record));
  };

  const ask = async <T>(
    entryIndex: number,
    operation: keyof typeof useOf,
    call: (backend: KeyBackend, limits: CallLimits) => Promise<KmsAnswer<T>>,
  ): Promise<KmsAnswer<T>> => {
    const timeoutMs = singlePass ? CALL_LIMIT_MS : Math.max(1, Math.min(CALL_LIMIT_MS, leftMs() - GRACE_MS));
    const work = call(backends[entryIndex] ?? first, { timeoutMs });
    const answer = await withinTime(host.clock, timeoutMs + GRACE_MS, work);
    if (answer === null) work.then(wipeLate, () => {});
    const known: KmsAnswer<T> = answer ?? {
      kind: 'retryable',
      reason: 'timeout: no answer in time',
      afterMs: null,
      correlationId: null,
    };
    lastIds.set(entryIndex, known.correlationId);
    if (known.kind === 'retryable' && known.afterMs !== null) {
      patientUntilMs.set(entryIndex, host.clock.monotonicMs() + Math.min(known.afterMs, bootPolling.retryAfterCapMs));
    }
    const used = useOf[operation];
    if (used !== null) audit(entryIndex, used, known);
    return attempts.observe(entryIndex, operation, known);
  };

  /** Unwraps what entry 1 has just wrapped: a wrapping is trusted only after it gave the same seed back. */
  const confirm = async (wrapped: WrappedSeed, seed3: Secret): Promise<KmsAnswer<WrappedSeed>> => {
    const back = await ask(0, 'unwrap what was just wrapped', (backend, limits) =>
      backend.unwrap(wrapped.wrapped, limits),
    );
    if (back.kind !== 'done') return back;
    const same = back.value.seed3.equals(seed3);
    back.value.seed3.wipe();
    if (same) return { kind: 'done', value: wrapped, correlationId: back.correlationId };
    attempts.note(0, 'unwrap what was just wrapped', 'another seed came back', back.correlationId);
    return { kind: 'badCiphertext', correlationId: back.correlationId };
  };

  const unwrap = async (pass: Pass, entry: number, wrapped: string): Promise<Pass> => {
    const answer = await ask(entry, 'unwrap', (backend, limits) => backend.unwrap(wrapped, limits));
    if (answer.kind !== 'done') return withUnwrapRefusal(pass, entry, answer);
    const { seed3, keyVersion, rewrapped } = answer.value;
    held = { seed3, entryIndex: entry, wrapped: entry === 0 ? { wrapped, keyVersion } : null };
    if (entry === 0 && rewrapped !== null) {
      // After a rotation: when the new wrapping is not confirmed the old one, which stays valid, is kept.
      const confirmed = await confirm(rewrapped, seed3);
      if (confirmed.kind === 'done') held = { ...held, wrapped: rewrapped };
    }
    return { ...pass, unwrappedBy: entry };
  };

  const generate = async (pass: Pass): Promise<Pass> => {
    const made = await ask(0, 'generate and wrap', (backend, limits) => backend.generateAndWrap(limits));
    if (made.kind !== 'done') return { ...pass, wrapRefusal: made };
    const { seed3, wrapped, keyVersion } = made.value;
    const confirmed = await confirm({ wrapped, keyVersion }, seed3);
    if (confirmed.kind !== 'done') {
      seed3.wipe();
      return { ...pass, wrapRefusal: confirmed };
    }
    held = { seed3, entryIndex: 0, wrapped: confirmed.value };
    return { ...pass, unwrappedBy: 0, wrappedByFirst: true };
  };

  const migrate = async (pass: Pass, from: Held): Promise<Pass> => {
    const wrapped = await ask(0, 'wrap', (backend, limits) => backend.wrap(from.seed3, limits));
    if (wrapped.kind !== 'done') return { ...pass, wrapRefusal: wrapped };
    const confirmed = await confirm(wrapped.value, from.seed3);
    if (confirmed.kind !== 'done') return { ...pass, wrapRefusal: confirmed };
    held = { ...from, wrapped: confirmed.value };
    const { correlationId } = wrapped;
    host.journal.message('KMS_SEED_MIGRATED', { volume, entry: from.entryIndex + 1, correlationId });
    return { ...pass, wrappedByFirst: true };
  };

  const perform = async (pass: Pass, step: NextStep): Promise<Pass> => {
    if (step.do === 'readState') {
      return withFirstKey(pass, await ask(0, 'read the key state', (backend, limits) => backend.keyState(limits)));
    }
    if (step.do === 'unwrap' && stored !== null) return unwrap(pass, step.entry, stored);
    if (step.do === 'generate') return generate(pass);
    if (step.do === 'wrap' && held !== null) return migrate(pass, held);
    throw new TypeError(`step ${step.do} does not fit what is known`);
  };

  /** One pass: ends with `open`, `wait` or `stop`, or with the deadline. */
  const runPass = async (
    before: Pass | null,
  ): Promise<{ readonly pass: Pass; readonly step: FinalStep | { readonly do: 'open' } }> => {
    askedAtMs = host.clock.monotonicMs();
    const mayAsk = (entry: number): boolean => (patientUntilMs.get(entry) ?? 0) <= askedAtMs;
    const intent = stored === null ? 'create' : 'open';
    let pass = startPass(intent, backends.length, held?.entryIndex ?? null, before, mayAsk);
    for (;;) {
      const step = nextStep(pass);
      if (step.do === 'open' || step.do === 'stop' || step.do === 'wait') return { pass, step };
      if (!singlePass && leftMs() <= 0) {
        return { pass, step: { do: 'wait', entry: 0, reason: 'kmsTimeout is over', afterMs: null } };
      }
      pass = await perform(pass, step);
    }
  };

  const notice = (entry: number, reason: string): void => {
    const now = host.clock.monotonicMs();
    if (noticedMs !== null && now - noticedMs < WAITING_NOTICE_MS) return;
    noticedMs = now;
    const facts = {
      volume,
      reason: `kms entry ${entry + 1}: ${reason}`,
      correlationId: lastIds.get(entry) ?? null,
      secondsLeft: Math.ceil(leftMs() / 1000),
    };
    host.journal.message('KMS_WAITING', facts);
    request.onWaiting?.(facts);
  };

  const opened = (): ObtainedSeed => {
    if (held === null || held.wrapped === null) throw new TypeError('a volume was to be opened without its seed');
    const { seed3, entryIndex, wrapped } = held;
    held = null;
    return { seed3, entryIndex, ...wrapped, rewrapped: stored !== null && wrapped.wrapped !== stored, askedAtMs };
  };

  try {
    let before: Pass | null = null;
    for (let round = 1; ; round += 1) {
      const { pass, step } = await runPass(before);
      before = pass;
      if (step.do === 'open') return opened();
      const isRefused = pass.unwraps.get(0)?.kind === 'badCiphertext' && pass.unwrappedBy === null;
      const mayGoOn = request.hasAlternative !== true || !isRefused;
      if (step.do === 'wait' && mayGoOn && !singlePass && leftMs() > 0) {
        notice(step.entry, step.reason);
        const delayMs = retryDelayMs(bootPolling, round, host.entropy.fraction(), step.afterMs);
        await host.clock.sleep(Math.min(delayMs, leftMs()));
        if (leftMs() > 0) continue;
      }
      const seconds = Math.round((host.clock.monotonicMs() - beganMs) / 1000);
      throw giveUp(step, { volume, pass, seconds, cause: attempts.toCause() });
    }
  } finally {
    (held as Held | null)?.seed3.wipe();
  }
};
