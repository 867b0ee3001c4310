/** Where a key owner's command goes, as whom, and how it asks and answers. */
import { type Command, Option } from 'commander';
import { AgentError } from '../errors.ts';
import { iamEndpoint, kmsEndpoint } from '../kms/endpoint.ts';
import type { InstanceAccess } from '../kms/exchange.ts';
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
  readonly proxy?: string;
  readonly json?: true;
}

/** Makes a subcommand of `group` with the options of access. */
export type Verb = (definition: string, description: string) => Command;

export const verbOf =
  (group: Command): Verb =>
  (definition, description) =>
    group
      .command(definition)
      .description(description)
      .requiredOption('--instance <id>', 'id of the service instance')
      .requiredOption('--api-key-file <file>', 'file with the API key; - for standard input')
      .option('--endpoint <url>', 'base URL of the key service; plain http to loopback addresses only')
      .option('--iam <url>', 'base URL of the token service')
      .addOption(
        new Option('--service <name>', 'Key Protect or Hyper Protect Crypto Services')
          .choices(['kms', 'hs-crypto'])
          .default('kms'),
      )
      .option('--region <name>', 'region of the instance', 'us-south')
      .addOption(new Option('--type <type>', 'kind of endpoint').choices(['public', 'private']).default('public'))
      .option('--ca <file>', 'trust these PEM certificates too')
      .option('--proxy <url>', 'HTTP proxy for https; the environment is not asked')
      .option('--json', 'one JSON document on standard output');

export const accessHelp = `
A local key service (triseed kms serve) is its own token service; for a real one the
address follows from --service, --region, --type and --instance.
`;

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

const addressesOf = (flags: AccessFlags): Omit<InstanceAccess, 'apiKey' | 'instanceId'> => {
  const type = flags.type === 'private' ? 'private' : 'public';
  const crn = {
    cname: 'bluemix',
    service: flags.service === 'hs-crypto' ? 'hs-crypto' : 'kms',
    region: flags.region,
    scope: '',
    instanceId: flags.instance,
    keyId: '',
  } as const;
  const overrides = flags.endpoint === undefined ? {} : { [flags.instance]: flags.endpoint };
  const keys = kmsEndpoint(crn, type, overrides);
  if (keys.kind === 'invalid') throw usage(keys.reason.replace(/^kms\.endpoints for [^:]*/, '--endpoint'));
  // The local service is its own token service; a real one never is.
  const [baseUrl] = keys.baseUrls;
  const iam = iamEndpoint(flags.iam ?? (isLoopback(baseUrl) ? baseUrl : PUBLIC_IAM), type);
  if (iam.kind === 'invalid') throw usage(iam.reason.replace('kms.iam', '--iam'));
  const whenUnknown = keys.whenUnknown?.replace('in kms.endpoints', 'with --endpoint') ?? null;
  return { baseUrls: keys.baseUrls, broker: keys.broker, whenUnknown, iamUrl: iam.baseUrls[0] };
};

const httpFor = async (host: Host, io: CommandIo, extra: KmsExtra, { ca, proxy }: AccessFlags) => {
  if (ca === undefined && proxy === undefined) return host.http;
  const pem = ca === undefined ? [] : [(await readInput(host, io, ca)).toString('latin1')];
  return extra.makeHttp({ extraCa: pem, proxy: proxy ?? null });
};

export const connect = async (
  host: Host,
  io: CommandIo,
  extra: KmsExtra,
  flags: AccessFlags,
): Promise<KeyAdministration> => {
  if (!/^[a-z0-9-]{1,63}$/.test(flags.instance)) throw usage('--instance is the id of the service instance, not a CRN');
  if (!/^[a-z]{2,16}(-[a-z0-9]{1,16}){0,3}$/.test(flags.region)) throw usage('--region is a name such as us-south');
  const addresses = addressesOf(flags);
  const http = await httpFor(host, io, extra, flags);
  const apiKey = await readTextSecret(host, io, flags.apiKeyFile);
  return keyAdministration({ ...host, http }, { ...addresses, instanceId: flags.instance, apiKey });
};

export const POLICY_COLLECTION = 'application/vnd.ibm.kms.policy+json';

/** Body of a request that sets one policy. */
export const policiesBody = (policy: object): string =>
  JSON.stringify({ metadata: { collectionType: POLICY_COLLECTION, collectionTotal: 1 }, resources: [policy] });

export const pathOf = (key: string, rest = ''): string => `keys/${encodeURIComponent(key)}${rest}`;

export const print = (io: CommandIo, flags: AccessFlags, value: object, text: string): void =>
  io.stdout(flags.json === true ? `${JSON.stringify(value, null, 2)}\n` : text);

/** Says what will happen to volumes, then asks; throws KMS_NOT_CONFIRMED. */
export const confirm = async (
  io: CommandIo,
  extra: KmsExtra,
  flags: { readonly yes?: true },
  action: string,
  effect: string,
): Promise<void> => {
  io.stderr(`${effect}\n`);
  if (flags.yes === true) return;
  if (io.isTerminal && /^y(es)?$/i.test(await extra.ask(`${action}? [yes/no] `, extra.signal))) return;
  throw new AgentError('KMS_NOT_CONFIRMED', { action });
};

const shownCell = (cell: unknown): string => (cell === undefined || cell === null ? '' : String(cell));

/** Columns for people: a line of headings, then the rows; without rows, `none`. */
export const table = (headings: readonly string[], rows: readonly (readonly unknown[])[], none: string): string => {
  if (rows.length === 0) return `${none}\n`;
  const cells = [headings, ...rows.map((row) => row.map(shownCell))];
  const widths = headings.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
};

/** Name and value, a line each. */
export const facts = (rows: readonly (readonly [name: string, value: unknown])[]): string => {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${name.padEnd(width)}${shownCell(value)}\n`).join('');
};
