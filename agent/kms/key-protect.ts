/**
 * IBM Key Protect (standard and dedicated) and Hyper Protect Crypto Services: the same key API v2. Source: IBM Cloud
 * API documentation "Key Protect API", wrap, unwrap, rewrap and "Retrieve key metadata". Each method is one attempt
 * (exchange.ts); repeating is the caller's business.
 */
import { Secret } from '../secret.ts';
import type { CallLimits, KeyBackend, KmsAnswer } from './backend.ts';
import { classifyKms } from './classify.ts';
import type { KeyCrn } from './crn.ts';
import { type ApiRequest, exchangeWith, type InstanceAccess } from './exchange.ts';
import { type KmsPorts, tokenSourceFor } from './iam.ts';
import {
  type Parsed,
  parseGenerated,
  parseKeyState,
  parseRewrapped,
  parseUnwrapped,
  parseWrapped,
} from './key-protect-answers.ts';
import { isWrappedText } from './wrapped-text.ts';

export interface KeyAccess extends Omit<InstanceAccess, 'instanceId'> {
  readonly crn: KeyCrn;
}

type Operation = Pick<ApiRequest, 'method' | 'path' | 'body'>;

const DEFAULT_LIMITS: CallLimits = { timeoutMs: 30_000 };
const MAX_ANSWER_BYTES = 65_536;
const MEDIA_TYPE = 'application/vnd.ibm.kms.key_action+json';

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
  const exchange = exchangeWith(host, { ...access, instanceId: access.crn.instanceId });

  const ask = async <T>(
    { method, path, body }: Operation,
    limits: CallLimits,
    parse: (body: Buffer) => Parsed<T>,
  ): Promise<KmsAnswer<T>> => {
    const request = { path: `keys/${encodeURIComponent(access.crn.keyId)}${path}`, method, body };
    const reply = await exchange({ ...request, contentType: MEDIA_TYPE, maxBodyBytes: MAX_ANSWER_BYTES }, limits);
    const { correlationId } = reply;
    if (reply.kind === 'refused') return { ...reply.refusal, correlationId };
    const { response } = reply;
    try {
      return { ...(response.status === 200 ? parse(response.body) : classifyKms(response)), correlationId };
    } finally {
      response.body.fill(0);
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
    prepare: () => {
      const { iamUrl, apiKey } = access;
      return tokenSourceFor(host, iamUrl, apiKey).prepare(apiKey);
    },
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
