/** Which operation a request asks for. Pure. */
import { includesRole, type Role } from './access.ts';
import type { OperationName } from './faults.ts';
import { isActionName } from './key-actions.ts';

export type Route =
  | { readonly kind: 'token' }
  | { readonly kind: 'keys'; readonly operation: 'create' | 'list' | 'head' }
  | {
      readonly kind: 'key';
      readonly operation: Exclude<OperationName, 'token' | 'create' | 'list' | 'head'>;
      readonly name: string;
    }
  | { readonly kind: 'admin'; readonly name: string }
  /** A part of the API that is not built. */
  | { readonly kind: 'notBuilt'; readonly what: string }
  | { readonly kind: 'unknown' };

/** Key Protect, "Managing user access", service actions by role. */
const NEEDED: Readonly<Record<OperationName, Role | null>> = {
  token: null,
  create: 'Writer',
  list: 'Reader',
  head: 'Reader',
  get: 'ReaderPlus',
  metadata: 'Reader',
  versions: 'Reader',
  wrap: 'Reader',
  unwrap: 'Reader',
  rewrap: 'Reader',
  rotate: 'Writer',
  disable: 'Manager',
  enable: 'Manager',
  delete: 'Manager',
  restore: 'Manager',
};

export const mayPerform = (role: Role, operation: OperationName): boolean => {
  const needed = NEEDED[operation];
  return needed === null || includesRole(role, needed);
};

const BASE = '/api/v2/';
const UNBUILT = new Set([
  'import_token',
  'key_rings',
  'instance',
  'kmip_adapters',
  'keys_with_policy_overrides',
  'event_ack',
]);

const actionRoute = (method: string, name: string, action: string): Route => {
  if (method !== 'POST') return { kind: 'unknown' };
  if (isActionName(action)) return { kind: 'key', operation: action, name };
  if (action === 'restore') return { kind: 'key', operation: 'restore', name };
  return { kind: 'notBuilt', what: `action ${JSON.stringify(action.slice(0, 40))}` };
};

const keyRoute = (method: string, name: string, rest: readonly string[], query: URLSearchParams): Route => {
  const [part, detail] = rest;
  if (part === undefined) {
    if (method === 'GET') return { kind: 'key', operation: 'get', name };
    if (method === 'DELETE') return { kind: 'key', operation: 'delete', name };
    // The older form of every action: POST /keys/{id}?action=wrap
    if (method === 'POST') return actionRoute(method, name, query.get('action') ?? '');
    return { kind: 'notBuilt', what: `${method} of a key` };
  }
  if (part === 'actions' && detail !== undefined && rest.length === 2) return actionRoute(method, name, detail);
  if (rest.length === 1 && method === 'GET' && (part === 'metadata' || part === 'versions')) {
    return { kind: 'key', operation: part, name };
  }
  if (rest.length === 1 && method === 'POST' && part === 'restore') return { kind: 'key', operation: 'restore', name };
  return { kind: 'notBuilt', what: 'policies, aliases, registrations or purge' };
};

const decodedOrNull = (text: string): string | null => {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
};

export const routeOf = (method: string, path: string, query: URLSearchParams): Route => {
  if (path === '/identity/token' || path === '/oidc/token') {
    return method === 'POST' ? { kind: 'token' } : { kind: 'unknown' };
  }
  if (path.startsWith('/__triseed/')) return { kind: 'admin', name: path.slice('/__triseed/'.length) };
  if (!path.startsWith(BASE)) return { kind: 'unknown' };
  const [collection, name, ...rest] = path.slice(BASE.length).split('/');
  if (collection !== 'keys') {
    return UNBUILT.has(collection ?? '') ? { kind: 'notBuilt', what: String(collection) } : { kind: 'unknown' };
  }
  if (name === undefined) {
    if (method === 'GET') return { kind: 'keys', operation: 'list' };
    if (method === 'HEAD') return { kind: 'keys', operation: 'head' };
    return method === 'POST' ? { kind: 'keys', operation: 'create' } : { kind: 'unknown' };
  }
  const decoded = decodedOrNull(name);
  return decoded === null ? { kind: 'unknown' } : keyRoute(method, decoded, rest, query);
};
