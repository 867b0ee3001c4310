/** Where a `kms key` command goes, and as whom. */
import { AgentError } from '../errors.ts';
import { iamEndpoint, kmsEndpoint } from '../kms/endpoint.ts';
import { type KeyAdministration, keyAdministration } from '../kms/key-administration.ts';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';

export interface AccessFlags {
  readonly instance: string;
  readonly apiKeyFile: string;
  readonly endpoint?: string;
  readonly iam?: string;
  readonly region: string;
  readonly service: string;
  readonly type: string;
  readonly ca?: string;
  readonly json?: true;
}

const MAX_FILE_BYTES = 65_536;
const PUBLIC_IAM = 'https://iam.cloud.ibm.com';

export const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

export const readInput = async (host: Host, io: CommandIo, path: string): Promise<Buffer> => {
  if (path === '-') return io.stdin(MAX_FILE_BYTES);
  const bytes = await host.files.read(path, MAX_FILE_BYTES);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  return bytes;
};

/** Without the line end that an editor or `echo` leaves. */
export const readTextSecret = async (host: Host, io: CommandIo, path: string): Promise<Secret> => {
  const bytes = await readInput(host, io, path);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] as number) <= 0x20) end -= 1;
  const secret = Secret.take(bytes.subarray(0, end));
  bytes.fill(0);
  return secret;
};

const isLoopback = (url: string): boolean => /^https?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/.test(url);

const addressesOf = (flags: AccessFlags): { readonly baseUrl: string; readonly iamUrl: string } => {
  const type = flags.type === 'private' ? 'private' : 'public';
  if (flags.service !== 'kms' && flags.service !== 'hs-crypto') throw usage('--service is kms or hs-crypto');
  const crn = {
    cname: 'bluemix',
    service: flags.service,
    region: flags.region,
    scope: '',
    instanceId: flags.instance,
    keyId: '',
  } as const;
  const overrides = flags.endpoint === undefined ? {} : { [flags.instance]: flags.endpoint };
  const keys = kmsEndpoint(crn, type, overrides);
  if (keys.kind === 'invalid') throw usage(keys.reason.replace(/^kms\.endpoints for [^:]*/, '--endpoint'));
  const [baseUrl] = keys.baseUrls;
  // The local service is its own token service; a real one never is.
  const iam = iamEndpoint(flags.iam ?? (isLoopback(baseUrl) ? baseUrl : PUBLIC_IAM), type);
  if (iam.kind === 'invalid') throw usage(iam.reason.replace('kms.iam', '--iam'));
  return { baseUrl, iamUrl: iam.baseUrls[0] };
};

export const connect = async (
  host: Host,
  io: CommandIo,
  extra: KmsExtra,
  flags: AccessFlags,
): Promise<KeyAdministration> => {
  if (!/^[a-z0-9-]{1,63}$/.test(flags.instance)) throw usage('--instance is the id of the service instance, not a CRN');
  const { baseUrl, iamUrl } = addressesOf(flags);
  const ca = flags.ca === undefined ? null : (await readInput(host, io, flags.ca)).toString('latin1');
  const http = ca === null ? host.http : extra.makeHttp({ extraCa: [ca], proxy: null });
  const apiKey = await readTextSecret(host, io, flags.apiKeyFile);
  return keyAdministration({ ...host, http }, { instanceId: flags.instance, baseUrl, iamUrl, apiKey });
};

export const pathOf = (key: string, rest = ''): string => `keys/${encodeURIComponent(key)}${rest}`;

export const print = (io: CommandIo, flags: AccessFlags, value: object, text: string): void =>
  io.stdout(flags.json === true ? `${JSON.stringify(value, null, 2)}\n` : text);
