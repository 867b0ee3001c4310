/** One request to IBM Cloud Logs, and what its answer means. */
import { tokenSourceFor } from '../kms/iam.ts';
import { parseRetryAfter } from '../kms/retry.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { ingestionUrl, type Single } from './log-router.ts';
import type { LogTarget } from './settings.ts';

export interface LogService extends LogTarget {
  readonly apiKey: Secret;
  /** Address of the token service. */
  readonly iam: string;
}

export type SentSingles =
  | { readonly kind: 'sent' }
  /** Nobody, or not now: the same records may be taken later. */
  | { readonly kind: 'later'; readonly reason: string; readonly afterMs: number | null }
  /** The service refuses us: API key, role, address. An operator can mend it. */
  | { readonly kind: 'denied'; readonly reason: string }
  /** The service refuses these records. */
  | { readonly kind: 'unacceptable'; readonly status: number };

const maxAnswerBytes = 65_536;
const connectTimeoutMs = 4_000;

const classify = (status: number, headers: Readonly<Record<string, string>>): SentSingles => {
  if (status >= 200 && status < 300) return { kind: 'sent' };
  if (status === 401 || status === 403) return { kind: 'denied', reason: `HTTP status ${status} for our access token` };
  if (status === 404) return { kind: 'denied', reason: 'HTTP status 404: there is no log service at this address' };
  if (status === 400 || status === 413 || status === 422) return { kind: 'unacceptable', status };
  return { kind: 'later', reason: `HTTP status ${status}`, afterMs: parseRetryAfter(headers) };
};

/** Sends `singles` in one request. Never throws for what a service answers. */
export const sendSingles = async (
  host: Pick<Host, 'http' | 'clock' | 'entropy'>,
  service: LogService,
  singles: readonly Single[],
  timeoutMs: number,
): Promise<SentSingles> => {
  const tokens = tokenSourceFor(host, service.iam, service.apiKey);
  const once = async (
    refused: number | null,
  ): Promise<{ readonly outcome: SentSingles; readonly used: number | null }> => {
    const token = await tokens.token(service.apiKey, { timeoutMs }, refused);
    if (token.kind !== 'token') {
      const { kind } = token;
      if (kind === 'retryable') {
        return { outcome: { kind: 'later', reason: token.reason, afterMs: token.afterMs }, used: null };
      }
      return { outcome: { kind: 'denied', reason: 'the token service refuses the API key' }, used: null };
    }
    const answer = await host.http({
      method: 'POST',
      url: ingestionUrl(service),
      headers: { authorization: token.authorization, 'content-type': 'application/json' },
      body: JSON.stringify(singles),
      timeoutMs,
      connectTimeoutMs,
      maxBodyBytes: maxAnswerBytes,
    });
    if (answer.kind === 'failure') {
      const reason = `${answer.failure}: ${answer.detail}`;
      return { outcome: { kind: 'later', reason, afterMs: null }, used: null };
    }
    const { status, headers } = answer.response;
    return { outcome: classify(status, headers), used: status === 401 ? token.generation : null };
  };
  const first = await once(null);
  // A token may have been withdrawn since it was given out: once more with a new one.
  return first.used === null ? first.outcome : (await once(first.used)).outcome;
};
