/**
 * Strict readers of Key Protect's answers. Action answers are flat objects, metadata is a collection of one. Whatever
 * does not fit is `retryable`: an answer that cannot be trusted is no answer.
 */
import type { Secret } from '../secret.ts';
import type { KeyState, KmsRefusal, WrappedSeed } from './backend.ts';
import { keyStateOf, parseLenientJson } from './classify.ts';
import { takeSecretMember } from './secret-member.ts';
import { decodedLength, isBase64Text, isWrappedText } from './wrapped-text.ts';

export type Parsed<T> = { readonly kind: 'done'; readonly value: T } | KmsRefusal;

/** Bytes the service makes for wrap without a plaintext. */
const GENERATED_BYTES = 32;
/** A hand-made volume may hold a seed of another size; less than this is no key. */
const MIN_SEED_BYTES = 16;
const MAX_SEED_BYTES = 512;
const VERSION_ID = /^[A-Za-z0-9_-]{1,64}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

type Members = Readonly<Record<string, unknown>>;

const notUnderstood = (what: string): KmsRefusal => ({
  kind: 'retryable',
  reason: `the answer is not understood: ${what}`,
  afterMs: null,
});

const membersOf = (value: unknown): Members | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : null;

const versionIdOf = (value: unknown): string | null => {
  const id = membersOf(value)?.id;
  return typeof id === 'string' && VERSION_ID.test(id) ? id : null;
};

const wrappedOf = (ciphertext: unknown, version: unknown): WrappedSeed | null => {
  const keyVersion = versionIdOf(version);
  if (typeof ciphertext !== 'string' || keyVersion === null || !isWrappedText(ciphertext)) return null;
  return { wrapped: ciphertext, keyVersion };
};

/** seed3 out of `body`, when it is base64 and neither too short nor too long; wiped otherwise. */
const takeSeed = (
  body: Buffer,
  smallest: number,
  largest: number,
): { readonly kind: 'seed'; readonly seed3: Secret } | KmsRefusal => {
  const seed3 = takeSecretMember(body, 'plaintext');
  if (seed3 === null) return notUnderstood('no plaintext');
  const size = seed3.expose((text) => (isBase64Text(text) ? decodedLength(text) : null));
  if (size !== null && size >= smallest && size <= largest) return { kind: 'seed', seed3 };
  seed3.wipe();
  if (size === null) return notUnderstood('the plaintext is not base64');
  return {
    kind: 'badConfiguration',
    reason: `the seed has ${size} bytes; ${smallest === largest ? smallest : `${smallest} to ${largest}`} are accepted`,
  };
};

/** Answer to wrap without a plaintext: the service's own 32 bytes, plain and wrapped. */
export const parseGenerated = (body: Buffer): Parsed<WrappedSeed & { readonly seed3: Secret }> => {
  const taken = takeSeed(body, GENERATED_BYTES, GENERATED_BYTES);
  if (taken.kind !== 'seed') return taken.kind === 'badConfiguration' ? notUnderstood(taken.reason) : taken;
  const members = membersOf(parseLenientJson(body));
  const wrapped = wrappedOf(members?.ciphertext, members?.keyVersion);
  if (wrapped === null) {
    taken.seed3.wipe();
    return notUnderstood('no ciphertext or key version');
  }
  return { kind: 'done', value: { ...wrapped, seed3: taken.seed3 } };
};

/** Answer to wrap with a plaintext; the service must not send it back. */
export const parseWrapped = (body: Buffer): Parsed<WrappedSeed> => {
  takeSecretMember(body, 'plaintext')?.wipe();
  const members = membersOf(parseLenientJson(body));
  const value = wrappedOf(members?.ciphertext, members?.keyVersion);
  return value === null ? notUnderstood('no ciphertext or key version') : { kind: 'done', value };
};

/** Answer to unwrap. `ciphertext` and `rewrappedKeyVersion` are there only when a newer key version exists. */
export const parseUnwrapped = (
  body: Buffer,
): Parsed<{ readonly seed3: Secret; readonly keyVersion: string; readonly rewrapped: WrappedSeed | null }> => {
  const taken = takeSeed(body, MIN_SEED_BYTES, MAX_SEED_BYTES);
  if (taken.kind !== 'seed') return taken;
  const members = membersOf(parseLenientJson(body));
  const keyVersion = versionIdOf(members?.keyVersion);
  if (members === null || keyVersion === null) {
    taken.seed3.wipe();
    return notUnderstood('no key version');
  }
  const rewrapped = wrappedOf(members.ciphertext, members.rewrappedKeyVersion);
  return { kind: 'done', value: { seed3: taken.seed3, keyVersion, rewrapped } };
};

/** Answer to rewrap: no plaintext leaves the service. */
export const parseRewrapped = (body: Buffer): Parsed<WrappedSeed> => {
  takeSecretMember(body, 'plaintext')?.wipe();
  const members = membersOf(parseLenientJson(body));
  const value = wrappedOf(members?.ciphertext, members?.rewrappedKeyVersion);
  return value === null ? notUnderstood('no ciphertext or new key version') : { kind: 'done', value };
};

/** Metadata of the key `keyId` (an id or an alias). A standard key is a configuration error: it cannot wrap. */
export const parseKeyState = (
  body: Buffer,
  keyId: string,
): Parsed<{ readonly state: KeyState; readonly keyVersion: string | null }> => {
  const resources = membersOf(parseLenientJson(body))?.resources;
  const key = Array.isArray(resources) && resources.length === 1 ? membersOf(resources[0]) : null;
  if (key === null) return notUnderstood('no key metadata');
  if (UUID.test(keyId) && String(key.id).toLowerCase() !== keyId.toLowerCase()) {
    return notUnderstood('metadata of another key');
  }
  if (key.extractable === true) {
    return { kind: 'badConfiguration', reason: 'the CRN names a standard key, not a root key' };
  }
  const state = key.deleted === true ? 'destroyed' : keyStateOf(key.state);
  return { kind: 'done', value: { state, keyVersion: versionIdOf(key.keyVersion) } };
};
