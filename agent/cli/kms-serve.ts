/** `triseed kms serve`: the local key service in the foreground, until it is told to stop. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseRoles, ROLES, type Role } from '../emulator/access.ts';
import { type Fault, parseFaults } from '../emulator/faults.ts';
import type { GrantFile } from '../emulator/server.ts';
import type { MasterKeyFile } from '../emulator/store-file.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';

interface ServeFlags {
  readonly listen: { readonly host: string; readonly port: number };
  readonly db?: string;
  readonly faults?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly instance?: string;
  readonly role: readonly Role[];
  readonly dbKeyFile?: string;
  readonly dbKeyCredential?: string;
  readonly events?: string;
  readonly apiKeyFile?: string;
  readonly grant?: readonly GrantFile[];
  readonly region: string;
  readonly service: string;
  readonly verbose?: true;
  readonly json?: true;
}

const MAX_FILE_BYTES = 1024 * 1024;
const INSTANCE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Account id in the CRNs of local keys. */
const ACCOUNT = '0'.repeat(32);

export const parseListen = (text: string): ServeFlags['listen'] => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) throw new InvalidArgumentError('give HOST:PORT, or [IPv6]:PORT');
  return { host, port };
};

const parseInstance = (text: string): string => {
  if (!INSTANCE.test(text)) throw new InvalidArgumentError('lower-case letters, digits and hyphens, at most 63');
  return text;
};

const parseRegion = (text: string): string => {
  if (!/^[a-z]{2,16}(-[a-z0-9]{1,16}){0,3}$/.test(text)) throw new InvalidArgumentError('such as us-south');
  return text;
};

const parseRole = (text: string): readonly Role[] => {
  const roles = parseRoles(text);
  if (roles === null) throw new InvalidArgumentError(`one of ${ROLES.join(', ')}, or several joined by +`);
  return roles;
};

const parseGrant = (text: string, earlier: readonly GrantFile[] = []): readonly GrantFile[] => {
  const [instance, role, ...path] = text.split(',');
  if (instance === undefined || role === undefined || path.length === 0) {
    throw new InvalidArgumentError('give INSTANCE,ROLE,FILE');
  }
  return [...earlier, { instance: parseInstance(instance), roles: parseRole(role), path: path.join(',') }];
};

const readText = async (host: Host, path: string): Promise<string> => {
  const bytes = await host.files.read(path, MAX_FILE_BYTES);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  return bytes.toString('utf8');
};

const readFaults = async (host: Host, path: string | undefined): Promise<readonly Fault[]> => {
  if (path === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(await readText(host, path));
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw new AgentError('USAGE', { reason: `${path} is not JSON` }, { cause });
  }
  const parsed = parseFaults(value);
  if (parsed.kind === 'invalid') throw new AgentError('USAGE', { reason: `${path}: ${parsed.reason}` });
  return parsed.faults;
};

const readTls = async (
  host: Host,
  flags: ServeFlags,
): Promise<{ readonly cert: string; readonly key: string } | null> => {
  if (flags.tlsCert === undefined && flags.tlsKey === undefined) return null;
  if (flags.tlsCert === undefined || flags.tlsKey === undefined) {
    throw new AgentError('USAGE', { reason: '--tls-cert and --tls-key belong together' });
  }
  return { cert: await readText(host, flags.tlsCert), key: await readText(host, flags.tlsKey) };
};

const grantsOf = (flags: ServeFlags): readonly GrantFile[] => {
  if (flags.apiKeyFile === undefined) {
    if (flags.instance !== undefined) throw new AgentError('USAGE', { reason: '--instance needs --api-key-file' });
    return flags.grant ?? [];
  }
  return [...(flags.grant ?? []), { instance: flags.instance ?? null, roles: flags.role, path: flags.apiKeyFile }];
};

/** Null: FILE.key beside the database. */
const masterKeyOf = (extra: KmsExtra, flags: ServeFlags): MasterKeyFile | null => {
  const { db, dbKeyFile, dbKeyCredential } = flags;
  if (dbKeyFile === undefined && dbKeyCredential === undefined) return null;
  if (db === undefined) throw new AgentError('USAGE', { reason: 'a key for the database needs --db' });
  if (dbKeyFile !== undefined && dbKeyCredential !== undefined) {
    throw new AgentError('USAGE', { reason: 'give --db-key-file or --db-key-credential' });
  }
  if (dbKeyFile !== undefined) return { path: dbKeyFile, make: true };
  if (extra.credentialsFolder === null) {
    throw new AgentError('USAGE', { reason: '--db-key-credential is for a service that systemd gives credentials to' });
  }
  return { path: `${extra.credentialsFolder}/${dbKeyCredential}`, make: false };
};

interface EventSink {
  readonly record: ((event: string) => void) | null;
  close(): void;
}

