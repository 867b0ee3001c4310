/**
 * The local key service: one request in, one reply out. The same function answers tests in the same process and the
 * real server. Time is the machine's wall clock plus an offset that the user can move.
 */
import type { Host } from '../ports.ts';
import type { ServerReply, ServerRequest } from '../service-ports.ts';
import { tokenAnswer } from './access.ts';
import { answerAdmin } from './admin.ts';
import { type Caller, identify, roleProblem } from './authorize.ts';
import { auditEvent } from './events.ts';
import { type Fault, type FaultedRequest, type Stroke, strike } from './faults.ts';
import { HANDLERS } from './handlers.ts';
import type { KeyRecord, Naming } from './key-record.ts';
import { bareBody, phraseOf } from './reasons.ts';
import { refuse } from './refusals.ts';
import { type Result, result } from './result.ts';
import { type Route, routeOf } from './routes.ts';
import { shownName, shownPath } from './shown.ts';
import { IncompleteKey, type Store } from './store.ts';
import { strokeReply } from './stroke-reply.ts';
import { runUpkeep } from './upkeep.ts';

export interface ServiceOptions {
  readonly naming: Naming;
  readonly faults: readonly Fault[];
  /** Aborts when the service ends: nothing waits after that. */
  readonly signal?: AbortSignal;
  /** Told of each request that was served: for a log. */
  readonly observe?: (line: string) => void;
  /** Told of an error of the service's own; without it, the error is thrown. */
  readonly failed?: (error: unknown, correlationId: string) => void;
  /** Takes audit events, each a line of JSON. */
  readonly record?: (event: string) => void;
}

export interface KeyService {
  handle(request: ServerRequest): Promise<ServerReply>;
  /** Does the calendar work that has come due. */
  upkeep(): void;
}

type ServicePorts = Pick<Host, 'clock' | 'entropy'>;
type ApiRoute = Extract<Route, { readonly kind: 'api' }>;

const CORRELATION_ID = /^[A-Za-z0-9-]{1,64}$/;
const FAILED = 'The request could not be served';

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

