/**
 * Cloud Resource Names of root keys. Grammar: IBM Cloud documentation, "Cloud Resource Names": ten colon-separated
 * segments `crn:version:cname:ctype:service-name:location:scope:service-instance:resource-type:resource`.
 */

export type KeyService = 'kms' | 'hs-crypto';

export interface KeyCrn {
  /** `staging` is the vendor's test cloud; it has no published endpoint. */
  readonly cname: 'bluemix' | 'staging';
  /** `kms` is Key Protect, standard or dedicated; `hs-crypto` Hyper Protect Crypto Services. */
  readonly service: KeyService;
  readonly region: string;
  readonly scope: string;
  /** What the Bluemix-Instance header wants; part of host names, so a DNS label. */
  readonly instanceId: string;
  /** Key id (UUID) or alias. */
  readonly keyId: string;
}

export type ParsedCrn =
  | { readonly kind: 'crn'; readonly crn: KeyCrn }
  | { readonly kind: 'invalid'; readonly reason: string };

const MAX_LENGTH = 512;
const REGION = /^[a-z]{2,16}(-[a-z0-9]{1,16}){0,3}$/;
const SCOPE = /^[aos]\/[A-Za-z0-9-]{1,64}$/;
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** UUIDs and aliases: "2 to 90 characters, letters, digits, hyphens and underscores" (Key Protect, key aliases). */
const KEY_ID = /^[A-Za-z0-9_-]{2,90}$/;

const invalid = (reason: string): ParsedCrn => ({ kind: 'invalid', reason });

/** Reads the CRN of a root key. The reason never repeats more than one short, checked segment of the input. */
export const parseKeyCrn = (text: string): ParsedCrn => {
  if (text.length > MAX_LENGTH) return invalid(`the CRN is longer than ${MAX_LENGTH} characters`);
  const segments = text.split(':');
  if (segments.length !== 10) return invalid(`the CRN has ${segments.length} segments instead of 10`);
  const [prefix, version, cname, ctype, service, region, scope, instanceId, resourceType, keyId] = segments as [
    string,
    ...string[],
  ] & { readonly length: 10 };
  if (prefix !== 'crn') return invalid('the CRN does not begin with crn');
  if (version !== 'v1') return invalid('the CRN version is not v1');
  if (cname !== 'bluemix' && cname !== 'staging') return invalid('the third CRN segment is not bluemix');
  if (ctype !== 'public' && ctype !== 'dedicated' && ctype !== 'local') {
    return invalid('the fourth CRN segment is none of public, dedicated, local');
  }
  if (service !== 'kms' && service !== 'hs-crypto') {
    return invalid(
      'the CRN names a service other than kms (Key Protect) and hs-crypto (Hyper Protect Crypto Services)',
    );
  }
  if (region === undefined || !REGION.test(region)) return invalid('the region of the CRN is malformed');
  if (scope === undefined || !SCOPE.test(scope)) return invalid('the account scope of the CRN is malformed');
  if (instanceId === undefined || !DNS_LABEL.test(instanceId)) {
    return invalid('the service instance of the CRN is malformed');
  }
  if (resourceType !== 'key') return invalid('the CRN does not name a key');
  if (keyId === undefined || !KEY_ID.test(keyId)) return invalid('the key id of the CRN is malformed');
  return { kind: 'crn', crn: { cname, service, region, scope, instanceId, keyId } };
};
