/**
 * What stands before every operation: token, instance, network policies, role. Sources: IBM Cloud documentation, Key
 * Protect "Why can't I authenticate", "Managing allowed IP", "Managing network access policies", "Managing user access".
 */
import { callerOf, mayPerform, type Role } from './access.ts';
import { enabledPolicy } from './instance-policies.ts';
import { admission } from './network.ts';
import { type Refusal, refuse, unauthorized } from './refusals.ts';
import type { Store } from './store.ts';

export interface Arrival {
  readonly headers: Readonly<Record<string, string>>;
  /** Address of the other side. */
  readonly remote: string;
}

export interface Caller {
  readonly kind: 'caller';
  readonly iamId: string;
  readonly instance: string;
  readonly roles: readonly Role[];
}

const FAILED = 'The request could not be served';

/** A private endpoint of the service: private.REGION.kms.cloud.ibm.com, INSTANCE.api.private.REGION.…. */
const isPrivate = (host: string | undefined): boolean => /(^|\.)private\./.test(host ?? '');

const networkProblem = (store: Store, instance: string, { headers, remote }: Arrival): Refusal | null => {
  const network = enabledPolicy(store, instance, 'allowedNetwork');
  if (network?.attributes.allowed_network === 'private-only' && !isPrivate(headers.host)) return unauthorized();
  const allowed = enabledPolicy(store, instance, 'allowedIP')?.attributes.allowed_ip as readonly string[] | undefined;
  if (allowed === undefined) return null;
  const admitted = admission(remote, allowed);
  if (admitted === 'otherFamily') return refuse('FEATURE_RESTRICTED_ERR', FAILED);
  return admitted === 'inside' ? null : unauthorized();
};

/** Who is there, and for which instance. Wrong tokens, instances and networks are answered alike. */
export const identify = (
  store: Store,
  arrival: Arrival,
  nowMs: number,
  instance: string | undefined,
): Caller | Refusal => {
  const iamId = callerOf(store, arrival.headers.authorization, nowMs);
  if (typeof iamId !== 'string') return iamId;
  if (instance === undefined) {
    const target = { type: 'header', name: 'Bluemix-Instance' } as const;
    return refuse('INVALID_FIELD_ERR', FAILED, { detail: 'Bluemix-Instance is required', target });
  }
  const roles = store.rolesOf(iamId, instance);
  if (roles.length === 0) return unauthorized();
  return networkProblem(store, instance, arrival) ?? { kind: 'caller', iamId, instance, roles };
};

/** Null when the caller may do it. */
export const roleProblem = (
  caller: Caller,
  { role, serviceOnly, operation }: { readonly role: Role; readonly serviceOnly: boolean; readonly operation: string },
): Refusal | null => {
  const isService = caller.roles.includes('Service');
  // "Another service cannot delete a key": it is not theirs, whatever role they have.
  if (isService && operation === 'delete') return refuse('RESOURCE_OWNER_ERR', 'Key could not be deleted');
  if (!mayPerform(caller.roles, role)) return unauthorized();
  return serviceOnly && !isService ? refuse('SERVICE_ONLY_ERR', 'Action could not be performed') : null;
};
