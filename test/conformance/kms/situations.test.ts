/**
 * Every situation of the Key Protect "Error messages" page, and those of its other pages that have a status of their own:
 * the local service produces it, and the agent's client makes of it what it must. A reason code that the service knows
 * and no row produces fails the test.
 */
import { createCipheriv, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import t from 'tap';
import { ENDPOINTS } from '../../../agent/emulator/endpoints.ts';
import { PLAIN_KEY } from '../../../agent/emulator/key-record.ts';
import { REASONS } from '../../../agent/emulator/reasons.ts';
import type { KmsRefusal } from '../../../agent/kms/backend.ts';
import { classifyIam, classifyKms, errorReasonOf } from '../../../agent/kms/classify.ts';
import { manualClock } from '../../fakes/clock.ts';
import { type Answer, API_KEY, INSTANCE, localKms } from '../../fakes/local-kms.ts';

const SEED = Buffer.alloc(32, 5).toString('base64');
const MATERIAL = Buffer.alloc(32, 9);
const COS = (bucket: string): string => `crn:v1:bluemix:public:cloud-object-storage:global:a/0:cos:bucket:${bucket}`;
const SERVICE_KEY = 'api-key-of-a-cloud-service';
const OTHER_SERVICE_KEY = 'api-key-of-another-service';
const SECOND_KEY = 'api-key-of-the-second-manager';
const READER_KEY = 'api-key-of-somebody-who-reads';
const PURGE_KEY = 'api-key-of-one-who-may-purge';

const makeWorld = async () => {
  const clock = manualClock();
  const kms = await localKms(clock);
  const admit = (apiKey: string, roles: Parameters<typeof kms.store.admit>[3]): void =>
    kms.store.admit(Buffer.from(apiKey), `iam-ServiceId-${apiKey}`, INSTANCE, roles);
  admit(SERVICE_KEY, ['Service']);
  admit(OTHER_SERVICE_KEY, ['Service']);
  admit(SECOND_KEY, ['Manager']);
  admit(READER_KEY, ['Reader']);
  admit(PURGE_KEY, ['Manager', 'KeyPurge']);
  const on = (key: string, path: string): string => `/api/v2/keys/${key}${path}`;
  const act = (key: string, action: string, body?: unknown, apiKey = API_KEY): Promise<Answer> =>
    kms.request('POST', on(key, `/actions/${action}`), body, {}, { apiKey });
  const collection = (resources: readonly object[], total = resources.length): object => ({
    metadata: { collectionType: 'application/vnd.ibm.kms.policy+json', collectionTotal: total },
    resources,
  });
  const instancePolicy = (resources: readonly object[], query = '', total = resources.length): Promise<Answer> =>
    kms.request('PUT', `/api/v2/instance/policies${query}`, collection(resources, total));
  const policy = (type: string, enabled: boolean, attributes?: object): object => ({
    policy_type: type,
    policy_data: { enabled, ...(attributes === undefined ? {} : { attributes }) },
  });
  const register = (key: string, bucket: string, members: object = {}, as = SERVICE_KEY, method = 'POST') =>
    kms.request(
      method,
      on(key, `/registrations/${encodeURIComponent(COS(bucket))}`),
      collection([members]),
      {},
      { apiKey: as },
    );
  const remove = (key: string, query = '', apiKey = API_KEY): Promise<Answer> =>
    kms.request('DELETE', on(key, query), undefined, {}, { apiKey });
  const restore = (key: string, body?: unknown): Promise<Answer> => kms.request('POST', on(key, '/restore'), body);
  const create = (resource: object, more: object = {}): Promise<Answer> =>
    kms.request('POST', '/api/v2/keys', {
      metadata: { collectionType: 'application/vnd.ibm.kms.key+json', collectionTotal: 1 },
      resources: [{ name: 'tests', extractable: false, ...resource }],
      ...more,
    });
  const admin = (name: string, body: unknown): Promise<Answer> =>
    kms.request('POST', `/__triseed/${name}`, body, { host: '127.0.0.1' });
  const fault = async (effect: object): Promise<Answer> => {
    await admin('faults', { faults: [{ operation: 'unwrap', count: 1, effect }] });
    return act('any', 'unwrap', {});
  };
  /** A secure import of `material` under the current import token. */
  const wrapped = async (change: { nonce?: Buffer; iv?: Buffer } = {}) => {
    const token = (await kms.request('GET', '/api/v2/import_token')).json;
    const publicKey = createPublicKey(Buffer.from(token.payload, 'base64').toString());
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', MATERIAL, iv);
    const nonce = change.nonce ?? Buffer.from(token.nonce, 'base64');
    const encrypted = Buffer.concat([cipher.update(nonce), cipher.final(), cipher.getAuthTag()]);
    return {
      payload: publicEncrypt({ key: publicKey, oaepHash: 'sha256' }, MATERIAL).toString('base64'),
      encryptedNonce: encrypted.toString('base64'),
      iv: (change.iv ?? iv).toString('base64'),
      encryptionAlgorithm: 'RSAES_OAEP_SHA_256',
    };
  };
  const importToken = (body: object = {}): Promise<Answer> => kms.request('POST', '/api/v2/import_token', body);
  return {
    clock,
    kms,
    on,
    act,
    collection,
    instancePolicy,
    policy,
    register,
    remove,
    restore,
    create,
    admin,
    fault,
    wrapped,
    importToken,
  };
};
type World = Awaited<ReturnType<typeof makeWorld>>;

interface Row {
  readonly name: string;
  readonly status: number;
  readonly code: keyof typeof REASONS | null;
  /** What the client makes of it. */
  readonly verdict: KmsRefusal['kind'];
  readonly produce: (world: World) => Promise<Answer>;
  /** Expected `target.name`. */
  readonly target?: string;
}

const soon = ({ clock }: World): string => new Date(clock.now().getTime() + 60_000).toISOString();

const rows: readonly Row[] = [
  // Access
  {
    name: 'no token',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: ({ kms }) => kms.request('GET', '/api/v2/keys', undefined, { authorization: '' }),
  },
  {
    name: 'a token that has ended',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: async ({ kms, clock }) => {
      const form = new URLSearchParams({ grant_type: 'urn:ibm:params:oauth:grant-type:apikey', apikey: API_KEY });
      const { json } = await kms.request('POST', '/identity/token', form.toString());
      await clock.advance(3_600_000);
      return kms.request('GET', '/api/v2/keys', undefined, { authorization: `Bearer ${json.access_token}` });
    },
  },
  {
    name: 'no role for it',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: ({ kms }) => kms.request('POST', '/api/v2/keys', {}, {}, { apiKey: READER_KEY }),
  },
  {
    name: 'another instance',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: ({ kms }) => kms.request('GET', '/api/v2/keys', undefined, { 'bluemix-instance': 'elsewhere' }),
  },
  {
    name: 'an address that the instance does not let in',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: async ({ kms, instancePolicy, policy }) => {
      await instancePolicy([policy('allowedIP', true, { allowed_ip: ['192.0.2.0/24', '10.0.0.0/8'] })]);
      return kms.request('GET', '/api/v2/keys');
    },
  },
  {
    name: 'a public endpoint of an instance that is private',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: async ({ kms, instancePolicy, policy }) => {
      await instancePolicy([policy('allowedNetwork', true, { allowed_network: 'private-only' })]);
      return kms.request('GET', '/api/v2/keys');
    },
  },
  {
    name: 'a bearer without a subject',
    status: 400,
    code: 'BEARER_SUB_EXTRACTION_ERR',
    verdict: 'denied',
    produce: ({ kms }) => kms.request('GET', '/api/v2/keys', undefined, { authorization: 'Bearer $ACCESS_TOKEN' }),
  },
  {
    name: 'no instance',
    status: 400,
    code: 'INVALID_FIELD_ERR',
    verdict: 'badConfiguration',
    target: 'Bluemix-Instance',
    produce: ({ kms }) => kms.request('GET', '/api/v2/keys', undefined, { 'bluemix-instance': '' }),
  },
  {
    name: 'a registration by a person',
    status: 403,
    code: 'SERVICE_ONLY_ERR',
    verdict: 'denied',
    produce: async ({ kms, register }) => register(await kms.createKey(), 'b', {}, API_KEY),
  },
  {
    name: 'a key deleted by a service',
    status: 403,
    code: 'RESOURCE_OWNER_ERR',
    verdict: 'denied',
    produce: async ({ kms, remove }) => remove(await kms.createKey(), '', SERVICE_KEY),
  },
  {
    name: 'a registration of another service',
    status: 403,
    code: 'RESOURCE_OWNER_ERR',
    verdict: 'denied',
    produce: async ({ kms, register }) => {
      const key = await kms.createKey();
      await register(key, 'b');
      return register(key, 'b', {}, OTHER_SERVICE_KEY, 'PATCH');
    },
  },
  {
    name: 'an IPv6 address and an IPv4 policy',
    status: 403,
    code: 'FEATURE_RESTRICTED_ERR',
    verdict: 'denied',
    produce: async ({ kms, instancePolicy, policy }) => {
      await instancePolicy([policy('allowedIP', true, { allowed_ip: ['127.0.0.0/8'] })]);
      return kms.request('GET', '/api/v2/keys', undefined, {}, { remote: '2001:db8::1' });
    },
  },
  {
    name: 'a feature that is off',
    status: 403,
    code: 'FEATURE_RESTRICTED_ERR',
    verdict: 'denied',
    produce: ({ kms }) => kms.request('GET', '/api/v2/kmip_adapters'),
  },
  {
    name: 'a policy against the rules of the account',
    status: 403,
    code: 'CONFIG_RULE_CONFLICT_ERR',
    verdict: 'denied',
    produce: async ({ admin, instancePolicy, policy }) => {
      await admin('rules', { rules: { dualAuthDelete: true } });
      return instancePolicy([policy('dualAuthDelete', false)]);
    },
  },

  // Keys and their states
  {
    name: 'an unknown key',
    status: 404,
    code: 'KEY_NOT_FOUND_ERR',
    verdict: 'gone',
    produce: ({ act }) => act('02fd6835-6001-4482-a892-13bd2085f75d', 'unwrap', {}),
  },
  {
    name: 'a key of another ring',
    status: 404,
    code: 'KEY_NOT_FOUND_ERR',
    verdict: 'gone',
    produce: async ({ kms, on }) =>
      kms.request('GET', on(await kms.createKey(), '/metadata'), undefined, { 'x-kms-key-ring': 'elsewhere' }),
  },
  {
    name: 'a purged key',
    status: 404,
    code: 'KEY_NOT_FOUND_ERR',
    verdict: 'gone',
    produce: async ({ kms, on, remove, clock }) => {
      const key = await kms.createKey();
      await remove(key);
      await clock.advance(4 * 3_600_000);
      await kms.request('DELETE', on(key, '/purge'), undefined, {}, { apiKey: PURGE_KEY });
      return kms.request('GET', on(key, '/metadata'));
    },
  },
  ...(['wrap', 'unwrap', 'rewrap', 'rotate', 'disable'] as const).map(
    (action): Row => ({
      name: `${action} with a suspended key`,
      status: 409,
      code: 'KEY_ACTION_INVALID_STATE_ERR',
      verdict: 'notActive',
      produce: async ({ kms, act }) => {
        const key = await kms.createKey();
        await act(key, 'disable');
        return act(key, action, {});
      },
    }),
  ),
  {
    name: 'wrap with an expired key',
    status: 409,
    code: 'KEY_ACTION_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async (world) => {
      const key = await world.kms.createKey({ expirationDate: soon(world) });
      await world.clock.advance(61_000);
      return world.act(key, 'wrap');
    },
  },
  {
    name: 'enable an expired key',
    status: 409,
    code: 'KEY_ACTION_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async (world) => {
      const key = await world.kms.createKey({ expirationDate: soon(world) });
      await world.clock.advance(61_000);
      return world.act(key, 'enable');
    },
  },
  ...(['wrap', 'unwrap', 'rewrap', 'rotate', 'disable', 'enable', 'sync'] as const).map(
    (action): Row => ({
      name: `${action} with a deleted key`,
      status: 410,
      code: 'KEY_DELETED_ERR',
      verdict: 'gone',
      produce: async ({ kms, act, remove }) => {
        const key = await kms.createKey();
        await remove(key);
        return act(key, action, {});
      },
    }),
  ),
  {
    name: 'delete a deleted key',
    status: 410,
    code: 'KEY_DELETED_ERR',
    verdict: 'gone',
    produce: async ({ kms, remove }) => {
      const key = await kms.createKey();
      await remove(key);
      return remove(key);
    },
  },
  {
    name: 'restore a key that is not deleted',
    status: 409,
    code: 'KEY_ACTION_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async ({ kms, restore }) => restore(await kms.createKey()),
  },
  {
    name: 'purge a key that is not deleted',
    status: 409,
    code: 'KEY_ACTION_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async ({ kms, on }) =>
      kms.request('DELETE', on(await kms.createKey(), '/purge'), undefined, {}, { apiKey: PURGE_KEY }),
  },
  {
    name: 'versions of a key that is not active',
    status: 409,
    code: 'KEY_ACTION_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async ({ kms, on, act }) => {
      const key = await kms.createKey();
      await act(key, 'disable');
      return kms.request('GET', on(key, '/versions'));
    },
  },
  {
    name: 'restore after 30 days',
    status: 400,
    code: 'KEY_RESTORE_EXPIRED',
    verdict: 'gone',
    produce: async ({ kms, remove, restore, clock }) => {
      const key = await kms.createKey();
      await remove(key);
      await clock.advance(30 * 86_400_000 + 1000);
      return restore(key);
    },
  },
  {
    name: 'restore an expired key',
    status: 400,
    code: 'KEY_EXPIRED_ERR',
    verdict: 'notActive',
    produce: async (world) => {
      const key = await world.kms.createKey({ expirationDate: soon(world) });
      await world.clock.advance(61_000);
      await world.remove(key);
      await world.clock.advance(31_000);
      return world.restore(key);
    },
  },
  {
    name: 'restore a generated key with material',
    status: 400,
    code: 'KEY_IMPT_REQ_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, remove, restore, clock, collection }) => {
      const key = await kms.createKey();
      await remove(key);
      await clock.advance(31_000);
      return restore(key, collection([{ payload: SEED }]));
    },
  },
  {
    name: 'enable within 30 s',
    status: 409,
    code: 'REQ_TOO_EARLY_ERR',
    verdict: 'retryable',
    produce: async ({ kms, act, clock }) => {
      const key = await kms.createKey();
      await act(key, 'disable');
      await clock.advance(29_000);
      return act(key, 'enable');
    },
  },
  {
    name: 'restore within 30 s',
    status: 409,
    code: 'REQ_TOO_EARLY_ERR',
    verdict: 'retryable',
    produce: async ({ kms, remove, restore, clock }) => {
      const key = await kms.createKey();
      await remove(key);
      await clock.advance(29_000);
      return restore(key);
    },
  },
  {
    name: 'purge within 4 h',
    status: 409,
    code: 'REQ_TOO_EARLY_ERR',
    verdict: 'retryable',
    produce: async ({ kms, on, remove, clock }) => {
      const key = await kms.createKey();
      await remove(key);
      await clock.advance(4 * 3_600_000 - 1000);
      return kms.request('DELETE', on(key, '/purge'), undefined, {}, { apiKey: PURGE_KEY });
    },
  },
  {
    name: 'sync within an hour',
    status: 409,
    code: 'REQ_TOO_EARLY_ERR',
    verdict: 'retryable',
    produce: async ({ kms, act, clock }) => {
      const key = await kms.createKey();
      await act(key, 'sync');
      await clock.advance(3_599_000);
      return act(key, 'sync');
    },
  },
  {
    name: 'rotate twice within an hour',
    status: 409,
    code: 'KEY_ROTATION_NOT_PERMITTED',
    verdict: 'retryable',
    produce: async ({ kms, act }) => {
      const key = await kms.createKey();
      await act(key, 'rotate');
      return act(key, 'rotate');
    },
  },
  ...(['wrap', 'unwrap', 'rewrap', 'rotate', 'disable', 'enable'] as const).map(
    (action): Row => ({
      name: `${action} with a standard key`,
      status: 400,
      code: 'KEY_ROOT_REQ_ERR',
      verdict: 'badConfiguration',
      produce: async ({ kms, act }) => act(await kms.createKey({ extractable: true }), action, {}),
    }),
  ),
  {
    name: 'a record that cannot be read',
    status: 500,
    code: 'INCOMPLETE_METADATA_ERR',
    verdict: 'retryable',
    produce: async ({ kms, act }) => {
      const versions = [{ id: 'lost', createdMs: 0 }] as const;
      const times = { createdMs: 0, createdBy: 'x', updatedMs: 0, versions };
      kms.store.save({ ...PLAIN_KEY, instance: INSTANCE, id: 'broken', name: 'broken', ...times });
      return act('broken', 'wrap');
    },
  },

  // Fields and bodies
  {
    name: 'plaintext that is no base64',
    status: 400,
    code: 'INVALID_FIELD_ERR',
    verdict: 'badConfiguration',
    target: 'plaintext',
    produce: async ({ kms, act }) => act(await kms.createKey(), 'wrap', { plaintext: 'a-b_' }),
  },
  {
    name: 'ciphertext that is no base64',
    status: 400,
    code: 'INVALID_FIELD_ERR',
    verdict: 'badCiphertext',
    target: 'ciphertext',
    produce: async ({ kms, act }) => act(await kms.createKey(), 'unwrap', { ciphertext: 'a-b_' }),
  },
  {
    name: 'a ciphertext of another key',
    status: 422,
    code: 'UNPROCESSABLE_CIPHERTEXT_ERR',
    verdict: 'badCiphertext',
    produce: async ({ kms, act }) => {
      const { ciphertext } = (await act(await kms.createKey(), 'wrap', {})).json;
      return act(await kms.createKey(), 'unwrap', { ciphertext });
    },
  },
  {
    name: 'missing additional data',
    status: 422,
    code: 'UNPROCESSABLE_CIPHERTEXT_ERR',
    verdict: 'badCiphertext',
    produce: async ({ kms, act }) => {
      const key = await kms.createKey();
      const { ciphertext } = (await act(key, 'wrap', { aad: ['volume'] })).json;
      return act(key, 'rewrap', { ciphertext });
    },
  },
  {
    name: 'a signature that the HSM does not take',
    status: 422,
    code: 'INVALID_SIG_EXP_ERR',
    verdict: 'badCiphertext',
    produce: ({ fault }) => fault({ status: 422, code: 'INVALID_SIG_EXP_ERR' }),
  },
  {
    name: 'no body',
    status: 400,
    code: 'NO_BODY_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, act }) => act(await kms.createKey(), 'unwrap'),
  },
  {
    name: 'bad JSON',
    status: 400,
    code: 'BAD_BODY_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, act }) => act(await kms.createKey(), 'unwrap', '{'),
  },
  {
    name: 'an unknown field',
    status: 400,
    code: 'BAD_BODY_ERR',
    verdict: 'badConfiguration',
    produce: ({ instancePolicy, policy }) =>
      instancePolicy([{ ...policy('dualAuthDelete', false), extra_field: 'junk data' }], '?policy=dualAuthDelete'),
  },
  {
    name: 'two keys at once',
    status: 400,
    code: 'BAD_BODY_ERR',
    verdict: 'badConfiguration',
    produce: ({ create }) => create({}, { resources: [{ name: 'one' }, { name: 'two' }] }),
  },
  {
    name: 'empty metadata',
    status: 400,
    code: 'BAD_BODY_ERR',
    verdict: 'badConfiguration',
    produce: ({ create }) => create({}, { metadata: {} }),
  },
  {
    name: 'a total that does not match',
    status: 400,
    code: 'COLLECTION_TOTAL_MISMATCH_ERR',
    verdict: 'badConfiguration',
    produce: ({ instancePolicy, policy }) =>
      instancePolicy([policy('dualAuthDelete', false)], '?policy=dualAuthDelete', 2),
  },
  {
    name: 'a policy that is not the one of the query',
    status: 400,
    code: 'BODY_QUERY_PARAM_MISMATCH_ERR',
    verdict: 'badConfiguration',
    produce: ({ instancePolicy, policy }) => instancePolicy([policy('badName', false)], '?policy=dualAuthDelete'),
  },
  {
    name: 'one policy twice',
    status: 400,
    code: 'NUM_COLLECTION_RESOURCE_ERR',
    verdict: 'badConfiguration',
    produce: ({ instancePolicy, policy }) =>
      instancePolicy([policy('dualAuthDelete', false), policy('dualAuthDelete', false)], '?policy=dualAuthDelete'),
  },
  {
    name: 'a limit beyond 5000',
    status: 400,
    code: 'INVALID_QUERY_PARAM_ERR',
    verdict: 'badConfiguration',
    target: 'limit',
    produce: ({ kms }) => kms.request('GET', '/api/v2/keys?limit=5001'),
  },
  {
    name: 'material for a generated key',
    status: 400,
    code: 'INVALID_QUERY_PARAM_ERR',
    verdict: 'badConfiguration',
    target: 'payload',
    produce: async ({ kms, act }) => act(await kms.createKey(), 'rotate', { payload: SEED }),
  },
  {
    name: 'no material for an imported key',
    status: 400,
    code: 'KEY_PAYLOAD_REQ_ERR',
    verdict: 'badConfiguration',
    target: 'payload',
    produce: async ({ kms, act }) => act(await kms.createKey({ payload: SEED }), 'rotate'),
  },
  {
    name: 'a search in more than 5000 keys',
    status: 400,
    code: 'KEY_SEARCH_TOO_BROAD',
    verdict: 'badConfiguration',
    produce: ({ kms }) => {
      const versions = [{ id: 'v', createdMs: 0 }] as const;
      const plain = {
        ...PLAIN_KEY,
        instance: INSTANCE,
        name: 'many',
        createdMs: 0,
        createdBy: 'x',
        updatedMs: 0,
        versions,
      };
      for (let at = 0; at <= 5000; at += 1) kms.store.save({ ...plain, id: `key-${at}` });
      return kms.request('GET', '/api/v2/keys?search=many');
    },
  },

  // Policies, import, deletion, registrations
  {
    name: 'a kind of key that the instance forbids',
    status: 409,
    code: 'KEY_CREATE_IMPORT_ACCESS_ERR',
    verdict: 'denied',
    produce: async ({ instancePolicy, policy, create }) => {
      await instancePolicy([policy('keyCreateImportAccess', true, { create_standard_key: false })]);
      return create({ extractable: true });
    },
  },
  {
    name: 'an import without the token that the instance asks for',
    status: 409,
    code: 'KEY_CREATE_IMPORT_ACCESS_ERR',
    verdict: 'denied',
    produce: async ({ instancePolicy, policy, create }) => {
      await instancePolicy([policy('keyCreateImportAccess', true, { enforce_token: true })]);
      return create({ payload: SEED });
    },
  },
  {
    name: 'an import token that has expired',
    status: 409,
    code: 'IMPORT_TOKEN_EXPIRED_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, importToken, clock }) => {
      await importToken({ expiration: 300 });
      await clock.advance(300_000);
      return kms.request('GET', '/api/v2/import_token');
    },
  },
  {
    name: 'an import token that was fetched often enough',
    status: 409,
    code: 'IMPORT_TOKEN_EXPIRED_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, importToken }) => {
      await importToken();
      await kms.request('GET', '/api/v2/import_token');
      return kms.request('GET', '/api/v2/import_token');
    },
  },
  {
    name: 'the nonce of another import token',
    status: 400,
    code: 'INCORRECT_NONCE_ERR',
    verdict: 'badConfiguration',
    produce: async ({ importToken, wrapped, create }) => {
      await importToken();
      return create(await wrapped({ nonce: randomBytes(12) }));
    },
  },
  {
    name: 'a nonce under another iv',
    status: 400,
    code: 'INCORRECT_NONCE_IV_ERR',
    verdict: 'badConfiguration',
    produce: async ({ importToken, wrapped, create }) => {
      await importToken();
      return create(await wrapped({ iv: randomBytes(12) }));
    },
  },
  {
    name: 'one authorization of two',
    status: 409,
    code: 'AUTHORIZATIONS_NOT_MET',
    verdict: 'denied',
    produce: async ({ kms, on, act, remove, collection }) => {
      const key = await kms.createKey();
      await kms.request('PUT', on(key, '/policies'), collection([{ dualAuthDelete: { enabled: true } }]));
      await act(key, 'setKeyForDeletion');
      return remove(key);
    },
  },
  ...(['setKeyForDeletion', 'unsetKeyForDeletion'] as const).map(
    (action): Row => ({
      name: `${action} without dual authorization`,
      status: 409,
      code: 'NOT_DUAL_AUTH_ERR',
      verdict: 'badConfiguration',
      produce: async ({ kms, act }) => act(await kms.createKey(), action),
    }),
  ),
  {
    name: 'a key that protects a resource',
    status: 409,
    code: 'PROTECTED_RESOURCE_ERR',
    verdict: 'denied',
    produce: async ({ kms, register, remove }) => {
      const key = await kms.createKey();
      await register(key, 'b');
      return remove(key);
    },
  },
  {
    name: 'a key that protects a resource with retention',
    status: 409,
    code: 'PREV_KEY_DEL_ERR',
    verdict: 'denied',
    produce: async ({ kms, register, remove }) => {
      const key = await kms.createKey();
      await register(key, 'b', { preventKeyDeletion: true });
      return remove(key, '?force=true');
    },
  },
  {
    name: 'a registration with an older version',
    status: 422,
    code: 'KEY_VERSION_INVALID',
    verdict: 'retryable',
    produce: async ({ kms, register, act }) => {
      const key = await kms.createKey();
      await act(key, 'rotate');
      await register(key, 'b');
      return register(key, 'b', { keyVersionId: key }, SERVICE_KEY, 'PATCH');
    },
  },
  {
    name: 'a registration of a suspended key',
    status: 422,
    code: 'KEY_INVALID_STATE_ERR',
    verdict: 'notActive',
    produce: async ({ kms, register, act }) => {
      const key = await kms.createKey();
      await act(key, 'disable');
      return register(key, 'b');
    },
  },
  {
    name: 'a registration of a standard key',
    status: 422,
    code: 'KEY_ROOT_REQ_REG_ERR',
    verdict: 'badConfiguration',
    produce: async ({ kms, register }) => register(await kms.createKey({ extractable: true }), 'b'),
  },
  {
    name: 'a registration that is not there',
    status: 404,
    code: 'REGISTRATION_NOT_FOUND_ERR',
    verdict: 'retryable',
    produce: async ({ kms, register }) => register(await kms.createKey(), 'b', {}, SERVICE_KEY, 'PATCH'),
  },
  {
    name: 'an alias twice',
    status: 409,
    code: 'KEY_ALIAS_NOT_UNIQUE_ERR',
    verdict: 'retryable',
    produce: async ({ kms, on }) => {
      await kms.createKey({ aliases: ['payroll'] });
      return kms.request('POST', on(await kms.createKey(), '/aliases/payroll'));
    },
  },
  {
    name: 'a sixth alias',
    status: 409,
    code: 'KEY_ALIAS_QUOTA_ERR',
    verdict: 'retryable',
    produce: async ({ kms, on }) => {
      const key = await kms.createKey({ aliases: ['a1', 'a2', 'a3', 'a4', 'a5'] });
      return kms.request('POST', on(key, '/aliases/a6'));
    },
  },
  {
    name: 'an alias that is not there',
    status: 404,
    code: 'KEY_ALIAS_NOT_FOUND_ERR',
    verdict: 'retryable',
    produce: async ({ kms, on }) => kms.request('DELETE', on(await kms.createKey(), '/aliases/nobody')),
  },
  {
    name: 'a key ring twice',
    status: 409,
    code: 'KEY_RING_NOT_UNIQUE_ERR',
    verdict: 'retryable',
    produce: async ({ kms }) => {
      await kms.request('POST', '/api/v2/key_rings/payroll');
      return kms.request('POST', '/api/v2/key_rings/payroll');
    },
  },
  {
    name: 'a fifty-first key ring',
    status: 409,
    code: 'KEY_RING_QUOTA_ERR',
    verdict: 'retryable',
    produce: async ({ kms }) => {
      for (let at = 1; at < 50; at += 1) await kms.request('POST', `/api/v2/key_rings/ring-${at}`);
      return kms.request('POST', '/api/v2/key_rings/one-more');
    },
  },
  {
    name: 'a key ring that is not there',
    status: 404,
    code: 'KEY_RING_NOT_FOUND_ERR',
    verdict: 'retryable',
    produce: ({ kms }) => kms.request('DELETE', '/api/v2/key_rings/nowhere'),
  },
  {
    name: 'a key ring with a key',
    status: 409,
    code: 'KEY_RING_NOT_EMPTY_ERR',
    verdict: 'retryable',
    produce: async ({ kms, on }) => {
      await kms.request('POST', '/api/v2/key_rings/payroll');
      await kms.request('PATCH', on(await kms.createKey(), ''), { keyRingID: 'payroll' });
      return kms.request('DELETE', '/api/v2/key_rings/payroll?force=true');
    },
  },
  {
    name: 'an event that nobody was told of',
    status: 501,
    code: 'NOT_BUILT_ERR',
    verdict: 'retryable',
    produce: ({ kms }) => kms.request('POST', '/api/v2/event_ack', {}, {}, { apiKey: SERVICE_KEY }),
  },

  // The service in trouble, or something before it
  {
    name: 'too many requests',
    status: 429,
    code: null,
    verdict: 'retryable',
    produce: ({ fault }) => fault({ rateLimit: { requests: 0, perSeconds: 30 } }),
  },
  ...[500, 502, 503, 504].map(
    (status): Row => ({
      name: `HTTP ${status}`,
      status,
      code: null,
      verdict: 'retryable',
      produce: ({ fault }) => fault({ status }),
    }),
  ),
  {
    name: 'a gateway that speaks plain text',
    status: 503,
    code: null,
    verdict: 'retryable',
    produce: ({ fault }) => fault({ status: 503, body: 'no healthy upstream', retryAfterSeconds: 5 }),
  },
  {
    name: 'a token that was revoked',
    status: 401,
    code: null,
    verdict: 'denied',
    produce: ({ fault }) => fault({ status: 401 }),
  },
];

