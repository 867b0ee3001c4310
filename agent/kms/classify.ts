/**
 * What an answer of the key service or of the token service means. Decided by HTTP status and reason code only: the
 * wording of `errorMsg` changes between releases, and gateways in between answer with HTML or plain text.
 *
 * Sources: IBM Cloud documentation, Key Protect "Error messages", "Why can't I authenticate", "Key states"; the error
 * body of the Key Protect API.
 */
import type { KeyState, KmsRefusal } from './backend.ts';
import { parseRetryAfter } from './retry.ts';

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** First reason of an error body, as far as it is well-formed. */
export interface ErrorReason {
  readonly code: string | null;
  /** `target.name`: the field the service complains about. */
  readonly field: string | null;
}

type Verdict = 'notActive' | 'gone' | 'denied' | 'badCiphertext' | 'badConfiguration' | 'retryable';

/** Status, reason code (null: whatever it is), field (null: whatever it is). The first matching row decides. */
export type RefusalRow = readonly [status: number, code: string | null, field: string | null, verdict: Verdict];

/**
 * Every refusal the documentation names. The agent's own requests (metadata, wrap, unwrap, rewrap) can meet few of them;
 * the rest says what a proxy or a service that mixes things up would mean by them: 400 is a request that stays wrong, a
 * conflict that passes with time is worth asking again, a rule of the owner is a denial.
 */
export const refusalTable: readonly RefusalRow[] = [
  [400, 'BEARER_SUB_EXTRACTION_ERR', null, 'denied'],
  [400, 'INVALID_FIELD_ERR', 'ciphertext', 'badCiphertext'],
  [400, 'INVALID_FIELD_ERR', null, 'badConfiguration'],
  [400, 'KEY_ROOT_REQ_ERR', null, 'badConfiguration'],
  [400, 'KEY_EXPIRED_ERR', null, 'notActive'],
  [400, 'KEY_RESTORE_EXPIRED', null, 'gone'],
  [400, 'NO_BODY_ERR', null, 'badConfiguration'],
  [400, 'BAD_BODY_ERR', null, 'badConfiguration'],
  [400, 'COLLECTION_TOTAL_MISMATCH_ERR', null, 'badConfiguration'],
  [400, 'BODY_QUERY_PARAM_MISMATCH_ERR', null, 'badConfiguration'],
  [400, 'NUM_COLLECTION_RESOURCE_ERR', null, 'badConfiguration'],
  [400, 'INVALID_QUERY_PARAM_ERR', null, 'badConfiguration'],
  [400, 'KEY_SEARCH_TOO_BROAD', null, 'badConfiguration'],
  [400, 'KEY_PAYLOAD_REQ_ERR', null, 'badConfiguration'],
  [400, 'KEY_IMPT_REQ_ERR', null, 'badConfiguration'],
  [400, 'INCORRECT_NONCE_ERR', null, 'badConfiguration'],
  [400, 'INCORRECT_NONCE_IV_ERR', null, 'badConfiguration'],
  [401, null, null, 'denied'],
  [403, 'SERVICE_ONLY_ERR', null, 'denied'],
  [403, 'RESOURCE_OWNER_ERR', null, 'denied'],
  [403, 'FEATURE_RESTRICTED_ERR', null, 'denied'],
  [403, 'CONFIG_RULE_CONFLICT_ERR', null, 'denied'],
  [403, null, null, 'denied'],
  [404, 'KEY_NOT_FOUND_ERR', null, 'gone'],
  // A 404 of something in between: the service itself names the reason.
  [404, null, null, 'retryable'],
  [408, null, null, 'retryable'],
  [409, 'KEY_ACTION_INVALID_STATE_ERR', null, 'notActive'],
  [409, 'REQ_TOO_EARLY_ERR', null, 'retryable'],
  [409, 'KEY_ROTATION_NOT_PERMITTED', null, 'retryable'],
  [409, 'KEY_CREATE_IMPORT_ACCESS_ERR', null, 'denied'],
  [409, 'AUTHORIZATIONS_NOT_MET', null, 'denied'],
  [409, 'NOT_DUAL_AUTH_ERR', null, 'badConfiguration'],
  [409, 'PROTECTED_RESOURCE_ERR', null, 'denied'],
  [409, 'PREV_KEY_DEL_ERR', null, 'denied'],
  [409, 'IMPORT_TOKEN_EXPIRED_ERR', null, 'badConfiguration'],
  [410, 'KEY_DELETED_ERR', null, 'gone'],
  [410, null, null, 'gone'],
  [422, 'UNPROCESSABLE_CIPHERTEXT_ERR', null, 'badCiphertext'],
  [422, 'INVALID_SIG_EXP_ERR', null, 'badCiphertext'],
  [422, 'KEY_ROOT_REQ_REG_ERR', null, 'badConfiguration'],
  [422, 'KEY_VERSION_INVALID', null, 'retryable'],
  [422, 'KEY_INVALID_STATE_ERR', null, 'notActive'],
  [429, null, null, 'retryable'],
  [500, 'INCOMPLETE_METADATA_ERR', null, 'retryable'],
  [500, null, null, 'retryable'],
  [501, null, null, 'retryable'],
  [502, null, null, 'retryable'],
  [503, null, null, 'retryable'],
  [504, null, null, 'retryable'],
];