const openEvents = async (io: CommandIo, extra: KmsExtra, path: string | undefined): Promise<EventSink> => {
  if (path === undefined) return { record: null, close: () => {} };
  if (path === '-') return { record: (event) => io.stdout(`${event}\n`), close: () => {} };
  const file = await extra.openLineFile(path);
  return { record: (event) => file.append(event), close: () => file.close() };
};

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const help = `
The service starts empty. --api-key-file admits an API key for one instance: a file that
does not exist is made with a new key (mode 0600). With --db everything is kept in FILE,
key material encrypted under FILE.key, another file, or a systemd credential of 64 hexadecimal
digits; without it, in memory until the service ends. Each role includes the ones before it;
KeyPurge stands alone (Manager+KeyPurge), Service is a cloud service that registers resources.

From the same machine, while it runs:
  POST /__triseed/clock  {"advanceSeconds": 3600}     move its clock: rotation, expiry, waits
  POST /__triseed/faults {"faults": [{"operation": "unwrap", "count": 3, "effect": {"status": 503}}]}
  POST /__triseed/rules  {"rules": {"dualAuthDelete": true}}   what instance policies must follow
An effect is one of status (with code, body, retryAfterSeconds), delayMs, drop, hang, truncate,
malformed, rateLimit (with requests, perSeconds); DELETE /__triseed/faults ends them all.

Examples:
  triseed kms serve --db keys.db --api-key-file api-key
  triseed kms serve --listen 127.0.0.1:8443 --tls-cert cert.pem --tls-key key.pem --api-key-file api-key`;

const isLoopback = (address: string): boolean => /^(localhost|::1|127\.\d+\.\d+\.\d+)$/.test(address);

const serve = async (host: Host, io: CommandIo, extra: KmsExtra, flags: ServeFlags): Promise<void> => {
  const { startService } = await import('../emulator/server.ts');
  if (flags.json === true && flags.events === '-') {
    throw new AgentError('USAGE', { reason: '--json and --events - would share standard output' });
  }
  const events = await openEvents(io, extra, flags.events);
  const running = await startService(host, extra, {
    listen: flags.listen,
    database: flags.db ?? null,
    masterKey: masterKeyOf(extra, flags),
    record: events.record,
    tls: await readTls(host, flags),
    faults: await readFaults(host, flags.faults),
    naming: { service: flags.service, region: flags.region, account: ACCOUNT },
    grants: grantsOf(flags),
    log: (line) => io.stderr(`${line}\n`),
    verbose: flags.verbose === true,
  });
  const kept = flags.db === undefined ? 'in memory only' : `in ${flags.db}`;
  io.stderr(
    `local key service at ${running.url}, keys ${kept}, instances: ${running.instances.join(', ') || 'none yet'}\n`,
  );
  if (flags.tlsCert === undefined && !isLoopback(flags.listen.host)) {
    io.stderr('warning: API keys and seeds cross the network in the clear; give --tls-cert and --tls-key\n');
  }
  if (flags.json === true) {
    const facts = {
      url: running.url,
      iam: running.url,
      instances: running.instances,
      service: flags.service,
      region: flags.region,
      account: ACCOUNT,
    };
    io.stdout(`${JSON.stringify(facts)}\n`);
  }
  await untilAborted(extra.signal);
  await running.close();
  events.close();
  io.stderr('local key service stopped\n');
};

export const serveCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command =>
  new Command('serve')
    .description('a local service with the API of IBM Key Protect, for trials and tests; not for production')
    .addOption(
      new Option('--listen <host:port>', 'address to listen on; port 0 takes a free one')
        .argParser(parseListen)
        .default({ host: '127.0.0.1', port: 8080 }, '127.0.0.1:8080'),
    )
    .option('--db <file>', 'keep everything in this SQLite file')
    .option('--api-key-file <file>', 'admit the API key in this file; made when it does not exist')
    .option('--instance <id>', 'service instance of that API key (default: the only one, or a new id)', parseInstance)
    .addOption(
      new Option('--role <role>', `role of that API key: ${ROLES.join(', ')}`)
        .argParser(parseRole)
        .default(['Manager'], 'Manager'),
    )
    .option('--grant <instance,role,file>', 'one more API key, or the same for another instance', parseGrant)
    .option('--db-key-file <file>', 'encrypts the key material in the database (default: <db>.key)')
    .option('--db-key-credential <name>', 'the same, from a systemd credential')
    .option('--events <file>', 'append audit events in Activity Tracker fields, JSON lines; - for standard output')
    .option('--faults <file>', 'scripted faults, JSON')
    .option('--tls-cert <file>', 'serve https with this PEM certificate chain')
    .option('--tls-key <file>', 'its PEM private key')
    .option('--region <name>', 'region in the CRNs of new keys', parseRegion, 'us-south')
    .addOption(new Option('--service <name>', 'service in their CRNs').choices(['kms', 'hs-crypto']).default('kms'))
    .option('--verbose', 'one line for each request on standard error')
    .option('--json', 'one JSON line with the addresses on standard output once it listens')
    .addHelpText('after', help)
    .action((flags: ServeFlags) => serve(host, io, extra, flags));
