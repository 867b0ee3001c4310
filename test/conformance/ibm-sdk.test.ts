/**
 * IBM's published Node SDK drives the local key service through every operation it has: `@ibm-cloud/ibm-key-protect` over the
 * newest `ibm-cloud-sdk-core`, whose token manager, requests and errors are the ones of all IBM SDKs for Node.
 */
import { createCipheriv, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import t from 'tap';
import { serve } from './key-service.ts';

t.setTimeout(120_000);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's own types say little more
  readonly result: any;
}
type Operation = (params: Readonly<Record<string, unknown>>) => Promise<Answer>;
interface Authenticator {
  readonly authenticate: (options: object) => Promise<void>;
}
interface SdkCore {
  readonly IamAuthenticator: new (options: { readonly apikey: string; readonly url: string }) => Authenticator;
}

const require = createRequire(import.meta.url);
const KeyProtect = require('@ibm-cloud/ibm-key-protect/ibm-key-protect-api/v2') as new (options: {
  readonly authenticator: Authenticator;
  readonly serviceUrl: string;
}) => Readonly<Record<string, Operation>>;
const core = require('ibm-cloud-sdk-core') as SdkCore;

/** Every method that its API class adds to the base class. */
const operations = Object.getOwnPropertyNames(KeyProtect.prototype).filter((name) => name !== 'constructor');

const KEY = 'application/vnd.ibm.kms.key+json';
const SEED = Buffer.alloc(32, 7).toString('base64');
const collection = (resources: readonly object[], collectionType = KEY): object => ({
  metadata: { collectionType, collectionTotal: resources.length },
  resources,
});

const setUp = async (t: { testdir(): string; teardown(work: () => unknown): void }) => {
  const folder = t.testdir();
  const second = `${folder}/second`;
  const served = await serve([
    '--api-key-file',
    `${folder}/api-key`,
    '--instance',
    'sdk',
    '--grant',
    `sdk,Manager,${second}`,
  ]);
  t.teardown(() => served.stop('SIGKILL'));
  const used = new Set<string>();
  const signedIn: (() => void)[] = [];
  const clientOf = (file: string) => {
    const apikey = readFileSync(file, 'utf8').trim();
    const signIn = () =>
      new KeyProtect({ authenticator: new core.IamAuthenticator({ apikey, url: served.url }), serviceUrl: served.url });
    let sdk = signIn();
    signedIn.push(() => {
      sdk = signIn();
    });
    return async (name: string, params: Readonly<Record<string, unknown>> = {}): Promise<Answer> => {
      used.add(name);
      const operation = sdk[name];
      if (operation === undefined) throw new TypeError(name);
      return operation.call(sdk, { bluemixInstance: served.instance, ...params });
    };
  };
  const call = clientOf(`${folder}/api-key`);
  return {
    used,
    call,
    asSecond: clientOf(second),
    createKey: async (members: object = {}): Promise<string> => {
      const resource = { type: KEY, name: 'sdk', extractable: false, ...members };
      return (await call('createKey', { body: collection([resource]) })).result.resources[0].id;
    },
    /** The SDK keeps its token by the clock of this process, so it has to fetch a new one when the service's is moved. */
    advance: async (seconds: number): Promise<void> => {
      await fetch(`${served.url}/__triseed/clock`, {
        method: 'POST',
        body: JSON.stringify({ advanceSeconds: seconds }),
      });
      for (const signInAgain of signedIn) signInAgain();
    },
    fault: (effect: object) =>
      fetch(`${served.url}/__triseed/faults`, {
        method: 'POST',
        body: JSON.stringify({ faults: [{ operation: 'any', count: 1, effect }] }),
      }),
  };
};

/** Status and reason code of a call that must fail; the SDK keeps the body as a text. */
const failureOf = async (
  call: Promise<unknown>,
): Promise<{ readonly status: number; readonly code: string | null }> => {
  try {
    await call;
  } catch (error) {
    const { status, body, result } = error as { status: number; body?: unknown; result?: unknown };
    const answer = typeof body === 'string' ? JSON.parse(body) : (result ?? body);
    return { status, code: answer?.resources?.[0]?.reasons?.[0]?.code ?? answer?.errorCode ?? null };
  }
  throw new Error('the call succeeded');
};

