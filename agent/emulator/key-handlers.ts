/** Creating, listing and reading keys. Key Protect API documentation, "Keys". */
import { aliasProblem } from './aliases.ts';
import { isSecureImport } from './import-token.ts';
import { enabledPolicy, importAccessProblem } from './instance-policies.ts';
import { GENERATED_BYTES, MATERIAL, readMaterial } from './key-material.ts';
import { readDualAuth, readRotation } from './key-policies.ts';
import { parseKeyQuery, selectKeys } from './key-query.ts';
import {
  type DualAuthPolicy,
  KEY_COLLECTION,
  type KeyRecord,
  PLAIN_KEY,
  type RotationPolicy,
  renderKey,
  shownVersion,
  stateAt,
} from './key-record.ts';
import { DEFAULT_RING, moveKey, ringProblem } from './key-rings.ts';
import { pageOf } from './query.ts';
import { badBody, badField, type Refusal, refuse } from './refusals.ts';
import { checkMembers, type Members, readCollection } from './request-body.ts';
import {
  type Context,
  collectionOf,
  type Done,
  type Handler,
  type KeyHandler,
  preferenceOf,
  result,
} from './result.ts';

const NOT_CREATED = 'Key could not be created';
const NOT_LISTED = 'Keys could not be retrieved';
const NO_VERSIONS = 'KeyVersion(s) could not be retrieved';
const MAX_TAGS = 30;

/** One key as a collection; `more` joins its members. */
export const shownKey = (context: Context, status: number, key: KeyRecord, more: object = {}): Done =>
  result(status, collectionOf(KEY_COLLECTION, [{ ...renderKey(key, context.naming, context.nowMs), ...more }]));

const readResource = (
  context: Context,
  withPolicies: boolean,
): { readonly kind: 'body'; readonly members: Members } | Refusal => {
  const given = readCollection(NOT_CREATED, context.body);
  if (given.kind === 'refusal') return given;
  if (given.resources.length !== 1) {
    return badBody(NOT_CREATED, 'Only creation of one key per request is supported');
  }
  return checkMembers(NOT_CREATED, given.resources[0], {
    type: 'text',
    name: 'text',
    description: 'text',
    aliases: 'texts',
    tags: 'texts',
    expirationDate: 'text',
    extractable: 'boolean',
    ...MATERIAL,
    ...(withPolicies ? { rotation: 'object', dualAuthDelete: 'object' } : {}),
  });
};

const describedProblem = ({ name, description, tags }: Members): Refusal | null => {
  if (typeof name !== 'string' || name.length < 2 || name.length > 90) {
    return badField(NOT_CREATED, 'name', '2 to 90 characters are needed');
  }
  if (typeof description === 'string' && (description.length < 2 || description.length > 240)) {
    return badField(NOT_CREATED, 'description', '2 to 240 characters are needed');
  }
  const given = (tags ?? []) as readonly string[];
  return given.length > MAX_TAGS || given.some((tag) => tag.length > 30 || /[<>,:&|]/.test(tag))
    ? badField(NOT_CREATED, 'tags', 'at most 30 tags of at most 30 characters, none of < > , : & |')
    : null;
};

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

interface Policies {
  readonly kind: 'policies';
  readonly rotation: RotationPolicy | null;
  readonly dualAuth: DualAuthPolicy | null;
}

/** Those of the request, else those that the instance gives to new keys. */
const readPolicies = (context: Context, members: Members, isGeneratedRoot: boolean): Policies | Refusal => {
  const { store, instance } = context;
  const rotationRule = isGeneratedRoot ? enabledPolicy(store, instance, 'rotation') : null;
  const wantedRotation = members.rotation ?? (rotationRule === null ? undefined : rotationRule.attributes);
  if (members.rotation !== undefined && !isGeneratedRoot) {
    return badField(NOT_CREATED, 'rotation', 'only generated root keys can be rotated by a policy');
  }
  const rotation = wantedRotation === undefined ? null : readRotation(context, NOT_CREATED, wantedRotation, null);
  if (rotation !== null && 'kind' in rotation) return rotation;
  const dualAuthRule = enabledPolicy(store, instance, 'dualAuthDelete') === null ? undefined : { enabled: true };
  const wantedDualAuth = members.dualAuthDelete ?? dualAuthRule;
  const dualAuth = wantedDualAuth === undefined ? null : readDualAuth(context, NOT_CREATED, wantedDualAuth, null);
  if (dualAuth !== null && 'kind' in dualAuth) return dualAuth;
  return { kind: 'policies', rotation, dualAuth };
};

