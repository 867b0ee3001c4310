/** The way to the key service under a fault script, and the record of what really arrived at the client. */
import type { Clock, HttpOutcome, HttpRequest, SendHttp } from '../../../agent/ports.ts';
import { keyServiceBody, tokenServiceBody } from '../../unit/kms/documented-refusals.ts';
import type { Effect, Fault, Mangling, Operation, Script } from './script.ts';

/** One request and what the client was given for it. */
export interface Exchange {
  readonly entry: number;
  readonly operation: Operation;
  readonly askedMs: number;
  readonly answeredMs: number;
  /** The ciphertext an unwrap asked about. */
  readonly ciphertext: string | null;
  readonly outcome:
    | { readonly kind: 'failure'; readonly failure: string }
    | {
        readonly kind: 'answer';
        readonly status: number;
        readonly code: string | null;
        readonly field: string | null;
        readonly retryAfterMs: number | null;
        /** The answer is not the service's own. */
        readonly isTouched: boolean;
        /** As delivered; only of metadata. */
        readonly state: unknown;
      };
}

export interface Network {
  readonly send: SendHttp;
  readonly exchanges: readonly Exchange[];
  /** Access tokens that were given out. */
  readonly tokens: readonly string[];
}

interface Given {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly isTouched: boolean;
}

const DATE = Date.parse('2027-03-01T00:00:00Z');

const bodyText = (body: HttpRequest['body']): string => {
  if (body === undefined) return '';
  if (typeof body === 'string') return body;
  return body instanceof Uint8Array
    ? Buffer.from(body).toString('latin1')
    : body.expose((bytes) => bytes.toString('latin1'));
};

const membersOf = (text: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
};

const mangle = (
  text: string,
  how: Mangling,
  at: number,
  lies: { readonly ciphertext: string; readonly seed: string; readonly mayLieAboutSeed: boolean },
): string => {
  const members = membersOf(text);
  const names = Object.keys(members ?? {});
  const name = names[at % Math.max(1, names.length)] ?? '';
  const resource = Array.isArray(members?.resources) ? (members.resources[0] as object) : null;
  switch (how) {
    case 'cut':
      return text.slice(0, at % Math.max(1, text.length));
    case 'empty':
      return ['', '{}', '[]', 'null', '0', '"text"'][at % 6] as string;
    case 'foreign':
      return '{"unexpected":{"plaintext":"AAAA","ciphertext":"AAAA"},"list":[1,2,3]}';
    case 'drop':
      return JSON.stringify({ ...members, [name]: undefined });
    case 'retype':
      return JSON.stringify({ ...members, [name]: [17, null, { id: 5 }, [], 'a b', true][at % 6] });
    case 'swapCiphertext':
      return members?.ciphertext === undefined ? text : JSON.stringify({ ...members, ciphertext: lies.ciphertext });
    case 'swapSeed':
      return members?.plaintext === undefined || !lies.mayLieAboutSeed
        ? text
        : JSON.stringify({ ...members, plaintext: lies.seed });
    case 'state':
      return resource === null
        ? text
        : JSON.stringify({ ...members, resources: [{ ...resource, state: [0, 2, 3, 4, 5, '1', null, 1.5][at % 8] }] });
    case 'standard':
      return resource === null ? text : JSON.stringify({ ...members, resources: [{ ...resource, extractable: true }] });
  }
};

export interface Setting {
  readonly clock: Clock;
  readonly service: SendHttp;
  readonly keys: readonly string[];
  readonly stored: string | null;
  /** A text that entry 1's key wrapped from another seed, and that seed. */
  readonly lie: { readonly ciphertext: string; readonly seed: string };
}

const reasonOf = (text: string): { readonly code: string | null; readonly field: string | null } => {
  const members = membersOf(text) as {
    resources?: { reasons?: { code?: string; target?: { name?: string } }[] }[];
    errorCode?: string;
  } | null;
  const reason = Array.isArray(members?.resources) ? members.resources[0]?.reasons?.[0] : undefined;
  return { code: reason?.code ?? members?.errorCode ?? null, field: reason?.target?.name ?? null };
};

