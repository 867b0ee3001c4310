/** Key rings. IBM Cloud documentation, Key Protect "Grouping keys together using key rings". */
import { dateOf, type KeyRecord } from './key-record.ts';
import { pageOf } from './query.ts';
import { badField, type Refusal, refuse } from './refusals.ts';
import { readBody } from './request-body.ts';
import { type Context, collectionOf, type Handler, result } from './result.ts';

interface KeyRing {
  readonly createdMs: number;
  readonly createdBy: string;
}

export const DEFAULT_RING = 'default';
const NOT_LISTED = 'Key Rings could not be retrieved';
const NOT_CREATED = 'Key Ring could not be created';
const NOT_DELETED = 'Key Ring could not be deleted';
const NOT_UPDATED = 'Key could not be updated';
/** "The maximum amount of key rings is 50 per service instance." */
const MAX_RINGS = 50;
const RING = /^[A-Za-z0-9_-]{2,100}$/;

const ringsOf = (context: Context): ReadonlyMap<string, KeyRing> =>
  context.store.documents(context.instance, 'ring') as ReadonlyMap<string, KeyRing>;

/** Null when the ring is there; the default one always is. */
export const ringProblem = (context: Context, failed: string, ring: string): Refusal | null =>
  ring === DEFAULT_RING || ringsOf(context).has(ring) ? null : refuse('KEY_RING_NOT_FOUND_ERR', failed);

export const listKeyRings: Handler = (context) => {
  const rings: readonly object[] = [
    { id: DEFAULT_RING },
    ...[...ringsOf(context)].map(([id, ring]) => ({
      id,
      creationDate: dateOf(ring.createdMs),
      createdBy: ring.createdBy,
    })),
  ];
  const page = pageOf(NOT_LISTED, context.query, rings);
  if (page.kind === 'refusal') return page;
  return result(200, collectionOf('application/vnd.ibm.kms.key_ring+json', page.items, page.total));
};

export const createKeyRing: Handler = (context) => {
  const { ring = '' } = context.path;
  if (!RING.test(ring) || ring === DEFAULT_RING) {
    return badField(NOT_CREATED, 'key_ring_id', '2 to 100 letters, digits, - and _; default is reserved');
  }
  const rings = ringsOf(context);
  if (rings.has(ring)) return refuse('KEY_RING_NOT_UNIQUE_ERR', NOT_CREATED);
  if (rings.size + 1 >= MAX_RINGS) return refuse('KEY_RING_QUOTA_ERR', NOT_CREATED);
  const made: KeyRing = { createdMs: context.nowMs, createdBy: context.caller };
  context.store.putDocuments(context.instance, 'ring', new Map([[ring, made]]));
  return result(201, '');
};

/** With `force`, a ring that holds only destroyed keys goes too; they move to the default ring. */
export const deleteKeyRing: Handler = (context) => {
  const { ring = '' } = context.path;
  if (ring === DEFAULT_RING) return badField(NOT_DELETED, 'key_ring_id', 'the default key ring cannot be deleted');
  if (!ringsOf(context).has(ring)) return refuse('KEY_RING_NOT_FOUND_ERR', NOT_DELETED);
  const keys = context.store.keys(context.instance).filter((key) => key.keyRing === ring);
  const mayMove = context.query.get('force') === 'true' && keys.every((key) => key.deletedMs !== null);
  if (keys.length > 0 && !mayMove) return refuse('KEY_RING_NOT_EMPTY_ERR', NOT_DELETED);
  for (const key of keys) context.store.save({ ...key, keyRing: DEFAULT_RING, updatedMs: context.nowMs });
  context.store.putDocuments(context.instance, 'ring', new Map([[ring, null]]));
  return result(204, '');
};

/** PATCH /keys/{id}: moves the key to another ring. Gives the changed record, for the caller to show. */
export const moveKey = (context: Context, key: KeyRecord): KeyRecord | Refusal => {
  const request = readBody(NOT_UPDATED, context.body, { keyRingID: 'text' }, true);
  if (request.kind === 'refusal') return request;
  const { keyRingID } = request.members;
  if (typeof keyRingID !== 'string') return badField(NOT_UPDATED, 'keyRingID', 'it is required');
  const problem = ringProblem(context, NOT_UPDATED, keyRingID);
  if (problem !== null) return problem;
  const moved: KeyRecord = { ...key, keyRing: keyRingID, updatedMs: context.nowMs };
  context.store.save(moved);
  return moved;
};