const targetOf = ({ json }: Answer): string | undefined => json?.resources?.[0]?.reasons?.[0]?.target?.name;

t.test('every situation: status, code, form of the body, and what the client makes of it', async (t) => {
  for (const { name, status, code, verdict, target, produce } of rows) {
    const world = await makeWorld();
    const answer = await produce(world);
    const body = Buffer.from(answer.text);
    const classified = classifyKms({ status: answer.status, headers: answer.headers, body });
    t.match(
      { status: answer.status, code: errorReasonOf(body).code, verdict: classified.kind, target: targetOf(answer) },
      { status, code, verdict, target },
      name,
    );
    const isScriptedText = answer.json === undefined;
    if (!isScriptedText) {
      const [resource] = answer.json.resources;
      t.match(answer.json.metadata, { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 });
      t.equal('reasons' in resource, code !== null, `${name}: reasons`);
      if (code !== null) {
        t.equal(resource.reasons[0].status, status);
        t.ok(resource.errorMsg.endsWith(`Please see \`reasons\` for more details (${code})`), resource.errorMsg);
        t.ok(resource.reasons[0].message.startsWith(REASONS[code][1]), `${name}: ${resource.reasons[0].message}`);
      }
    }
    world.kms.store.close();
  }
});

t.test('no reason code without a situation', async (t) => {
  const produced = new Set(rows.map(({ code }) => code));
  for (const code of Object.keys(REASONS)) t.ok(produced.has(code as keyof typeof REASONS), code);
});

