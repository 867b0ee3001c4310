/**
 * When a protected volume may be opened, and what to ask next. Pure: answers go in, one step comes out.
 *
 * The rule (`mayOpen`) is one function for the boot and the daemon: whatever makes the daemon restart the guest also
 * keeps the next boot from opening, so there is no restart loop; and an older entry never bypasses the key owner's
 * decision about the first one.
 */
import type { KeyState, KmsAnswer, KmsRefusal } from './backend.ts';
import { describeRefusal } from './classify.ts';

export type StateAnswer = KmsAnswer<{ readonly state: KeyState }>;

export interface OpenEvidence {
  /** What entry 1 said about its key; null while it has not been asked. */
  readonly firstKey: StateAnswer | null;
  /** Index of the entry that unwrapped the seed, or null. */
  readonly unwrappedBy: number | null;
  /** The seed is wrapped by entry 1 too, and that wrapping was unwrapped again and compared. */
  readonly wrappedByFirst: boolean;
}

/** An expired key still unwraps: only metadata says that a key is active. */
export const isActive = (answer: StateAnswer | null): boolean =>
  answer !== null && answer.kind === 'done' && answer.value.state === 'active';

/**
 * Boot: with what this start found out. Daemon: with the answer of its last poll and `unwrappedBy: 0,
 * wrappedByFirst: true`, which the boot has established for every opened volume.
 */
export const mayOpen = (evidence: OpenEvidence): boolean =>
  isActive(evidence.firstKey) &&
  evidence.unwrappedBy !== null &&
  (evidence.unwrappedBy === 0 || evidence.wrappedByFirst);

/** One round over the entries. */
export interface Pass extends OpenEvidence {
  readonly intent: 'open' | 'create';
  /** Number of kms entries, at least 1. */
  readonly entries: number;
  /** Refusals to unwrap, by entry: of this pass, and of earlier ones when no later answer can change them. */
  readonly unwraps: ReadonlyMap<number, KmsRefusal>;
  /** Why entry 1 did not wrap, or did not unwrap what it wrapped, in this pass. */
  readonly wrapRefusal: KmsRefusal | null;
}

export type NextStep =
  | { readonly do: 'readState' }
  | { readonly do: 'unwrap'; readonly entry: number }
  /** Entry 1 makes and wraps a seed; it is unwrapped back and compared. */
  | { readonly do: 'generate' }
  /** Entry 1 wraps the seed another entry unwrapped; it is unwrapped back and compared. */
  | { readonly do: 'wrap' }
  | { readonly do: 'open' }
  /** Nothing more to learn now: ask again later, while there is time. */
  | { readonly do: 'wait'; readonly entry: number; readonly reason: string; readonly afterMs: number | null }
  /** No later answer can help. */
  | { readonly do: 'stop'; readonly why: 'configuration'; readonly entry: number; readonly reason: string }
  | { readonly do: 'stop'; readonly why: 'everyEntryRefuses' | 'notTheSameSeed' };

const isFinal = (refusal: KmsRefusal): boolean =>
  refusal.kind === 'badCiphertext' || refusal.kind === 'badConfiguration';

/**
 * A new round. An entry whose refusal in the round `before` was final is not asked to unwrap again, and one that asked for
 * patience (`mayAsk` says no) not yet.
 */
export const startPass = (
  intent: Pass['intent'],
  entries: number,
  unwrappedBy: number | null,
  before: Pass | null = null,
  mayAsk: (entry: number) => boolean = () => true,
): Pass => ({
  intent,
  entries,
  firstKey: null,
  unwraps: new Map([...(before?.unwraps ?? [])].filter(([entry, refusal]) => isFinal(refusal) || !mayAsk(entry))),
  unwrappedBy,
  wrappedByFirst: false,
  wrapRefusal: null,
});

/** Notes that `entry` did not unwrap the seed. */
export const withUnwrapRefusal = (pass: Pass, entry: number, refusal: KmsRefusal): Pass => ({
  ...pass,
  unwraps: new Map(pass.unwraps).set(entry, refusal),
});

