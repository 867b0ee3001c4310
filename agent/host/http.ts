/**
 * One HTTP request and its answer over node:https. Not `fetch`: that follows redirects on its own account, keeps
 * bodies in the garbage collector's heap and needs 10 MB more of memory.
 *
 * https with TLS 1.2 or later, verified against Node's built-in certificates and the extra ones; plain http to
 * loopback addresses only. No redirects, no environment variables; a proxy only when the configuration names one, and
 * then for https alone: it sees the host's name and nothing of what is said.
 */
import { X509Certificate } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RequestOptions, Agent as SecureAgent, request as secureRequest } from 'node:https';
import { isIP } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext, type TLSSocket } from 'node:tls';
import { AgentError } from '../errors.ts';
import type { HttpOutcome, HttpRequest, SendHttp, TransportFailure } from '../ports.ts';
import { privateBuffer, Secret } from '../secret.ts';
// Not `performance`: the first use of it loads ten modules of Node, for 4 ms of a boot.
import { clock } from './clock.ts';
import { Agent as PlainAgent, request as plainRequest } from './node-http.ts';

export interface HttpOptions {
  /** PEM texts of certificates to be trusted beside the built-in ones. */
  readonly extraCa: readonly string[];
  /** URL of the proxy that https goes through (RFC 9110 §9.3.6, CONNECT), or null. */
  readonly proxy: string | null;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const MAX_SOCKETS = 8;
const LOOPBACK = /^(localhost|\[::1\]|127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;

const isProxy = (text: string): boolean =>
  URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol) && new URL(text).pathname === '/';

const certificatesOf = (pem: string): readonly string[] => {
  const found = pem.match(PEM_CERTIFICATE) ?? [];
  if (found.length === 0) throw new AgentError('KMS_CA_UNUSABLE', { reason: 'there is no PEM certificate in it' });
  for (const certificate of found) {
    try {
      new X509Certificate(certificate);
    } catch (cause) {
      throw new AgentError('KMS_CA_UNUSABLE', { reason: 'one of its PEM blocks is no certificate' }, { cause });
    }
  }
  return found;
};

const failure = (kind: TransportFailure, detail: string): HttpOutcome => ({ kind: 'failure', failure: kind, detail });

const refusedUrl = (url: URL | null): string | null => {
  if (url === null) return 'the address is not a URL';
  if (url.username !== '' || url.password !== '') return 'the address holds credentials';
  if (url.protocol === 'https:') return null;
  if (url.protocol !== 'http:') return 'the address is not https';
  return LOOPBACK.test(url.hostname) ? null : 'plain http is allowed to loopback addresses only';
};

/**
 * Node tries the addresses of a name one after the other; its own 250 ms for each is less than a far region needs for a
 * handshake.
 */
const ADDRESS_ATTEMPT_MS = 1000;

const LOOKUP_CODES: ReadonlySet<string> = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME']);
/** How far the request got when it failed. */
interface Progress {
  /** A socket of its own is being connected; behind a proxy there is none before it is secured. */
  begun: boolean;
  resolved: boolean;
  connected: boolean;
  secured: boolean;
  answered: boolean;
}

const classify = (code: string, isTls: boolean, progress: Progress): TransportFailure => {
  if (LOOKUP_CODES.has(code)) return 'lookup';
  if (code.startsWith('HPE_')) return 'protocol';
  if (code === 'ERR_PROXY_TUNNEL') return 'connect';
  // Behind a proxy the socket is only seen when it is secured: an error that no system call gave is one of TLS.
  if (!progress.connected) return isTls && !/^E[A-Z0-9]+$/.test(code) ? 'tls' : 'connect';
  return isTls && !progress.secured ? 'tls' : 'interrupted';
};

/** What was still awaited when a limit was over. Without the limit itself: equal troubles read alike. */
const overdue = (host: string, proxy: string | null, progress: Progress): HttpOutcome => {
  if (progress.connected && progress.secured) return failure('timeout', `no complete answer from ${host} in time`);
  if (progress.connected) return failure('tls', `no TLS handshake with ${host} in time`);
  if (!progress.begun) {
    return proxy === null
      ? failure('timeout', `no free connection to ${host} in time`)
      : failure('connect', `no connection to ${host} through the proxy in time`);
  }
  return progress.resolved
    ? failure('connect', `no connection to ${host} in time`)
    : failure('lookup', `no address of ${host} in time`);
};

const codeOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : 'unknown error';
};

const copyOf = (bytes: Uint8Array): Buffer => {
  const copy = privateBuffer(bytes.length);
  copy.set(bytes);
  return copy;
};

/** Request body as bytes of our own, so that they can be wiped once they are sent. */
const bodyOf = (body: HttpRequest['body']): Buffer | null => {
  if (body === undefined) return null;
  if (body instanceof Secret) return body.expose(copyOf);
  return copyOf(typeof body === 'string' ? Buffer.from(body, 'utf8') : body);
};

const headersOf = (answer: IncomingMessage): Record<string, string> => {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
};

const collect = (chunks: readonly Buffer[], length: number): Buffer => {
  const body = privateBuffer(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
    chunk.fill(0);
  }
  return body;
};

export interface HttpClient {
  readonly send: SendHttp;
  /** Reads the certificates to be trusted, which the first request over https would do otherwise; asks nobody. */
  readonly prepare: () => void;
}

/**
 * @throws KMS_PROXY_INVALID, KMS_CA_UNUSABLE when an extra certificate cannot be read
 */
