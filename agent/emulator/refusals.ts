/**
 * Refusals of the service. Clients must look at status and code only; the texts are for people. Source: IBM Cloud
 * documentation, Key Protect "Error messages" and "Why can't I authenticate"; the error model of the API documentation.
 */
import { bareBody, REASONS, type ReasonCode, reasonBody, type Target } from './reasons.ts';

export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly body: string;
  /** Reason code; null where the body carries none. */
  readonly code: ReasonCode | null;
}

export interface RefusalDetail {
  /** Goes behind the message of the code. */
  readonly detail?: string;
  /** Goes before the verb phrase, such as "The key expired on …". */
  readonly because?: string;
  readonly target?: Target;
}

/** `failed` is the verb phrase, such as "Wrap with key could not be performed". */
export const refuse = (code: ReasonCode, failed: string, more: RefusalDetail = {}): Refusal => {
  const [status, message] = REASONS[code];
  const words = more.because === undefined ? failed : `${more.because}: ${failed}`;
  const text = more.detail === undefined ? message : `${message}: ${more.detail}`;
  return { kind: 'refusal', status, code, body: reasonBody(status, words, code, text, more.target ?? null) };
};

/** Bad token, wrong instance, missing rights and network policies look the same, and carry no reasons. */
export const unauthorized = (): Refusal => ({
  kind: 'refusal',
  status: 401,
  code: null,
  body: bareBody(401, 'The user does not have access to the specified resource'),
});

export const badBody = (failed: string, detail: string): Refusal => refuse('BAD_BODY_ERR', failed, { detail });

export const badField = (failed: string, name: string, detail: string): Refusal =>
  refuse('INVALID_FIELD_ERR', failed, { detail: `\`${name}\`: ${detail}`, target: { type: 'field', name } });

export const badQuery = (failed: string, name: string, detail: string): Refusal =>
  refuse('INVALID_QUERY_PARAM_ERR', failed, {
    detail: `\`${name}\`: ${detail}`,
    target: { type: 'query_param', name },
  });

export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'refusal';
