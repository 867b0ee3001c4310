/**
 * Where to send requests for a root key. Sources: IBM Cloud documentation, Key Protect "Regions and endpoints" and
 * "Provisioning a dedicated instance"; Hyper Protect Crypto Services "Regions and locations" (instance-style hosts).
 *
 * Order: an override from the agent configuration, else the published host for service, region and type. A `kms` CRN
 * does not tell Key Protect Standard from Dedicated, so both hosts are candidates where Dedicated exists. An instance of
 * Hyper Protect Crypto Services has a host of its own; when that does not exist it is an older one (broker.ts).
 */
import type { BrokerQuestion } from './broker.ts';
import type { KeyCrn } from './crn.ts';

export type EndpointType = 'public' | 'private';

export type Endpoint =
  /** Base URLs without a trailing slash; later ones are asked when an earlier one does not know the instance. */
  | {
      readonly kind: 'endpoint';
      readonly baseUrls: readonly [string, ...string[]];
      /** Whom to ask when none of them exists. */
      readonly broker: BrokerQuestion | null;
      /** What to do when the host has no address; null when there is no advice. */
      readonly whenUnknown: string | null;
    }
  | { readonly kind: 'invalid'; readonly reason: string };

const DEDICATED_REGIONS: ReadonlySet<string> = new Set(['us-south', 'us-east', 'eu-de', 'eu-es']);
const PUBLIC_IAM = 'https://iam.cloud.ibm.com';
const PRIVATE_IAM = 'https://private.iam.cloud.ibm.com';

/** Instances made before 2024 may have an address with a port of their own, and no broker may be in reach. */
const OLDER_INSTANCE = 'an older instance has a host with a port: give it in kms.endpoints';

const isLoopbackHost = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);

/**
 * A base URL given by hand: https, or plain http to a loopback address; no credentials, query or fragment.
 * Returns it without trailing slashes and without /api/v2, or the reason for refusing it.
 */
export const parseBaseUrl = (
  text: string,
): { readonly kind: 'url'; readonly url: string } | { readonly kind: 'invalid'; readonly reason: string } => {
  // As dashboards show it: "host:port" would be read as a scheme.
  if (!text.includes('://')) return { kind: 'invalid', reason: 'it does not begin with https://' };
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) return { kind: 'invalid', reason: 'it is not a URL' };
  if (url.username !== '' || url.password !== '') return { kind: 'invalid', reason: 'it holds credentials' };
  if (url.search !== '' || url.hash !== '') return { kind: 'invalid', reason: 'it holds a query or a fragment' };
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    return { kind: 'invalid', reason: 'plain http is allowed to loopback addresses only' };
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { kind: 'invalid', reason: 'it is not https' };
  return { kind: 'url', url: `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/api\/v2$/, '') };
};

const hostsFor = (crn: KeyCrn, type: EndpointType): readonly [string, ...string[]] => {
  const prefix = type === 'private' ? 'private.' : '';
  if (crn.service === 'hs-crypto') {
    return [`https://${crn.instanceId}.api.${prefix}${crn.region}.hs-crypto.appdomain.cloud`];
  }
  const standard = `https://${prefix}${crn.region}.kms.cloud.ibm.com`;
  if (!DEDICATED_REGIONS.has(crn.region)) return [standard];
  return [standard, `https://${crn.instanceId}.api.${prefix}${crn.region}.kms.appdomain.cloud`];
};

/** Base URLs for the key of `crn`. `overrides`: service instance id → base URL (kms.endpoints). */
export const kmsEndpoint = (crn: KeyCrn, type: EndpointType, overrides: Readonly<Record<string, string>>): Endpoint => {
  const override = Object.hasOwn(overrides, crn.instanceId) ? overrides[crn.instanceId] : undefined;
  if (override !== undefined) {
    const parsed = parseBaseUrl(override);
    return parsed.kind === 'url'
      ? { kind: 'endpoint', baseUrls: [parsed.url], broker: null, whenUnknown: null }
      : { kind: 'invalid', reason: `kms.endpoints for ${crn.instanceId}: ${parsed.reason}` };
  }
  if (crn.cname === 'staging') {
    return { kind: 'invalid', reason: 'staging has no published endpoint; give one in kms.endpoints' };
  }
  const isHpcs = crn.service === 'hs-crypto';
  return {
    kind: 'endpoint',
    baseUrls: hostsFor(crn, type),
    broker: isHpcs ? { region: crn.region, instanceId: crn.instanceId, type } : null,
    whenUnknown: isHpcs ? OLDER_INSTANCE : null,
  };
};

/**
 * Base URL of the token service. The public default follows `type: private` to the private host; any other setting
 * is taken as it is.
 */
export const iamEndpoint = (setting: string, type: EndpointType): Endpoint => {
  const parsed = parseBaseUrl(setting);
  if (parsed.kind === 'invalid') return { kind: 'invalid', reason: `kms.iam: ${parsed.reason}` };
  const url = parsed.url === PUBLIC_IAM && type === 'private' ? PRIVATE_IAM : parsed.url;
  return { kind: 'endpoint', baseUrls: [url], broker: null, whenUnknown: null };
};
