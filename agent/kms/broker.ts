/**
 * Where an older instance of Hyper Protect Crypto Services lives: its host has a port of its own, which does not follow
 * from the CRN. Source: IBM Cloud documentation, Hyper Protect Crypto Services, "Setting up the key management service
 * API" (GET /crypto_v2/instances/{id}). The published material names the broker in two ways; both are asked.
 *
 * The broker lies in the vendor's domain and is sent the access token, so it is asked only when the host that every newer
 * instance has does not exist. What it answers must be a host of the vendor for that region: no answer leads elsewhere.
 */
import type { HttpOutcome } from '../ports.ts';
import { parseLenientJson } from './classify.ts';
import type { EndpointType } from './endpoint.ts';
import type { KmsPorts } from './iam.ts';

export interface BrokerQuestion {
  readonly region: string;
  readonly instanceId: string;
  readonly type: EndpointType;
}

const MAX_ANSWER_BYTES = 16_384;
/** The first host has cost its time already. */
const CONNECT_TIMEOUT_MS = 2000;
const TIMEOUT_MS = 4000;

/** A public address only; a guest without one gets no answer, and its operator names the host in kms.endpoints. */
export const brokerUrls = ({ region, instanceId }: BrokerQuestion): readonly [string, string] => [
  `https://broker.${region}.hs-crypto.cloud.ibm.com/crypto_v2/instances/${instanceId}`,
  `https://${region}.broker.hs-crypto.cloud.ibm.com/crypto_v2/instances/${instanceId}`,
];

/** Base URL of the key API in the broker's answer, or null when there is none that may be used. */
export const parseBrokerAnswer = (body: Uint8Array, question: BrokerQuestion): string | null => {
  const value = parseLenientJson(body) as {
    readonly instance_id?: unknown;
    readonly kms?: { readonly [type: string]: unknown } | null;
  } | null;
  const address = value?.kms?.[question.type];
  if (typeof address !== 'string' || value?.instance_id !== question.instanceId) return null;
  const [, host, port] = /^([a-z0-9.-]{1,200})(?::([1-9]\d{1,4}))?$/.exec(address) ?? [];
  if (host === undefined || Number(port ?? 443) > 65_535) return null;
  const prefix = question.type === 'private' ? 'private.' : '';
  const known = [
    `api.${prefix}${question.region}.hs-crypto.cloud.ibm.com`,
    `${question.instanceId}.api.${prefix}${question.region}.hs-crypto.appdomain.cloud`,
  ];
  return known.includes(host) ? `https://${address}` : null;
};

/** Base URL of the key API of an older instance; null when no broker tells. */
export const askBroker = async (
  host: Pick<KmsPorts, 'http'>,
  question: BrokerQuestion,
  authorization: string,
  timeoutMs: number,
): Promise<string | null> => {
  const answers = await Promise.all(
    brokerUrls(question).map(
      (url): Promise<HttpOutcome> =>
        host.http({
          method: 'GET',
          url,
          headers: { authorization, accept: 'application/json' },
          timeoutMs: Math.min(timeoutMs, TIMEOUT_MS),
          connectTimeoutMs: CONNECT_TIMEOUT_MS,
          maxBodyBytes: MAX_ANSWER_BYTES,
        }),
    ),
  );
  for (const answer of answers) {
    if (answer.kind === 'failure' || answer.response.status !== 200) continue;
    const url = parseBrokerAnswer(answer.response.body, question);
    if (url !== null) return url;
  }
  return null;
};
