/**
 * Reason codes of the API with their HTTP status and message, as data. Source: IBM Cloud documentation, Key Protect
 * "Error messages"; the codes after the blank line are known from the acceptance tests of IBM's Terraform provider, or,
 * where marked, from nowhere: the documentation names no code for their situation.
 */

const API = 'https://cloud.ibm.com/apidocs/key-protect';

export const REASONS = {
  AUTHORIZATIONS_NOT_MET: [409, 'Number of authorizations required to delete is not met'],
  BAD_BODY_ERR: [
    400,
    'Invalid body data was passed: Please ensure the data passed had valid formatting with no invalid characters',
  ],
  BEARER_SUB_EXTRACTION_ERR: [
    400,
    'Extracting the subject from the bearer token failed: Make sure the bearer token passed is the correct one (and ' +
      'correct format) and is allowed to perform requested actions',
  ],
  BODY_QUERY_PARAM_MISMATCH_ERR: [400, 'Data in body does not match data required by query parameter'],
  COLLECTION_TOTAL_MISMATCH_ERR: [400, 'Collection total does not match number of resources'],
  CONFIG_RULE_CONFLICT_ERR: [403, 'Requested change is not compliant with configuration rules'],
  FEATURE_RESTRICTED_ERR: [
    403,
    'This action is not permitted on this resource: Please contact IBM Key Protect or open a service ticket to enable ' +
      'this feature',
  ],
  IMPORT_TOKEN_EXPIRED_ERR: [409, 'The import token has expired'],
  INCOMPLETE_METADATA_ERR: [500, 'Key metadata became corrupted: Please delete this key'],
  INCORRECT_NONCE_ERR: [
    400,
    'The encrypted nonce given does not match existing record: Please ensure the correct nonce was given in the request',
  ],
  INCORRECT_NONCE_IV_ERR: [
    400,
    'The provided encrypted nonce was not encrypted with the key material given OR the provided IV does not match the ' +
      'encrypted nonce',
  ],
  INVALID_FIELD_ERR: [400, 'The field is not valid'],
  INVALID_QUERY_PARAM_ERR: [400, 'The query parameter is not valid'],
  INVALID_SIG_EXP_ERR: [422, 'Signature is invalid'],
  KEY_ACTION_INVALID_STATE_ERR: [409, 'Key is not in a valid state'],
  KEY_CREATE_IMPORT_ACCESS_ERR: [409, 'KeyCreateImportAccess instance policy does not allow this action'],
  KEY_DELETED_ERR: [410, 'Key has already been deleted: Please delete references to this key'],
  KEY_EXPIRED_ERR: [400, 'The action could not be performed on the key because the key is expired'],
  KEY_IMPT_REQ_ERR: [400, 'Only imported keys can be restored'],
  KEY_INVALID_STATE_ERR: [422, 'Key is not in a valid state'],
  KEY_NOT_FOUND_ERR: [404, 'key does not exist'],
  KEY_PAYLOAD_REQ_ERR: [
    400,
    "This root key was created with user-supplied key material: Key material is required to perform a 'rotate' action",
  ],
  KEY_RESTORE_EXPIRED: [400, 'Key restoration has expired'],
  KEY_ROOT_REQ_ERR: [400, 'Requested action can only be completed with a root key'],
  KEY_ROOT_REQ_REG_ERR: [422, 'Requested action can only be completed with a root key'],
  KEY_ROTATION_NOT_PERMITTED: [
    409,
    "This root key has been rotated within the last hour: Only one 'rotate' action per hour is permitted",
  ],
  KEY_SEARCH_TOO_BROAD: [
    400,
    'The search covers more than 5000 keys: Please narrow it with state, extractable or filter',
  ],
  KEY_VERSION_INVALID: [
    422,
    'This request requires that the key version is later than current registration key version',
  ],
  NO_BODY_ERR: [400, 'Missing body in request'],
  NOT_DUAL_AUTH_ERR: [409, 'The key is not dual auth enabled and cannot be set for deletion'],
  NUM_COLLECTION_RESOURCE_ERR: [
    400,
    'Only a single instance policy can be created per query parameter: Please pass single resource object',
  ],
  PREV_KEY_DEL_ERR: [
    409,
    "The key cannot be deleted because it's protecting a cloud resource that has a retention policy: Before you delete " +
      'this key, contact an account owner to remove the retention policy on each resource that is associated with the key',
  ],
  PROTECTED_RESOURCE_ERR: [409, 'Key is protecting one or more cloud resources'],
  REQ_TOO_EARLY_ERR: [409, 'The key was updated recently: Please wait and try again'],
  RESOURCE_OWNER_ERR: [403, 'The resource(s) queried does not belong to the service'],
  SERVICE_ONLY_ERR: [403, 'This action can only be done by a service (service to service)'],
  UNPROCESSABLE_CIPHERTEXT_ERR: [422, 'The provided ciphertext is invalid or corrupted'],

  KEY_ALIAS_NOT_UNIQUE_ERR: [409, 'One or more aliases are already in use'],
  KEY_ALIAS_QUOTA_ERR: [409, 'The number of aliases exceeds the quota'],
  KEY_RING_NOT_EMPTY_ERR: [409, 'The key ring is not empty'],
  KEY_RING_NOT_FOUND_ERR: [404, 'The key ring does not exist'],
  /** Ours. */
  KEY_ALIAS_NOT_FOUND_ERR: [404, 'The alias does not exist'],
  /** Ours. */
  KEY_RING_NOT_UNIQUE_ERR: [409, 'The key ring is already in use'],
  /** Ours. */
  KEY_RING_QUOTA_ERR: [409, 'The number of key rings exceeds the quota'],
  /** Ours. */
  REGISTRATION_NOT_FOUND_ERR: [404, 'The registration does not exist'],
  /** Ours. */
  NOT_BUILT_ERR: [501, 'The local key service has no such part'],
} as const satisfies Readonly<Record<string, readonly [status: number, message: string]>>;

export type ReasonCode = keyof typeof REASONS;

export const isReasonCode = (code: string): code is ReasonCode => Object.hasOwn(REASONS, code);

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/** `reasonType` of an audit event, and the start of every `errorMsg`. */
export const phraseOf = (status: number): string => PHRASES[status] ?? (status < 400 ? 'OK' : 'Error');

export interface Target {
  readonly type: 'field' | 'query_param' | 'header';
  readonly name: string;
}

const bodyOf = (resource: object): string =>
  JSON.stringify({
    metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
    resources: [resource],
  });

/** An error body with one reason. `failed` is the verb phrase, such as "Wrap with key could not be performed". */
export const reasonBody = (
  status: number,
  failed: string,
  code: string,
  message: string,
  target: Target | null = null,
): string =>
  bodyOf({
    errorMsg: `${phraseOf(status)}: ${failed}: Please see \`reasons\` for more details (${code})`,
    reasons: [{ code, message, status, moreInfo: API, ...(target === null ? {} : { target }) }],
  });

/** An error body without reasons. */
export const bareBody = (status: number, text: string): string => bodyOf({ errorMsg: `${phraseOf(status)}: ${text}` });
