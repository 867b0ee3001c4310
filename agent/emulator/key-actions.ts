/** POST /keys/{id}/actions/{action}. Key Protect API documentation: wrap, unwrap, rewrap, rotate, disable, enable. */
import { isSecureImport } from './import-token.ts';
import { importAccessProblem } from './instance-policies.ts';
import { GENERATED_BYTES, type GivenMaterial, MATERIAL, readMaterial } from './key-material.ts';
import { currentVersion, dateOf, type KeyRecord, stateAt, WAITS } from './key-record.ts';
import { type Refusal, refuse } from './refusals.ts';
import { readAad, readBase64, readBody } from './request-body.ts';
import { type AuditData, type Context, type Done, type KeyHandler, type Result, result } from './result.ts';
import { parseWrappedKey, unwrapKey, wrapKey } from './wrapping.ts';

export const ACTIONS = ['wrap', 'unwrap', 'rewrap', 'rotate', 'disable', 'enable', 'sync'] as const;
export type ActionName = (typeof ACTIONS)[number];

const IV_BYTES = 12;

interface ActionContext extends Context {
  readonly key: KeyRecord;
}

const FAILED: Readonly<Record<ActionName, string>> = {
  wrap: 'Wrap with key could not be performed',
  unwrap: 'Unwrap with key could not be performed',
  rewrap: 'Rewrap with key could not be performed',
  rotate: 'Key could not be rotated',
  disable: 'Key could not be disabled',
  enable: 'Key could not be enabled',
  sync: 'Could not initiate sync requests to associated resources',
};

const DAY_MS = 86_400_000;

/** What the audit event of a use of the key tells beside its version. */
const expiryOf = ({ key, nowMs }: ActionContext): AuditData =>
  key.expiresMs === null
    ? {}
    : {
        expirationDate: dateOf(key.expiresMs),
        daysToKeyExpire: Math.max(0, Math.floor((key.expiresMs - nowMs) / DAY_MS)),
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
  return refuse('UNPROCESSABLE_CIPHERTEXT_ERR', failed);
};

const used = (context: ActionContext, answer: object, audit: AuditData): Done =>
  result(200, JSON.stringify(answer), {}, { ...audit, ...expiryOf(context) });

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
    return used(context, answer, { keyVersionId: version });
  }
  const plaintext = readBase64(FAILED.wrap, 'plaintext', request.members.plaintext);
  if (plaintext.kind === 'refusal') return plaintext;
  const ciphertext = seal(context, version, plaintext.bytes, aad.aad);
  plaintext.bytes.fill(0);
  return used(context, { ciphertext, keyVersion: { id: version } }, { keyVersionId: version });
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
  return used(context, answer, { keyVersionId: opened.versionId });
};

const rewrap = (context: ActionContext): Result => {
  const opened = open(context, FAILED.rewrap);
  if (opened.kind === 'refusal') return opened;
  const version = currentVersion(context.key).id;
  const ciphertext = seal(context, version, opened.plaintext, opened.aad);
  opened.plaintext.fill(0);
  const answer = { ciphertext, keyVersion: { id: opened.versionId }, rewrappedKeyVersion: { id: version } };
  return used(context, answer, { keyVersionId: opened.versionId, rewrappedKeyVersionId: version });
};

/** The new material of a rotation: imported keys bring it, generated ones must not. */
const newMaterial = (context: ActionContext): GivenMaterial | Refusal => {
  const failed = FAILED.rotate;
  const request = readBody(failed, context.body, MATERIAL, false);
  if (request.kind === 'refusal') return request;
  const { members } = request;
  if (!context.key.imported) {
    if (members.payload === undefined) return { kind: 'bytes', bytes: context.entropy.bytes(GENERATED_BYTES) };
    const target = { type: 'query_param', name: 'payload' } as const;
    return refuse('INVALID_QUERY_PARAM_ERR', failed, { detail: 'a generated key takes no payload', target });
  }
  if (members.payload === undefined) {
    return refuse('KEY_PAYLOAD_REQ_ERR', failed, { target: { type: 'field', name: 'payload' } });
  }
  const wanted = { isStandard: false, isImport: true, withToken: isSecureImport(members) };
  const problem = importAccessProblem(context, failed, wanted);
  if (problem !== null) return problem;
  return readMaterial(context, failed, members, false) ?? refuse('KEY_PAYLOAD_REQ_ERR', failed);
};

/** The record with one more, current version. */
export const rotatedKey = (key: KeyRecord, versionId: string, atMs: number): KeyRecord => ({
  ...key,
  rotatedMs: atMs,
  updatedMs: atMs,
  notifiedMs: atMs,
  versions: [...key.versions, { id: versionId, createdMs: atMs }],
});

const rotate = (context: ActionContext): Result => {
  const { store, key, nowMs } = context;
  if (key.rotatedMs !== null && nowMs - key.rotatedMs < WAITS.rotateMs) {
    return refuse('KEY_ROTATION_NOT_PERMITTED', FAILED.rotate);
  }
  const material = newMaterial(context);
  if (material.kind === 'refusal') return material;
  const versionId = context.entropy.uuid();
  store.save(rotatedKey(key, versionId, nowMs), { versionId, material: material.bytes });
  material.bytes.fill(0);
  return result(204, '', {}, { keyVersionId: versionId, keyVersionCreationDate: dateOf(nowMs) });
};

const disable = ({ store, key, nowMs }: ActionContext): Result => {
  store.save({ ...key, disabledMs: nowMs, updatedMs: nowMs, notifiedMs: nowMs });
  return result(204, '');
};

const enable = ({ store, key, nowMs }: ActionContext): Result => {
  if (key.disabledMs !== null && nowMs - key.disabledMs < WAITS.enableMs) {
    return refuse('REQ_TOO_EARLY_ERR', FAILED.enable, { detail: 'a key rests 30 seconds after it was disabled' });
  }
  store.save({ ...key, disabledMs: null, updatedMs: nowMs, notifiedMs: nowMs });
  return result(204, '');
};

/** Tells services with a registration again; at most once an hour after they were last told. */
const sync = ({ store, key, nowMs }: ActionContext): Result => {
  if (key.notifiedMs !== null && nowMs - key.notifiedMs < WAITS.syncMs) {
    return refuse('REQ_TOO_EARLY_ERR', FAILED.sync, { detail: 'services were told within the last hour' });
  }
  store.save({ ...key, notifiedMs: nowMs });
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
  sync: { states: [1, 2, 3], perform: sync },
};

/** Hyper Protect Crypto Services, "Key states": only an active key is rotated there. */
const statesOf = (action: ActionName, service: string): readonly number[] =>
  action === 'rotate' && service === 'hs-crypto' ? [1] : TABLE[action].states;

/** Looks at the state of the key first, then performs the action. */
export const keyAction =
  (action: ActionName): KeyHandler =>
  (context, key) => {
    const state = stateAt(key, context.nowMs);
    if (state === 5) return refuse('KEY_DELETED_ERR', FAILED[action]);
    if (key.extractable) return refuse('KEY_ROOT_REQ_ERR', FAILED[action]);
    if (!statesOf(action, context.naming.service).includes(state)) {
      return refuse('KEY_ACTION_INVALID_STATE_ERR', FAILED[action]);
    }
    return TABLE[action].perform({ ...context, key });
  };
