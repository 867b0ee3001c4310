/**
 * Policies of a service instance. Sources: Key Protect API documentation, "Set instance policies"; IBM Cloud
 * documentation, Key Protect "Error messages" (which fault has which code).
 */
import { POLICY_COLLECTION } from './key-policies.ts';
import { dateOf } from './key-record.ts';
import { isNetwork } from './network.ts';
import { badBody, badField, badQuery, type Refusal, refuse } from './refusals.ts';
import { checkMembers, type Members, readCollection, type Shape } from './request-body.ts';
import { type Context, collectionOf, type Handler, result } from './result.ts';
import type { Store } from './store.ts';

const ATTRIBUTES = {
  allowedNetwork: { allowed_network: 'text' },
  allowedIP: { allowed_ip: 'texts' },
  dualAuthDelete: {},
  keyCreateImportAccess: {
    create_root_key: 'boolean',
    create_standard_key: 'boolean',
    import_root_key: 'boolean',
    import_standard_key: 'boolean',
    enforce_token: 'boolean',
  },
  metrics: {},
  rotation: { interval_month: 'whole' },
} as const satisfies Readonly<Record<string, Shape>>;

export type InstancePolicyName = keyof typeof ATTRIBUTES;

export const INSTANCE_POLICIES = Object.keys(ATTRIBUTES) as readonly InstancePolicyName[];

export interface InstancePolicy {
  readonly enabled: boolean;
  readonly attributes: Members;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly updatedMs: number;
  readonly updatedBy: string;
}

const NOT_SET = 'Instance policy could not be created';
const NOT_READ = 'Instance policy could not be retrieved';
/** What the real service sends for its private endpoint; the local one has no other port. */
const PRIVATE_PORT = 443;

const IMPORT_ACCESS_DEFAULTS = {
  create_root_key: true,
  create_standard_key: true,
  import_root_key: true,
  import_standard_key: true,
  enforce_token: false,
} as const;

export const policiesOf = (store: Store, instance: string): ReadonlyMap<InstancePolicyName, InstancePolicy> =>
  store.documents(instance, 'policy') as ReadonlyMap<InstancePolicyName, InstancePolicy>;

/** The policy when it is there and enabled. */
export const enabledPolicy = (store: Store, instance: string, name: InstancePolicyName): InstancePolicy | null => {
  const policy = policiesOf(store, instance).get(name);
  return policy?.enabled === true ? policy : null;
};

/** Null when the instance lets a key of this kind in. */
export const importAccessProblem = (
  context: Context,
  failed: string,
  wanted: { readonly isStandard: boolean; readonly isImport: boolean; readonly withToken: boolean },
): Refusal | null => {
  const policy = enabledPolicy(context.store, context.instance, 'keyCreateImportAccess');
  if (policy === null) return null;
  const verb = wanted.isImport ? 'import' : 'create';
  const kind = wanted.isStandard ? 'standard' : 'root';
  const isForbidden =
    policy.attributes[`${verb}_${kind}_key`] === false ||
    (wanted.isImport && policy.attributes.enforce_token === true && !wanted.withToken);
  return isForbidden ? refuse('KEY_CREATE_IMPORT_ACCESS_ERR', failed) : null;
};

const attributeProblem = (name: InstancePolicyName, attributes: Members): Refusal | null => {
  if (name === 'allowedNetwork') {
    const { allowed_network: network } = attributes;
    if (network === 'public-and-private' || network === 'private-only') return null;
    return badField(NOT_SET, 'allowed_network', 'public-and-private or private-only');
  }
  if (name === 'allowedIP') {
    const networks = (attributes.allowed_ip ?? []) as readonly string[];
    if (networks.length > 0 && networks.length <= 1000 && networks.every(isNetwork)) return null;
    return badField(NOT_SET, 'allowed_ip', 'IPv4 or IPv6 networks such as 192.0.2.0/24');
  }
  if (name === 'rotation') {
    const months = attributes.interval_month;
    return typeof months === 'number' && months >= 1 && months <= 12
      ? null
      : badField(NOT_SET, 'interval_month', '1 to 12');
  }
  return null;
};

