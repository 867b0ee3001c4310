import type { AgentConfiguration } from '../configuration.ts';
import type { KmsEntry } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { KeyBackend } from './backend.ts';
import { parseKeyCrn } from './crn.ts';
import { iamEndpoint, kmsEndpoint } from './endpoint.ts';
import type { KmsPorts } from './iam.ts';
import { keyProtect } from './key-protect.ts';

/**
 * The backend for one `kms` entry of the contract. Contacts nothing.
 * @throws KMS_REFERENCE_INVALID for a malformed CRN or an address that may not be used
 */
export const backendFor = (host: KmsPorts, entry: KmsEntry, settings: AgentConfiguration['kms']): KeyBackend => {
  const parsed = parseKeyCrn(entry.crn);
  if (parsed.kind === 'invalid') throw new AgentError('KMS_REFERENCE_INVALID', { reason: parsed.reason });
  const keys = kmsEndpoint(parsed.crn, entry.type, settings.endpoints);
  if (keys.kind === 'invalid') throw new AgentError('KMS_REFERENCE_INVALID', { reason: keys.reason });
  const iam = iamEndpoint(settings.iam, entry.type);
  if (iam.kind === 'invalid') throw new AgentError('KMS_REFERENCE_INVALID', { reason: iam.reason });
  return keyProtect(host, {
    crn: parsed.crn,
    baseUrls: keys.baseUrls,
    broker: keys.broker,
    whenUnknown: keys.whenUnknown,
    iamUrl: iam.baseUrls[0],
    apiKey: entry.apiKey,
  });
};
