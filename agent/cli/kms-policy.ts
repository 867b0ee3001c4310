/** What a key is called, where it is grouped, when it is rotated, who may delete it. */
import { InvalidArgumentError, Option } from 'commander';
import type { KeyAdministration } from '../kms/key-administration.ts';
import type { Host } from '../ports.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import {
  type AccessFlags,
  connect,
  facts,
  POLICY_COLLECTION,
  pathOf,
  policiesBody,
  print,
  usage,
  type Verb,
} from './kms-access.ts';
import { showKey } from './kms-shown.ts';

const parseMonths = (text: string): number => {
  const months = Number(text);
  if (!/^\d{1,2}$/.test(text) || months < 1 || months > 12) throw new InvalidArgumentError('1 to 12');
  return months;
};

interface KeyPolicyFlags extends AccessFlags {
  readonly rotateEvery?: number;
  readonly rotation?: false;
  readonly dualAuthorization?: true;
}

interface ShownKeyPolicy {
  readonly rotation?: { readonly enabled?: boolean; readonly interval_month?: number };
  readonly dualAuthDelete?: { readonly enabled?: boolean };
}

const keyPolicyText = (policies: readonly ShownKeyPolicy[]): string => {
  const rotation = policies.find((policy) => policy.rotation !== undefined)?.rotation;
  const dualAuth = policies.find((policy) => policy.dualAuthDelete !== undefined)?.dualAuthDelete;
  return facts([
    ['rotation', rotation?.enabled === true ? `every ${rotation.interval_month} months` : 'by hand only'],
    ['deletion', dualAuth?.enabled === true ? 'needs two people' : 'needs one person'],
  ]);
};

const setKeyPolicies = async (keys: KeyAdministration, key: string, flags: KeyPolicyFlags): Promise<void> => {
  const wanted: readonly (readonly [name: string, resource: object])[] = [
    ...(flags.rotateEvery === undefined
      ? []
      : ([['rotation', { rotation: { enabled: true, interval_month: flags.rotateEvery } }]] as const)),
    ...(flags.rotation === false ? ([['rotation', { rotation: { enabled: false } }]] as const) : []),
    ...(flags.dualAuthorization === true ? ([['dualAuthDelete', { dualAuthDelete: { enabled: true } }]] as const) : []),
  ];
  for (const [name, resource] of wanted) {
    const body = policiesBody({ type: POLICY_COLLECTION, ...resource });
    const path = pathOf(key, `/policies?policy=${name}`);
    await keys.resources<object>({ action: 'set a policy of the key', method: 'PUT', path, body });
  }
};

export const addPolicyVerbs = (host: Host, io: CommandIo, extra: KmsExtra, verb: Verb): void => {
  const act = (
    definition: string,
    description: string,
    perform: (keys: KeyAdministration, key: string, name: string) => Promise<unknown>,
  ): void => {
    verb(definition, description).action(async (key: string, ...rest: readonly unknown[]) => {
      const [flags, name] = typeof rest[0] === 'string' ? [rest[1], rest[0]] : [rest[0], ''];
      const keys = await connect(host, io, extra, flags as AccessFlags);
      await perform(keys, key, name);
      await showKey(io, keys, flags as AccessFlags, key);
    });
  };
  const aliasPath = (key: string, alias: string): string => pathOf(key, `/aliases/${encodeURIComponent(alias)}`);

  act('alias <key> <alias>', 'a name that can stand for the id', (keys, key, alias) =>
    keys.call({ action: 'make an alias', method: 'POST', path: aliasPath(key, alias) }),
  );
  act('unalias <key> <alias>', 'remove an alias; give the key by its id', (keys, key, alias) =>
    keys.call({ action: 'remove the alias', method: 'DELETE', path: aliasPath(key, alias) }),
  );
  act('move <key> <ring>', 'put a key into another key ring', (keys, key, ring) =>
    keys.call({
      action: 'move the key',
      method: 'PATCH',
      path: pathOf(key),
      body: JSON.stringify({ keyRingID: ring }),
    }),
  );
  act('authorize-deletion <key>', 'the first of two authorizations to delete a key; it lasts seven days', (keys, key) =>
    keys.call({
      action: 'authorize the deletion',
      method: 'POST',
      path: pathOf(key, '/actions/setKeyForDeletion'),
    }),
  );
  act('withdraw-deletion <key>', 'take that authorization back', (keys, key) =>
    keys.call({
      action: 'withdraw the authorization',
      method: 'POST',
      path: pathOf(key, '/actions/unsetKeyForDeletion'),
    }),
  );

  verb('policy <key>', 'show or set when a key is rotated and who may delete it')
    .addOption(new Option('--rotate-every <months>', 'have it rotated, 1 to 12').argParser(parseMonths))
    .option('--no-rotation', 'rotate it by hand only')
    .option('--dual-authorization', 'deleting it needs two people; this cannot be taken back')
    .action(async (key: string, flags: KeyPolicyFlags) => {
      if (flags.rotateEvery !== undefined && flags.rotation === false) {
        throw usage('give --rotate-every or --no-rotation');
      }
      const keys = await connect(host, io, extra, flags);
      await setKeyPolicies(keys, key, flags);
      const call = { action: 'read the policies of the key', method: 'GET', path: pathOf(key, '/policies') } as const;
      const policies = await keys.resources<ShownKeyPolicy>(call);
      print(io, flags, policies, keyPolicyText(policies));
    });
};