t.test('every operation', async (t) => {
  const { used, call, asSecond, createKey, advance } = await setUp(t);

  const id = await createKey({ aliases: ['first'], description: 'a root key', tags: ['sdk'] });
  t.match(await call('getKeyMetadata', { id: 'first' }), { status: 200, result: { resources: [{ id, state: 1 }] } });
  t.match(await call('getKey', { id }), {
    result: { resources: [{ id, payload: undefined, keyRingID: 'default' }] },
  });
  const standard = await createKey({ extractable: true, payload: SEED });
  t.match(await call('getKey', { id: standard }), { result: { resources: [{ payload: SEED, imported: true }] } });
  t.match(await call('getKeys', { limit: 1, offset: 1, state: [1, 2], extractable: true }), {
    result: { metadata: { collectionTotal: 0 } },
  });
  t.match(await call('getKeys', { extractable: true }), { result: { resources: [{ id: standard }] } });
  t.equal((await call('getKeyCollectionMetadata', { state: [1] })).headers['key-total'], '2');

  const made = (await call('wrapKey', { id, keyActionWrapBody: {} })).result;
  t.equal(Buffer.from(made.plaintext, 'base64').length, 32);
  const wrapped = (await call('wrapKey', { id, keyActionWrapBody: { plaintext: SEED, aad: ['a', 'b'] } })).result;
  t.equal(wrapped.plaintext, undefined);
  const body = { ciphertext: wrapped.ciphertext, aad: ['a', 'b'] };
  t.same((await call('unwrapKey', { id, keyActionUnwrapBody: body })).result, {
    plaintext: SEED,
    keyVersion: { id },
  });
  t.equal((await call('rotateKey', { id, keyActionRotateBody: {} })).status, 204);
  const unwrapped = (await call('unwrapKey', { id, keyActionUnwrapBody: body })).result;
  t.match(unwrapped, { plaintext: SEED, keyVersion: { id }, ciphertext: /^eyJ/, rewrappedKeyVersion: { id: /-/ } });
  const rewrapped = (await call('rewrapKey', { id, keyActionRewrapBody: body })).result;
  t.match(rewrapped, { keyVersion: { id }, rewrappedKeyVersion: unwrapped.rewrappedKeyVersion });
  t.notOk('plaintext' in rewrapped);
  const versions = (await call('getKeyVersions', { id, limit: 5 })).result.resources;
  t.same(
    versions.map((version: { id: string }) => version.id),
    [unwrapped.rewrappedKeyVersion.id, id],
  );

  t.equal((await call('disableKey', { id })).status, 204);
  await advance(31);
  t.equal((await call('enableKey', { id })).status, 204);
  await advance(3600);
  t.equal((await call('syncAssociatedResources', { id })).status, 204);

  t.match(await call('createKeyAlias', { id, alias: 'payroll' }), {
    status: 201,
    result: { resources: [{ keyId: id, alias: 'payroll' }] },
  });
  t.equal((await call('deleteKeyAlias', { id, alias: 'payroll' })).status, 204);

  t.equal((await call('createKeyRing', { keyRingId: 'ring' })).status, 201);
  t.match(await call('listKeyRings'), { result: { resources: [{ id: 'default' }, { id: 'ring' }] } });
  const inRing = collection([{ type: KEY, name: 'in ring', extractable: false }]);
  t.match(await call('createKey', { body: inRing, xKmsKeyRing: 'ring', prefer: 'return=representation' }), {
    result: { resources: [{ keyRingID: 'ring' }] },
  });
  t.match(await call('getKeys', { xKmsKeyRing: 'ring' }), { result: { metadata: { collectionTotal: 1 } } });
  t.equal((await call('createKeyRing', { keyRingId: 'empty' })).status, 201);
  t.equal((await call('deleteKeyRing', { keyRingId: 'empty' })).status, 204);

  const policy = 'application/vnd.ibm.kms.policy+json';
  const rotation = collection([{ type: policy, rotation: { interval_month: 3 } }], policy);
  const set = await call('putPolicy', { id, policy: 'rotation', setKeyPoliciesOneOf: rotation });
  t.match(set, { status: 200, result: { resources: [{ id: /-/, rotation: { interval_month: 3 } }] } });
  t.match(await call('getPolicy', { id }), { result: { resources: [{ rotation: { enabled: true } }] } });
  const network = {
    policy_type: 'allowedNetwork',
    policy_data: { enabled: true, attributes: { allowed_network: 'public-and-private' } },
  };
  const local = {
    policy_type: 'allowedIP',
    policy_data: { enabled: true, attributes: { allowed_ip: ['127.0.0.0/8', '::1'] } },
  };
  for (const one of [network, local]) {
    const setInstancePoliciesOneOf = collection([one], policy);
    t.equal((await call('putInstancePolicy', { policy: one.policy_type, setInstancePoliciesOneOf })).status, 204);
  }
  t.match(await call('getInstancePolicy'), { result: { resources: [network, local] } });
  t.match(await call('getAllowedIpPort'), { result: { resources: [{ private_endpoint_port: Number }] } });

  const created = await call('postImportToken', { expiration: 900, maxAllowedRetrievals: 3 });
  t.match(created.result, {
    maxAllowedRetrievals: 3,
    remainingRetrievals: 3,
    creationDate: /Z$/,
    expirationDate: /Z$/,
  });
  const token = (await call('getImportToken')).result;
  t.equal(token.remainingRetrievals, 2);
  const material = randomBytes(32);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', material, iv);
  const nonce = Buffer.concat([cipher.update(Buffer.from(token.nonce, 'base64')), cipher.final(), cipher.getAuthTag()]);
  const publicKey = createPublicKey(Buffer.from(token.payload, 'base64').toString('latin1'));
  const imported = await createKey({
    payload: publicEncrypt({ key: publicKey, oaepHash: 'sha256' }, material).toString('base64'),
    encryptedNonce: nonce.toString('base64'),
    iv: iv.toString('base64'),
    encryptionAlgorithm: 'RSAES_OAEP_SHA_256',
  });
  const twin = await createKey({ payload: material.toString('base64') });
  const { ciphertext } = (await call('wrapKey', { id: imported, keyActionWrapBody: { plaintext: SEED } })).result;
  t.match(await call('unwrapKey', { id: twin, keyActionUnwrapBody: { ciphertext } }), {
    result: { plaintext: SEED },
  });

  t.match(await call('getRegistrations', { id, totalCount: true }), {
    result: { metadata: { totalCount: 0 }, resources: [] },
  });
  t.match(await call('getRegistrationsAllKeys', { limit: 10 }), { result: { metadata: { collectionTotal: 0 } } });

  const dual = collection([{ type: policy, dualAuthDelete: { enabled: true } }], policy);
  await call('putPolicy', { id: twin, policy: 'dualAuthDelete', setKeyPoliciesOneOf: dual });
  t.equal((await call('setKeyForDeletion', { id: twin })).status, 204);
  t.match(await call('getKeyMetadata', { id: twin }), {
    result: { resources: [{ dualAuthDelete: { keySetForDeletion: true } }] },
  });
  t.equal((await call('unsetKeyForDeletion', { id: twin })).status, 204);
  t.equal((await call('setKeyForDeletion', { id: twin })).status, 204);
  t.equal((await asSecond('deleteKey', { id: twin })).status, 204);
  const deleted = await call('deleteKey', { id, prefer: 'return=representation', force: true });
  t.match(deleted, { status: 200, result: { resources: [{ id, state: 5, deleted: true }] } });
  await advance(31);
  t.equal((await call('restoreKey', { id })).status, 201);
  t.match(await call('getKeyMetadata', { id }), { result: { resources: [{ state: 1 }] } });

  for (const operation of operations) t.ok(used.has(operation), operation);
  t.equal(used.size, operations.length);
  t.ok(operations.length >= 31, 'the SDK has what it had');
});

