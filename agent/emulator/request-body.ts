/**
 * Strict request bodies: unknown members are refused in the words of the original service's decoder, so that a sloppy
 * client fails here first. The member `name` with the wrong type is a bad body too.
 */
import { decodeBase64 } from './base64.ts';
import { badBody, badField, type Refusal, refuse } from './refusals.ts';
import { quotedMember } from './shown.ts';

type Kind = 'text' | 'texts' | 'boolean' | 'whole' | 'object' | 'objects';
export type Shape = Readonly<Record<string, Kind>>;
export type Members = Readonly<Record<string, unknown>>;

export type Body = { readonly kind: 'body'; readonly members: Members } | Refusal;

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

const FITS: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  texts: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  boolean: (value) => typeof value === 'boolean',
  whole: (value) => Number.isSafeInteger(value),
  object: isObject,
  objects: (value) => Array.isArray(value) && value.every(isObject),
};

export const checkMembers = (failed: string, value: unknown, shape: Shape): Body => {
  if (!isObject(value)) return badBody(failed, 'not a JSON object');
  for (const [name, given] of Object.entries(value as object)) {
    const kind = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (kind === undefined) return badBody(failed, `json: unknown field ${quotedMember(name)}`);
    if (!FITS[kind](given)) return badBody(failed, `json: cannot unmarshal field "${name}"`);
  }
  return { kind: 'body', members: value as Members };
};

/** Reads the JSON object in `bytes`; an empty body is `{}` unless it is `required`. */
export const readBody = (failed: string, bytes: Buffer, shape: Shape, required: boolean): Body => {
  if (bytes.length === 0) return required ? refuse('NO_BODY_ERR', failed) : { kind: 'body', members: {} };
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return badBody(failed, 'invalid JSON');
  }
  return checkMembers(failed, value, shape);
};

export interface Collection {
  readonly kind: 'collection';
  readonly total: number;
  readonly resources: readonly Members[];
}

/** Reads `{metadata: {collectionType, collectionTotal}, resources: [ … ]}`. */
export const readCollection = (failed: string, bytes: Buffer): Collection | Refusal => {
  const outer = readBody(failed, bytes, { metadata: 'object', resources: 'objects' }, true);
  if (outer.kind === 'refusal') return outer;
  const { metadata, resources } = outer.members;
  const shape: Shape = { collectionType: 'text', collectionTotal: 'whole' };
  const inner = checkMembers(failed, metadata ?? {}, shape);
  if (inner.kind === 'refusal') return inner;
  const { collectionType, collectionTotal } = inner.members;
  if (collectionType === undefined || collectionTotal === undefined)
    return badBody(failed, 'CollectionMetadata is empty');
  if (resources === undefined) return badBody(failed, 'Resources is empty');
  return { kind: 'collection', total: collectionTotal as number, resources: resources as readonly Members[] };
};

/** A base64 member as bytes; the caller wipes them. */
export const readBase64 = (
  failed: string,
  name: string,
  text: unknown,
): { readonly kind: 'bytes'; readonly bytes: Buffer } | Refusal => {
  if (typeof text !== 'string' || text === '') return badField(failed, name, 'it is required');
  const decoded = decodeBase64(text);
  return decoded.kind === 'bytes' ? decoded : badField(failed, name, `illegal base64 data at input byte ${decoded.at}`);
};

const MAX_AAD_LENGTH = 255;

export const readAad = (
  failed: string,
  given: unknown,
): { readonly kind: 'aad'; readonly aad: readonly string[] } | Refusal => {
  const aad = (given ?? []) as readonly string[];
  return aad.every((item) => item.length <= MAX_AAD_LENGTH)
    ? { kind: 'aad', aad }
    : badField(failed, 'aad', `an element is longer than ${MAX_AAD_LENGTH} characters`);
};