const CODE = /^[A-Z][A-Z0-9_]{2,63}$/;
const FIELD = /^[A-Za-z][A-Za-z0-9_.]{0,63}$/;

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

const firstOf = (value: unknown): unknown => (Array.isArray(value) ? value[0] : undefined);

const textMatching = (value: unknown, pattern: RegExp): string | null =>
  typeof value === 'string' && pattern.test(value) ? value : null;

/** JSON of `body`, or undefined when it is none: an HTML page of a gateway is no reason to fail differently. */
export const parseLenientJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
};

/** Reads `resources[0].reasons[0]`. Unknown shapes give nulls. */
export const errorReasonOf = (body: Uint8Array): ErrorReason => {
  const reason = firstOf(memberOf(firstOf(memberOf(parseLenientJson(body), 'resources')), 'reasons'));
  return {
    code: textMatching(memberOf(reason, 'code'), CODE),
    field: textMatching(memberOf(memberOf(reason, 'target'), 'name'), FIELD),
  };
};

const worded = (status: number, code: string | null): string =>
  `${code === 'KEY_ROOT_REQ_ERR' ? 'the CRN names a standard key, not a root key: ' : ''}` +
  `HTTP ${status}${code === null ? '' : ` ${code}`}`;

/**
 * Classifies an answer of the key service other than the success the operation expects. What the table does not name
 * is `retryable`: it never opens a volume, and never stops the boot before its time.
 */
export const classifyKms = (answer: ErrorAnswer): KmsRefusal => {
  const { code, field } = errorReasonOf(answer.body);
  const row = refusalTable.find(
    ([status, wanted, name]) =>
      status === answer.status && (wanted === null || wanted === code) && (name === null || name === field),
  );
  switch (row?.[3] ?? 'retryable') {
    case 'notActive':
      return { kind: 'notActive', state: code === 'KEY_EXPIRED_ERR' ? 'deactivated' : 'unknown' };
    case 'gone':
      return { kind: 'gone' };
    case 'denied':
      return { kind: 'denied', by: 'kms' };
    case 'badCiphertext':
      return { kind: 'badCiphertext' };
    case 'badConfiguration':
      return { kind: 'badConfiguration', reason: worded(answer.status, code) };
    case 'retryable':
      return { kind: 'retryable', reason: worded(answer.status, code), afterMs: parseRetryAfter(answer.headers) };
  }
};

const IAM_CODE = /^[A-Z]{2,8}\d{2,6}[EWI]$/;

/**
 * Classifies an answer of the token service other than 200 with a token. A wrong, deleted or locked API key is 400 with
 * an errorCode (BXNIM0415E and its kin); 400 without one comes from something in between.
 */
export const classifyIam = (answer: ErrorAnswer): KmsRefusal => {
  const code = textMatching(memberOf(parseLenientJson(answer.body), 'errorCode'), IAM_CODE);
  if (answer.status === 401 || answer.status === 403) return { kind: 'denied', by: 'iam' };
  if (answer.status === 400 && code !== null) return { kind: 'denied', by: 'iam' };
  return {
    kind: 'retryable',
    reason: `token service: ${worded(answer.status, code)}`,
    afterMs: parseRetryAfter(answer.headers),
  };
};

const STATES: ReadonlyMap<number, KeyState> = new Map([
  [0, 'preActivation'],
  [1, 'active'],
  [2, 'suspended'],
  [3, 'deactivated'],
  [5, 'destroyed'],
]);

/** Key state of its number (NIST SP 800-57 as Key Protect numbers it: there is no 4). */
export const keyStateOf = (number: unknown): KeyState =>
  (typeof number === 'number' ? STATES.get(number) : undefined) ?? 'unknown';

const wordState = (state: KeyState): string => (state === 'unknown' ? 'in a state that forbids it' : state);

/** The refusal in words, for journal lines and errors. Holds nothing the service sent but status and codes. */
export const describeRefusal = (refusal: KmsRefusal): string => {
  switch (refusal.kind) {
    case 'notActive':
      return `the root key is ${wordState(refusal.state)}`;
    case 'gone':
      return 'the root key does not exist, or is deleted';
    case 'denied':
      return refusal.by === 'iam' ? 'the token service refuses the API key' : 'the key service refuses access';
    case 'badCiphertext':
      return 'this root key did not wrap the stored seed';
    case 'badConfiguration':
    case 'retryable':
      return refusal.reason;
  }
};
