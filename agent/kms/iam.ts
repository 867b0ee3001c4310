/**
 * Access tokens for an API key. Source: IBM Cloud documentation, "Generating an IBM Cloud IAM token by using an API
 * key"; the refresh policy is that of the vendor's SDKs (renew when 80 % of the lifetime is over).
 */
import { createHash } from 'node:crypto';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CallLimits, KmsRefusal } from './backend.ts';
import { classifyIam, parseLenientJson } from './classify.ts';
import { takeSecretMember } from './secret-member.ts';
import { withinTime } from './time-limit.ts';

export type KmsPorts = Pick<Host, 'http' | 'clock' | 'entropy'>;

export type TokenAnswer =
  /** `authorization` is the header value: it has to be a string, so it is made anew for each request. */
  { readonly kind: 'token'; readonly authorization: string; readonly generation: number } | TokenRefusal;

/** `correlationId`: the token service's own name of the request, its header Transaction-Id. */
export type TokenRefusal = KmsRefusal & { readonly correlationId: string | null };

export interface TokenSource {
  /**
   * A token, cached or new. `refused` is the generation of a token the key service has just answered 401 to: it is
   * not handed out again. Callers share one request to the token service.
   */
  token(apiKey: Secret, limits: CallLimits, refused: number | null): Promise<TokenAnswer>;
  /** Asks for a token before anybody needs one, unless there is one, and ends with that request. */
  prepare(apiKey: Secret): Promise<void>;
}

/** Of one token request; every caller waits no longer than its own limit. */
const REQUEST_TIMEOUT_MS = 10_000;
/**
 * Until a connection is there and secured: three lost handshake packets (RFC 6298, 1 s doubling). An address that
 * swallows packets is left before the time of the other kms entries is spent on it.
 */
export const CONNECT_TIMEOUT_MS = 4000;
const MAX_ANSWER_BYTES = 65_536;
const MAX_TOKEN_BYTES = 16_384;
/** "IAM tokens are valid for at most 1 hour"; whatever longer is claimed is cut. */
const MAX_LIFETIME_MS = 3_600_000;
const RENEW_AT = 0.8;
/** A token this close to its end is not sent any more. */
const EXPIRY_MARGIN_MS = 10_000;
/**
 * How long a Retry-After of the token service holds for all callers, so that five volumes do not ask five times. Short:
 * each caller waits for itself, and the key daemon's last question before a restart must get through.
 */
const MAX_PATIENCE_MS = 10_000;
/** After a failed renewal the old token is used, and renewal is tried again no sooner than this. */
const RENEW_AGAIN_MS = 60_000;

