/**
 * Error bodies as Key Protect words them. Source: IBM Cloud documentation, Key Protect "Error messages", and the error
 * model of the API documentation. Clients must look at status and code only; the texts are for people.
 */

export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly body: string;
}

export interface Target {
  readonly type: 'field' | 'query_param' | 'header';
  readonly name: string;
}

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  409: 'Conflict',
  410: 'Gone',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
};

const bodyOf = (resource: object): string =>
  JSON.stringify({
    metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
    resources: [resource],
  });

/** An error with a reason code. `failed` is the verb phrase, such as "Wrap with key could not be performed". */
export const refusal = (
  status: number,
  failed: string,
  code: string,
  message: string,
  target: Target | null = null,
): Refusal => ({
  kind: 'refusal',
  status,
  body: bodyOf({
    errorMsg: `${PHRASES[status] ?? 'Error'}: ${failed}: Please see \`reasons\` for more details (${code})`,
    reasons: [
      {
        code,
        message,
        status,
        moreInfo: 'https://cloud.ibm.com/apidocs/key-protect',
        ...(target === null ? {} : { target }),
      },
    ],
  }),
});

/** Bad token, wrong instance and missing rights look the same, and carry no reasons. */
export const unauthorized = (): Refusal => ({
  kind: 'refusal',
  status: 401,
  body: bodyOf({ errorMsg: 'Unauthorized: The user does not have access to the specified resource' }),
});

export const keyNotFound = (failed: string): Refusal => refusal(404, failed, 'KEY_NOT_FOUND_ERR', 'key does not exist');

export const keyDeleted = (failed: string): Refusal =>
  refusal(410, failed, 'KEY_DELETED_ERR', 'Key has already been deleted: Please delete references to this key');

export const invalidState = (failed: string): Refusal =>
  refusal(409, failed, 'KEY_ACTION_INVALID_STATE_ERR', 'Key is not in a valid state');

export const tooEarly = (failed: string, wait: string): Refusal =>
  refusal(409, failed, 'REQ_TOO_EARLY_ERR', `The key was updated recently: Please wait and try again: ${wait}`);

export const badBody = (failed: string, detail: string): Refusal =>
  refusal(400, failed, 'BAD_BODY_ERR', `The body could not be read: ${detail}`);

export const noBody = (failed: string): Refusal =>
  refusal(400, failed, 'NO_BODY_ERR', 'A body is required for this request');

export const badField = (failed: string, name: string, detail: string): Refusal =>
  refusal(400, failed, 'INVALID_FIELD_ERR', `The field \`${name}\` is not valid: ${detail}`, { type: 'field', name });

export const notBuilt = (what: string): Refusal =>
  refusal(501, 'The request could not be served', 'NOT_BUILT_ERR', `the local key service has no ${what}`);
