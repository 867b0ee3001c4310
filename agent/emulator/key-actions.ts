/** POST /keys/{id}/actions/{action}. Key Protect API documentation: wrap, unwrap, rewrap, rotate, disable, enable. */
import type { Entropy } from '../ports.ts';
import { currentVersion, type KeyRecord, type Result, result, stateAt } from './key-record.ts';
import { invalidState, keyDeleted, type Refusal, refusal, tooEarly } from './refusals.ts';
import { readAad, readBase64, readBody } from './request-body.ts';
import type { Store } from './store.ts';
import { parseWrappedKey, unwrapKey, wrapKey } from './wrapping.ts';

export interface ActionContext {
  readonly store: Store;
  readonly entropy: Pick<Entropy, 'bytes' | 'uuid'>;
  readonly nowMs: number;
  readonly key: KeyRecord;
  readonly body: Buffer;
}

export const ACTIONS = ['wrap', 'unwrap', 'rewrap', 'rotate', 'disable', 'enable'] as const;
export type ActionName = (typeof ACTIONS)[number];

const SECOND_MS = 1000;
const ENABLE_AFTER_MS = 30 * SECOND_MS;
const ROTATE_AFTER_MS = 3600 * SECOND_MS;
const GENERATED_BYTES = 32;
const IV_BYTES = 12;
/** "Root keys: 16, 24 or 32 bytes" (Key Protect, "Importing root keys"). */
export const ROOT_KEY_SIZES: readonly number[] = [16, 24, 32];

const FAILED: Readonly<Record<ActionName, string>> = {
  wrap: 'Wrap with key could not be performed',
  unwrap: 'Unwrap with key could not be performed',
  rewrap: 'Rewrap with key could not be performed',
  rotate: 'Key could not be rotated',
  disable: 'Key could not be disabled',
  enable: 'Key could not be enabled',
};

const seal = (
  { store, entropy, key }: ActionContext,
  versionId: string,
  plaintext: Buffer,
  aad: readonly string[],
): string => {
  const material = store.material(key.instance, key.id, versionId);
  try {
    return wrapKey(material, versionId, entropy.bytes(IV_BYTES), plaintext, aad);
  } finally {
    material.fill(0);
  }
};

interface Opened {
  readonly kind: 'opened';
  readonly plaintext: Buffer;
  readonly versionId: string;
  readonly aad: readonly string[];
}

/**
 * Unwraps the ciphertext of the request with the version named in it, else with every version: root keys that hold
 * the same material unwrap each other's keys, whatever their ids (Key Protect, "High availability").
 */
const open = (context: ActionContext, failed: string): Opened | Refusal => {
  const { store, key } = context;
  const request = readBody(failed, context.body, { ciphertext: 'text', aad: 'texts' }, true);
  if (request.kind === 'refusal') return request;
  const ciphertext = readBase64(failed, 'ciphertext', request.members.ciphertext);
  if (ciphertext.kind === 'refusal') return ciphertext;
  const aad = readAad(failed, request.members.aad);
  if (aad.kind === 'refusal') return aad;
  const wrapped = parseWrappedKey(ciphertext.bytes);
  const named = key.versions.filter((version) => version.id === wrapped?.handle);
  for (const version of wrapped === null ? [] : named.length > 0 ? named : key.versions.toReversed()) {
    const material = store.material(key.instance, key.id, version.id);
    const plaintext = unwrapKey(material, wrapped as NonNullable<typeof wrapped>, aad.aad);
    material.fill(0);
    if (plaintext !== null) return { kind: 'opened', plaintext, versionId: version.id, aad: aad.aad };
  }
  return refusal(422, failed, 'UNPROCESSABLE_CIPHERTEXT_ERR', 'The provided ciphertext is invalid or corrupted');
};

const wrap = (context: ActionContext): Result => {
  const { entropy, key } = context;
  const request = readBody(FAILED.wrap, context.body, { plaintext: 'text', aad: 'texts' }, false);
  if (request.kind === 'refusal') return request;
  const aad = readAad(FAILED.wrap, request.members.aad);
  if (aad.kind === 'refusal') return aad;
  const version = currentVersion(key).id;
  if (request.members.plaintext === undefined) {
    const made = entropy.bytes(GENERATED_BYTES);
    const ciphertext = seal(context, version, made, aad.aad);
    const answer = { plaintext: made.toString('base64'), ciphertext, keyVersion: { id: version } };
    made.fill(0);
    return result(200, JSON.stringify(answer));
  }
  const plaintext = readBase64(FAILED.wrap, 'plaintext', request.members.plaintext);
  if (plaintext.kind === 'refusal') return plaintext;
  const ciphertext = seal(context, version, plaintext.bytes, aad.aad);
  plaintext.bytes.fill(0);
  return result(200, JSON.stringify({ ciphertext, keyVersion: { id: version } }));
};

