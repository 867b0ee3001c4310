/**
 * Who may do what. Tokens are JSON Web Tokens (RFC 7519) with the claims the vendor's SDKs read, signed with a key of the
 * store, so that they stay valid over a restart of the service.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Refusal, refuse, unauthorized } from './refusals.ts';
import { type Done, result } from './result.ts';
import type { Store } from './store.ts';

/** IBM Cloud documentation, Key Protect "Managing user access": each of these includes the ones before it. */
const RANKS = ['Reader', 'ReaderPlus', 'Writer', 'Manager'] as const;

/**
 * `KeyPurge` stands beside them and is never included. `Service` is a cloud service that acts for the account
 * (service-to-service authorization): it reads and wraps like a Reader and registers what a key protects.
 */
export const ROLES = [...RANKS, 'KeyPurge', 'Service'] as const;
export type Role = (typeof ROLES)[number];

const rankOf = (role: Role): number => (role === 'Service' ? 0 : (RANKS as readonly Role[]).indexOf(role));

export const mayPerform = (held: readonly Role[], needed: Role): boolean =>
  held.includes(needed) ||
  (rankOf(needed) >= 0 && held.some((role) => role !== 'KeyPurge' && rankOf(role) >= rankOf(needed)));

/** Reads `Manager` or `Manager+KeyPurge`; null for anything else. */
export const parseRoles = (text: string): readonly Role[] | null => {
  const names = text.split('+');
  const roles = ROLES.filter((role) => names.includes(role));
  return roles.length === names.length && roles.length > 0 ? roles : null;
};

const LIFETIME_SECONDS = 3600;
const ISSUER = 'https://iam.cloud.ibm.com/identity';

const encode = (value: object): string => Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
const signatureOf = (store: Store, signed: string): Buffer =>
  createHmac('sha256', store.tokenKey).update(signed, 'utf8').digest();

const makeToken = (store: Store, iamId: string, issuedAt: number, id: string): string => {
  const claims = {
    iam_id: iamId,
    id: iamId,
    realmid: 'iam',
    jti: id,
    sub: iamId.replace(/^iam-/, ''),
    sub_type: 'ServiceId',
    account: { valid: true, bss: '0'.repeat(32) },
    iat: issuedAt,
    exp: issuedAt + LIFETIME_SECONDS,
    iss: ISSUER,
    grant_type: 'urn:ibm:params:oauth:grant-type:apikey',
    scope: 'ibm openid',
    client_id: 'default',
  };
  const signed = `${encode({ kid: 'triseed', alg: 'HS256' })}.${encode(claims)}`;
  return `${signed}.${signatureOf(store, signed).toString('base64url')}`;
};

const iamError = (status: number, code: string, message: string, requestId: string): Done =>
  result(
    status,
    JSON.stringify({
      errorCode: code,
      errorMessage: message,
      context: { requestId, requestType: 'incoming.Identity_Token', url: 'https://iam.cloud.ibm.com', locale: 'en_US' },
    }),
    { 'transaction-id': requestId },
  );

/** POST /identity/token: IBM Cloud documentation, "Generating an IBM Cloud IAM token by using an API key". */
export const tokenAnswer = (store: Store, form: string, nowMs: number, requestId: string): Done => {
  const fields = new URLSearchParams(form);
  const responseType = fields.get('response_type');
  if (responseType !== null && responseType !== 'cloud_iam') {
    const message = "Validation of property 'response_type' failed. Valid values: 'cloud_iam'";
    return iamError(400, 'BXNIM0106E', message, requestId);
  }
  if (fields.get('grant_type') !== 'urn:ibm:params:oauth:grant-type:apikey') {
    return iamError(400, 'BXNIM0106E', "Validation of property 'grant_type' failed", requestId);
  }
  const iamId = store.identityOf(Buffer.from(fields.get('apikey') ?? '', 'utf8'));
  if (iamId === null) return iamError(400, 'BXNIM0415E', 'Provided API key could not be found.', requestId);
  const issuedAt = Math.floor(nowMs / 1000);
  return result(
    200,
    JSON.stringify({
      access_token: makeToken(store, iamId, issuedAt, requestId),
      refresh_token: 'not_supported',
      token_type: 'Bearer',
      expires_in: LIFETIME_SECONDS,
      expiration: issuedAt + LIFETIME_SECONDS,
      scope: 'ibm openid',
    }),
    { 'transaction-id': requestId },
  );
};

const FAILED = 'The request could not be served';

/** The claims of a token that nobody has checked yet; null when it names no subject. */
const claimsOf = (segment: string): { readonly exp: unknown; readonly iam_id: unknown } | null => {
  try {
    const claims = JSON.parse(Buffer.from(segment, 'base64url').toString('utf8')) as {
      readonly sub?: unknown;
      readonly exp: unknown;
      readonly iam_id: unknown;
    } | null;
    return typeof claims?.sub === 'string' ? claims : null;
  } catch {
    return null;
  }
};

/**
 * The IAM id behind an Authorization header. A header whose subject cannot be read is told so; a token that is forged,
 * has ended, or whose API key is gone gets the answer of missing rights.
 */
export const callerOf = (store: Store, authorization: string | undefined, nowMs: number): string | Refusal => {
  if (authorization === undefined) return unauthorized();
  const [, header = '', segment = '', signature = ''] =
    /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(authorization) ?? [];
  const claims = claimsOf(segment);
  if (claims === null) return refuse('BEARER_SUB_EXTRACTION_ERR', FAILED);
  const given = Buffer.from(signature, 'base64url');
  const wanted = signatureOf(store, `${header}.${segment}`);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return unauthorized();
  const { exp, iam_id: iamId } = claims;
  if (typeof exp !== 'number' || exp * 1000 <= nowMs || typeof iamId !== 'string') return unauthorized();
  return store.knows(iamId) ? iamId : unauthorized();
};
