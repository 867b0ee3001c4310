/** Policies of a key: rotation and dual authorization. Key Protect API documentation, "Set key policies". */
import {
  crnOf,
  type DualAuthPolicy,
  dateOf,
  type KeyRecord,
  type RotationPolicy,
  type Stamp,
  stateAt,
} from './key-record.ts';
import { badBody, badField, badQuery, type Refusal, refuse } from './refusals.ts';
import { checkMembers, type Members, readCollection } from './request-body.ts';
import { type Context, collectionOf, type KeyHandler, result } from './result.ts';

export const POLICY_COLLECTION = 'application/vnd.ibm.kms.policy+json';
const NOT_SET = 'Key policy could not be created';
const NOT_READ = 'Key policy could not be retrieved';
const NAMES = ['rotation', 'dualAuthDelete'] as const;
type PolicyName = (typeof NAMES)[number];

const stamped = (context: Context, before: Stamp | null): Stamp => ({
  id: before?.id ?? context.entropy.uuid(),
  createdMs: before?.createdMs ?? context.nowMs,
  createdBy: before?.createdBy ?? context.caller,
  updatedMs: context.nowMs,
  updatedBy: context.caller,
});

/** Reads `{enabled, interval_month}`; without `interval_month` the one before stays, as long as there is one. */
export const readRotation = (
  context: Context,
  failed: string,
  given: unknown,
  before: RotationPolicy | null,
): RotationPolicy | Refusal => {
  const read = checkMembers(failed, given, { enabled: 'boolean', interval_month: 'whole' });
  if (read.kind === 'refusal') return read;
  const enabled = read.members.enabled !== false;
  const months = (read.members.interval_month as number | undefined) ?? before?.months ?? (enabled ? 0 : 12);
  if (months < 1 || months > 12) return badField(failed, 'interval_month', '1 to 12');
  return { ...stamped(context, before), enabled, months };
};

/** Reads `{enabled}`. "Once the dual authorization policy is set on the key, it cannot be reverted." */
export const readDualAuth = (
  context: Context,
  failed: string,
  given: unknown,
  before: DualAuthPolicy | null,
): DualAuthPolicy | Refusal => {
  const read = checkMembers(failed, given, { enabled: 'boolean' });
  if (read.kind === 'refusal') return read;
  if (typeof read.members.enabled !== 'boolean') return badField(failed, 'enabled', 'it is required');
  if (before?.enabled === true && !read.members.enabled) return badField(failed, 'enabled', 'it cannot be reverted');
  return { ...stamped(context, before), enabled: read.members.enabled };
};

/** Rotation is for generated root keys: the service cannot make new material for an imported one. */
const applyRotation = (context: Context, key: KeyRecord, given: unknown): KeyRecord | Refusal => {
  if (key.extractable) return refuse('KEY_ROOT_REQ_ERR', NOT_SET);
  if (key.imported) return badField(NOT_SET, 'rotation', 'an imported key cannot be rotated by a policy');
  const rotation = readRotation(context, NOT_SET, given, key.rotation);
  return 'kind' in rotation ? rotation : { ...key, rotation, updatedMs: context.nowMs };
};

const applyDualAuth = (context: Context, key: KeyRecord, given: unknown): KeyRecord | Refusal => {
  const dualAuth = readDualAuth(context, NOT_SET, given, key.dualAuth);
  return 'kind' in dualAuth ? dualAuth : { ...key, dualAuth, updatedMs: context.nowMs };
};

const apply = (context: Context, key: KeyRecord, resource: Members): KeyRecord | Refusal => {
  let changed: KeyRecord | Refusal = key;
  if (resource.rotation !== undefined) changed = applyRotation(context, changed, resource.rotation);
  if (resource.dualAuthDelete === undefined || 'kind' in changed) return changed;
  return applyDualAuth(context, changed, resource.dualAuthDelete);
};

const shownStamp = (context: Context, key: KeyRecord, stamp: Stamp): object => ({
  id: stamp.id,
  crn: crnOf(context.naming, key.instance, stamp.id, 'policy'),
  type: POLICY_COLLECTION,
  createdBy: stamp.createdBy,
  creationDate: dateOf(stamp.createdMs),
  updatedBy: stamp.updatedBy,
  lastUpdateDate: dateOf(stamp.updatedMs),
});

const shownPolicies = (context: Context, key: KeyRecord, only: PolicyName | null): readonly object[] => {
  const { rotation, dualAuth } = key;
  const all: readonly [PolicyName, object | null][] = [
    [
      'rotation',
      rotation === null
        ? null
        : {
            ...shownStamp(context, key, rotation),
            rotation: { enabled: rotation.enabled, interval_month: rotation.months },
          },
    ],
    [
      'dualAuthDelete',
      dualAuth === null
        ? null
        : { ...shownStamp(context, key, dualAuth), dualAuthDelete: { enabled: dualAuth.enabled } },
    ],
  ];
  return all.flatMap(([name, shown]) => (shown !== null && (only === null || only === name) ? [shown] : []));
};

const policyInQuery = (failed: string, context: Context): PolicyName | null | Refusal => {
  const text = context.query.get('policy');
  if (text === null) return null;
  return NAMES.find((name) => name === text) ?? badQuery(failed, 'policy', NAMES.join(' or '));
};

export const getPolicies: KeyHandler = (context, key) => {
  const only = policyInQuery(NOT_READ, context);
  if (typeof only === 'object' && only !== null) return only;
  return result(200, collectionOf(POLICY_COLLECTION, shownPolicies(context, key, only)));
};

export const putPolicies: KeyHandler = (context, key) => {
  const only = policyInQuery(NOT_SET, context);
  if (typeof only === 'object' && only !== null) return only;
  const given = readCollection(NOT_SET, context.body);
  if (given.kind === 'refusal') return given;
  if (given.total !== given.resources.length) return refuse('COLLECTION_TOTAL_MISMATCH_ERR', NOT_SET);
  if (given.resources.length === 0) return badBody(NOT_SET, 'Resources is empty');
  if (only !== null && given.resources.length > 1) return refuse('NUM_COLLECTION_RESOURCE_ERR', NOT_SET);
  if (stateAt(key, context.nowMs) === 5) return refuse('KEY_DELETED_ERR', NOT_SET);
  let changed: KeyRecord = key;
  const seen = new Set<PolicyName>();
  for (const resource of given.resources) {
    const checked = checkMembers(NOT_SET, resource, { type: 'text', rotation: 'object', dualAuthDelete: 'object' });
    if (checked.kind === 'refusal') return checked;
    const named = NAMES.filter((name) => resource[name] !== undefined);
    if (only !== null && (named.length !== 1 || named[0] !== only)) {
      return refuse('BODY_QUERY_PARAM_MISMATCH_ERR', NOT_SET);
    }
    if (named.length === 0 || named.some((name) => seen.has(name))) {
      return badBody(NOT_SET, 'each policy must be given once');
    }
    for (const name of named) seen.add(name);
    const applied = apply(context, changed, resource);
    if ('kind' in applied) return applied;
    changed = applied;
  }
  context.store.save(changed);
  return result(200, collectionOf(POLICY_COLLECTION, shownPolicies(context, changed, only)));
};
