/** Starts the local key service: store, API keys, listening socket. */
import { AgentError } from '../errors.ts';
import type { Host, RunningServer, ServeHttp } from '../ports.ts';
import type { Role } from './access.ts';
import type { Fault } from './faults.ts';
import type { Naming } from './key-record.ts';
import { makeService } from './service.ts';
import { openStore, type Store } from './store.ts';

export interface GrantFile {
  /** Null: the only instance there is, or a new one. */
  readonly instance: string | null;
  readonly role: Role;
  /** Holds the API key; made with a new key when it does not exist. */
  readonly path: string;
}

export interface ServeOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** SQLite file, or null for memory only. */
  readonly database: string | null;
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly faults: readonly Fault[];
  readonly naming: Naming;
  readonly grants: readonly GrantFile[];
  readonly log: (line: string) => void;
  /** Log every request. */
  readonly verbose: boolean;
}

export interface RunningService {
  readonly url: string;
  readonly instances: readonly string[];
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 262_144;
const MAX_API_KEY_BYTES = 4096;
const NEW_API_KEY_BYTES = 33;

const readApiKey = async (host: Host, path: string): Promise<Buffer> => {
  const found = await host.files.read(path, MAX_API_KEY_BYTES);
  if (found !== null) return Buffer.from(found.toString('utf8').trim(), 'utf8');
  const made = Buffer.from(host.entropy.bytes(NEW_API_KEY_BYTES).toString('base64url'), 'latin1');
  await host.files.writeNew(path, Buffer.concat([made, Buffer.from('\n')]), 0o600);
  return made;
};

const instanceFor = (host: Host, store: Store, grant: GrantFile): string => {
  if (grant.instance !== null) return grant.instance;
  const [only, ...more] = store.instances();
  if (more.length > 0) {
    throw new AgentError('KMS_SERVE_FAILED', { reason: 'the store has several instances: name one with --instance' });
  }
  return only ?? host.entropy.uuid();
};

const admit = async (host: Host, store: Store, grant: GrantFile): Promise<void> => {
  const apiKey = await readApiKey(host, grant.path);
  if (apiKey.length < 10) throw new AgentError('KMS_SERVE_FAILED', { reason: `${grant.path} holds no API key` });
  const known = store.grantOf(apiKey);
  if (known === null) {
    store.addGrant(apiKey, {
      iamId: `iam-ServiceId-${host.entropy.uuid()}`,
      instance: instanceFor(host, store, grant),
      role: grant.role,
    });
  } else if ((grant.instance !== null && known.instance !== grant.instance) || known.role !== grant.role) {
    const reason = `the API key in ${grant.path} is already known, for ${known.instance} as ${known.role}`;
    throw new AgentError('KMS_SERVE_FAILED', { reason });
  }
};

const listen = async (
  serve: ServeHttp,
  options: ServeOptions,
  handle: Parameters<ServeHttp>[0]['handle'],
): Promise<RunningServer> => {
  try {
    return await serve({
      ...options.listen,
      tls: options.tls,
      maxBodyBytes: MAX_BODY_BYTES,
      handle,
      onError: (error) => options.log(`internal error: ${error instanceof Error ? error.message : 'unknown'}`),
    });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    const { host, port } = options.listen;
    throw new AgentError('KMS_SERVE_FAILED', { reason: `${host}:${port}: ${code}` }, { cause });
  }
};

/** @throws KMS_STORE_UNUSABLE, KMS_SERVE_FAILED, FILE_UNREADABLE, FILE_UNWRITABLE */
export const startService = async (host: Host, serve: ServeHttp, options: ServeOptions): Promise<RunningService> => {
  const store = await openStore(host, options.database);
  const ending = new AbortController();
  try {
    for (const grant of options.grants) await admit(host, store, grant);
    const service = makeService(host, store, {
      naming: options.naming,
      faults: options.faults,
      signal: ending.signal,
      ...(options.verbose ? { observe: options.log } : {}),
    });
    const server = await listen(serve, options, service.handle);
    return {
      url: server.url,
      instances: store.instances(),
      close: async () => {
        ending.abort();
        await server.close();
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
};
