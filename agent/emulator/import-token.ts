/**
 * Import tokens: an RSA key pair and a nonce for bringing key material into the service without showing it on the way.
 * Sources: Key Protect API documentation, "Import tokens"; IBM Cloud documentation, Key Protect "Creating import
 * tokens"; IBM-Cloud/kms-samples, "secure-import" (the nonce is encrypted with the key material: AES-GCM, and AES-CBC for
 * Hyper Protect Crypto Services).
 */
import { constants, createDecipheriv, generateKeyPair, privateDecrypt } from 'node:crypto';
import { privateBuffer } from '../secret.ts';
import { dateOf } from './key-record.ts';
import { badField, type Refusal, refuse } from './refusals.ts';
import { type Members, readBase64, readBody } from './request-body.ts';
import { type Context, type Handler, result } from './result.ts';

interface ImportToken {
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly maxRetrievals: number;
  readonly remaining: number;
  /** PEM. */
  readonly publicKey: string;
  /** Sealed PEM. */
  readonly privateKey: string;
  /** Sealed. */
  readonly nonce: string;
}

const NOT_CREATED = 'Import Token could not be created';
const NOT_RETRIEVED = 'Import Token could not be retrieved';
const MODULUS_BITS = 2048;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NAME = 'current';

const makeKeyPair = (): Promise<{ readonly publicKey: string; readonly privateKey: string }> =>
  new Promise((resolve, reject) => {
    const options = {
      modulusLength: MODULUS_BITS,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    } as const;
    generateKeyPair('rsa', options, (error, publicKey, privateKey) => {
      if (error === null) resolve({ publicKey, privateKey });
      else reject(error);
    });
  });

const sealName = (context: Context, part: string): string => JSON.stringify([context.instance, part]);

const shown = (token: ImportToken): object => ({
  creationDate: dateOf(token.createdMs),
  expirationDate: dateOf(token.expiresMs),
  maxAllowedRetrievals: token.maxRetrievals,
  remainingRetrievals: token.remaining,
});

/** An instance has one import token: a new one replaces it. */
export const createImportToken: Handler = async (context) => {
  const request = readBody(NOT_CREATED, context.body, { expiration: 'whole', maxAllowedRetrievals: 'whole' }, false);
  if (request.kind === 'refusal') return request;
  const { expiration = 600, maxAllowedRetrievals = 1 } = request.members as Readonly<Record<string, number>>;
  if (expiration < 300 || expiration > 86_400) return badField(NOT_CREATED, 'expiration', '300 to 86400');
  if (maxAllowedRetrievals < 1 || maxAllowedRetrievals > 500) {
    return badField(NOT_CREATED, 'maxAllowedRetrievals', '1 to 500');
  }
  const { publicKey, privateKey } = await makeKeyPair();
  const nonce = context.entropy.bytes(NONCE_BYTES);
  const token: ImportToken = {
    createdMs: context.nowMs,
    expiresMs: context.nowMs + expiration * 1000,
    maxRetrievals: maxAllowedRetrievals,
    remaining: maxAllowedRetrievals,
    publicKey,
    privateKey: context.store.seal(sealName(context, 'private key'), Buffer.from(privateKey, 'latin1')),
    nonce: context.store.seal(sealName(context, 'nonce'), nonce),
  };
  nonce.fill(0);
  context.store.putDocuments(context.instance, 'import-token', new Map([[NAME, token]]));
  return result(200, JSON.stringify(shown(token)));
};

const currentToken = (context: Context): ImportToken | null =>
  (context.store.documents(context.instance, 'import-token').get(NAME) as ImportToken | undefined) ?? null;

export const getImportToken: Handler = (context) => {
  const token = currentToken(context);
  // The documentation names no other code; for a client that never made one the advice is the same.
  if (token === null || token.remaining < 1 || token.expiresMs <= context.nowMs) {
    return refuse('IMPORT_TOKEN_EXPIRED_ERR', NOT_RETRIEVED);
  }
  const fetched: ImportToken = { ...token, remaining: token.remaining - 1 };
  context.store.putDocuments(context.instance, 'import-token', new Map([[NAME, fetched]]));
  const nonce = context.store.unseal(sealName(context, 'nonce'), token.nonce);
  const answer = {
    ...shown(fetched),
    payload: Buffer.from(token.publicKey, 'latin1').toString('base64'),
    nonce: nonce.toString('base64'),
  };
  nonce.fill(0);
  return result(200, JSON.stringify(answer));
};

