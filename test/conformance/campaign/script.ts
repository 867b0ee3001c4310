/** Random fault scripts: what the network, the service and the owner do while a guest asks for its seed. Data only. */
import type { TransportFailure } from '../../../agent/ports.ts';
import type { Seeded } from '../../fakes/seeded.ts';
import { keyServiceRefusals, tokenServiceRefusals } from '../../unit/kms/documented-refusals.ts';

export const OPERATIONS = ['token', 'metadata', 'wrap', 'unwrap'] as const;
export type Operation = (typeof OPERATIONS)[number];

export type Effect =
  | { readonly kind: 'failure'; readonly failure: Exclude<TransportFailure, 'timeout'> }
  /** The service carries the request out, and its answer is lost. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'delay'; readonly delayMs: number }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code: string | null;
      readonly field: string | null;
      /** Seconds, or the same as a date against the answer's own. */
      readonly retryAfter: { readonly seconds: number; readonly asDate: boolean } | null;
    }
  | { readonly kind: 'page'; readonly status: number }
  | { readonly kind: 'mangle'; readonly how: Mangling; readonly at: number };

/**
 * What happens to a true answer on its way. `swapCiphertext` and `swapSeed` are a service that lies; a lie about the stored
 * seed itself nobody can see, so it is told about fresh wrappings only.
 */
export const MANGLINGS = [
  'cut',
  'empty',
  'foreign',
  'drop',
  'retype',
  'swapCiphertext',
  'swapSeed',
  'state',
  'standard',
] as const;
export type Mangling = (typeof MANGLINGS)[number];

export interface Fault {
  readonly operation: Operation | 'any';
  /** Index of the kms entry, or null for all. */
  readonly entry: number | null;
  readonly fromMs: number;
  readonly untilMs: number;
  /** How many requests it strikes. */
  readonly count: number;
  readonly effect: Effect;
}

export interface OwnerAct {
  readonly atMs: number;
  readonly entry: number;
  readonly action: 'disable' | 'enable' | 'rotate' | 'delete' | 'restore';
}

export interface Script {
  readonly entries: number;
  /** Which entry's key wrapped the stored seed; `nobody` is a foreign text, `none` a volume without a seed. */
  readonly storedBy: number | 'nobody' | 'none';
  readonly kmsTimeoutMinutes: number;
  readonly faults: readonly Fault[];
  readonly owner: readonly OwnerAct[];
}

const FAILURES = ['lookup', 'connect', 'tls', 'interrupted', 'tooLarge', 'protocol'] as const;

const effectOf = (random: Seeded, operation: Operation | 'any'): Effect => {
  switch (random.below(8)) {
    case 0:
      return { kind: 'failure', failure: random.pick(FAILURES) };
    case 1:
      return random.below(2) === 0 ? { kind: 'hang' } : { kind: 'lost' };
    case 2:
      return { kind: 'delay', delayMs: random.below(20_000) };
    case 3:
      return { kind: 'page', status: random.pick([200, 302, 400, 401, 403, 404, 500, 502, 503, 504]) };
    case 4:
    case 5:
      return { kind: 'mangle', how: random.pick(MANGLINGS), at: random.below(1000) };
    default: {
      const { status, code, field } = random.pick(operation === 'token' ? tokenServiceRefusals : keyServiceRefusals);
      const retryAfter = random.below(3) === 0 ? { seconds: random.below(90), asDate: random.below(2) === 0 } : null;
      return { kind: 'status', status, code, field: field ?? null, retryAfter };
    }
  }
};

const faultOf = (random: Seeded, entries: number, spanMs: number): Fault => {
  const operation = random.pick([...OPERATIONS, 'any'] as const);
  const fromMs = random.below(3) === 0 ? random.below(spanMs) : 0;
  return {
    operation,
    entry: random.below(3) === 0 ? null : random.below(entries),
    fromMs,
    untilMs: random.below(2) === 0 ? Number.POSITIVE_INFINITY : fromMs + random.below(spanMs),
    count: random.pick([1, 1, 2, 5, Number.POSITIVE_INFINITY]),
    effect: effectOf(random, operation),
  };
};

export const scriptOf = (random: Seeded): Script => {
  const entries = random.pick([1, 1, 2, 2, 3, 5]);
  const kmsTimeoutMinutes = random.pick([0, 1, 1, 2, 10]);
  const spanMs = Math.max(30_000, kmsTimeoutMinutes * 60_000);
  return {
    entries,
    storedBy: random.pick([0, 0, random.below(entries), random.below(entries), 'nobody', 'none']),
    kmsTimeoutMinutes,
    faults: Array.from({ length: random.below(7) }, () => faultOf(random, entries, spanMs)),
    owner: Array.from({ length: random.pick([0, 0, 1, 2, 3]) }, () => ({
      atMs: random.below(spanMs),
      entry: random.below(entries),
      action: random.pick(['disable', 'enable', 'rotate', 'delete', 'restore'] as const),
    })),
  };
};
