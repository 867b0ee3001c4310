/**
 * The end of a key, and back: delete, restore, purge, and the first of two authorizations. IBM Cloud documentation, Key
 * Protect "Deleting and purging keys", "Deleting keys using dual authorization", "Restoring keys".
 */
import { shownKey } from './key-handlers.ts';
import { MATERIAL, readMaterial } from './key-material.ts';
import { deletionSetAt, type KeyRecord, restorableUntilMs, stateAt, WAITS } from './key-record.ts';
import { badBody, badField, type Refusal, refuse } from './refusals.ts';
import { checkMembers, type Members, readBody, readCollection } from './request-body.ts';
import { type Context, type KeyHandler, preferenceOf, result } from './result.ts';

const NOT_DELETED = 'Key could not be deleted';
const NOT_RESTORED = 'Key could not be restored';
const NOT_PURGED = 'Key could not be purged';
const NOT_ACTED = 'Action could not be performed on key';

/** `2026-11-21 12:00:00 +0000 UTC`, as the original prints times. */
const goTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;

/** Who authorized the deletion first must be somebody else. */
const authorizationProblem = (context: Context, key: KeyRecord): Refusal | null => {
  if (key.dualAuth?.enabled !== true) return null;
  const first = deletionSetAt(key, context.nowMs);
  if (first !== null && first.by !== context.caller) return null;
  return refuse('AUTHORIZATIONS_NOT_MET', NOT_DELETED, {
    because: '1 prior authorization(s) are required for deletion',
  });
};

export const deleteKey: KeyHandler = (context, key) => {
  if (key.deletedMs !== null) return refuse('KEY_DELETED_ERR', NOT_DELETED);
  const problem = authorizationProblem(context, key);
  if (problem !== null) return problem;
  if (key.registrations.some((one) => one.preventKeyDeletion)) return refuse('PREV_KEY_DEL_ERR', NOT_DELETED);
  if (key.registrations.length > 0 && context.query.get('force') !== 'true') {
    return refuse('PROTECTED_RESOURCE_ERR', NOT_DELETED);
  }
  const { nowMs, caller } = context;
  const deleted: KeyRecord = {
    ...key,
    deletedMs: nowMs,
    deletedBy: caller,
    updatedMs: nowMs,
    notifiedMs: nowMs,
    deletionSet: null,
    // "The action removes any registrations that are associated with the key."
    registrations: [],
  };
  context.store.save(deleted);
  return preferenceOf(context) === 'representation' ? shownKey(context, 200, deleted) : result(204, '');
};

/** The body may carry the material of an imported key, in the form of create or alone. */
const restoreMembers = (context: Context): { readonly kind: 'body'; readonly members: Members } | Refusal => {
  if (context.body.length === 0) return { kind: 'body', members: {} };
  const flat = readBody(NOT_RESTORED, context.body, MATERIAL, false);
  if (flat.kind === 'body') return flat;
  const given = readCollection(NOT_RESTORED, context.body);
  if (given.kind === 'refusal') return given;
  if (given.resources.length !== 1) return badBody(NOT_RESTORED, 'Only one key per request is supported');
  return checkMembers(NOT_RESTORED, given.resources[0], MATERIAL);
};

/** Whoever brings material along must bring the material the key has. */
const materialProblem = (context: Context, key: KeyRecord): Refusal | null => {
  const request = restoreMembers(context);
  if (request.kind === 'refusal') return request;
  const given = readMaterial(context, NOT_RESTORED, request.members, key.extractable);
  if (given === null || given.kind === 'refusal') return given;
  try {
    if (!key.imported) return refuse('KEY_IMPT_REQ_ERR', NOT_RESTORED);
    const current = context.store.material(key.instance, key.id, key.versions.at(-1)?.id ?? '');
    const isSame = current.equals(given.bytes);
    current.fill(0);
    return isSame ? null : badField(NOT_RESTORED, 'payload', 'it is not the material of the key');
  } finally {
    given.bytes.fill(0);
  }
};

export const restoreKey: KeyHandler = (context, key) => {
  const { nowMs } = context;
  if (key.deletedMs === null) return refuse('KEY_ACTION_INVALID_STATE_ERR', NOT_RESTORED);
  if (nowMs - key.deletedMs < WAITS.restoreMs) {
    return refuse('REQ_TOO_EARLY_ERR', NOT_RESTORED, { detail: 'a key rests 30 seconds after its deletion' });
  }
  if (nowMs - key.deletedMs > WAITS.restorableMs) return refuse('KEY_RESTORE_EXPIRED', NOT_RESTORED);
  if (nowMs > restorableUntilMs(key.deletedMs, key.expiresMs)) {
    return refuse('KEY_EXPIRED_ERR', NOT_RESTORED, { because: `The key expired on ${goTime(key.expiresMs ?? 0)}` });
  }
  const problem = materialProblem(context, key);
  if (problem !== null) return problem;
  const restored: KeyRecord = {
    ...key,
    deletedMs: null,
    deletedBy: null,
    disabledMs: null,
    updatedMs: nowMs,
    notifiedMs: nowMs,
  };
  context.store.save(restored);
  return shownKey(context, 201, restored);
};

/** Forgets a deleted key, four hours after its deletion or later. */
export const purgeKey: KeyHandler = (context, key) => {
  if (key.deletedMs === null) return refuse('KEY_ACTION_INVALID_STATE_ERR', NOT_PURGED);
  if (context.nowMs - key.deletedMs < WAITS.purgeMs) {
    return refuse('REQ_TOO_EARLY_ERR', NOT_PURGED, { detail: 'a key can be purged four hours after its deletion' });
  }
  context.store.purge(key.instance, key.id);
  return preferenceOf(context) === 'minimal' ? result(204, '') : shownKey(context, 200, key);
};

const deletionAction =
  (sets: boolean): KeyHandler =>
  (context, key) => {
    const state = stateAt(key, context.nowMs);
    if (state === 5) return refuse('KEY_DELETED_ERR', NOT_ACTED);
    if (key.dualAuth?.enabled !== true) return refuse('NOT_DUAL_AUTH_ERR', NOT_ACTED);
    if (state !== 1) return refuse('KEY_ACTION_INVALID_STATE_ERR', NOT_ACTED);
    const deletionSet = sets ? { atMs: context.nowMs, by: context.caller } : null;
    context.store.save({ ...key, deletionSet, updatedMs: context.nowMs });
    return result(204, '');
  };

/** The first authorization; it lasts seven days. */
export const setKeyForDeletion: KeyHandler = deletionAction(true);

export const unsetKeyForDeletion: KeyHandler = deletionAction(false);