const decryptNonce = (material: Buffer, iv: Buffer, encrypted: Buffer): Buffer | null => {
  const bits = material.length * 8;
  try {
    if (iv.length === NONCE_BYTES) {
      const end = encrypted.length - TAG_BYTES;
      if (end < 0) return null;
      const name = `aes-${bits}-gcm` as 'aes-256-gcm';
      const decipher = createDecipheriv(name, material, iv, { authTagLength: TAG_BYTES });
      decipher.setAuthTag(encrypted.subarray(end));
      return Buffer.concat([decipher.update(encrypted.subarray(0, end)), decipher.final()]);
    }
    const decipher = createDecipheriv(`aes-${bits}-cbc`, material, iv);
    return Buffer.concat([decipher.update(encrypted), decipher.final()]);
  } catch {
    return null;
  }
};

const decryptPayload = (context: Context, token: ImportToken, hash: string, payload: Buffer): Buffer | null => {
  const key = context.store.unseal(sealName(context, 'private key'), token.privateKey);
  try {
    const opened = privateDecrypt(
      { key: key.toString('latin1'), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash },
      payload,
    );
    const material = privateBuffer(opened.length);
    material.set(opened);
    opened.fill(0);
    return material;
  } catch {
    return null;
  } finally {
    key.fill(0);
  }
};

export const isSecureImport = (members: Members): boolean =>
  members.encryptedNonce !== undefined || members.iv !== undefined || members.encryptionAlgorithm !== undefined;

/** Opens the encrypted payload of an import; the caller wipes the bytes. The size is for the caller to judge. */
export const openSecureImport = (
  context: Context,
  failed: string,
  members: Members,
): { readonly kind: 'bytes'; readonly bytes: Buffer } | Refusal => {
  const isHpcs = context.naming.service === 'hs-crypto';
  const algorithm = members.encryptionAlgorithm ?? 'RSAES_OAEP_SHA_256';
  const hash =
    algorithm === 'RSAES_OAEP_SHA_256' ? 'sha256' : algorithm === 'RSAES_OAEP_SHA_1' && isHpcs ? 'sha1' : null;
  if (hash === null) return badField(failed, 'encryptionAlgorithm', 'RSAES_OAEP_SHA_256');
  const payload = readBase64(failed, 'payload', members.payload);
  if (payload.kind === 'refusal') return payload;
  const encrypted = readBase64(failed, 'encryptedNonce', members.encryptedNonce);
  if (encrypted.kind === 'refusal') return encrypted;
  const iv = readBase64(failed, 'iv', members.iv);
  if (iv.kind === 'refusal') return iv;
  if (iv.bytes.length !== NONCE_BYTES && !(isHpcs && iv.bytes.length === 16)) return badField(failed, 'iv', '12 bytes');
  const token = currentToken(context);
  if (token === null || token.expiresMs <= context.nowMs) return refuse('IMPORT_TOKEN_EXPIRED_ERR', failed);
  const material = decryptPayload(context, token, hash, payload.bytes);
  if (material === null || ![16, 24, 32].includes(material.length)) {
    material?.fill(0);
    return badField(
      failed,
      'payload',
      'it is not 16, 24 or 32 bytes encrypted with the public key of the import token',
    );
  }
  const nonce = context.store.unseal(sealName(context, 'nonce'), token.nonce);
  const opened = decryptNonce(material, iv.bytes, encrypted.bytes);
  const isRight = opened?.equals(nonce) === true;
  nonce.fill(0);
  if (isRight) return { kind: 'bytes', bytes: material };
  material.fill(0);
  return refuse(opened === null ? 'INCORRECT_NONCE_IV_ERR' : 'INCORRECT_NONCE_ERR', failed);
};
