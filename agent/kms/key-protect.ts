/**
 * IBM Key Protect (standard and dedicated) and Hyper Protect Crypto Services: the same key API v2. Source: IBM Cloud
 * API documentation "Key Protect API", wrap, unwrap, rewrap and "Retrieve key metadata". Each method is one attempt,
 * with one token refresh after a 401; repeating is the caller's business.
 */
import type { HttpRequest, HttpResponse, TransportFailure } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CallLimits, KeyBackend, KmsAnswer, KmsRefusal } from './backend.ts';
import { classifyKms } from './classify.ts';
import type { KeyCrn } from './crn.ts';
import { CONNECT_TIMEOUT_MS, type KmsPorts, tokenSourceFor } from './iam.ts';
import {
  type Parsed,
  parseGenerated,
  parseKeyState,
  parseRewrapped,
  parseUnwrapped,
  parseWrapped,
} from './key-protect-answers.ts';
import { isWrappedText } from './wrapped-text.ts';

export interface KeyAccess {
  readonly crn: KeyCrn;
  /** Candidates in order; the first that knows the key is kept. */
  readonly baseUrls: readonly [string, ...string[]];
  /** Advice for the case that a host has no address; null when there is none. */
  readonly whenUnknown: string | null;
  readonly iamUrl: string;
  readonly apiKey: Secret;
}

interface Operation {
  readonly method: HttpRequest['method'];
  readonly path: string;
  readonly body: Secret | string | null;
}

type Reply =
  | { readonly kind: 'ok'; readonly response: HttpResponse; readonly correlationId: string | null }
  /** `status` is null when no answer came. */
  | {
      readonly kind: 'refused';
      readonly refusal: KmsRefusal;
      readonly status: number | null;
      readonly correlationId: string | null;
      readonly isUnreached?: boolean;
    };

const DEFAULT_LIMITS: CallLimits = { timeoutMs: 30_000 };
const MAX_ANSWER_BYTES = 65_536;
const MEDIA_TYPE = 'application/vnd.ibm.kms.key_action+json';
const CORRELATION_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** As the service names the request, else as we named it. */
const correlationIdOf = (response: HttpResponse, sent: string): string => {
  const id = response.headers['correlation-id'];
  return id !== undefined && CORRELATION_ID.test(id) ? id : sent;
};

/** An answer of a service that knows this key and instance, whatever it says about it. */
const knowsTheKey = (reply: Reply): boolean =>
  reply.kind === 'ok' || !['gone', 'denied', 'retryable'].includes(reply.refusal.kind);

/**
 * The instance may live on another host: unknown key, refused instance, a bare 404, or a host that is not reached (a
 * private network may lead to the instance alone).
 */
const mayLiveElsewhere = (reply: Reply): boolean =>
  reply.kind === 'refused' &&
  (reply.refusal.kind === 'gone' ||
    reply.status === 404 ||
    reply.isUnreached === true ||
    (reply.refusal.kind === 'denied' && reply.refusal.by === 'kms'));

/** Failures that say nothing was there to answer. */
const UNREACHED: ReadonlySet<TransportFailure> = new Set(['lookup', 'connect', 'tls']);

/** Less than this is no time for another host. */
const LEAST_ATTEMPT_MS = 1000;

/** Body of a wrap request, made without a string of the seed. */
export const wrapBody = (seed3: Secret): Secret =>
  seed3.expose((bytes) =>
    Secret.build(bytes.length + 16, (body) => {
      body.write('{"plaintext":"', 'latin1');
      body.set(bytes, 14);
      body.write('"}', bytes.length + 14, 'latin1');
    }),
  );