t.test('errors carry the documented reason codes', async (t) => {
  const { call, createKey, fault } = await setUp(t);
  const id = await createKey();
  const [suspended, destroyed, standard] = [
    await createKey(),
    await createKey(),
    await createKey({ extractable: true }),
  ];
  await call('disableKey', { id: suspended });
  await call('deleteKey', { id: destroyed });
  await call('rotateKey', { id });
  const wrap = (key: string) => call('wrapKey', { id: key, keyActionWrapBody: {} });
  const unwrap = (ciphertext: string) => call('unwrapKey', { id, keyActionUnwrapBody: { ciphertext } });
  const foreign = (await wrap(await createKey())).result.ciphertext;
  const policy = { policy_type: 'dualAuthDelete', policy_data: { enabled: false } };
  const cases: readonly (readonly [string, () => Promise<unknown>, number, string | null])[] = [
    ['unknown', () => wrap('no-such-key'), 404, 'KEY_NOT_FOUND_ERR'],
    ['suspended', () => wrap(suspended), 409, 'KEY_ACTION_INVALID_STATE_ERR'],
    ['destroyed', () => wrap(destroyed), 410, 'KEY_DELETED_ERR'],
    ['standard', () => wrap(standard), 400, 'KEY_ROOT_REQ_ERR'],
    ['no base64', () => unwrap('a-b_'), 400, 'INVALID_FIELD_ERR'],
    ['foreign ciphertext', () => unwrap(foreign), 422, 'UNPROCESSABLE_CIPHERTEXT_ERR'],
    ['rotated', () => call('rotateKey', { id }), 409, 'KEY_ROTATION_NOT_PERMITTED'],
    ['too early', () => call('enableKey', { id: suspended }), 409, 'REQ_TOO_EARLY_ERR'],
    ['no dual authorization', () => call('setKeyForDeletion', { id }), 409, 'NOT_DUAL_AUTH_ERR'],
    ['no import token', () => call('getImportToken'), 409, 'IMPORT_TOKEN_EXPIRED_ERR'],
    ['bad query', () => call('getKeys', { limit: 9999 }), 400, 'INVALID_QUERY_PARAM_ERR'],
    ['bad body', () => call('createKey', { body: { metadata: {}, resources: [] } }), 400, 'BAD_BODY_ERR'],
    [
      'mismatch',
      () => call('putInstancePolicy', { policy: 'metrics', setInstancePoliciesOneOf: collection([policy]) }),
      400,
      'BODY_QUERY_PARAM_MISMATCH_ERR',
    ],
    ['another instance', () => call('getKeys', { bluemixInstance: 'elsewhere' }), 401, null],
    [
      'in trouble',
      async () => {
        await fault({ status: 503 });
        await wrap(id);
      },
      503,
      null,
    ],
    [
      'busy',
      async () => {
        await fault({ rateLimit: { requests: 0, perSeconds: 9 } });
        await wrap(id);
      },
      429,
      null,
    ],
  ];
  for (const [what, run, status, code] of cases) t.same(await failureOf(run()), { status, code }, what);
});

t.test('a wrong API key', async (t) => {
  const folder = t.testdir({ wrong: 'not-the-api-key\n' });
  const served = await serve(['--api-key-file', `${folder}/api-key`]);
  t.teardown(() => served.stop('SIGKILL'));
  const authenticator = new core.IamAuthenticator({ apikey: 'not-the-api-key', url: served.url });
  const sdk = new KeyProtect({ authenticator, serviceUrl: served.url });
  const failed = await failureOf(sdk.getKeys?.({ bluemixInstance: served.instance }) ?? Promise.resolve());
  t.same(failed, { status: 400, code: 'BXNIM0415E' });
});
