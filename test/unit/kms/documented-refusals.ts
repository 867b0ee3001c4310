/**
 * Every refusal that the documentation of the key service and of the token service names: the situation, status and
 * reason code, and what they mean to the agent. Sources: IBM Cloud documentation, Key Protect "Error messages", "Key
 * states", "Why can't I authenticate", "Initialization issues"; errors of the published SDKs.
 */
import type { KmsRefusal } from '../../../agent/kms/backend.ts';

export interface DocumentedRefusal {
  readonly situation: string;
  readonly status: number;
  /** Null when the answer carries no reason. */
  readonly code: string | null;
  /** The field, header or parameter that is named. */
  readonly field?: string;
  readonly means: KmsRefusal['kind'];
}

const row = (
  situation: string,
  status: number,
  code: string | null,
  means: KmsRefusal['kind'],
  field?: string,
): DocumentedRefusal => ({ situation, status, code, means, ...(field === undefined ? {} : { field }) });

export const keyServiceRefusals: readonly DocumentedRefusal[] = [
  row('no token, an expired or an invalid one', 401, null, 'denied'),
  row('no role, another instance, or a network rule', 401, null, 'denied'),
  row('a bearer without a subject', 400, 'BEARER_SUB_EXTRACTION_ERR', 'denied'),
  row('an action of services only', 403, 'SERVICE_ONLY_ERR', 'denied'),
  row('a resource of somebody else', 403, 'RESOURCE_OWNER_ERR', 'denied'),
  row('a feature that is off', 403, 'FEATURE_RESTRICTED_ERR', 'denied'),
  row('a configuration rule forbids it', 403, 'CONFIG_RULE_CONFLICT_ERR', 'denied'),
  row('an unknown or purged key or alias', 404, 'KEY_NOT_FOUND_ERR', 'gone'),
  row('an action on a suspended key', 409, 'KEY_ACTION_INVALID_STATE_ERR', 'notActive'),
  row('wrap with an expired key', 409, 'KEY_ACTION_INVALID_STATE_ERR', 'notActive'),
  row('restore or purge of a key that is not deleted', 409, 'KEY_ACTION_INVALID_STATE_ERR', 'notActive'),
  row('enable of an expired key', 409, 'KEY_ACTION_INVALID_STATE_ERR', 'notActive'),
  row('any action on a deleted key', 410, 'KEY_DELETED_ERR', 'gone'),
  row('restore after 30 days', 400, 'KEY_RESTORE_EXPIRED', 'gone'),
  row('restore of an expired key', 400, 'KEY_EXPIRED_ERR', 'notActive'),
  row('enable or restore within 30 s, purge within 4 h, sync within 1 h', 409, 'REQ_TOO_EARLY_ERR', 'retryable'),
  row('a second rotation within the hour', 409, 'KEY_ROTATION_NOT_PERMITTED', 'retryable'),
  row('an action of root keys on a standard key', 400, 'KEY_ROOT_REQ_ERR', 'badConfiguration'),
  row('a registration of a standard key', 422, 'KEY_ROOT_REQ_REG_ERR', 'badConfiguration'),
  row('a ciphertext that is no base64', 400, 'INVALID_FIELD_ERR', 'badCiphertext', 'ciphertext'),
  row('a plaintext that is no base64', 400, 'INVALID_FIELD_ERR', 'badConfiguration', 'plaintext'),
  row('a field that is not valid', 400, 'INVALID_FIELD_ERR', 'badConfiguration'),
  row('a ciphertext of another key, tampered, or other AAD', 422, 'UNPROCESSABLE_CIPHERTEXT_ERR', 'badCiphertext'),
  row('rewrap: the inner signature', 422, 'INVALID_SIG_EXP_ERR', 'badCiphertext'),
  row('no body', 400, 'NO_BODY_ERR', 'badConfiguration'),
  row('a body that is not understood', 400, 'BAD_BODY_ERR', 'badConfiguration'),
  row('collectionTotal does not match', 400, 'COLLECTION_TOTAL_MISMATCH_ERR', 'badConfiguration'),
  row('policy and query do not match', 400, 'BODY_QUERY_PARAM_MISMATCH_ERR', 'badConfiguration'),
  row('more than one policy', 400, 'NUM_COLLECTION_RESOURCE_ERR', 'badConfiguration'),
  row('a bad query', 400, 'INVALID_QUERY_PARAM_ERR', 'badConfiguration', 'limit'),
  row('a payload for a generated key', 400, 'INVALID_QUERY_PARAM_ERR', 'badConfiguration', 'payload'),
  row('a search over more than 5000 keys', 400, 'KEY_SEARCH_TOO_BROAD', 'badConfiguration'),
  row('rotation of an imported key without new material', 400, 'KEY_PAYLOAD_REQ_ERR', 'badConfiguration'),
  row('restore of a generated key, in older releases', 400, 'KEY_IMPT_REQ_ERR', 'badConfiguration'),
  row('a policy forbids to create or import', 409, 'KEY_CREATE_IMPORT_ACCESS_ERR', 'denied'),
  row('an import token that has ended', 409, 'IMPORT_TOKEN_EXPIRED_ERR', 'badConfiguration'),
  row('import: a wrong nonce', 400, 'INCORRECT_NONCE_ERR', 'badConfiguration'),
  row('import: a wrong nonce or iv', 400, 'INCORRECT_NONCE_IV_ERR', 'badConfiguration'),
  row('deletion needs a second authorization', 409, 'AUTHORIZATIONS_NOT_MET', 'denied'),
  row('no second authorization is asked for', 409, 'NOT_DUAL_AUTH_ERR', 'badConfiguration'),
  row('deletion of a key with registrations', 409, 'PROTECTED_RESOURCE_ERR', 'denied'),
  row('deletion of a key under retention', 409, 'PREV_KEY_DEL_ERR', 'denied'),
  row('a registration with an old version', 422, 'KEY_VERSION_INVALID', 'retryable'),
  row('a registration of a key that is not active', 422, 'KEY_INVALID_STATE_ERR', 'notActive'),
  row('metadata is damaged', 500, 'INCOMPLETE_METADATA_ERR', 'retryable'),
  row('too many requests', 429, null, 'retryable'),
  row('a request that took too long', 408, null, 'retryable'),
  row('the service is in trouble', 500, null, 'retryable'),
  row('the service cannot do this', 501, null, 'retryable'),
  row('a gateway without the service', 502, null, 'retryable'),
  row('crypto units are not initialized', 503, null, 'retryable'),
  row('a gateway that waited in vain', 504, null, 'retryable'),
];