export const makeHttpClient = (options: HttpOptions): HttpClient => {
  const { proxy } = options;
  if (proxy !== null && !isProxy(proxy)) throw new AgentError('KMS_PROXY_INVALID', {});
  const extra = options.extraCa.flatMap(certificatesOf);
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS, autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS };
  const plain = new PlainAgent(sockets);
  const secure = new SecureAgent({
    ...sockets,
    // Said out loud: NODE_TLS_REJECT_UNAUTHORIZED must not be able to switch verification off.
    rejectUnauthorized: true,
    // Given here, so that the variables of the environment do not count.
    ...(proxy === null ? {} : { proxyEnv: { HTTPS_PROXY: proxy } }),
  });
  let context: SecureContext | null = null;
  /** Made once, when it is needed: reading 150 certificates takes longer than a handshake. */
  const trust = (): SecureContext => {
    // 'bundled', not 'default': NODE_EXTRA_CA_CERTS and the machine's own store must not add to it.
    context ??= createSecureContext({ ca: [...getCACertificates('bundled'), ...extra], minVersion: 'TLSv1.2' });
    return context;
  };

  const once = (request: HttpRequest, url: URL, timeoutMs: number): Promise<HttpOutcome & { readonly stale?: true }> =>
    new Promise((resolve) => {
      const isTls = url.protocol === 'https:';
      const body = bodyOf(request.body);
      const progress: Progress = {
        begun: false,
        resolved: isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0,
        connected: false,
        secured: !isTls,
        answered: false,
      };
      const chunks: Buffer[] = [];
      let sent: ClientRequest | null = null;
      let settled = false;
      const settle = (outcome: HttpOutcome & { readonly stale?: true }): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        clearTimeout(connectTimer);
        body?.fill(0);
        for (const chunk of chunks) chunk.fill(0);
        if (outcome.kind === 'failure') sent?.destroy();
        resolve(outcome);
      };
      const expire = (): void => settle(overdue(url.host, isTls ? proxy : null, progress));
      const timer = setTimeout(expire, timeoutMs);
      let connectTimer: NodeJS.Timeout | undefined;
      const fail = (error: unknown): void => {
        const code = codeOf(error);
        const kind = classify(code, isTls, progress);
        const outcome = failure(kind, `${code} at ${url.host}`);
        // A kept connection which the other side closed meanwhile. RFC 9110, 9.2.2: a client may repeat such a request
        // by itself only when repeating cannot change anything.
        const stale =
          sent?.reusedSocket === true &&
          (request.method === 'GET' || request.method === 'HEAD') &&
          !progress.answered &&
          (code === 'ECONNRESET' || code === 'EPIPE');
        settle(stale ? { ...outcome, stale: true } : outcome);
      };
      const receive = (answer: IncomingMessage): void => {
        progress.answered = true;
        let length = 0;
        const encoding = answer.headers['content-encoding'];
        if (encoding !== undefined && encoding !== 'identity') {
          settle(failure('protocol', `${url.host} sent an encoding that was not asked for`));
          return;
        }
        answer.on('data', (chunk: Buffer) => {
          length += chunk.length;
          chunks.push(chunk);
          if (length > request.maxBodyBytes) {
            settle(failure('tooLarge', `${url.host} sent more than ${request.maxBodyBytes} bytes`));
          }
        });
        answer.on('error', fail);
        answer.on('end', () => {
          if (!answer.complete) return fail(new Error('cut short'));
          const response = {
            status: answer.statusCode ?? 0,
            headers: headersOf(answer),
            body: settled ? privateBuffer(0) : collect(chunks, length),
          };
          settle({ kind: 'answer', response });
        });
        answer.on('close', () => settle(failure('interrupted', `${url.host} ended the answer early`)));
      };
      const settings: RequestOptions = {
        method: request.method,
        ...(isTls ? { agent: secure, secureContext: trust() } : { agent: plain }),
        headers: {
          'accept-encoding': 'identity',
          'user-agent': 'triseed',
          ...request.headers,
          ...(body === null ? {} : { 'content-length': String(body.length) }),
        },
      };
      try {
        sent = (isTls ? secureRequest : plainRequest)(url, settings, receive);
      } catch (error) {
        settle(failure('protocol', `${codeOf(error)} while the request was made`));
        return;
      }
      sent.on('socket', (socket) => {
        if (!socket.connecting) {
          progress.connected = true;
          progress.secured = true;
          // A kept connection: listeners for what has happened already would pile up on it, request by request.
          return;
        }
        progress.begun = true;
        if (request.connectTimeoutMs !== undefined && request.connectTimeoutMs < timeoutMs) {
          connectTimer = setTimeout(expire, request.connectTimeoutMs);
        }
        socket.once('lookup', (error: Error | null) => {
          progress.resolved ||= error === null;
        });
        socket.once('connect', () => {
          progress.connected = true;
          if (!isTls) clearTimeout(connectTimer);
        });
        (socket as TLSSocket).once('secureConnect', () => {
          progress.secured = true;
          clearTimeout(connectTimer);
        });
      });
      sent.on('error', fail);
      sent.on('close', () => settle(failure('interrupted', `${url.host} closed the connection without an answer`)));
      if (body === null) sent.end();
      else sent.end(body);
    });

  const send: SendHttp = async (request) => {
    const url = URL.canParse(request.url) ? new URL(request.url) : null;
    const refusal = refusedUrl(url);
    if (url === null || refusal !== null) return failure('protocol', refusal ?? 'the address is not a URL');
    const untilMs = clock.monotonicMs() + request.timeoutMs;
    const outcome = await once(request, url, request.timeoutMs);
    const leftMs = untilMs - clock.monotonicMs();
    if (outcome.stale !== true || leftMs <= 0) return outcome;
    return once(request, url, leftMs);
  };
  return {
    send,
    prepare: () => {
      trust();
    },
  };
};

/** As `makeHttpClient`. */
export const makeHttp = (options: HttpOptions): SendHttp => makeHttpClient(options).send;
