/**
 * What a person may do to the local service beside the API: move its clock, script faults, set rules of the account. Only from the same machine
 * and not from a web page: a browser sends Origin, or the name of the page's own site as Host.
 */
import type { ServerRequest } from '../service-ports.ts';
import { type Fault, parseFaults } from './faults.ts';
import { INSTANCE_POLICIES } from './instance-policies.ts';
import { dateOf } from './key-record.ts';
import { type Result, result } from './result.ts';

export interface AdminDoor {
  faults(): readonly Fault[];
  setFaults(faults: readonly Fault[]): void;
  /** Rules of the account that instance policies must follow: policy → must be enabled. */
  rules(): ReadonlyMap<string, boolean>;
  setRules(rules: ReadonlyMap<string, boolean>): void;
  nowMs(): number;
  /** Moves the clock on, and does the calendar work that has come due. */
  advance(ms: number): void;
}

/** A hundred years. */
const MAX_ADVANCE_SECONDS = 3_200_000_000;
const LOOPBACK_REMOTE = /^(::1|(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
const LOOPBACK_HOST = /^(localhost|\[::1\]|127\.\d{1,3}\.\d{1,3}\.\d{1,3})(:\d{1,5})?$/;

const plain = (status: number, value: object): Result => result(status, `${JSON.stringify(value)}\n`);

const isLocal = (request: ServerRequest): boolean =>
  LOOPBACK_REMOTE.test(request.remote) &&
  LOOPBACK_HOST.test(request.headers.host ?? '') &&
  request.headers.origin === undefined;

const jsonOf = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
};

const moveClock = (request: ServerRequest, door: AdminDoor): Result => {
  const value = jsonOf(request.body) as { readonly advanceSeconds?: unknown } | undefined;
  const seconds = value?.advanceSeconds;
  // Forward only: expiry, deletion and token times must not be undone.
  if (typeof seconds !== 'number' || !(seconds >= 0) || seconds > MAX_ADVANCE_SECONDS) {
    return plain(400, { error: 'advanceSeconds must be a number from 0 on' });
  }
  door.advance(Math.round(seconds * 1000));
  return plain(200, { now: dateOf(door.nowMs()) });
};

const scriptFaults = (request: ServerRequest, door: AdminDoor): Result => {
  const parsed = parseFaults(jsonOf(request.body));
  if (parsed.kind === 'invalid') return plain(400, { error: parsed.reason });
  door.setFaults(parsed.faults);
  return plain(200, { faults: parsed.faults.length });
};

const setRules = (request: ServerRequest, door: AdminDoor): Result => {
  const value = jsonOf(request.body) as { readonly rules?: unknown } | undefined;
  const rules = typeof value?.rules === 'object' && value.rules !== null ? Object.entries(value.rules) : null;
  const isRight = rules?.every(
    ([name, enabled]) => (INSTANCE_POLICIES as readonly string[]).includes(name) && typeof enabled === 'boolean',
  );
  if (rules === null || isRight !== true) {
    return plain(400, { error: `rules must be an object of ${INSTANCE_POLICIES.join(', ')} to true or false` });
  }
  door.setRules(new Map(rules));
  return plain(200, { rules: Object.fromEntries(door.rules()) });
};

/** `clock`: GET, POST {advanceSeconds}. `faults`: GET what is left, POST {faults: […]} replaces, DELETE clears; `rules`: GET, POST {rules: {policy: enabled}}. */
export const answerAdmin = (request: ServerRequest, name: string, door: AdminDoor): Result => {
  if (!isLocal(request)) return plain(403, { error: 'only from this machine, and not from a web page' });
  const verb = `${request.method} ${name}`;
  if (verb === 'GET clock') return plain(200, { now: dateOf(door.nowMs()) });
  if (verb === 'POST clock') return moveClock(request, door);
  if (verb === 'GET faults') return plain(200, { faults: door.faults() });
  if (verb === 'POST faults') return scriptFaults(request, door);
  if (verb === 'DELETE faults') {
    door.setFaults([]);
    return plain(200, { faults: 0 });
  }
  if (verb === 'GET rules') return plain(200, { rules: Object.fromEntries(door.rules()) });
  if (verb === 'POST rules') return setRules(request, door);
  return plain(404, { error: 'there is /__triseed/clock, /__triseed/faults and /__triseed/rules' });
};
