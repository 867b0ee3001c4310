/**
 * The endpoints of the API as data: method, path, operation, the role that is needed, and the name of its audit event.
 * Sources: Key Protect API documentation; IBM Cloud documentation, Key Protect "Managing user access" (roles) and
 * "Activity tracking events" (event names).
 */
import type { Role } from './access.ts';

export interface Endpoint {
  readonly method: string;
  /** Below /api/v2/; a segment in braces is a name. */
  readonly path: string;
  readonly operation: OperationName;
  readonly role: Role;
  /** Only for callers that are a service; everybody else is told so. */
  readonly serviceOnly: boolean;
  /** Of the audit event, without the service's prefix. */
  readonly event: string;
}

type Row = readonly [method: string, path: string, operation: string, role: Role, event: string, only?: 'service'];

const ROWS = [
  ['HEAD', 'keys', 'head', 'Reader', 'secrets.head'],
  ['GET', 'keys', 'list', 'Reader', 'secrets.list'],
  ['POST', 'keys', 'create', 'Writer', 'secrets.create'],
  ['POST', 'keys_with_policy_overrides', 'createWithPolicies', 'Manager', 'secrets-with-policy-overrides.create'],
  ['GET', 'keys/registrations', 'listAllRegistrations', 'Reader', 'registrations.list'],
  ['GET', 'keys/{key}', 'get', 'ReaderPlus', 'secrets.read'],
  ['GET', 'keys/{key}/metadata', 'metadata', 'Reader', 'secrets-metadata.read'],
  ['PATCH', 'keys/{key}', 'patch', 'Manager', 'secrets.patch'],
  ['DELETE', 'keys/{key}', 'delete', 'Manager', 'secrets.delete'],
  ['DELETE', 'keys/{key}/purge', 'purge', 'KeyPurge', 'secrets.purge'],
  ['POST', 'keys/{key}/restore', 'restore', 'Manager', 'secrets.restore'],
  ['POST', 'keys/{key}/actions/wrap', 'wrap', 'Reader', 'secrets.wrap'],
  ['POST', 'keys/{key}/actions/unwrap', 'unwrap', 'Reader', 'secrets.unwrap'],
  ['POST', 'keys/{key}/actions/rewrap', 'rewrap', 'Reader', 'secrets.rewrap'],
  ['POST', 'keys/{key}/actions/rotate', 'rotate', 'Writer', 'secrets.rotate'],
  ['POST', 'keys/{key}/actions/disable', 'disable', 'Manager', 'secrets.disable'],
  ['POST', 'keys/{key}/actions/enable', 'enable', 'Manager', 'secrets.enable'],
  ['POST', 'keys/{key}/actions/setKeyForDeletion', 'setKeyForDeletion', 'Writer', 'secrets.setkeyfordeletion'],
  ['POST', 'keys/{key}/actions/unsetKeyForDeletion', 'unsetKeyForDeletion', 'Writer', 'secrets.unsetkeyfordeletion'],
  ['POST', 'keys/{key}/actions/sync', 'sync', 'Writer', 'secrets.sync'],
  ['GET', 'keys/{key}/versions', 'versions', 'Reader', 'secrets-key-versions.list'],
  ['GET', 'keys/{key}/registrations', 'listRegistrations', 'Reader', 'registrations.list'],
  ['POST', 'keys/{key}/registrations/{crn}', 'createRegistration', 'Reader', 'registrations.create', 'service'],
  ['PATCH', 'keys/{key}/registrations/{crn}', 'updateRegistration', 'Reader', 'registrations.merge', 'service'],
  ['PUT', 'keys/{key}/registrations/{crn}', 'replaceRegistration', 'Reader', 'registrations.write', 'service'],
  ['DELETE', 'keys/{key}/registrations/{crn}', 'deleteRegistration', 'Reader', 'registrations.delete', 'service'],
  ['GET', 'keys/{key}/policies', 'getPolicies', 'Manager', 'policies.read'],
  ['PUT', 'keys/{key}/policies', 'putPolicies', 'Manager', 'policies.write'],
  ['POST', 'keys/{key}/aliases/{alias}', 'createAlias', 'Writer', 'secrets-alias.create'],
  ['DELETE', 'keys/{key}/aliases/{alias}', 'deleteAlias', 'Manager', 'secrets-alias.delete'],
  ['GET', 'instance/policies', 'getInstancePolicies', 'Manager', 'instance-policies.read'],
  ['PUT', 'instance/policies', 'putInstancePolicies', 'Manager', 'instance-policies.write'],
  ['GET', 'instance/allowed_ip_port', 'allowedIpPort', 'Reader', 'instance-policies.read'],
  ['POST', 'import_token', 'createImportToken', 'Writer', 'import-token.create'],
  ['GET', 'import_token', 'getImportToken', 'Writer', 'import-token.read'],
  ['GET', 'key_rings', 'listKeyRings', 'Reader', 'key-rings.list'],
  ['POST', 'key_rings/{ring}', 'createKeyRing', 'Writer', 'key-rings.create'],
  ['DELETE', 'key_rings/{ring}', 'deleteKeyRing', 'Manager', 'key-rings.delete'],
  ['POST', 'event_ack', 'acknowledgeEvent', 'Reader', 'secrets-event.ack', 'service'],
] as const satisfies readonly Row[];

