/**
 * Who may do what. Tokens are JSON Web Tokens (RFC 7519) with the claims the vendor's SDKs read, signed with a key of the
 * store, so that they stay valid over a restart of the service.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Result } from './key-record.ts';
import { result } from './key-record.ts';
import type { Grant, Store } from './store.ts';

/** IBM Cloud documentation, Key Protect "Managing user access": each role includes the ones before it. */
export const ROLES = ['Reader', 'ReaderPlus', 'Writer', 'Manager'] as const;
export type Role = (typeof ROLES)[number];

export const includesRole = (held: Role, needed: Role): boolean => ROLES.indexOf(held) >= ROLES.indexOf(needed);

const LIFETIME_SECONDS = 3600;
const ISSUER = 'https://iam.cloud.ibm.com/identity';

const encode = (value: object): string => Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
const signatureOf = (store: Store, signed: string): Buffer =>
  createHmac('sha256', store.tokenKey).update(signed, 'utf8').digest();

const makeToken = (store: Store, grant: Grant, issuedAt: number, id: string): string => {
  const claims = {
    iam_id: grant.iamId,
    id: grant.iamId,
    realmid: 'iam',
    jti: id,
    sub: grant.iamId.replace(/^iam-/, ''),
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

const iamError = (status: number, code: string, message: string, requestId: string): Result =>
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
export const tokenAnswer = (store: Store, form: string, nowMs: number, requestId: string): Result => {
  const fields = new URLSearchParams(form);
  const responseType = fields.get('response_type');
  if (responseType !== null && responseType !== 'cloud_iam') {
    const message = `Validation of property 'response_type' with value '${responseType}' failed. Valid values: 'cloud_iam'`;
    return iamError(400, 'BXNIM0106E', message, requestId);
  }
  if (fields.get('grant_type') !== 'urn:ibm:params:oauth:grant-type:apikey') {
    return iamError(400, 'BXNIM0106E', "Validation of property 'grant_type' failed", requestId);
  }
  const grant = store.grantOf(Buffer.from(fields.get('apikey') ?? '', 'utf8'));
  if (grant === null) return iamError(400, 'BXNIM0415E', 'Provided API key could not be found.', requestId);
  const issuedAt = Math.floor(nowMs / 1000);
  return result(
    200,
    JSON.stringify({
      access_token: makeToken(store, grant, issuedAt, requestId),
      refresh_token: 'not_supported',
      token_type: 'Bearer',
      expires_in: LIFETIME_SECONDS,
      expiration: issuedAt + LIFETIME_SECONDS,
      scope: 'ibm openid',
    }),
    { 'transaction-id': requestId },
  );
};

/** The grant behind an Authorization header; null when the token is forged, ended, or its API key is gone. */
export const grantOfHeader = (store: Store, authorization: string | undefined, nowMs: number): Grant | null => {
  const [, header, claims, signature] = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(authorization ?? '') ?? [];
  if (header === undefined || claims === undefined || signature === undefined) return null;
  const given = Buffer.from(signature, 'base64url');
  const wanted = signatureOf(store, `${header}.${claims}`);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return null;
  const { exp, iam_id: iamId } = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as {
    readonly exp: number;
    readonly iam_id: string;
  };
  return exp * 1000 > nowMs ? store.grantWithId(iamId) : null;
};
