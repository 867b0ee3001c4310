/**
 * Scripted faults: what a service in trouble, a proxy or a cut line would do. A fault matches requests by operation,
 * instance and key, lets `skip` of them pass and then strikes `count` times (for ever when absent).
 */
import { OPERATIONS, type OperationName } from './endpoints.ts';
import { quotedMember } from './shown.ts';

export type Effect =
  /** This status instead of an answer; `code` makes an error body of the API, `body` a text of any kind. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code: string | null;
      readonly body: string | null;
      readonly retryAfterSeconds: number | null;
    }
  | { readonly kind: 'delay'; readonly delayMs: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'truncate' }
  /** 200 with a page that is no JSON. */
  | { readonly kind: 'malformed' }
  /** Beyond `requests` in each `perSeconds`, 429 with the rest of the time as Retry-After. */
  | { readonly kind: 'rateLimit'; readonly requests: number; readonly perSeconds: number };

export interface Fault {
  readonly operation: OperationName | 'any';
  readonly instance: string | null;
  readonly key: string | null;
  readonly skip: number;
  readonly count: number | null;
  readonly effect: Effect;
  /** Where a rate limit stands. */
  readonly spent?: { readonly sinceMs: number; readonly requests: number };
}

export type ParsedFaults =
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }
  | { readonly kind: 'invalid'; readonly reason: string };

const MEMBERS = ['operation', 'instance', 'key', 'skip', 'count', 'effect'];
const EFFECTS = [
  'status',
  'code',
  'body',
  'retryAfterSeconds',
  'delayMs',
  'drop',
  'hang',
  'truncate',
  'malformed',
  'rateLimit',
];
const MAX_DELAY_MS = 3_600_000;

class InvalidFault extends Error {}

const isCount = (value: unknown, largest = 1_000_000): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= largest;

const objectOf = (value: unknown, allowed: readonly string[], what: string): Readonly<Record<string, unknown>> => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidFault(`${what} is no object`);
  const strange = Object.keys(value).find((name) => !allowed.includes(name));
  if (strange !== undefined) throw new InvalidFault(`${what} has an unknown member ${quotedMember(strange)}`);
  return value as Readonly<Record<string, unknown>>;
};

const textOrNull = (value: unknown, what: string): string | null => {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw new InvalidFault(`${what} is no text`);
  return value;
};

const parseEffect = (value: unknown): Effect => {
  const effect = objectOf(value, EFFECTS, 'effect');
  for (const kind of ['drop', 'hang', 'truncate', 'malformed'] as const) if (effect[kind] === true) return { kind };
  const { delayMs, status, retryAfterSeconds, rateLimit } = effect;
  if (rateLimit !== undefined) {
    const { requests, perSeconds } = objectOf(rateLimit, ['requests', 'perSeconds'], 'rateLimit');
    if (!isCount(requests) || !isCount(perSeconds) || perSeconds < 1) {
      throw new InvalidFault('rateLimit needs requests and perSeconds');
    }
    return { kind: 'rateLimit', requests, perSeconds };
  }
  if (delayMs !== undefined) {
    if (!isCount(delayMs, MAX_DELAY_MS)) throw new InvalidFault('delayMs must be 0 to 3600000');
    return { kind: 'delay', delayMs };
  }
  if (!isCount(status, 599) || status < 200)
    throw new InvalidFault('effect needs status, delayMs, drop, hang, truncate, malformed or rateLimit');
  if (retryAfterSeconds !== undefined && !isCount(retryAfterSeconds))
    throw new InvalidFault('retryAfterSeconds is no number');
  return {
    kind: 'status',
    status,
    code: textOrNull(effect.code, 'code'),
    body: textOrNull(effect.body, 'body'),
    retryAfterSeconds: retryAfterSeconds ?? null,
  };
};

const parseFault = (value: unknown): Fault => {
  const fault = objectOf(value, MEMBERS, 'fault');
  const { operation, skip = 0, count = null } = fault;
  if (operation !== 'any' && !(OPERATIONS as readonly unknown[]).includes(operation)) {
    throw new InvalidFault(`operation must be any or one of ${OPERATIONS.join(', ')}`);
  }
  if (!isCount(skip)) throw new InvalidFault('skip must be a whole number');
  if (count !== null && !isCount(count)) throw new InvalidFault('count must be a whole number');
  return {
    operation: operation as Fault['operation'],
    instance: textOrNull(fault.instance, 'instance'),
    key: textOrNull(fault.key, 'key'),
    skip,
    count,
    effect: parseEffect(fault.effect),
  };
};

/** Reads `{"faults": [ … ]}`. */
export const parseFaults = (value: unknown): ParsedFaults => {
  try {
    const { faults } = objectOf(value, ['faults'], 'the document');
    if (!Array.isArray(faults)) throw new InvalidFault('faults is no list');
    return { kind: 'faults', faults: faults.map(parseFault) };
  } catch (error) {
    if (error instanceof InvalidFault) return { kind: 'invalid', reason: error.message };
    throw error;
  }
};

export interface FaultedRequest {
  readonly operation: OperationName;
  readonly instance: string | null;
  readonly key: string | null;
}

const matches = (fault: Fault, request: FaultedRequest): boolean =>
  (fault.operation === 'any' || fault.operation === request.operation) &&
  (fault.instance === null || fault.instance === request.instance) &&
  (fault.key === null || fault.key === request.key);

/** What strikes a request: an effect, where a limit has become an answer. */
export type Stroke = Exclude<Effect, { readonly kind: 'rateLimit' }>;

const tooMany = (retryAfterSeconds: number): Stroke => ({
  kind: 'status',
  status: 429,
  code: null,
  body: null,
  retryAfterSeconds,
});

/** One more request at `atMs`: whether the limit refuses it, and where the limit stands then. */
const limited = (
  effect: Extract<Effect, { readonly kind: 'rateLimit' }>,
  spent: Fault['spent'],
  atMs: number,
): { readonly stroke: Stroke | null; readonly spent: NonNullable<Fault['spent']> } => {
  const lengthMs = effect.perSeconds * 1000;
  const current = spent !== undefined && atMs < spent.sinceMs + lengthMs ? spent : { sinceMs: atMs, requests: 0 };
  if (current.requests < effect.requests) {
    return { stroke: null, spent: { ...current, requests: current.requests + 1 } };
  }
  return { stroke: tooMany(Math.max(1, Math.ceil((current.sinceMs + lengthMs - atMs) / 1000))), spent: current };
};

/**
 * What strikes `request` at `atMs` (monotonic), and the faults that are left for the next one. The first matching fault
 * counts.
 */
export const strike = (
  faults: readonly Fault[],
  request: FaultedRequest,
  atMs: number,
): { readonly stroke: Stroke | null; readonly left: readonly Fault[] } => {
  const index = faults.findIndex((fault) => matches(fault, request) && fault.count !== 0);
  const fault = faults[index];
  if (fault === undefined) return { stroke: null, left: faults };
  if (fault.skip > 0) return { stroke: null, left: faults.with(index, { ...fault, skip: fault.skip - 1 }) };
  const { effect } = fault;
  if (effect.kind === 'rateLimit') {
    const { stroke, spent } = limited(effect, fault.spent, atMs);
    const count = stroke === null || fault.count === null ? fault.count : fault.count - 1;
    return { stroke, left: faults.with(index, { ...fault, count, spent }) };
  }
  if (fault.count === null) return { stroke: effect, left: faults };
  return { stroke: effect, left: faults.with(index, { ...fault, count: fault.count - 1 }) };
};