/** `token` and `discovery` are no part of the key API, but can be made to fail like one. */
export type OperationName = (typeof ROWS)[number][2] | 'token' | 'discovery' | 'kmip';

export const ENDPOINTS: readonly Endpoint[] = ROWS.map(([method, path, operation, role, event, only]: Row) => ({
  method,
  path,
  operation: operation as OperationName,
  role,
  serviceOnly: only === 'service',
  event,
}));

export const OPERATIONS: readonly OperationName[] = [
  'token',
  'discovery',
  'kmip',
  ...ROWS.map(([, , operation]) => operation),
];

const ACTIONS = new Map(
  ENDPOINTS.filter(({ path }) => /^keys\/\{key\}\/(actions\/\w+|restore)$/.test(path)).map((endpoint) => [
    endpoint.path.slice(endpoint.path.lastIndexOf('/') + 1),
    endpoint,
  ]),
);

/** The older form of every action but sync: POST /keys/{key}?action=wrap. */
const legacyOf = (segments: readonly string[], query: URLSearchParams): Endpoint | null => {
  if (segments.length !== 2 || segments[0] !== 'keys') return null;
  const action = query.get('action') ?? '';
  return action === 'sync' ? null : (ACTIONS.get(action) ?? null);
};

const decodedOrNull = (text: string): string | null => {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
};

/** The names in the path when it has the form of `pattern`; null when it has not. */
const namesIn = (pattern: string, segments: readonly string[]): Readonly<Record<string, string>> | null => {
  const wanted = pattern.split('/');
  if (wanted.length !== segments.length) return null;
  const names: Record<string, string> = Object.create(null);
  for (const [at, part] of wanted.entries()) {
    const given = segments[at] ?? '';
    if (!part.startsWith('{')) {
      if (part !== given) return null;
      continue;
    }
    const name = decodedOrNull(given);
    if (name === null || name === '') return null;
    names[part.slice(1, -1)] = name;
  }
  return names;
};

export interface FoundEndpoint {
  readonly endpoint: Endpoint;
  readonly names: Readonly<Record<string, string>>;
}

/** `path` is what follows /api/v2/, still encoded. The order of the table decides. */
export const endpointOf = (method: string, path: string, query: URLSearchParams): FoundEndpoint | null => {
  const segments = path.split('/');
  for (const endpoint of ENDPOINTS) {
    const names = endpoint.method === method ? namesIn(endpoint.path, segments) : null;
    if (names !== null) return { endpoint, names };
  }
  const legacy = method === 'POST' ? legacyOf(segments, query) : null;
  const names = legacy === null ? null : namesIn('keys/{key}', segments);
  return legacy === null || names === null ? null : { endpoint: legacy, names };
};
