/** Starts the local key service: store, API keys, listening socket. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Calendar, RunningServer, ServeHttp } from '../service-ports.ts';
import type { Role } from './access.ts';
import type { Fault } from './faults.ts';
import type { Naming } from './key-record.ts';
import { makeService } from './service.ts';
import type { Store } from './store.ts';
import { type MasterKeyFile, openStore } from './store-file.ts';

export interface GrantFile {
  /** Null: the only instance there is, or a new one. */
  readonly instance: string | null;
  readonly roles: readonly Role[];
  /** Holds the API key; made with a new key when it does not exist. */
  readonly path: string;
}

export interface ServeOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** SQLite file, or null for memory only. */
  readonly database: string | null;
  /** Null: beside the database. */
  readonly masterKey: MasterKeyFile | null;
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly faults: readonly Fault[];
  readonly naming: Naming;
  readonly grants: readonly GrantFile[];
  readonly log: (line: string) => void;
  /** Log every request. */
  readonly verbose: boolean;
  /** Takes audit events; null when nobody wants them. */
  readonly record: ((event: string) => void) | null;
}

/** What the service needs beside the host. */
export interface ServiceDoors {
  readonly serve: ServeHttp;
  readonly calendar: Calendar;
}

export interface RunningService {
  readonly url: string;
  readonly instances: readonly string[];
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 262_144;
const MAX_API_KEY_BYTES = 4096;
const NEW_API_KEY_BYTES = 33;
/** Rotation, expiry and purge are looked at once a minute. */
const UPKEEP = '0 * * * * *';

const readApiKey = async (host: Host, path: string): Promise<Buffer> => {
  const found = await host.files.read(path, MAX_API_KEY_BYTES);
  if (found !== null) return Buffer.from(found.toString('utf8').trim(), 'utf8');
  const made = Buffer.from(host.entropy.bytes(NEW_API_KEY_BYTES).toString('base64url'), 'latin1');
  await host.files.writeNew(path, Buffer.concat([made, Buffer.from('\n')]), 0o600);
  return made;
};

const instanceFor = (host: Host, store: Store): string => {
  const [only, ...more] = store.instances();
  if (more.length > 0) {
    throw new AgentError('KMS_SERVE_FAILED', { reason: 'the store has several instances: name one with --instance' });
  }
  return only ?? host.entropy.uuid();
};

/** The instance that is meant by the grant of an API key that is known already. */
const heldInstance = (store: Store, iamId: string, wanted: string | null): string | null =>
  wanted ?? store.instances().find((instance) => store.rolesOf(iamId, instance).length > 0) ?? null;

const admit = async (host: Host, store: Store, grant: GrantFile): Promise<void> => {
  const apiKey = await readApiKey(host, grant.path);
  if (apiKey.length < 10) throw new AgentError('KMS_SERVE_FAILED', { reason: `${grant.path} holds no API key` });
  const known = store.identityOf(apiKey);
  const instance = known === null ? null : heldInstance(store, known, grant.instance);
  const roles = known === null || instance === null ? [] : store.rolesOf(known, instance);
  if (roles.length === 0) {
    const iamId = known ?? `iam-ServiceId-${host.entropy.uuid()}`;
    store.admit(apiKey, iamId, grant.instance ?? instanceFor(host, store), grant.roles);
  } else if ([...roles].sort().join('+') !== [...grant.roles].sort().join('+')) {
    const reason = `the API key in ${grant.path} is already known, for ${instance} as ${roles.join('+')}`;
    throw new AgentError('KMS_SERVE_FAILED', { reason });
  }
};

/** Where in the program an error came from, without its message: that may quote what somebody sent. */
const placeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown';
  const places = (error.stack ?? '').matchAll(/([\w-]+\.(?:ts|mjs)):(\d+):\d+\)?$/gm);
  return `${error.name} at ${[...places]
    .slice(0, 3)
    .map(([, file, line]) => `${file}:${line}`)
    .join(' < ')}`;
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
      onError: (error) => options.log(`internal error: ${placeOf(error)}`),
    });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    const { host, port } = options.listen;
    throw new AgentError('KMS_SERVE_FAILED', { reason: `${host}:${port}: ${code}` }, { cause });
  }
};

/** @throws KMS_STORE_UNUSABLE, KMS_SERVE_FAILED, FILE_UNREADABLE, FILE_UNWRITABLE */
export const startService = async (host: Host, doors: ServiceDoors, options: ServeOptions): Promise<RunningService> => {
  const store = await openStore(host, options.database, options.masterKey);
  const ending = new AbortController();
  try {
    for (const grant of options.grants) await admit(host, store, grant);
    const service = makeService(host, store, {
      naming: options.naming,
      faults: options.faults,
      signal: ending.signal,
      failed: (error, correlationId) =>
        options.log(`internal error: ${placeOf(error)}, correlation id ${correlationId}`),
      ...(options.verbose ? { observe: options.log } : {}),
      ...(options.record === null ? {} : { record: options.record }),
    });
    const upkeep = (): void => {
      try {
        service.upkeep();
      } catch (error) {
        options.log(`calendar work failed: ${placeOf(error)}`);
      }
    };
    upkeep();
    const server = await listen(doors.serve, options, service.handle);
    // Not waited for: what has come due is done, and its next minute is at least a moment away.
    const calendar = doors.calendar(UPKEEP, upkeep);
    calendar.catch((error: unknown) => options.log(`there is no calendar: ${placeOf(error)}`));
    return {
      url: server.url,
      instances: store.instances(),
      close: async () => {
        ending.abort();
        await server.close();
        await calendar.then(
          (task) => task.stop(),
          () => {},
        );
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
};
