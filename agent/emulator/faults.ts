/**
 * Scripted faults: what a service in trouble, a proxy or a cut line would do. A fault matches requests by operation,
 * instance and key, lets `skip` of them pass and then strikes `count` times (for ever when absent).
 */

export const OPERATIONS = [
  'token',
  'create',
  'list',
  'head',
  'get',
  'metadata',
  'versions',
  'wrap',
  'unwrap',
  'rewrap',
  'rotate',
  'disable',
  'enable',
  'delete',
  'restore',
] as const;
export type OperationName = (typeof OPERATIONS)[number];

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
  | { readonly kind: 'malformed' };

export interface Fault {
  readonly operation: OperationName | 'any';
  readonly instance: string | null;
  readonly key: string | null;
  readonly skip: number;
  readonly count: number | null;
  readonly effect: Effect;
}

export type ParsedFaults =
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }
  | { readonly kind: 'invalid'; readonly reason: string };

const MEMBERS = ['operation', 'instance', 'key', 'skip', 'count', 'effect'];
const EFFECTS = ['status', 'code', 'body', 'retryAfterSeconds', 'delayMs', 'drop', 'hang', 'truncate', 'malformed'];
const MAX_DELAY_MS = 3_600_000;

class InvalidFault extends Error {}

const isCount = (value: unknown, largest = 1_000_000): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= largest;

const objectOf = (value: unknown, allowed: readonly string[], what: string): Readonly<Record<string, unknown>> => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidFault(`${what} is no object`);
  const strange = Object.keys(value).find((name) => !allowed.includes(name));
  if (strange !== undefined) throw new InvalidFault(`${what} has an unknown member ${JSON.stringify(strange)}`);
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
  const { delayMs, status, retryAfterSeconds } = effect;
  if (delayMs !== undefined) {
    if (!isCount(delayMs, MAX_DELAY_MS)) throw new InvalidFault('delayMs must be 0 to 3600000');
    return { kind: 'delay', delayMs };
  }
  if (!isCount(status, 599) || status < 200)
    throw new InvalidFault('effect needs status, delayMs, drop, hang, truncate or malformed');
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

/** The effect that strikes `request`, and the faults that are left for the next one. The first matching fault counts. */
export const strike = (
  faults: readonly Fault[],
  request: FaultedRequest,
): { readonly effect: Effect | null; readonly left: readonly Fault[] } => {
  const index = faults.findIndex((fault) => matches(fault, request) && fault.count !== 0);
  const fault = faults[index];
  if (fault === undefined) return { effect: null, left: faults };
  if (fault.skip > 0) return { effect: null, left: faults.with(index, { ...fault, skip: fault.skip - 1 }) };
  if (fault.count === null) return { effect: fault.effect, left: faults };
  return { effect: fault.effect, left: faults.with(index, { ...fault, count: fault.count - 1 }) };
};
