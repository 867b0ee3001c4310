/** `triseed kms key`: create, look at and govern root keys. */
import { Command } from 'commander';
import { AgentError } from '../errors.ts';
import { keyStateOf } from '../kms/classify.ts';
import type { KeyAdministration, ShownKey } from '../kms/key-administration.ts';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import { type AccessFlags, connect, pathOf, print, readInput } from './kms-access.ts';
import { addSeedVerbs } from './kms-seed.ts';

const KEY_COLLECTION = 'application/vnd.ibm.kms.key+json';

/** Says what will happen to volumes, then asks; throws KMS_NOT_CONFIRMED. */
const confirm = async (
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

const EFFECTS = {
  rotate:
    'Rotating makes a new version of the root key. Guests notice within a minute and wrap their seeds again; nothing\n' +
    'stops, and what older versions wrapped can still be unwrapped. A key can be rotated once an hour.',
  disable:
    'Disabling suspends the root key. Every guest with an open volume under it restarts once its kmsTimeout is over, and\n' +
    'shuts down when the key is still suspended then. No data is lost: enable the key and start the guests again.',
  delete:
    'Deleting destroys the root key. Guests with an open volume under it shut down, and no volume under it can be opened\n' +
    'again unless the key is restored within 30 days. After that their data is lost for ever.',
} as const;

const shownText = (key: ShownKey, versions: readonly ShownKey[] = []): string => {
  const rows: [string, unknown][] = [
    ['id', key.id],
    ['name', key.name],
    ['state', keyStateOf(key.state)],
    ['kind', key.extractable ? 'standard key' : 'root key'],
    ['crn', key.crn],
    ['created', key.creationDate],
    ['rotated', key.lastRotateDate ?? 'never'],
    ['expires', key.expirationDate ?? 'never'],
    ...versions.map((version, at): [string, unknown] => [
      at === 0 ? 'version' : '',
      `${version.id}  ${String(version.creationDate)}${at === 0 ? '  (current)' : ''}`,
    ]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(9)}${String(value)}\n`).join('');
};

const listText = (keys: readonly ShownKey[]): string =>
  keys.length === 0
    ? 'no keys\n'
    : keys.map((key) => `${keyStateOf(key.state).padEnd(12)} ${key.id}  ${key.name}\n`).join('');

const createBody = (name: string, extractable: boolean, more: object): string =>
  JSON.stringify({
    metadata: { collectionType: KEY_COLLECTION, collectionTotal: 1 },
    resources: [{ type: KEY_COLLECTION, name, extractable, ...more }],
  });

const help = `
A local key service (triseed kms serve) is its own token service; for a real one the
address follows from --service, --region, --type and --instance.

Examples:
  triseed kms key create payroll --instance ID --api-key-file F --endpoint http://127.0.0.1:8080
  triseed kms key disable KEY --instance ID --api-key-file F --service hs-crypto --region eu-de
  triseed kms key wrap KEY --instance ID --api-key-file F > keyfile`;

export const keyCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command => {
  const group = new Command('key').description('create, look at and govern root keys').addHelpText('after', help);

  const verb = (definition: string, description: string): Command =>
    group
      .command(definition)
      .description(description)
      .requiredOption('--instance <id>', 'id of the service instance')
      .requiredOption('--api-key-file <file>', 'file with the API key; - for standard input')
      .option('--endpoint <url>', 'base URL of the key service; plain http to loopback addresses only')
      .option('--iam <url>', 'base URL of the token service')
      .option('--service <name>', 'kms (Key Protect) or hs-crypto', 'kms')
      .option('--region <name>', 'region of the instance', 'us-south')
      .option('--type <type>', 'public or private endpoint', 'public')
      .option('--ca <file>', 'trust these PEM certificates too')
      .option('--json', 'one JSON document on standard output');

  const show = async (keys: KeyAdministration, flags: AccessFlags, key: string): Promise<void> => {
    const [shown] = await keys.resources({ action: 'read the key', method: 'GET', path: pathOf(key, '/metadata') });
    if (shown === undefined)
      throw new AgentError('KMS_COMMAND_UNANSWERED', { action: 'read the key', reason: 'an empty answer' });
    const versions = await keys.resources({
      action: 'read the versions of the key',
      method: 'GET',
      path: pathOf(key, '/versions?allKeyStates=true'),
    });
    print(io, flags, { ...shown, versions }, shownText(shown, versions));
  };

  verb('create <name>', 'a new root key')
    .option('--alias <alias>', 'a name that can stand for the id')
    .option('--description <text>', 'for people')
    .option('--expires <date>', 'when it stops wrapping, RFC 3339')
    .action(async (name: string, flags: AccessFlags & { alias?: string; description?: string; expires?: string }) => {
      const keys = await connect(host, io, extra, flags);
      const body = createBody(name, false, {
        ...(flags.alias === undefined ? {} : { aliases: [flags.alias] }),
        ...(flags.description === undefined ? {} : { description: flags.description }),
        ...(flags.expires === undefined ? {} : { expirationDate: flags.expires }),
      });
      const [made] = await keys.resources({ action: 'create a key', method: 'POST', path: 'keys', body });
      if (made !== undefined) print(io, flags, made, shownText(made));
    });

  verb('import <name>', 'a root key from 16, 24 or 32 bytes of your own')
    .requiredOption('--payload-file <file>', 'the raw bytes; - for standard input')
    .action(async (name: string, flags: AccessFlags & { payloadFile: string }) => {
      const keys = await connect(host, io, extra, flags);
      const payload = await readInput(host, io, flags.payloadFile);
      const body = Secret.fromText(createBody(name, false, { payload: payload.toString('base64') }));
      payload.fill(0);
      const call = { action: 'import a key', method: 'POST', path: 'keys', body } as const;
      const [made] = await keys.resources(call).finally(() => body.wipe());
      if (made !== undefined) print(io, flags, made, shownText(made));
    });

  verb('list', 'the keys of the instance')
    .option('--deleted', 'deleted ones too')
    .action(async (flags: AccessFlags & { deleted?: true }) => {
      const keys = await connect(host, io, extra, flags);
      const query = flags.deleted === true ? '?limit=5000&state=0,1,2,3,5' : '?limit=5000';
      const found = await keys.resources({ action: 'list the keys', method: 'GET', path: `keys${query}` });
      print(io, flags, found, listText(found));
    });

  verb('show <key>', 'one key, with its state and versions').action(async (key: string, flags: AccessFlags) =>
    show(await connect(host, io, extra, flags), flags, key),
  );

  const govern = (name: string, description: string, action: string, effect: string | null, path: string): void => {
    verb(`${name} <key>`, description)
      .option('--yes', 'do not ask')
      .action(async (key: string, flags: AccessFlags & { readonly yes?: true }) => {
        const keys = await connect(host, io, extra, flags);
        if (effect !== null) await confirm(io, extra, flags, action, effect);
        const method = name === 'delete' ? 'DELETE' : 'POST';
        await keys.call({ action, method, path: pathOf(key, path) });
        await show(keys, flags, key);
      });
  };
  govern('rotate', 'a new version of a root key', 'rotate the key', EFFECTS.rotate, '/actions/rotate');
  govern(
    'disable',
    'suspend a key: its guests restart and shut down',
    'disable the key',
    EFFECTS.disable,
    '/actions/disable',
  );
  govern('enable', 'end the suspension', 'enable the key', null, '/actions/enable');
  govern('delete', 'delete a key: its volumes cannot be opened any more', 'delete the key', EFFECTS.delete, '');
  govern('restore', 'bring a deleted key back, within 30 days', 'restore the key', null, '/restore');

  addSeedVerbs(host, io, extra, verb);
  return group;
};
