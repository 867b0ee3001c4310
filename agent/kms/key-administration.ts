/**
 * The key owner's side of the Key Protect API, for the `kms` commands: one request each, no retries, and errors that say
 * what the service answered. Source: Key Protect API documentation, "Keys" and "Key actions".
 */
import { AgentError } from '../errors.ts';
import type { HttpRequest } from '../ports.ts';
import { Secret } from '../secret.ts';
import { describeRefusal, errorReasonOf, parseLenientJson } from './classify.ts';
import { exchangeWith, type InstanceAccess } from './exchange.ts';
import type { KmsPorts } from './iam.ts';

/** A key as the service shows it; only what the commands print is named. */
export interface ShownKey {
  readonly id: string;
  readonly name: string;
  readonly state: number;
  readonly crn: string;
  readonly extractable: boolean;
  readonly [member: string]: unknown;
}

export interface Call {
  /** In the words of the command, such as "rotate the key". */
  readonly action: string;
  readonly method: HttpRequest['method'];
  /** Below /api/v2/. */
  readonly path: string;
  readonly body?: Secret | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface KeyAdministration {
  /** Body of a successful answer; the caller wipes it when it holds a secret. */
  call(call: Call): Promise<Buffer>;
  /** `resources` of a successful answer. */
  resources<T extends object = ShownKey>(call: Call): Promise<readonly T[]>;
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const PRINTABLE = /[^\x20-\x7e]/g;

/** Longer than an id, and without a space: it may be what was sent, a token or a seed, coming back. */
const LONG_RUN = /[A-Za-z0-9+/_=.-]{40,}/g;

/** `message` of the first reason, made fit for a terminal. */
const explanationOf = (body: Buffer): string => {
  const value = parseLenientJson(body) as {
    resources?: { reasons?: { message?: unknown }[]; errorMsg?: unknown }[];
  } | null;
  const first = Array.isArray(value?.resources) ? value.resources[0] : undefined;
  const text = Array.isArray(first?.reasons) ? first.reasons[0]?.message : first?.errorMsg;
  return typeof text === 'string' ? text.replace(PRINTABLE, ' ').replace(LONG_RUN, '…').slice(0, 200) : '';
};

/** Nobody knows what became of a request that was answered like this. */
const isTrouble = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/** Methods throw KMS_COMMAND_REFUSED and KMS_COMMAND_UNANSWERED. */
export const keyAdministration = (host: KmsPorts, access: InstanceAccess): KeyAdministration => {
  const exchange = exchangeWith(host, access);

  const call = async ({ action, method, path, body, headers }: Call): Promise<Buffer> => {
    const request = { method, path, body: body ?? null, contentType: 'application/json', headers: headers ?? {} };
    const reply = await exchange({ ...request, maxBodyBytes: MAX_ANSWER_BYTES }, { timeoutMs: TIMEOUT_MS });
    if (reply.kind === 'ok') return reply.response.body;
    const { refusal, response, correlationId } = reply;
    if (response === null && refusal.kind === 'retryable') {
      throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason: refusal.reason, correlationId });
    }
    if (response === null) {
      const explanation = describeRefusal(refusal);
      throw new AgentError('KMS_COMMAND_REFUSED', { action, status: 400, code: null, explanation, correlationId });
    }
    const { status } = response;
    // What went there was a secret: nothing that comes back is repeated.
    const explanation = body instanceof Secret ? '' : explanationOf(response.body);
    if (isTrouble(status)) {
      const reason = `HTTP ${status} ${explanation}`.trim();
      throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason, correlationId });
    }
    const { code } = errorReasonOf(response.body);
    throw new AgentError('KMS_COMMAND_REFUSED', { action, status, code, explanation, correlationId });
  };

  return {
    call,
    resources: async <T extends object>(given: Call) => {
      const value = parseLenientJson(await call(given)) as { readonly resources?: unknown } | null | undefined;
      const resources = value?.resources;
      if (!Array.isArray(resources) || !resources.every((item) => typeof item === 'object' && item !== null)) {
        const reason = 'the answer is not understood';
        throw new AgentError('KMS_COMMAND_UNANSWERED', { action: given.action, reason, correlationId: null });
      }
      return resources as readonly T[];
    },
  };
};
