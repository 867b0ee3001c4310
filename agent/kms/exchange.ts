/**
 * One request to a service instance and its answer: token, host, headers, one token refresh after a 401. Boot, daemon and
 * the key owner's commands share it. Source: Key Protect API documentation, "Authentication" and "Error handling".
 *
 * An instance may live at one of several hosts. The first that knows it is kept; another one is asked only after an
 * answer which says that nothing was done.
 */
import type { HttpRequest, HttpResponse, TransportFailure } from '../ports.ts';
import type { Secret } from '../secret.ts';
import type { CallLimits, KmsRefusal } from './backend.ts';
import { askBroker, type BrokerQuestion } from './broker.ts';
import { classifyKms } from './classify.ts';
import { CONNECT_TIMEOUT_MS, type KmsPorts, tokenSourceFor } from './iam.ts';

export interface InstanceAccess {
  readonly instanceId: string;
  /** Candidates in order; the first that knows the instance is kept. */
  readonly baseUrls: readonly [string, ...string[]];
  /** Who may know another host when none of them exists; null where there is nobody. */
  readonly broker: BrokerQuestion | null;
  /** Advice for the case that a host has no address; null when there is none. */
  readonly whenUnknown: string | null;
  readonly iamUrl: string;
  readonly apiKey: Secret;
}

export interface ApiRequest {
  readonly method: HttpRequest['method'];
  /** Below /api/v2/. */
  readonly path: string;
  readonly body: Secret | string | null;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly maxBodyBytes: number;
}

export type Reply =
  | { readonly kind: 'ok'; readonly response: HttpResponse; readonly correlationId: string | null }
  | {
      readonly kind: 'refused';
      readonly refusal: KmsRefusal;
      /** Null when the key service gave no answer. */
      readonly response: HttpResponse | null;
      readonly correlationId: string | null;
      readonly failure?: TransportFailure;
    };

/** Makes one attempt within `limits`. Throws for nothing that a service answers. */
export type Exchange = (request: ApiRequest, limits: CallLimits) => Promise<Reply>;

const CORRELATION_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** As the service names the request, else as we named it. */
const correlationIdOf = (response: HttpResponse, sent: string): string => {
  const id = response.headers['correlation-id'];
  return id !== undefined && CORRELATION_ID.test(id) ? id : sent;
};

/** An answer of a service that knows this instance, whatever it says about the key. */
const knowsTheInstance = (reply: Reply): boolean =>
  reply.kind === 'ok' || !['gone', 'denied', 'retryable'].includes(reply.refusal.kind);

/** Failures that say nothing was there to answer. */
const UNREACHED: ReadonlySet<TransportFailure | undefined> = new Set(['lookup', 'connect', 'tls']);

/**
 * The instance may live on another host: unknown key, refused instance, a bare 404, or a host that is not reached (a
 * private network may lead to the instance alone).
 */
const mayLiveElsewhere = (reply: Reply): boolean =>
  reply.kind === 'refused' &&
  (reply.refusal.kind === 'gone' ||
    reply.response?.status === 404 ||
    UNREACHED.has(reply.failure) ||
    (reply.refusal.kind === 'denied' && reply.refusal.by === 'kms'));

/** The host does not exist, or is somebody else's. One that swallows packets says nothing. */
const isNobody = (reply: Reply): boolean =>
  reply.kind === 'refused' &&
  (reply.failure === 'lookup' ||
    reply.failure === 'tls' ||
    (reply.response?.status === 404 && reply.refusal.kind === 'retryable'));

/** Less than this is no time for another host. */
const LEAST_ATTEMPT_MS = 1000;
/** A broker that did not help is left alone for this long. */
const BROKER_AGAIN_MS = 60_000;

export const exchangeWith = (host: KmsPorts, access: InstanceAccess): Exchange => {
  const tokens = tokenSourceFor(host, access.iamUrl, access.apiKey);
  let settled: string | null = access.baseUrls.length === 1 && access.broker === null ? access.baseUrls[0] : null;
  let told: string | null = null;
  let brokerAgainAtMs = Number.NEGATIVE_INFINITY;

  const send = async (base: string, request: ApiRequest, authorization: string, timeoutMs: number): Promise<Reply> => {
    const named = host.entropy.uuid();
    const { method, body } = request;
    const outcome = await host.http({
      method,
      url: `${base}/api/v2/${request.path}`,
      headers: {
        authorization,
        'bluemix-instance': access.instanceId,
        'correlation-id': named,
        accept: 'application/json',
        ...(body === null ? {} : { 'content-type': request.contentType }),
        ...request.headers,
      },
      ...(body === null ? {} : { body }),
      timeoutMs,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      maxBodyBytes: request.maxBodyBytes,
    });
    if (outcome.kind === 'failure') {
      const { failure } = outcome;
      const advice = failure === 'lookup' && access.whenUnknown !== null ? `; ${access.whenUnknown}` : '';
      const reason = `${failure}: ${outcome.detail}${advice}`;
      // The service may have logged the name we gave the request, although its answer never came.
      const refusal: KmsRefusal = { kind: 'retryable', reason, afterMs: null };
      return { kind: 'refused', refusal, response: null, correlationId: named, failure };
    }
    const { response } = outcome;
    const correlationId = correlationIdOf(response, named);
    if (response.status >= 200 && response.status < 300) return { kind: 'ok', response, correlationId };
    return { kind: 'refused', refusal: classifyKms(response), response, correlationId };
  };

  /** One attempt at one host; a 401 is asked again once with a new token. */
  const attempt = async (base: string, request: ApiRequest, leftMs: () => number): Promise<Reply> => {
    let refused: number | null = null;
    for (;;) {
      const token = await tokens.token(access.apiKey, { timeoutMs: leftMs() }, refused);
      if (token.kind !== 'token') {
        const { correlationId, ...refusal } = token;
        return { kind: 'refused', refusal, response: null, correlationId };
      }
      const reply = await send(base, request, token.authorization, leftMs());
      if (refused !== null || reply.kind === 'ok' || reply.response?.status !== 401) return reply;
      refused = token.generation;
    }
  };

  const brokered = async (leftMs: () => number): Promise<string | null> => {
    const now = host.clock.monotonicMs();
    if (access.broker === null || told !== null || now < brokerAgainAtMs) return told;
    brokerAgainAtMs = now + BROKER_AGAIN_MS;
    const token = await tokens.token(access.apiKey, { timeoutMs: leftMs() }, null);
    if (token.kind === 'token') told = await askBroker(host, access.broker, token.authorization, leftMs());
    return told;
  };

  return async (request, limits) => {
    const untilMs = host.clock.monotonicMs() + limits.timeoutMs;
    const leftMs = (): number => Math.max(1, untilMs - host.clock.monotonicMs());
    if (settled !== null) return attempt(settled, request, leftMs);
    const [base, ...others] = access.baseUrls;
    const first = await attempt(base, request, leftMs);
    if (knowsTheInstance(first)) settled = base;
    if (!mayLiveElsewhere(first)) return first;
    for (const other of others) {
      if (leftMs() < LEAST_ATTEMPT_MS) return first;
      const reply = await attempt(other, request, leftMs);
      if (!knowsTheInstance(reply)) continue;
      settled = other;
      return reply;
    }
    if (!isNobody(first) || leftMs() < LEAST_ATTEMPT_MS) return first;
    const older = await brokered(leftMs);
    if (older === null || leftMs() < LEAST_ATTEMPT_MS) return first;
    const reply = await attempt(older, request, leftMs);
    if (knowsTheInstance(reply)) settled = older;
    return reply;
  };
};