interface HeldToken {
  readonly secret: Secret;
  readonly generation: number;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

const FORM_START = 'grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&response_type=cloud_iam&apikey=';
const isUnreserved = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x5f ||
  byte === 0x7e;

/** application/x-www-form-urlencoded body, written byte by byte so that the API key never becomes a string. */
const formOf = (apiKey: Secret): Secret =>
  apiKey.expose((bytes) => {
    let length = FORM_START.length;
    for (const byte of bytes) length += isUnreserved(byte) ? 1 : 3;
    return Secret.build(length, (form) => {
      let at = form.write(FORM_START, 'latin1');
      for (const byte of bytes) {
        if (isUnreserved(byte)) form[at++] = byte;
        else at += form.write(`%${byte.toString(16).toUpperCase().padStart(2, '0')}`, at, 'latin1');
      }
    });
  });

const TRANSACTION_ID = /^[A-Za-z0-9_.-]{1,80}$/;

const transactionIdOf = (headers: Readonly<Record<string, string>>): string | null => {
  const id = headers['transaction-id'];
  return id !== undefined && TRANSACTION_ID.test(id) ? id : null;
};

const noToken = (what: string, correlationId: string | null = null): TokenRefusal => ({
  kind: 'retryable',
  reason: `token service: ${what}`,
  afterMs: null,
  correlationId,
});

/** Reads the token and its lifetime, and leaves nothing of either in `body`. */
const parseToken = (body: Buffer): { readonly secret: Secret; readonly lifetimeMs: number } | null => {
  const secret = takeSecretMember(body, 'access_token');
  takeSecretMember(body, 'refresh_token')?.wipe();
  const rest = parseLenientJson(body) as { readonly expires_in?: unknown } | null | undefined;
  body.fill(0);
  if (secret === null) return null;
  const seconds = rest?.expires_in;
  if (secret.length === 0 || secret.length > MAX_TOKEN_BYTES || typeof seconds !== 'number' || !(seconds > 0)) {
    secret.wipe();
    return null;
  }
  return { secret, lifetimeMs: Math.min(seconds * 1000, MAX_LIFETIME_MS) };
};

const makeTokenSource = (host: KmsPorts, iamUrl: string): TokenSource => {
  let held: HeldToken | null = null;
  let generations = 0;
  let underway: { readonly refusal: Promise<TokenRefusal | null>; readonly isEarly: boolean } | null = null;
  let renewAgainAtMs = 0;
  /** The token service asked for patience: until then this is the answer to every caller. */
  let patience: { readonly refusal: TokenRefusal & { readonly kind: 'retryable' }; readonly untilMs: number } | null =
    null;

  /** Null once `held` is a new token. */
  const request = async (apiKey: Secret): Promise<TokenRefusal | null> => {
    const startedMs = host.clock.monotonicMs();
    const form = formOf(apiKey);
    const outcome = await host
      .http({
        method: 'POST',
        url: `${iamUrl}/identity/token`,
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body: form,
        timeoutMs: REQUEST_TIMEOUT_MS,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        maxBodyBytes: MAX_ANSWER_BYTES,
      })
      .finally(() => form.wipe());
    if (outcome.kind === 'failure') return noToken(`${outcome.failure}: ${outcome.detail}`);
    const correlationId = transactionIdOf(outcome.response.headers);
    if (outcome.response.status !== 200) return { ...classifyIam(outcome.response), correlationId };
    const parsed = parseToken(outcome.response.body);
    if (parsed === null) return noToken('the answer holds no usable token', correlationId);
    held?.secret.wipe();
    generations += 1;
    held = {
      secret: parsed.secret,
      generation: generations,
      renewAtMs: startedMs + parsed.lifetimeMs * RENEW_AT,
      endsAtMs: startedMs + parsed.lifetimeMs - EXPIRY_MARGIN_MS,
    };
    return null;
  };

  const obtain = async (apiKey: Secret): Promise<TokenRefusal | null> => {
    const refusal = await request(apiKey);
    patience = null;
    if (refusal === null) return null;
    renewAgainAtMs = host.clock.monotonicMs() + RENEW_AGAIN_MS;
    if (refusal.kind === 'retryable' && refusal.afterMs !== null) {
      patience = { refusal, untilMs: host.clock.monotonicMs() + Math.min(refusal.afterMs, MAX_PATIENCE_MS) };
    }
    if (refusal.kind !== 'retryable') {
      // The API key is no longer accepted: its token must not outlive it here.
      held?.secret.wipe();
      held = null;
    }
    return refusal;
  };

  /** The one request that is under way, for every caller. */
  const renewal = (apiKey: Secret, isEarly = false): Promise<TokenRefusal | null> => {
    underway ??= {
      isEarly,
      refusal: obtain(apiKey).finally(() => {
        underway = null;
      }),
    };
    return underway.refusal;
  };

  /** What a request found before anybody asked, while the network may not have been there yet, is not the answer to a question. */
  const renewalAsked = async (apiKey: Secret): Promise<TokenRefusal | null> => {
    const joinsEarly = underway?.isEarly === true;
    const refusal = await renewal(apiKey);
    return joinsEarly && refusal?.kind === 'retryable' && refusal.afterMs === null ? renewal(apiKey) : refusal;
  };

  const usable = (refused: number | null): HeldToken | null =>
    held !== null && held.generation !== refused && host.clock.monotonicMs() < held.endsAtMs ? held : null;

  const handOut = (token: HeldToken): TokenAnswer => ({
    kind: 'token',
    authorization: `Bearer ${token.secret.expose((bytes) => bytes.toString('latin1'))}`,
    generation: token.generation,
  });

  return {
    token: async (apiKey, limits, refused) => {
      const nowMs = host.clock.monotonicMs();
      const ready = usable(refused);
      if (ready !== null) {
        const answer = handOut(ready);
        // In the background: nobody waits for a new token while the old one serves.
        if (nowMs >= Math.max(ready.renewAtMs, renewAgainAtMs)) void renewal(apiKey).catch(() => {});
        return answer;
      }
      if (patience !== null && nowMs < patience.untilMs)
        return { ...patience.refusal, afterMs: patience.untilMs - nowMs };
      const outcome = await withinTime(
        host.clock,
        limits.timeoutMs,
        renewalAsked(apiKey).then((refusal) => refusal ?? 'renewed'),
      );
      if (outcome === null) return noToken('timeout: no answer in time');
      if (outcome !== 'renewed') return outcome;
      const token = usable(refused);
      return token === null ? noToken('the new token has already ended') : handOut(token);
    },
    prepare: async (apiKey) => {
      if (usable(null) === null) await renewal(apiKey, true);
    },
  };
};

const sources = new WeakMap<KmsPorts['http'], Map<string, TokenSource>>();

/** The token source of an API key at a token service: one for the whole process, so that all volumes share it. */
export const tokenSourceFor = (host: KmsPorts, iamUrl: string, apiKey: Secret): TokenSource => {
  const known = sources.get(host.http) ?? new Map<string, TokenSource>();
  sources.set(host.http, known);
  const name = apiKey.expose((bytes) => createHash('sha256').update(`${iamUrl}\n`).update(bytes).digest('hex'));
  const source = known.get(name) ?? makeTokenSource(host, iamUrl);
  known.set(name, source);
  return source;
};