export const makeService = (host: ServicePorts, store: Store, options: ServiceOptions): KeyService => {
  let { faults } = options;
  let rules: ReadonlyMap<string, boolean> = new Map();
  const nowMs = (): number => host.clock.now().getTime() + store.clockOffsetMs();

  const perform = async (
    request: ServerRequest,
    query: URLSearchParams,
    route: ApiRoute,
    caller: Caller,
  ): Promise<Result> => {
    const problem = roleProblem(caller, route.endpoint);
    if (problem !== null) return problem;
    const { operation } = route.endpoint;
    if (operation === 'token' || operation === 'discovery' || operation === 'kmip') throw new TypeError(operation);
    try {
      return await HANDLERS[operation]({
        store,
        entropy: host.entropy,
        nowMs: nowMs(),
        naming: options.naming,
        instance: caller.instance,
        caller: caller.iamId,
        roles: caller.roles,
        query,
        headers: request.headers,
        body: request.body,
        path: route.names,
        rules,
      });
    } catch (error) {
      if (error instanceof IncompleteKey) return refuse('INCOMPLETE_METADATA_ERR', FAILED);
      throw error;
    }
  };

  const keyNamed = (instance: string, name: string | undefined): KeyRecord | null => {
    try {
      return name === undefined ? null : store.key(instance, name);
    } catch {
      return null;
    }
  };

  const record = (
    request: ServerRequest,
    route: ApiRoute,
    instance: string,
    caller: Caller | null,
    before: KeyRecord | null,
    given: Result,
    correlationId: string,
  ): void => {
    const audit = given.kind === 'result' ? (given.audit ?? {}) : {};
    const key = keyNamed(instance, typeof audit.keyId === 'string' ? audit.keyId : route.names.key) ?? before;
    const event = auditEvent({
      atMs: nowMs(),
      naming: options.naming,
      instance,
      event: route.endpoint.event,
      status: given.status,
      code: given.kind === 'refusal' ? given.code : null,
      caller: caller?.iamId ?? null,
      address: request.remote,
      agent: request.headers['user-agent'] ?? null,
      path: shownPath(request.target, route.names, (name) => given.status < 400 || keyNamed(instance, name) !== null),
      key,
      correlationId,
      audit,
    });
    options.record?.(event);
  };

  const api = async (
    request: ServerRequest,
    query: URLSearchParams,
    route: ApiRoute,
    correlationId: string,
  ): Promise<Result> => {
    const instance = request.headers['bluemix-instance'];
    const caller = identify(store, request, nowMs(), instance);
    const isRecorded = options.record !== undefined && instance !== undefined && store.instances().includes(instance);
    const before = isRecorded ? keyNamed(instance, route.names.key) : null;
    const given = caller.kind === 'refusal' ? caller : await perform(request, query, route, caller);
    if (isRecorded) {
      const known = caller.kind === 'caller' ? caller : null;
      record(request, route, instance, known, before, given, correlationId);
    }
    return given;
  };

  /** GET /crypto_v2/instances/{id}: Hyper Protect Crypto Services, "Retrieving the API endpoint". */
  const discovery = (request: ServerRequest, instance: string): Result => {
    const caller = identify(store, request, nowMs(), instance);
    if (caller.kind === 'refusal') return caller;
    const address = { public: request.headers.host ?? '', private: request.headers.host ?? '' };
    return result(200, JSON.stringify({ instance_id: instance, kms: address }));
  };

  const kmip = (request: ServerRequest): Result => {
    const caller = identify(store, request, nowMs(), request.headers['bluemix-instance']);
    return caller.kind === 'refusal' ? caller : refuse('FEATURE_RESTRICTED_ERR', 'KMIP adapter could not be served');
  };

  const upkeep = (): void => {
    for (const { event, key, atMs, audit } of runUpkeep(host.entropy, store, nowMs())) {
      const line = auditEvent({
        atMs,
        naming: options.naming,
        instance: key.instance,
        event,
        status: 200,
        code: null,
        caller: 'Key Protect',
        address: null,
        agent: null,
        path: null,
        key,
        correlationId: host.entropy.uuid(),
        audit,
      });
      options.record?.(line);
    }
  };

  const admin = (request: ServerRequest, name: string): Result =>
    answerAdmin(request, name, {
      faults: () => faults,
      setFaults: (given) => {
        faults = given;
      },
      rules: () => rules,
      setRules: (given) => {
        rules = given;
      },
      nowMs,
      advance: (ms) => {
        store.setClockOffsetMs(store.clockOffsetMs() + ms);
        upkeep();
      },
    });

  const answer = (
    request: ServerRequest,
    query: URLSearchParams,
    route: Route,
    correlationId: string,
  ): Result | Promise<Result> => {
    switch (route.kind) {
      case 'token':
        return tokenAnswer(store, request.body.toString('utf8'), nowMs(), host.entropy.uuid());
      case 'admin':
        return admin(request, route.name);
      case 'discovery':
        return discovery(request, route.instance);
      case 'kmip':
        return kmip(request);
      case 'api':
        return api(request, query, route, correlationId);
      case 'unknown':
        return result(404, '404 page not found\n', { 'content-type': 'text/plain' });
    }
  };

  const struck = (request: ServerRequest, route: Route): Stroke | null => {
    if (route.kind === 'admin' || route.kind === 'unknown') return null;
    const faulted: FaultedRequest = {
      operation: route.kind === 'api' ? route.endpoint.operation : route.kind,
      instance: request.headers['bluemix-instance'] ?? null,
      key: route.kind === 'api' ? (route.names.key ?? null) : null,
    };
    const { stroke, left } = strike(faults, faulted, host.clock.monotonicMs());
    faults = left;
    return stroke;
  };

  const observe = (request: ServerRequest, route: Route, reply: ServerReply, correlationId: string): void => {
    if (options.observe === undefined) return;
    const operation = route.kind === 'api' ? route.endpoint.operation : route.kind;
    const key = route.kind === 'api' ? route.names.key : undefined;
    const isKnown = key !== undefined && keyNamed(request.headers['bluemix-instance'] ?? '', key) !== null;
    const outcome = reply.kind === 'reply' ? `${reply.status} ${phraseOf(reply.status)}` : reply.kind;
    const named = key === undefined ? operation : `${operation} ${shownName(key, isKnown)}`;
    options.observe(`${named}: ${outcome}, correlation id ${correlationId}`);
  };

  const answerOrFail = async (...given: Parameters<typeof answer>): Promise<Result> => {
    try {
      return await answer(...given);
    } catch (error) {
      if (options.failed === undefined) throw error;
      options.failed(error, given[3]);
      return result(500, bareBody(500, FAILED));
    }
  };

  return {
    upkeep,
    handle: async (request) => {
      const url = URL.canParse(request.target, 'http://localhost') ? new URL(request.target, 'http://localhost') : null;
      const query = url?.searchParams ?? new URLSearchParams();
      const route: Route = url === null ? { kind: 'unknown' } : routeOf(request.method, url.pathname, query);
      const given = request.headers['correlation-id'];
      const correlationId = given !== undefined && CORRELATION_ID.test(given) ? given : host.entropy.uuid();
      const stroke = struck(request, route);
      if (stroke?.kind === 'delay') await host.clock.sleep(stroke.delayMs, options.signal);
      if (options.signal?.aborted === true) return { kind: 'drop' };
      const reply =
        stroke === null || stroke.kind === 'delay'
          ? replyOf(await answerOrFail(request, query, route, correlationId), { 'correlation-id': correlationId })
          : strokeReply(stroke);
      observe(request, route, reply, correlationId);
      return reply;
    },
  };
};
