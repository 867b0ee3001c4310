/**
 * Registrations: which cloud resources a key protects. Only services make them; people read them. Sources: Key Protect
 * API documentation, "Registrations"; IBM Cloud documentation, Key Protect "Viewing associations between root keys and
 * encrypted IBM Cloud resources".
 */
import {
  currentVersion,
  dateOf,
  type KeyRecord,
  type KeyVersion,
  type Registration,
  shownVersion,
  stateAt,
} from './key-record.ts';
import { flagFrom, pageOf } from './query.ts';
import { badField, badQuery, type Refusal, refuse } from './refusals.ts';
import { checkMembers, type Members, readCollection } from './request-body.ts';
import { type Context, collectionOf, type Handler, type KeyHandler, result } from './result.ts';

const COLLECTION = 'application/vnd.ibm.kms.registration+json';
const NOT_LISTED = 'Registrations could not be retrieved';
const NOT_CREATED = 'Registration could not be created';
const NOT_UPDATED = 'Registration could not be updated';
const NOT_DELETED = 'Registration could not be deleted';
const CRN = /^crn:v1:[a-z0-9-]*(:[^\s:]*){7}$/;
const MAX_TEXT = 240;

/** `registrationMetadata` is for services only. */
const shown = (context: Context, key: KeyRecord, registration: Registration): object => ({
  keyId: key.id,
  keyName: key.name,
  resourceCrn: registration.resourceCrn,
  createdBy: registration.createdBy,
  creationDate: dateOf(registration.createdMs),
  updatedBy: registration.updatedBy,
  lastUpdated: dateOf(registration.updatedMs),
  description: registration.description,
  ...(context.roles.includes('Service') ? { registrationMetadata: registration.registrationMetadata } : {}),
  preventKeyDeletion: registration.preventKeyDeletion,
  keyVersion: shownVersion(registration.version),
});

/** `*` stands for any segment, at the end of the last one for any rest. */
const crnTest = (text: string): ((crn: string) => boolean) | null => {
  const wanted = text.split(':');
  if (wanted.length !== 10) return null;
  return (crn) => {
    const given = crn.split(':');
    return wanted.every((part, at) => {
      const value = given[at] ?? '';
      if (part === '*') return true;
      return at === 9 && part.endsWith('*') ? value.startsWith(part.slice(0, -1)) : part === value;
    });
  };
};

const listed = (context: Context, keys: readonly KeyRecord[]): ReturnType<Handler> => {
  const prevents = flagFrom(NOT_LISTED, context.query, 'preventKeyDeletion');
  if (typeof prevents === 'object' && prevents !== null) return prevents;
  const query = context.query.get('urlEncodedResourceCRNQuery');
  const test = query === null ? () => true : crnTest(query);
  if (test === null) return badQuery(NOT_LISTED, 'urlEncodedResourceCRNQuery', 'all ten segments of a CRN');
  const found = keys.flatMap((key) =>
    key.registrations
      .filter((one) => test(one.resourceCrn) && (prevents === null || one.preventKeyDeletion === prevents))
      .map((one) => shown(context, key, one)),
  );
  const page = pageOf(NOT_LISTED, context.query, found);
  if (page.kind === 'refusal') return page;
  return result(200, collectionOf(COLLECTION, page.items, page.total));
};

export const listRegistrations: KeyHandler = (context, key) => listed(context, [key]);

export const listAllRegistrations: Handler = (context) => {
  const ring = context.headers['x-kms-key-ring'];
  const keys = context.store.keys(context.instance).filter((key) => ring === undefined || key.keyRing === ring);
  return listed(context, keys);
};

interface Wanted {
  readonly kind: 'wanted';
  readonly members: Members;
  readonly version: KeyVersion;
}

const readRegistration = (context: Context, failed: string, key: KeyRecord): Wanted | Refusal => {
  const given = readCollection(failed, context.body);
  if (given.kind === 'refusal') return given;
  if (given.total !== given.resources.length || given.total !== 1) {
    return refuse('COLLECTION_TOTAL_MISMATCH_ERR', failed);
  }
  const checked = checkMembers(failed, given.resources[0], {
    preventKeyDeletion: 'boolean',
    description: 'text',
    registrationMetadata: 'text',
    keyVersionId: 'text',
  });
  if (checked.kind === 'refusal') return checked;
  const { description = '', registrationMetadata = '', keyVersionId } = checked.members;
  if (String(description).length > MAX_TEXT) return badField(failed, 'description', `at most ${MAX_TEXT} characters`);
  if (String(registrationMetadata).length > MAX_TEXT) {
    return badField(failed, 'registrationMetadata', `at most ${MAX_TEXT} characters`);
  }
  const version =
    keyVersionId === undefined ? currentVersion(key) : key.versions.find((known) => known.id === keyVersionId);
  if (version === undefined) return badField(failed, 'keyVersionId', 'the key has no such version');
  return { kind: 'wanted', members: checked.members, version };
};