/**
 * Notes the answer about entry 1's key. A service that gave no usable answer is not asked to unwrap in the same pass:
 * a silent first entry must not keep the second one waiting twice.
 */
export const withFirstKey = (pass: Pass, firstKey: StateAnswer): Pass => {
  const next = { ...pass, firstKey };
  return firstKey.kind === 'retryable' && !pass.unwraps.has(0) ? withUnwrapRefusal(next, 0, firstKey) : next;
};

const patienceOf = (answer: StateAnswer | KmsRefusal | undefined | null): number | null =>
  answer?.kind === 'retryable' ? answer.afterMs : null;

const waitFor = (entry: number, refusal: KmsRefusal): Extract<NextStep, { readonly do: 'wait' }> => ({
  do: 'wait',
  entry,
  reason: describeRefusal(refusal),
  afterMs: patienceOf(refusal),
});

/** Entry 1's own word that its key may not be used now, as a refusal; null when it is active or gave no answer. */
const ownersNo = (answer: StateAnswer): KmsRefusal | null => {
  if (answer.kind === 'retryable') return null;
  if (answer.kind !== 'done') return answer;
  return answer.value.state === 'active' ? null : { kind: 'notActive', state: answer.value.state };
};

const nextUnwrap = (pass: Pass): NextStep => {
  const answers = Array.from({ length: pass.entries }, (_, entry) => ({ entry, refusal: pass.unwraps.get(entry) }));
  const unasked = answers.find(({ refusal }) => refusal === undefined);
  if (unasked !== undefined) return { do: 'unwrap', entry: unasked.entry };
  const first = pass.unwraps.get(0);
  if (first?.kind === 'badConfiguration') return { do: 'stop', why: 'configuration', entry: 0, reason: first.reason };
  const hopeful = answers.flatMap(({ entry, refusal }) => (refusal && !isFinal(refusal) ? [{ entry, refusal }] : []));
  if (hopeful.length === 0) return { do: 'stop', why: 'everyEntryRefuses' };
  const soonest = hopeful.reduce((one, other) =>
    (patienceOf(other.refusal) ?? 0) < (patienceOf(one.refusal) ?? 0) ? other : one,
  );
  // The next round begins with entry 1: it is not asked before it wants to be.
  const firstMs = patienceOf(pass.firstKey) ?? patienceOf(first);
  const step = waitFor(soonest.entry, soonest.refusal);
  return firstMs !== null ? { ...step, afterMs: Math.max(firstMs, step.afterMs ?? 0) } : step;
};

/** What to do next. `open` and `stop` are final; after `wait` a new pass begins. */
export const nextStep = (pass: Pass): NextStep => {
  const { firstKey } = pass;
  if (mayOpen(pass)) return { do: 'open' };
  if (firstKey === null) return { do: 'readState' };
  if (firstKey.kind === 'badConfiguration') {
    return { do: 'stop', why: 'configuration', entry: 0, reason: firstKey.reason };
  }
  const no = ownersNo(firstKey);
  // The seed is not unwrapped while its owner says no: it could not be used.
  if (no !== null) return waitFor(0, no);
  if (pass.intent === 'open' && pass.unwrappedBy === null) return nextUnwrap(pass);
  if (firstKey.kind === 'retryable') return waitFor(0, firstKey);
  const asked = pass.unwraps.get(0);
  if (asked !== undefined && patienceOf(asked) !== null) return waitFor(0, asked);
  if (pass.wrapRefusal === null) return { do: pass.unwrappedBy === null ? 'generate' : 'wrap' };
  if (pass.wrapRefusal.kind === 'badCiphertext') return { do: 'stop', why: 'notTheSameSeed' };
  if (pass.wrapRefusal.kind === 'badConfiguration') {
    return { do: 'stop', why: 'configuration', entry: 0, reason: pass.wrapRefusal.reason };
  }
  return waitFor(0, pass.wrapRefusal);
};