t.test('the token service: an unknown API key, and a wrong request', async (t) => {
  const { kms } = await makeWorld();
  const grant = 'grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey';
  const cases: readonly (readonly [string, string])[] = [
    [`${grant}&apikey=nobody-knows-this`, 'BXNIM0415E'],
    [`${grant}&apikey=${encodeURIComponent(API_KEY)}&response_type=x`, 'BXNIM0106E'],
    [`grant_type=password&apikey=x`, 'BXNIM0106E'],
  ];
  for (const [form, errorCode] of cases) {
    const answer = await kms.request('POST', '/identity/token', form, { authorization: '' });
    t.match(answer, { status: 400, json: { errorCode, context: { url: 'https://iam.cloud.ibm.com' } } });
    const { status, headers, text } = answer;
    t.same(classifyIam({ status, headers, body: Buffer.from(text) }), { kind: 'denied', by: 'iam' });
  }
});

t.test('the table of endpoints: who may do what', async (t) => {
  const ranks = ['Reader', 'ReaderPlus', 'Writer', 'Manager'] as const;
  for (const roles of [
    ...ranks.map((role) => [role] as const),
    ['KeyPurge'] as const,
    ['Manager', 'KeyPurge'] as const,
  ]) {
    const kms = await localKms(manualClock(), { roles });
    for (const { method, path, operation, role, serviceOnly } of ENDPOINTS) {
      const target = path.replace('{key}', 'no-such-key').replace(/\{\w+\}/g, 'name');
      const { status } = await kms.request(method, `/api/v2/${target}`, method === 'POST' ? {} : undefined);
      const held = roles[0];
      const rank = ranks.indexOf(role as 'Reader');
      const may =
        role === 'KeyPurge' ? roles.includes('KeyPurge' as never) : held !== 'KeyPurge' && ranks.indexOf(held) >= rank;
      t.equal(status === 401, !may, `${roles.join('+')}: ${operation} gives ${status}`);
      if (may && serviceOnly) t.equal(status, 403, `${operation} is for services`);
      t.not(status, 405);
    }
    kms.store.close();
  }
});