const create =
  (withPolicies: boolean): Handler =>
  (context) => {
    const resource = readResource(context, withPolicies);
    if (resource.kind === 'refusal') return resource;
    const { members } = resource;
    const { name, description, aliases = [], tags = [], expirationDate, extractable } = members;
    const expiresMs = expirationDate === undefined ? null : Date.parse(String(expirationDate));
    const keyRing = context.headers['x-kms-key-ring'] ?? DEFAULT_RING;
    // The API's default is a standard key; see `extractable` in its documentation.
    const isStandard = extractable !== false;
    const isImport = members.payload !== undefined;
    const isWrongDate = expiresMs !== null && !(RFC3339.test(String(expirationDate)) && expiresMs > context.nowMs);
    const problem =
      describedProblem(members) ??
      (isWrongDate ? badField(NOT_CREATED, 'expirationDate', 'a date in the future, RFC 3339') : null) ??
      ringProblem(context, NOT_CREATED, keyRing) ??
      aliasProblem(context, NOT_CREATED, [], aliases as readonly string[]) ??
      importAccessProblem(context, NOT_CREATED, { isStandard, isImport, withToken: isSecureImport(members) });
    if (problem !== null) return problem;
    const policies = readPolicies(context, members, !isStandard && !isImport);
    if (policies.kind === 'refusal') return policies;
    const given = readMaterial(context, NOT_CREATED, members, isStandard);
    if (given?.kind === 'refusal') return given;
    const material = given?.bytes ?? context.entropy.bytes(GENERATED_BYTES);
    const id = context.entropy.uuid();
    const key: KeyRecord = {
      ...PLAIN_KEY,
      instance: context.instance,
      id,
      name: String(name),
      description: typeof description === 'string' ? description : null,
      aliases: aliases as readonly string[],
      tags: tags as readonly string[],
      keyRing,
      extractable: isStandard,
      imported: given !== null,
      createdMs: context.nowMs,
      createdBy: context.caller,
      updatedMs: context.nowMs,
      expiresMs,
      versions: [{ id, createdMs: context.nowMs }],
      rotation: policies.rotation,
      dualAuth: policies.dualAuth,
    };
    context.store.save(key, { versionId: id, material });
    const shown = isStandard ? { payload: material.toString('base64') } : {};
    material.fill(0);
    const audit = { keyId: id, keyState: 1, keyVersionId: id };
    if (preferenceOf(context) !== 'minimal') return { ...shownKey(context, 201, key, shown), audit };
    return result(201, collectionOf(KEY_COLLECTION, [{ id }]), {}, audit);
  };

export const createKey: Handler = create(false);

/** POST /keys_with_policy_overrides: the resource may say which policies the key gets, whatever the instance says. */
export const createKeyWithPolicies: Handler = create(true);

const selected = (context: Context): readonly KeyRecord[] | Refusal => {
  const query = parseKeyQuery(NOT_LISTED, context.query, context.headers['x-kms-key-ring'], context.nowMs);
  if (query.kind === 'refusal') return query;
  return selectKeys(NOT_LISTED, context.store.keys(context.instance), query);
};

export const listKeys: Handler = (context) => {
  const found = selected(context);
  if ('kind' in found) return found;
  const page = pageOf(NOT_LISTED, context.query, found);
  if (page.kind === 'refusal') return page;
  const shown = page.items.map((key) => renderKey(key, context.naming, context.nowMs));
  const searched = context.query.has('search') ? { incompleteSearch: false } : {};
  return result(200, collectionOf(KEY_COLLECTION, shown, { ...page.total, ...searched }), {}, { total: shown.length });
};

export const countKeys: Handler = (context) => {
  const found = selected(context);
  return 'kind' in found ? found : result(200, '', { 'key-total': String(found.length) });
};

export const readMetadata: KeyHandler = (context, key) => shownKey(context, 200, key);

/** GET /keys/{id}: standard keys show their payload, root keys never do. */
export const readKey: KeyHandler = (context, key) => {
  if (!key.extractable || key.deletedMs !== null) return shownKey(context, 200, key);
  const material = context.store.material(key.instance, key.id, key.versions[0].id);
  const payload = material.toString('base64');
  material.fill(0);
  return shownKey(context, 200, key, { payload });
};

export const patchKey: KeyHandler = (context, key) => {
  const moved = moveKey(context, key);
  return 'kind' in moved ? moved : shownKey(context, 200, moved);
};

export const listVersions: KeyHandler = (context, key) => {
  if (key.extractable) return refuse('KEY_ROOT_REQ_ERR', NO_VERSIONS);
  if (context.query.get('allKeyStates') !== 'true' && stateAt(key, context.nowMs) !== 1) {
    return refuse('KEY_ACTION_INVALID_STATE_ERR', NO_VERSIONS);
  }
  const page = pageOf(NO_VERSIONS, context.query, key.versions.toReversed());
  if (page.kind === 'refusal') return page;
  const type = 'application/vnd.ibm.kms.key.version+json';
  return result(200, collectionOf(type, page.items.map(shownVersion), page.total));
};
