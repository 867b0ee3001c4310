/** Creating, listing, reading, deleting and restoring keys. Key Protect API documentation, "Keys". */
import type { Entropy } from '../ports.ts';
import { ROOT_KEY_SIZES } from './key-actions.ts';
import {
  collectionOf,
  KEY_COLLECTION,
  type KeyRecord,
  type Naming,
  type Result,
  renderKey,
  result,
  stateAt,
} from './key-record.ts';
import { badBody, badField, invalidState, keyDeleted, type Refusal, refusal, tooEarly } from './refusals.ts';
import { checkMembers, type Members, readBase64, readBody } from './request-body.ts';
import type { Store } from './store.ts';

export interface KeyContext {
  readonly store: Store;
  readonly entropy: Pick<Entropy, 'bytes' | 'uuid'>;
  readonly nowMs: number;
  readonly naming: Naming;
  readonly instance: string;
  /** IAM id of the caller. */
  readonly caller: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const NOT_CREATED = 'Key could not be created';
const NOT_LISTED = 'Keys could not be retrieved';
const RESTORE_AFTER_MS = 30_000;
const RESTORE_BEFORE_MS = 30 * 86_400_000;
const MAX_STANDARD_BYTES = 7500;
const MAX_ALIASES = 5;
const ALIAS = /^[A-Za-z0-9_-]{2,90}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const single = (context: KeyContext, status: number, key: KeyRecord, more: object = {}): Result =>
  result(status, collectionOf(KEY_COLLECTION, [{ ...renderKey(key, context.naming, context.nowMs), ...more }]));

const readResource = (body: Buffer): { readonly kind: 'body'; readonly members: Members } | Refusal => {
  const outer = readBody(NOT_CREATED, body, { metadata: 'resource', resources: 'resource' }, true);
  if (outer.kind === 'refusal') return outer;
  const { resources } = outer.members;
  if (!Array.isArray(resources) || resources.length !== 1)
    return badBody(NOT_CREATED, 'exactly one resource is needed');
  return checkMembers(NOT_CREATED, resources[0], {
    type: 'text',
    name: 'text',
    description: 'text',
    aliases: 'texts',
    expirationDate: 'text',
    extractable: 'boolean',
    payload: 'text',
  });
};

const readPayload = (
  payload: unknown,
  extractable: boolean,
): { readonly kind: 'bytes'; readonly bytes: Buffer } | Refusal => {
  const given = readBase64(NOT_CREATED, 'payload', payload);
  if (given.kind === 'refusal') return given;
  const size = given.bytes.length;
  const fits = extractable ? size <= MAX_STANDARD_BYTES : ROOT_KEY_SIZES.includes(size);
  return fits
    ? given
    : badField(NOT_CREATED, 'payload', extractable ? 'at most 7500 bytes' : 'a root key has 16, 24 or 32 bytes');
};

const aliasProblem = (context: KeyContext, aliases: readonly string[]): Refusal | null => {
  if (aliases.length > MAX_ALIASES) return badField(NOT_CREATED, 'aliases', `at most ${MAX_ALIASES}`);
  for (const alias of aliases) {
    if (!ALIAS.test(alias) || UUID.test(alias)) return badField(NOT_CREATED, 'aliases', 'malformed alias');
    if (context.store.key(context.instance, alias) !== null) {
      return refusal(409, NOT_CREATED, 'KEY_ALIAS_NOT_UNIQUE_ERR', 'One or more aliases are already in use');
    }
  }
  return null;
};

export const createKey = (context: KeyContext): Result => {
  const resource = readResource(context.body);
  if (resource.kind === 'refusal') return resource;
  const { name, description, aliases, expirationDate, extractable, payload } = resource.members;
  if (typeof name !== 'string' || name.length < 2 || name.length > 90) {
    return badField(NOT_CREATED, 'name', '2 to 90 characters are needed');
  }
  const expiresMs = expirationDate === undefined ? null : Date.parse(String(expirationDate));
  if (expiresMs !== null && !(expiresMs > context.nowMs)) {
    return badField(NOT_CREATED, 'expirationDate', 'a date in the future is needed');
  }
  const named = (aliases ?? []) as readonly string[];
  const problem = aliasProblem(context, named);
  if (problem !== null) return problem;
  // The API's default is a standard key; see `extractable` in its documentation.
  const isStandard = extractable !== false;
  const given = payload === undefined ? null : readPayload(payload, isStandard);
  if (given?.kind === 'refusal') return given;
  const material = given?.bytes ?? context.entropy.bytes(32);
  const id = context.entropy.uuid();
  const key: KeyRecord = {
    instance: context.instance,
    id,
    name,
    description: typeof description === 'string' ? description : null,
    aliases: named,
    extractable: isStandard,
    imported: given !== null,
    createdMs: context.nowMs,
    createdBy: context.caller,
    expiresMs,
    disabledMs: null,
    updatedMs: context.nowMs,
    rotatedMs: null,
    deletedMs: null,
    deletedBy: null,
    versions: [{ id, createdMs: context.nowMs }],
  };
  context.store.save(key, { versionId: id, material });
  const shown = isStandard ? { payload: material.toString('base64') } : {};
  material.fill(0);
  return single(context, 201, key, shown);
};

/** Keys of the instance that the query asks for; destroyed ones only when it names state 5. */
const selected = (context: KeyContext): { readonly kind: 'keys'; readonly keys: readonly KeyRecord[] } | Refusal => {
  const states = context.query.get('state')?.split(',') ?? ['0', '1', '2', '3'];
  if (!states.every((state) => /^[01235]$/.test(state))) {
    return refusal(400, NOT_LISTED, 'INVALID_QUERY_PARAM_ERR', 'The query parameter `state` is not valid', {
      type: 'query_param',
      name: 'state',
    });
  }
  const extractable = context.query.get('extractable');
  const keys = context.store
    .keys(context.instance)
    .filter((key) => states.includes(String(stateAt(key, context.nowMs))))
    .filter((key) => extractable === null || String(key.extractable) === extractable);
  return { kind: 'keys', keys };
};

const numberFrom = (query: URLSearchParams, name: string, preset: number, largest: number): number | Refusal => {
  const text = query.get(name) ?? String(preset);
  const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (value >= (name === 'limit' ? 1 : 0) && value <= largest) return value;
  return refusal(400, NOT_LISTED, 'INVALID_QUERY_PARAM_ERR', `The query parameter \`${name}\` is not valid`, {
    type: 'query_param',
    name,
  });
};

export const listKeys = (context: KeyContext): Result => {
  const found = selected(context);
  if (found.kind === 'refusal') return found;
  const limit = numberFrom(context.query, 'limit', 200, 5000);
  if (typeof limit !== 'number') return limit;
  const offset = numberFrom(context.query, 'offset', 0, 999_999_999);
  if (typeof offset !== 'number') return offset;
  const shown = found.keys.slice(offset, offset + limit);
  return result(
    200,
    collectionOf(
      KEY_COLLECTION,
      shown.map((key) => renderKey(key, context.naming, context.nowMs)),
    ),
  );
};

export const countKeys = (context: KeyContext): Result => {
  const found = selected(context);
  return found.kind === 'refusal' ? found : result(200, '', { 'key-total': String(found.keys.length) });
};

export const readMetadata = (context: KeyContext, key: KeyRecord): Result => single(context, 200, key);

/** GET /keys/{id}: standard keys show their payload, root keys never do. */
export const readKey = (context: KeyContext, key: KeyRecord): Result => {
  if (!key.extractable || key.deletedMs !== null) return single(context, 200, key);
  const material = context.store.material(key.instance, key.id, key.versions[0].id);
  const payload = material.toString('base64');
  material.fill(0);
  return single(context, 200, key, { payload });
};

export const listVersions = (context: KeyContext, key: KeyRecord): Result => {
  if (context.query.get('allKeyStates') !== 'true' && stateAt(key, context.nowMs) !== 1) {
    return invalidState('KeyVersion(s) could not be retrieved');
  }
  const versions = key.versions
    .toReversed()
    .map((version) => ({ id: version.id, creationDate: `${new Date(version.createdMs).toISOString().slice(0, 19)}Z` }));
  return result(200, collectionOf('application/vnd.ibm.kms.key.version+json', versions));
};

export const deleteKey = (context: KeyContext, key: KeyRecord): Result => {
  if (key.deletedMs !== null) return keyDeleted('Key could not be deleted');
  const { nowMs, caller } = context;
  const deleted: KeyRecord = { ...key, deletedMs: nowMs, deletedBy: caller, updatedMs: nowMs };
  context.store.save(deleted);
  return context.headers.prefer === 'return=representation' ? single(context, 200, deleted) : result(204, '');
};

export const restoreKey = (context: KeyContext, key: KeyRecord): Result => {
  const failed = 'Key could not be restored';
  if (key.deletedMs === null) return invalidState(failed);
  const sinceMs = context.nowMs - key.deletedMs;
  if (sinceMs < RESTORE_AFTER_MS) return tooEarly(failed, 'a key can be restored 30 seconds after it was deleted');
  if (sinceMs > RESTORE_BEFORE_MS) {
    return refusal(400, failed, 'KEY_RESTORE_EXPIRED', 'The key was deleted more than 30 days ago');
  }
  if (key.expiresMs !== null && key.expiresMs <= context.nowMs) {
    return refusal(400, failed, 'KEY_EXPIRED_ERR', `The key expired on ${new Date(key.expiresMs).toISOString()}`);
  }
  const restored: KeyRecord = { ...key, deletedMs: null, deletedBy: null, disabledMs: null, updatedMs: context.nowMs };
  context.store.save(restored);
  return single(context, 201, restored);
};