const readPolicy = (
  name: InstancePolicyName,
  resource: Members,
): { readonly kind: 'policy'; readonly enabled: boolean; readonly attributes: Members } | Refusal => {
  const data = checkMembers(NOT_SET, resource.policy_data ?? {}, { enabled: 'boolean', attributes: 'object' });
  if (data.kind === 'refusal') return data;
  const { enabled, attributes = {} } = data.members;
  if (typeof enabled !== 'boolean') return badField(NOT_SET, 'enabled', 'it is required');
  const checked = checkMembers(NOT_SET, attributes, ATTRIBUTES[name]);
  if (checked.kind === 'refusal') return checked;
  if (!enabled) {
    // "Cannot be provided if the `enabled` field is `false`."
    if (Object.keys(checked.members).length > 0) return badBody(NOT_SET, 'attributes of a policy that is disabled');
    return { kind: 'policy', enabled, attributes: {} };
  }
  const problem = attributeProblem(name, checked.members);
  if (problem !== null) return problem;
  const defaults = name === 'keyCreateImportAccess' ? IMPORT_ACCESS_DEFAULTS : {};
  return { kind: 'policy', enabled, attributes: { ...defaults, ...checked.members } };
};

const policyInQuery = (failed: string, context: Context): string | null | Refusal => {
  const text = context.query.get('policy');
  if (text === null || (INSTANCE_POLICIES as readonly string[]).includes(text)) return text;
  return badQuery(failed, 'policy', INSTANCE_POLICIES.join(', '));
};

export const putInstancePolicies: Handler = (context) => {
  const only = policyInQuery(NOT_SET, context);
  if (typeof only === 'object' && only !== null) return only;
  const given = readCollection(NOT_SET, context.body);
  if (given.kind === 'refusal') return given;
  if (given.total !== given.resources.length) return refuse('COLLECTION_TOTAL_MISMATCH_ERR', NOT_SET);
  if (given.resources.length === 0) return badBody(NOT_SET, 'Resources is empty');
  if (only !== null && given.resources.length > 1) return refuse('NUM_COLLECTION_RESOURCE_ERR', NOT_SET);
  const before = policiesOf(context.store, context.instance);
  const changed = new Map<string, InstancePolicy>();
  for (const resource of given.resources) {
    const checked = checkMembers(NOT_SET, resource, { policy_type: 'text', policy_data: 'object' });
    if (checked.kind === 'refusal') return checked;
    const { policy_type: type } = resource;
    if (only !== null && type !== only) return refuse('BODY_QUERY_PARAM_MISMATCH_ERR', NOT_SET);
    const name = INSTANCE_POLICIES.find((known) => known === type);
    if (name === undefined) return badField(NOT_SET, 'policy_type', INSTANCE_POLICIES.join(', '));
    if (changed.has(name)) return badBody(NOT_SET, 'Only one of each policy can be created');
    const read = readPolicy(name, resource);
    if (read.kind === 'refusal') return read;
    const rule = context.rules.get(name);
    if (rule !== undefined && rule !== read.enabled) return refuse('CONFIG_RULE_CONFLICT_ERR', NOT_SET);
    const old = before.get(name);
    changed.set(name, {
      enabled: read.enabled,
      attributes: read.attributes,
      createdMs: old?.createdMs ?? context.nowMs,
      createdBy: old?.createdBy ?? context.caller,
      updatedMs: context.nowMs,
      updatedBy: context.caller,
    });
  }
  context.store.putDocuments(context.instance, 'policy', changed);
  return result(204, '');
};

export const getInstancePolicies: Handler = (context) => {
  const only = policyInQuery(NOT_READ, context);
  if (typeof only === 'object' && only !== null) return only;
  const shown = [...policiesOf(context.store, context.instance)]
    .filter(([name]) => only === null || name === only)
    .map(([name, policy]) => ({
      creationDate: dateOf(policy.createdMs),
      createdBy: policy.createdBy,
      updatedBy: policy.updatedBy,
      lastUpdated: dateOf(policy.updatedMs),
      policy_type: name,
      policy_data: {
        enabled: policy.enabled,
        ...(Object.keys(policy.attributes).length === 0 ? {} : { attributes: policy.attributes }),
      },
    }));
  return result(200, collectionOf(POLICY_COLLECTION, shown));
};

/** "If the instance does not contain an active allowed IP policy, no information will be returned." */
export const allowedIpPort: Handler = (context) => {
  const isActive = enabledPolicy(context.store, context.instance, 'allowedIP') !== null;
  const resources = isActive ? [{ private_endpoint_port: PRIVATE_PORT }] : [];
  return result(200, collectionOf('application/vnd.ibm.kms.allowed_ip_metadata+json', resources));
};