export const networkOf = (setting: Setting, script: Script): Network => {
  const { clock, service, keys, stored, lie } = setting;
  const beganMs = clock.monotonicMs();
  const exchanges: Exchange[] = [];
  const tokens: string[] = [];
  /** Ciphertexts whose seed was swapped when they were made. The same lie when they are unwrapped is one that no client can see. */
  const lied = new Set<unknown>();
  const left = script.faults.map((fault) => ({ fault, count: fault.count }));

  /** The entry is told from the address: each has a host of its own for tokens, and its own key. */
  const placeOf = ({ url }: HttpRequest): { readonly entry: number; readonly operation: Operation } => {
    const { port, pathname } = new URL(url);
    if (pathname === '/identity/token') return { entry: Number(port) - 9000, operation: 'token' };
    const entry = keys.findIndex((key) => pathname.includes(`/${key}/`));
    return { entry, operation: pathname.split('/').at(-1) as Operation };
  };

  const strike = (entry: number, operation: Operation): Effect | null => {
    const atMs = clock.monotonicMs() - beganMs;
    const matches = ({ operation: on, entry: at, fromMs, untilMs }: Fault): boolean =>
      (on === 'any' || on === operation) && (at === null || at === entry) && atMs >= fromMs && atMs < untilMs;
    const found = left.find(({ fault, count }) => count > 0 && matches(fault));
    if (found === undefined) return null;
    found.count -= 1;
    return found.fault.effect;
  };

  const real = async (request: HttpRequest): Promise<Given> => {
    const outcome = await service(request);
    if (outcome.kind === 'failure') throw new Error('the service itself does not fail here');
    const { status, headers, body } = outcome.response;
    return { status, headers, text: body.toString('utf8'), isTouched: false };
  };

  const refusalText = (operation: Operation, effect: Extract<Effect, { kind: 'status' }>): string => {
    const row = {
      situation: '',
      status: effect.status,
      code: effect.code,
      means: 'retryable',
      ...(effect.field === null ? {} : { field: effect.field }),
    } as const;
    return operation === 'token' ? tokenServiceBody(row) : keyServiceBody(row);
  };

  const patience = (effect: Extract<Effect, { kind: 'status' }>): Record<string, string> => {
    if (effect.retryAfter === null) return {};
    const { seconds, asDate } = effect.retryAfter;
    if (!asDate) return { 'retry-after': String(seconds) };
    const until = new Date(DATE + seconds * 1000).toUTCString();
    return { date: new Date(DATE).toUTCString(), 'retry-after': until };
  };

  const failing = (failure: Extract<HttpOutcome, { kind: 'failure' }>['failure']): HttpOutcome => ({
    kind: 'failure',
    failure,
    detail: 'as the script says',
  });

  const answered = (given: Given): HttpOutcome => {
    const body = Buffer.from(new ArrayBuffer(Buffer.byteLength(given.text)));
    body.write(given.text);
    return { kind: 'answer', response: { status: given.status, headers: given.headers, body } };
  };

  const carryOut = async (
    request: HttpRequest,
    operation: Operation,
    effect: Effect | null,
  ): Promise<HttpOutcome | Given> => {
    switch (effect?.kind) {
      case undefined:
        return real(request);
      case 'failure':
        return failing(effect.failure);
      case 'lost':
        await real(request);
        return failing('interrupted');
      case 'hang':
        await clock.sleep(request.timeoutMs);
        return failing('timeout');
      case 'delay':
        await clock.sleep(Math.min(effect.delayMs, request.timeoutMs));
        return effect.delayMs < request.timeoutMs ? real(request) : failing('timeout');
      case 'page':
        return { status: effect.status, headers: {}, text: '<html>gateway</html>', isTouched: true };
      case 'status':
        return {
          status: effect.status,
          headers: patience(effect),
          text: refusalText(operation, effect),
          isTouched: true,
        };
      case 'mangle': {
        const given = await real(request);
        if (given.status !== 200 || operation === 'token') return given;
        const asked = operation === 'unwrap' ? membersOf(bodyText(request.body))?.ciphertext : undefined;
        const mayLieAboutSeed = asked === undefined || (asked !== stored && !lied.has(asked));
        const text = mangle(given.text, effect.how, effect.at, { ...lie, mayLieAboutSeed });
        if (effect.how === 'swapSeed' && text !== given.text) lied.add(membersOf(text)?.ciphertext);
        return { ...given, text, isTouched: text !== given.text };
      }
    }
  };

  const describe = (outcome: HttpOutcome | Given): Exchange['outcome'] => {
    if ('kind' in outcome) return { kind: 'failure', failure: outcome.kind === 'failure' ? outcome.failure : '' };
    const { status, headers, text, isTouched } = outcome;
    const after = headers['retry-after'];
    const date = headers.date === undefined ? Number.NaN : Date.parse(headers.date);
    const seconds =
      after === undefined ? null : /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - date) / 1000;
    const resources = membersOf(text)?.resources;
    const state = Array.isArray(resources) ? (resources[0] as { state?: unknown } | null)?.state : undefined;
    return {
      kind: 'answer',
      status,
      ...(status === 200 ? { code: null, field: null } : reasonOf(text)),
      retryAfterMs: seconds === null ? null : seconds * 1000,
      isTouched,
      state,
    };
  };

  return {
    exchanges,
    tokens,
    send: async (request) => {
      const { entry, operation } = placeOf(request);
      const askedMs = clock.monotonicMs();
      const asked = operation === 'unwrap' ? membersOf(bodyText(request.body))?.ciphertext : null;
      const outcome = await carryOut(request, operation, strike(entry, operation));
      if (!('kind' in outcome) && operation === 'token' && outcome.status === 200) {
        const token = membersOf(outcome.text)?.access_token;
        if (typeof token === 'string') tokens.push(token);
      }
      exchanges.push({
        entry,
        operation,
        askedMs,
        answeredMs: clock.monotonicMs(),
        ciphertext: typeof asked === 'string' ? asked : null,
        outcome: describe(outcome),
      });
      return 'kind' in outcome ? outcome : answered(outcome);
    },
  };
};
