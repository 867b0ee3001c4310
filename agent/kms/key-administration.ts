/**
 * The key owner's side of the Key Protect API, for the `kms key` commands: one request each, no retries, and errors
 * that say what the service answered. Source: Key Protect API documentation, "Keys" and "Key actions".
 */
import { AgentError } from '../errors.ts';
import type { HttpRequest } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { describeRefusal, errorReasonOf, parseLenientJson } from './classify.ts';
import { type KmsPorts, tokenSourceFor } from './iam.ts';

export interface OwnerAccess {
  readonly instanceId: string;
  readonly baseUrl: string;
  readonly iamUrl: string;
  readonly apiKey: Secret;
}

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
  resources(call: Call): Promise<readonly ShownKey[]>;
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const PRINTABLE = /[^\x20-\x7e]/g;

/** `message` of the first reason, made fit for a terminal. */
const explanationOf = (body: Buffer): string => {
  const value = parseLenientJson(body) as {
    resources?: { reasons?: { message?: unknown }[]; errorMsg?: unknown }[];
  } | null;
  const first = Array.isArray(value?.resources) ? value.resources[0] : undefined;
  const text = Array.isArray(first?.reasons) ? first.reasons[0]?.message : first?.errorMsg;
  return typeof text === 'string' ? text.replace(PRINTABLE, ' ').slice(0, 200) : '';
};

/** Methods throw KMS_COMMAND_REFUSED and KMS_COMMAND_UNANSWERED. */
export const keyAdministration = (host: KmsPorts, access: OwnerAccess): KeyAdministration => {
  const tokens = tokenSourceFor(host, access.iamUrl, access.apiKey);

  const call = async ({ action, method, path, body, headers }: Call): Promise<Buffer> => {
    const token = await tokens.token(access.apiKey, { timeoutMs: TIMEOUT_MS }, null);
    if (token.kind === 'retryable') {
      throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason: token.reason });
    }
    if (token.kind !== 'token') {
      throw new AgentError('KMS_COMMAND_REFUSED', {
        action,
        status: 400,
        code: null,
        explanation: describeRefusal(token),
      });
    }
    const outcome = await host.http({
      method,
      url: `${access.baseUrl}/api/v2/${path}`,
      headers: {
        authorization: token.authorization,
        'bluemix-instance': access.instanceId,
        'correlation-id': host.entropy.uuid(),
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
      timeoutMs: TIMEOUT_MS,
      maxBodyBytes: MAX_ANSWER_BYTES,
    });
    if (outcome.kind === 'failure') {
      throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason: `${outcome.failure}: ${outcome.detail}` });
    }
    const { status, body: answer } = outcome.response;
    if (status >= 200 && status < 300) return answer;
    if (status === 408 || status === 429 || status >= 500) {
      throw new AgentError('KMS_COMMAND_UNANSWERED', {
        action,
        reason: `HTTP ${status} ${explanationOf(answer)}`.trim(),
      });
    }
    const { code } = errorReasonOf(answer);
    throw new AgentError('KMS_COMMAND_REFUSED', { action, status, code, explanation: explanationOf(answer) });
  };

  return {
    call,
    resources: async (given) => {
      const value = parseLenientJson(await call(given)) as { readonly resources?: unknown } | null | undefined;
      const resources = value?.resources;
      if (!Array.isArray(resources) || !resources.every((item) => typeof item === 'object' && item !== null)) {
        throw new AgentError('KMS_COMMAND_UNANSWERED', {
          action: given.action,
          reason: 'the answer is not understood',
        });
      }
      return resources as readonly ShownKey[];
    },
  };
};