export const keyProtect = (host: KmsPorts, access: KeyAccess): KeyBackend => {
  const tokens = tokenSourceFor(host, access.iamUrl, access.apiKey);
  let settled: string | null = access.baseUrls.length === 1 ? access.baseUrls[0] : null;

  const send = async (base: string, operation: Operation, authorization: string, timeoutMs: number): Promise<Reply> => {
    const named = host.entropy.uuid();
    const outcome = await host.http({
      method: operation.method,
      url: `${base}/api/v2/keys/${encodeURIComponent(access.crn.keyId)}${operation.path}`,
      headers: {
        authorization,
        'bluemix-instance': access.crn.instanceId,
        'correlation-id': named,
        accept: 'application/json',
        ...(operation.body === null ? {} : { 'content-type': MEDIA_TYPE }),
      },
      ...(operation.body === null ? {} : { body: operation.body }),
      timeoutMs,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      maxBodyBytes: MAX_ANSWER_BYTES,
    });
    if (outcome.kind === 'failure') {
      const advice = outcome.failure === 'lookup' && access.whenUnknown !== null ? `; ${access.whenUnknown}` : '';
      const reason = `${outcome.failure}: ${outcome.detail}${advice}`;
      return {
        kind: 'refused',
        refusal: { kind: 'retryable', reason, afterMs: null },
        status: null,
        // The service may have logged the name we gave the request, although its answer never came.
        correlationId: named,
        isUnreached: UNREACHED.has(outcome.failure),
      };
    }
    const { response } = outcome;
    const correlationId = correlationIdOf(response, named);
    if (response.status === 200) return { kind: 'ok', response, correlationId };
    return { kind: 'refused', refusal: classifyKms(response), status: response.status, correlationId };
  };

  /** One attempt at one host; a 401 is asked again once with a new token. */
  const attempt = async (base: string, operation: Operation, untilMs: number): Promise<Reply> => {
    const leftMs = (): number => Math.max(1, untilMs - host.clock.monotonicMs());
    let refused: number | null = null;
    for (;;) {
      const token = await tokens.token(access.apiKey, { timeoutMs: leftMs() }, refused);
      if (token.kind !== 'token') {
        const { correlationId, ...refusal } = token;
        return { kind: 'refused', refusal, status: null, correlationId };
      }
      const reply = await send(base, operation, token.authorization, leftMs());
      if (refused !== null || reply.kind === 'ok' || reply.status !== 401) return reply;
      refused = token.generation;
    }
  };

  const perform = async (operation: Operation, limits: CallLimits): Promise<Reply> => {
    const untilMs = host.clock.monotonicMs() + limits.timeoutMs;
    if (settled !== null) return attempt(settled, operation, untilMs);
    const [base, ...others] = access.baseUrls;
    const first = await attempt(base, operation, untilMs);
    if (knowsTheKey(first)) settled = base;
    if (!mayLiveElsewhere(first)) return first;
    for (const other of others) {
      if (untilMs - host.clock.monotonicMs() < LEAST_ATTEMPT_MS) break;
      const reply = await attempt(other, operation, untilMs);
      if (!knowsTheKey(reply)) continue;
      settled = other;
      return reply;
    }
    return first;
  };

  const ask = async <T>(
    operation: Operation,
    limits: CallLimits,
    parse: (body: Buffer) => Parsed<T>,
  ): Promise<KmsAnswer<T>> => {
    const reply = await perform(operation, limits);
    if (reply.kind === 'refused') return { ...reply.refusal, correlationId: reply.correlationId };
    try {
      const parsed = parse(reply.response.body);
      return { ...parsed, correlationId: reply.correlationId };
    } finally {
      reply.response.body.fill(0);
    }
  };

  const action = (verb: string, body: Secret | string): Operation => ({
    method: 'POST',
    path: `/actions/${verb}`,
    body,
  });

  const refuseForeignText = <T>(wrapped: string): KmsAnswer<T> | null =>
    isWrappedText(wrapped) ? null : { kind: 'badCiphertext', correlationId: null };

  return {
    generateAndWrap: (limits = DEFAULT_LIMITS) => ask(action('wrap', '{}'), limits, parseGenerated),
    wrap: async (seed3, limits = DEFAULT_LIMITS) => {
      const body = wrapBody(seed3);
      try {
        return await ask(action('wrap', body), limits, parseWrapped);
      } finally {
        body.wipe();
      }
    },
    unwrap: async (wrapped, limits = DEFAULT_LIMITS) =>
      refuseForeignText(wrapped) ??
      ask(action('unwrap', JSON.stringify({ ciphertext: wrapped })), limits, parseUnwrapped),
    rewrap: async (wrapped, limits = DEFAULT_LIMITS) =>
      refuseForeignText(wrapped) ??
      ask(action('rewrap', JSON.stringify({ ciphertext: wrapped })), limits, parseRewrapped),
    keyState: (limits = DEFAULT_LIMITS) =>
      ask({ method: 'GET', path: '/metadata', body: null }, limits, (body) => parseKeyState(body, access.crn.keyId)),
  };
};