const unwrap = (context: ActionContext): Result => {
  const opened = open(context, FAILED.unwrap);
  if (opened.kind === 'refusal') return opened;
  const version = currentVersion(context.key).id;
  const answer = {
    plaintext: opened.plaintext.toString('base64'),
    keyVersion: { id: opened.versionId },
    ...(opened.versionId === version
      ? {}
      : {
          ciphertext: seal(context, version, opened.plaintext, opened.aad),
          rewrappedKeyVersion: { id: version },
        }),
  };
  opened.plaintext.fill(0);
  return result(200, JSON.stringify(answer));
};

const rewrap = (context: ActionContext): Result => {
  const opened = open(context, FAILED.rewrap);
  if (opened.kind === 'refusal') return opened;
  const version = currentVersion(context.key).id;
  const ciphertext = seal(context, version, opened.plaintext, opened.aad);
  opened.plaintext.fill(0);
  const answer = { ciphertext, keyVersion: { id: opened.versionId }, rewrappedKeyVersion: { id: version } };
  return result(200, JSON.stringify(answer));
};

/** The new material of a rotation: imported keys bring it, generated ones must not. */
const newMaterial = (context: ActionContext): { readonly kind: 'bytes'; readonly bytes: Buffer } | Refusal => {
  const failed = FAILED.rotate;
  const request = readBody(failed, context.body, { payload: 'text' }, false);
  if (request.kind === 'refusal') return request;
  const { payload } = request.members;
  if (!context.key.imported) {
    if (payload === undefined) return { kind: 'bytes', bytes: context.entropy.bytes(GENERATED_BYTES) };
    return refusal(400, failed, 'INVALID_QUERY_PARAM_ERR', 'A generated key takes no payload', {
      type: 'query_param',
      name: 'payload',
    });
  }
  if (payload === undefined) {
    return refusal(400, failed, 'KEY_PAYLOAD_REQ_ERR', 'An imported key needs a payload to rotate');
  }
  const bytes = readBase64(failed, 'payload', payload);
  if (bytes.kind === 'refusal' || ROOT_KEY_SIZES.includes(bytes.bytes.length)) return bytes;
  return refusal(400, failed, 'INVALID_FIELD_ERR', 'The payload must be 16, 24 or 32 bytes', {
    type: 'field',
    name: 'payload',
  });
};

const rotate = (context: ActionContext): Result => {
  const { store, key, nowMs } = context;
  if (key.rotatedMs !== null && nowMs - key.rotatedMs < ROTATE_AFTER_MS) {
    const message = 'This root key has been rotated within the last hour: Only one rotate is permitted per hour';
    return refusal(409, FAILED.rotate, 'KEY_ROTATION_NOT_PERMITTED', message);
  }
  const material = newMaterial(context);
  if (material.kind === 'refusal') return material;
  const versionId = context.entropy.uuid();
  const rotated: KeyRecord = {
    ...key,
    rotatedMs: nowMs,
    updatedMs: nowMs,
    versions: [...key.versions, { id: versionId, createdMs: nowMs }],
  };
  store.save(rotated, { versionId, material: material.bytes });
  material.bytes.fill(0);
  return result(204, '');
};

const disable = ({ store, key, nowMs }: ActionContext): Result => {
  store.save({ ...key, disabledMs: nowMs, updatedMs: nowMs });
  return result(204, '');
};

const enable = ({ store, key, nowMs }: ActionContext): Result => {
  if (key.disabledMs !== null && nowMs - key.disabledMs < ENABLE_AFTER_MS) {
    return tooEarly(FAILED.enable, 'a key can be enabled 30 seconds after it was disabled');
  }
  store.save({ ...key, disabledMs: null, updatedMs: nowMs });
  return result(204, '');
};

interface Action {
  /** Key states in which the action is allowed. */
  readonly states: readonly number[];
  readonly perform: (context: ActionContext) => Result;
}

/** Key Protect, "Key states and service actions": a deactivated (expired) key still unwraps and rewraps. */
const TABLE: Readonly<Record<ActionName, Action>> = {
  wrap: { states: [1], perform: wrap },
  unwrap: { states: [1, 3], perform: unwrap },
  rewrap: { states: [1, 3], perform: rewrap },
  rotate: { states: [1, 3], perform: rotate },
  disable: { states: [1], perform: disable },
  enable: { states: [2], perform: enable },
};

export const isActionName = (name: string): name is ActionName => (ACTIONS as readonly string[]).includes(name);

export const failedWords = (action: ActionName): string => FAILED[action];

export const performAction = (action: ActionName, context: ActionContext): Result => {
  const { key } = context;
  const { states, perform } = TABLE[action];
  const state = stateAt(key, context.nowMs);
  if (state === 5) return keyDeleted(FAILED[action]);
  if (key.extractable) {
    return refusal(
      400,
      FAILED[action],
      'KEY_ROOT_REQ_ERR',
      'The requested action can only be completed with a root key',
    );
  }
  if (!states.includes(state)) return invalidState(FAILED[action]);
  return perform(context);
};
