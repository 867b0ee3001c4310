/** Aliases of keys. IBM Cloud documentation, Key Protect "Creating key aliases"; Key Protect API documentation, "Aliases". */
import { dateOf, type KeyRecord } from './key-record.ts';
import { badField, type Refusal, refuse } from './refusals.ts';
import { type Context, collectionOf, type KeyHandler, result } from './result.ts';

const NOT_CREATED = 'Key alias could not be created';
const NOT_DELETED = 'Key alias could not be deleted';
const MAX_OF_KEY = 5;
const MAX_OF_INSTANCE = 1000;
const ALIAS = /^[A-Za-z0-9_-]{2,90}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const RESERVED = new Set(
  (
    'allowed_ip key keys metadata policy policies registration registrations ring rings rotate wrap unwrap rewrap ' +
    'version versions'
  ).split(' '),
);

/** Why `wanted` cannot become aliases of a key that has `held` of them already; null when they can. */
export const aliasProblem = (
  context: Context,
  failed: string,
  held: readonly string[],
  wanted: readonly string[],
): Refusal | null => {
  for (const alias of wanted) {
    if (!ALIAS.test(alias) || UUID.test(alias) || RESERVED.has(alias)) {
      return badField(failed, 'alias', '2 to 90 letters, digits, - and _, no UUID and no reserved word');
    }
    if (context.store.key(context.instance, alias) !== null) return refuse('KEY_ALIAS_NOT_UNIQUE_ERR', failed);
  }
  if (new Set(wanted).size < wanted.length) return refuse('KEY_ALIAS_NOT_UNIQUE_ERR', failed);
  if (wanted.length === 0) return null;
  const all = context.store.keys(context.instance).reduce((count, key) => count + key.aliases.length, wanted.length);
  const isFull = held.length + wanted.length > MAX_OF_KEY || all > MAX_OF_INSTANCE;
  return isFull ? refuse('KEY_ALIAS_QUOTA_ERR', failed) : null;
};

export const createAlias: KeyHandler = (context, key) => {
  const { alias = '' } = context.path;
  const problem = aliasProblem(context, NOT_CREATED, key.aliases, [alias]);
  if (problem !== null) return problem;
  const named: KeyRecord = { ...key, aliases: [...key.aliases, alias], updatedMs: context.nowMs };
  context.store.save(named);
  const resource = { keyId: key.id, alias, createdBy: context.caller, creationDate: dateOf(context.nowMs) };
  return result(201, collectionOf('application/vnd.ibm.kms.alias+json', [resource]));
};

export const deleteAlias: KeyHandler = (context, key) => {
  const { alias = '' } = context.path;
  if (!key.aliases.includes(alias)) return refuse('KEY_ALIAS_NOT_FOUND_ERR', NOT_DELETED);
  context.store.save({ ...key, aliases: key.aliases.filter((name) => name !== alias), updatedMs: context.nowMs });
  return result(204, '');
};