/** A root key that is active, and a resource in the form of a CRN. */
const keyProblem = (context: Context, failed: string, key: KeyRecord): Refusal | null => {
  if (key.extractable) return refuse('KEY_ROOT_REQ_REG_ERR', failed);
  if (stateAt(key, context.nowMs) !== 1) return refuse('KEY_INVALID_STATE_ERR', failed);
  return CRN.test(context.path.crn ?? '') ? null : badField(failed, 'resourceCrn', 'ten segments of a CRN');
};

const save = (context: Context, key: KeyRecord, registration: Registration): void => {
  const others = key.registrations.filter((one) => one.resourceCrn !== registration.resourceCrn);
  context.store.save({ ...key, registrations: [...others, registration] });
};

const withMembers = (before: Registration | null, wanted: Wanted, context: Context): Registration => {
  const { preventKeyDeletion, description, registrationMetadata } = wanted.members;
  return {
    resourceCrn: context.path.crn ?? '',
    description: String(description ?? before?.description ?? ''),
    registrationMetadata: String(registrationMetadata ?? before?.registrationMetadata ?? ''),
    preventKeyDeletion: (preventKeyDeletion as boolean | undefined) ?? before?.preventKeyDeletion ?? false,
    version: wanted.version,
    createdMs: before?.createdMs ?? context.nowMs,
    createdBy: before?.createdBy ?? context.caller,
    updatedMs: context.nowMs,
    updatedBy: context.caller,
  };
};

export const createRegistration: KeyHandler = (context, key) => {
  const problem = keyProblem(context, NOT_CREATED, key);
  if (problem !== null) return problem;
  const wanted = readRegistration(context, NOT_CREATED, key);
  if (wanted.kind === 'refusal') return wanted;
  const made = withMembers(null, wanted, context);
  save(context, key, made);
  return result(201, collectionOf(COLLECTION, [shown(context, key, made)]));
};

/** The registration that the path names, as far as it is the caller's own. */
const ownRegistration = (context: Context, failed: string, key: KeyRecord): Registration | Refusal => {
  const found = key.registrations.find((one) => one.resourceCrn === context.path.crn);
  if (found === undefined) return refuse('REGISTRATION_NOT_FOUND_ERR', failed);
  return found.createdBy === context.caller ? found : refuse('RESOURCE_OWNER_ERR', failed);
};

const change =
  (keeps: boolean): KeyHandler =>
  (context, key) => {
    const problem = keyProblem(context, NOT_UPDATED, key);
    if (problem !== null) return problem;
    const before = ownRegistration(context, NOT_UPDATED, key);
    if ('kind' in before) return before;
    const wanted = readRegistration(context, NOT_UPDATED, key);
    if (wanted.kind === 'refusal') return wanted;
    const at = key.versions.findIndex(({ id }) => id === wanted.version.id);
    // "The key used by the service must have a timestamp equal to or greater than the registration's key."
    if (at < key.versions.findIndex(({ id }) => id === before.version.id)) {
      return refuse('KEY_VERSION_INVALID', NOT_UPDATED);
    }
    const plain = { ...before, description: '', registrationMetadata: '', preventKeyDeletion: false };
    const changed = withMembers(keeps ? before : plain, wanted, context);
    save(context, key, changed);
    return result(200, collectionOf(COLLECTION, [shown(context, key, changed)]));
  };

/** PATCH: what the body leaves out stays. */
export const updateRegistration: KeyHandler = change(true);

/** PUT: what the body leaves out becomes empty. */
export const replaceRegistration: KeyHandler = change(false);

export const deleteRegistration: KeyHandler = (context, key) => {
  const before = ownRegistration(context, NOT_DELETED, key);
  if ('kind' in before) return before;
  context.store.save({ ...key, registrations: key.registrations.filter((one) => one !== before) });
  return result(204, '');
};
