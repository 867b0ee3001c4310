/** `triseed kms ring` and `triseed kms policies`: what belongs to a service instance as a whole. */
import { Command, InvalidArgumentError } from 'commander';
import type { KeyAdministration } from '../kms/key-administration.ts';
import type { Host } from '../ports.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import { type AccessFlags, accessHelp, connect, policiesBody, print, table, usage, verbOf } from './kms-access.ts';

interface ShownRing {
  readonly id?: unknown;
  readonly creationDate?: unknown;
  readonly createdBy?: unknown;
}

export const ringCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command => {
  const group = new Command('ring').description('key rings: groups of keys').addHelpText('after', accessHelp);
  const verb = verbOf(group);
  const list = async (keys: KeyAdministration, flags: AccessFlags): Promise<void> => {
    const rings = await keys.resources<ShownRing>({ action: 'list the key rings', method: 'GET', path: 'key_rings' });
    const rows = rings.map(({ id, creationDate, createdBy }) => [id, creationDate ?? '-', createdBy ?? '-']);
    print(io, flags, rings, table(['RING', 'CREATED', 'BY'], rows, 'no key rings'));
  };
  verb('list', 'the key rings of the instance').action(async (flags: AccessFlags) =>
    list(await connect(host, io, extra, flags), flags),
  );
  verb('create <ring>', 'a new key ring').action(async (ring: string, flags: AccessFlags) => {
    const keys = await connect(host, io, extra, flags);
    await keys.call({ action: 'create the key ring', method: 'POST', path: `key_rings/${encodeURIComponent(ring)}` });
    await list(keys, flags);
  });
  verb('delete <ring>', 'an empty key ring; its keys are not deleted')
    .option('--force', 'although deleted keys are in it; they move to the default one')
    .action(async (ring: string, flags: AccessFlags & { readonly force?: true }) => {
      const keys = await connect(host, io, extra, flags);
      const path = `key_rings/${encodeURIComponent(ring)}${flags.force === true ? '?force=true' : ''}`;
      await keys.call({ action: 'delete the key ring', method: 'DELETE', path });
      await list(keys, flags);
    });
  return group;
};

const INSTANCE_POLICIES = [
  'allowedNetwork',
  'allowedIP',
  'dualAuthDelete',
  'keyCreateImportAccess',
  'metrics',
  'rotation',
] as const;

interface ShownInstancePolicy {
  readonly policy_type?: unknown;
  readonly policy_data?: { readonly enabled?: unknown; readonly attributes?: object };
  readonly lastUpdated?: unknown;
}

const parseAttribute = (
  text: string,
  earlier: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> => {
  const [, name, value] = /^([a-z_]{1,64})=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('give NAME=VALUE');
  if (value === 'true' || value === 'false') return { ...earlier, [name]: value === 'true' };
  if (/^\d{1,6}$/.test(value)) return { ...earlier, [name]: Number(value) };
  return { ...earlier, [name]: name === 'allowed_ip' ? value.split(',') : value };
};

const policiesHelp = `${accessHelp}
Examples:
  triseed kms policies list --instance ID --api-key-file F
  triseed kms policies set rotation --attribute interval_month=3 --instance ID --api-key-file F
  triseed kms policies set allowedIP --attribute allowed_ip=192.0.2.0/24 --instance ID --api-key-file F
  triseed kms policies set allowedNetwork --attribute allowed_network=private-only --instance ID --api-key-file F
  triseed kms policies set dualAuthDelete --off --instance ID --api-key-file F`;

/** Policies of a service instance: Key Protect API documentation, "Set instance policies". */
export const policiesCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command => {
  const group = new Command('policies').description('what holds for every key of an instance');
  group.addHelpText('after', policiesHelp);
  const verb = verbOf(group);
  const list = async (keys: KeyAdministration, flags: AccessFlags): Promise<void> => {
    const call = { action: 'read the policies', method: 'GET', path: 'instance/policies' } as const;
    const policies = await keys.resources<ShownInstancePolicy>(call);
    const rows = policies.map(({ policy_type: name, policy_data: data }) => [
      name,
      data?.enabled === true ? 'on' : 'off',
      data?.attributes === undefined ? '-' : JSON.stringify(data.attributes),
    ]);
    print(io, flags, policies, table(['POLICY', 'STATE', 'ATTRIBUTES'], rows, 'no policies'));
  };
  verb('list', 'the policies of the instance').action(async (flags: AccessFlags) =>
    list(await connect(host, io, extra, flags), flags),
  );
  verb('set', 'set one policy')
    .argument('<policy>', INSTANCE_POLICIES.join(', '))
    .option('--off', 'switch it off')
    .option('--attribute <name=value>', 'one of its attributes', parseAttribute)
    .action(
      async (
        name: string,
        flags: AccessFlags & { readonly off?: true; readonly attribute?: Readonly<Record<string, unknown>> },
      ) => {
        const known = INSTANCE_POLICIES.find((policy) => policy === name);
        if (known === undefined) throw usage(`the policy is one of ${INSTANCE_POLICIES.join(', ')}`);
        if (flags.off === true && flags.attribute !== undefined) throw usage('--off takes no --attribute');
        const keys = await connect(host, io, extra, flags);
        const { attribute: attributes } = flags;
        const data = { enabled: flags.off !== true, ...(attributes === undefined ? {} : { attributes }) };
        const body = policiesBody({ policy_type: known, policy_data: data });
        const path = `instance/policies?policy=${known}`;
        await keys.call({ action: 'set the policy', method: 'PUT', path, body });
        await list(keys, flags);
      },
    );
  return group;
};
