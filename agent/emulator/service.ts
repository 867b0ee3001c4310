/**
 * The local key service: one request in, one reply out. The same function answers tests in the same process and the
 * real server. Time is the machine's wall clock plus an offset that the user can move.
 */
import type { Host, ServerReply, ServerRequest } from '../ports.ts';
import { grantOfHeader, tokenAnswer } from './access.ts';
import { answerAdmin } from './admin.ts';
import { type Effect, type Fault, type FaultedRequest, type OperationName, strike } from './faults.ts';
import { isActionName, performAction } from './key-actions.ts';
import {
  countKeys,
  createKey,
  deleteKey,
  type KeyContext,
  listKeys,
  listVersions,
  readKey,
  readMetadata,
  restoreKey,
} from './key-handlers.ts';
import { type KeyRecord, type Naming, type Result, result } from './key-record.ts';
import { badField, keyNotFound, notBuilt, refusal, unauthorized } from './refusals.ts';
import { mayPerform, type Route, routeOf } from './routes.ts';
import type { Store } from './store.ts';

export interface ServiceOptions {
  readonly naming: Naming;
  readonly faults: readonly Fault[];
  /** Aborts when the service ends: nothing waits after that. */
  readonly signal?: AbortSignal;
  /** Told of each request that was served: for a log. */
  readonly observe?: (line: string) => void;
}

export interface KeyService {
  handle(request: ServerRequest): Promise<ServerReply>;
}

type ServicePorts = Pick<Host, 'clock' | 'entropy'>;

const CORRELATION_ID = /^[A-Za-z0-9-]{1,64}$/;

const replyOf = (given: Result, headers: Readonly<Record<string, string>>): ServerReply => ({
  kind: 'reply',
  status: given.status,
  headers: {
    ...(given.status === 204 ? {} : { 'content-type': 'application/json' }),
    ...headers,
    ...(given.kind === 'result' ? given.headers : {}),
  },
  body: given.body,
});

/** What an effect other than a delay answers. */
const faultReply = (effect: Exclude<Effect, { readonly kind: 'delay' }>): ServerReply => {
  switch (effect.kind) {
    case 'drop':
    case 'hang':
      return { kind: effect.kind };
    case 'truncate':
      return { kind: 'truncate', body: JSON.stringify({ metadata: {}, resources: [], padding: 'x'.repeat(64) }) };
    case 'malformed':
      return { kind: 'reply', status: 200, headers: { 'content-type': 'text/html' }, body: '<html>gateway</html>' };
    case 'status': {
      const retry = effect.retryAfterSeconds === null ? {} : { 'retry-after': String(effect.retryAfterSeconds) };
      if (effect.body !== null) {
        return {
          kind: 'reply',
          status: effect.status,
          headers: { 'content-type': 'text/plain', ...retry },
          body: effect.body,
        };
      }
      const given =
        effect.code === null
          ? unauthorized()
          : refusal(effect.status, 'The request could not be served', effect.code, 'scripted fault');
      return replyOf({ ...given, status: effect.status }, retry);
    }
  }
};

const keyAnswer = (context: KeyContext, operation: OperationName, key: KeyRecord): Result => {
  if (isActionName(operation)) {
    const { store, entropy, nowMs, body } = context;
    return performAction(operation, { store, entropy, nowMs, key, body });
  }
  switch (operation) {
    case 'get':
      return readKey(context, key);
    case 'versions':
      return listVersions(context, key);
    case 'delete':
      return deleteKey(context, key);
    case 'restore':
      return restoreKey(context, key);
    default:
      return readMetadata(context, key);
  }
};

export const makeService = (host: ServicePorts, store: Store, options: ServiceOptions): KeyService => {
  let { faults } = options;
  const nowMs = (): number => host.clock.now().getTime() + store.clockOffsetMs();

  const authorized = (
    request: ServerRequest,
    query: URLSearchParams,
    route: Extract<Route, { kind: 'keys' | 'key' }>,
  ): Result => {
    const grant = grantOfHeader(store, request.headers.authorization, nowMs());
    if (grant === null) return unauthorized();
    const instance = request.headers['bluemix-instance'];
    if (instance === undefined)
      return badField('The request could not be served', 'Bluemix-Instance', 'it is required');
    if (grant.instance !== instance || !mayPerform(grant.role, route.operation)) return unauthorized();
    const context: KeyContext = {
      store,
      entropy: host.entropy,
      nowMs: nowMs(),
      naming: options.naming,
      instance,
      caller: grant.iamId,
      query,
      headers: request.headers,
      body: request.body,
    };
    if (route.kind === 'keys') {
      return { create: createKey, list: listKeys, head: countKeys }[route.operation](context);
    }
    const key = store.key(instance, route.name);
    return key === null ? keyNotFound('Key could not be retrieved') : keyAnswer(context, route.operation, key);
  };

  const answer = (request: ServerRequest, query: URLSearchParams, route: Route): Result => {
    switch (route.kind) {
      case 'token':
        return tokenAnswer(store, request.body.toString('utf8'), nowMs(), host.entropy.uuid());
      case 'notBuilt':
        return notBuilt(route.what);
      case 'unknown':
        return result(404, '404 page not found\n', { 'content-type': 'text/plain' });
      case 'admin':
        return answerAdmin(request, route.name, {
          faults: () => faults,
          setFaults: (given) => {
            faults = given;
          },
          nowMs,
          advance: (ms) => store.setClockOffsetMs(store.clockOffsetMs() + ms),
        });
      default:
        return authorized(request, query, route);
    }
  };

  const struck = (request: ServerRequest, route: Route): Effect | null => {
    if (route.kind !== 'token' && route.kind !== 'keys' && route.kind !== 'key') return null;
    const faulted: FaultedRequest = {
      operation: route.kind === 'token' ? 'token' : route.operation,
      instance: request.headers['bluemix-instance'] ?? null,
      key: route.kind === 'key' ? route.name : null,
    };
    const { effect, left } = strike(faults, faulted);
    faults = left;
    return effect;
  };

  return {
    handle: async (request) => {
      const url = URL.canParse(request.target, 'http://localhost') ? new URL(request.target, 'http://localhost') : null;
      const route: Route = url === null ? { kind: 'unknown' } : routeOf(request.method, url.pathname, url.searchParams);
      const name = route.kind === 'keys' || route.kind === 'key' ? route.operation : route.kind;
      const given = request.headers['correlation-id'];
      const correlationId = given !== undefined && CORRELATION_ID.test(given) ? given : host.entropy.uuid();
      const effect = struck(request, route);
      if (effect?.kind === 'delay') await host.clock.sleep(effect.delayMs, options.signal);
      if (options.signal?.aborted === true) return { kind: 'drop' };
      const reply =
        effect === null || effect.kind === 'delay'
          ? replyOf(answer(request, url?.searchParams ?? new URLSearchParams(), route), {
              'correlation-id': correlationId,
            })
          : faultReply(effect);
      const outcome = reply.kind === 'reply' ? String(reply.status) : reply.kind;
      options.observe?.(`${name}${route.kind === 'key' ? ` ${route.name}` : ''}: ${outcome}`);
      return reply;
    },
  };
};
