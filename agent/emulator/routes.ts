/** Which part of the service a request asks for. Pure. */
import { endpointOf, type FoundEndpoint } from './endpoints.ts';

export type Route =
  | { readonly kind: 'token' }
  | ({ readonly kind: 'api' } & FoundEndpoint)
  /** Where the instance of Hyper Protect Crypto Services listens. */
  | { readonly kind: 'discovery'; readonly instance: string }
  | { readonly kind: 'admin'; readonly name: string }
  /** KMIP adapters: a feature that is off. */
  | { readonly kind: 'kmip' }
  | { readonly kind: 'unknown' };

const BASE = '/api/v2/';

export const routeOf = (method: string, path: string, query: URLSearchParams): Route => {
  if (path === '/identity/token' || path === '/oidc/token') {
    return method === 'POST' ? { kind: 'token' } : { kind: 'unknown' };
  }
  if (path.startsWith('/__triseed/')) return { kind: 'admin', name: path.slice('/__triseed/'.length) };
  const [, instance] = /^\/crypto_v2\/instances\/([A-Za-z0-9-]{1,64})$/.exec(path) ?? [];
  if (instance !== undefined) return method === 'GET' ? { kind: 'discovery', instance } : { kind: 'unknown' };
  if (!path.startsWith(BASE)) return { kind: 'unknown' };
  if (/^kmip_adapters(\/|$)/.test(path.slice(BASE.length))) return { kind: 'kmip' };
  const found = endpointOf(method, path.slice(BASE.length), query);
  return found === null ? { kind: 'unknown' } : { kind: 'api', ...found };
};