/** `code` is the member errorCode. */
export const tokenServiceRefusals: readonly DocumentedRefusal[] = [
  row('an unknown, deleted or locked API key', 400, 'BXNIM0415E', 'denied'),
  row('a bad response_type', 400, 'BXNIM0106E', 'denied'),
  row('a refresh token that has ended', 400, 'BXNIM0407E', 'denied'),
  row('no authorization header', 401, 'BXNIM0308E', 'denied'),
  row('too many requests', 429, null, 'retryable'),
  row('the service is in trouble', 500, null, 'retryable'),
  row('a gateway without the service', 502, null, 'retryable'),
  row('the service is not there', 503, null, 'retryable'),
];

/** The error body of the key API. */
export const keyServiceBody = ({ status, code, field }: DocumentedRefusal): string =>
  JSON.stringify({
    metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
    resources: [
      {
        errorMsg: `Wording that changes between releases (${code})`,
        ...(code === null
          ? {}
          : {
              reasons: [
                { code, message: 'words', status, ...(field ? { target: { type: 'field', name: field } } : {}) },
              ],
            }),
      },
    ],
  });

export const tokenServiceBody = ({ code }: DocumentedRefusal): string =>
  code === null ? '' : JSON.stringify({ errorCode: code, errorMessage: 'words', context: {} });
