/** The local key service in this process, on a manual clock: the handlers of the real server without a socket. */

import type { AgentConfiguration } from '../../agent/configuration.ts';
import type { KmsEntry } from '../../agent/contract/types.ts';
import type { Role } from '../../agent/emulator/access.ts';
import { crnOf, type Naming } from '../../agent/emulator/key-record.ts';
import { makeService } from '../../agent/emulator/service.ts';
import type { Store } from '../../agent/emulator/store.ts';
import { openStore } from '../../agent/emulator/store-file.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { files } from '../../agent/host/files.ts';
import type { Clock, Files, Host } from '../../agent/ports.ts';
import { Secret } from '../../agent/secret.ts';
import { type FakeAnswer, type FakeHttp, fakeHttp, type SentRequest } from './http.ts';

export const INSTANCE = '11111111-2222-4333-8444-555555555555';
export const API_KEY = 'an-api-key_of-the.tests~ +&=';
const naming = { service: 'kms', region: 'us-south', account: '0'.repeat(32) };

export interface LocalKms {
  readonly http: FakeHttp;
  /** Ports for clients: this service as the network. */
  readonly host: Pick<Host, 'http' | 'clock' | 'entropy'>;
  readonly settings: AgentConfiguration['kms'];
  readonly store: Store;
  /** Does the calendar work. */
  upkeep(): void;
  /**
   * One raw request, with the API key of the instance unless `as` or `headers` say otherwise; a header that is empty is
   * left out.
   */
  request(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
    as?: { readonly apiKey?: string; readonly remote?: string },
  ): Promise<Answer>;
  /** A new root key; its id. */
  createKey(resource?: object): Promise<string>;
  entry(keyId: string, apiKey?: string): KmsEntry;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly json: any;
}

export const localKms = async (
  clock: Clock,
  options: {
    readonly role?: Role;
    readonly roles?: readonly Role[];
    readonly files?: Files;
    readonly database?: string;
    readonly naming?: Naming;
    readonly record?: (event: string) => void;
  } = {},
): Promise<LocalKms> => {
  const store = await openStore({ files: options.files ?? files, entropy }, options.database ?? null);
  store.admit(Buffer.from(API_KEY), 'iam-ServiceId-tests', INSTANCE, options.roles ?? [options.role ?? 'Manager']);
  const record = options.record === undefined ? {} : { record: options.record };
  const service = makeService({ clock, entropy }, store, { naming: options.naming ?? naming, faults: [], ...record });

  const deliver = async (request: SentRequest, remote = '127.0.0.1'): Promise<FakeAnswer> => {
    const { pathname, search, host } = new URL(request.url);
    const reply = await service.handle({
      method: request.method,
      target: `${pathname}${search}`,
      headers: { host, ...request.headers },
      body: Buffer.from(request.body, 'latin1'),
      remote,
    });
    if (reply.kind === 'hang') return 'hang';
    if (reply.kind !== 'reply') return { failure: 'interrupted' };
    return { status: reply.status, headers: reply.headers, body: reply.body };
  };
  const http = fakeHttp(clock, (request) => deliver(request));

  const raw = async (request: SentRequest, remote?: string): Promise<Answer> => {
    const given = await deliver(request, remote);
    if (given === 'hang' || 'failure' in given) throw new Error('no answer');
    const text = String(given.body ?? '');
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: given.status, headers: given.headers ?? {}, text, json };
  };
  const base = { url: '', timeoutMs: 1000 };
  const token = async (apiKey: string): Promise<string> => {
    const form = new URLSearchParams({
      grant_type: 'urn:ibm:params:oauth:grant-type:apikey',
      apikey: apiKey,
    }).toString();
    const answer = await raw({
      ...base,
      method: 'POST',
      url: 'http://127.0.0.1/identity/token',
      headers: {},
      body: form,
    });
    return `Bearer ${answer.json.access_token}`;
  };

  const request: LocalKms['request'] = async (method, path, body, headers = {}, as = {}) => {
    const all = { authorization: await token(as.apiKey ?? API_KEY), 'bluemix-instance': INSTANCE, ...headers };
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    return raw({ ...base, method, url: `http://127.0.0.1${path}`, headers: sent, body: text }, as.remote);
  };

  return {
    http,
    host: { http: http.send, clock, entropy },
    settings: {
      iam: 'http://127.0.0.1:8080',
      endpoints: { [INSTANCE]: 'http://127.0.0.1:8080' },
      ca: [],
      proxy: null,
      pollSeconds: 60,
      onRevoked: 'grace',
    },
    store,
    upkeep: () => service.upkeep(),
    request,
    createKey: async (resource = {}) => {
      const answer = await request('POST', '/api/v2/keys', {
        metadata: { collectionType: 'application/vnd.ibm.kms.key+json', collectionTotal: 1 },
        resources: [{ name: 'tests', extractable: false, ...resource }],
      });
      if (answer.status !== 201) throw new Error(`no key was made: ${answer.text}`);
      return String(answer.json.resources[0].id);
    },
    entry: (keyId, apiKey = API_KEY) => ({
      crn: crnOf(naming, INSTANCE, keyId),
      type: 'public',
      apiKey: Secret.fromText(apiKey),
    }),
  };
};
