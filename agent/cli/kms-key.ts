/** `triseed kms key`: create and look at root keys; what governs them is in kms-govern.ts and kms-policy.ts. */
import { Command } from 'commander';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import { type AccessFlags, accessHelp, connect, print, readInput, verbOf } from './kms-access.ts';
import { addGoverningVerbs } from './kms-govern.ts';
import { addPolicyVerbs } from './kms-policy.ts';
import { addSeedVerbs } from './kms-seed.ts';
import { listText, showKey, shownText } from './kms-shown.ts';

const KEY_COLLECTION = 'application/vnd.ibm.kms.key+json';

const createBody = (name: string, extractable: boolean, more: object): string =>
  JSON.stringify({
    metadata: { collectionType: KEY_COLLECTION, collectionTotal: 1 },
    resources: [{ type: KEY_COLLECTION, name, extractable, ...more }],
  });

const help = `${accessHelp}
Examples:
  triseed kms key create payroll --instance ID --api-key-file F --endpoint http://127.0.0.1:8080
  triseed kms key disable KEY --instance ID --api-key-file F --service hs-crypto --region eu-de
  triseed kms key wrap KEY --instance ID --api-key-file F > keyfile`;

interface NewKeyFlags extends AccessFlags {
  readonly alias?: string;
  readonly description?: string;
  readonly expires?: string;
  readonly ring?: string;
}

const describedBy = ({ alias, description, expires }: NewKeyFlags): object => ({
  ...(alias === undefined ? {} : { aliases: [alias] }),
  ...(description === undefined ? {} : { description }),
  ...(expires === undefined ? {} : { expirationDate: expires }),
});

const ringHeader = ({ ring }: NewKeyFlags): Readonly<Record<string, string>> =>
  ring === undefined ? {} : { 'x-kms-key-ring': ring };

export const keyCommand = (host: Host, io: CommandIo, extra: KmsExtra): Command => {
  const group = new Command('key').description('create, look at and govern root keys').addHelpText('after', help);
  const verb = verbOf(group);

  const newKeyVerb = (definition: string, description: string): Command =>
    verb(definition, description)
      .option('--alias <alias>', 'a name that can stand for the id')
      .option('--description <text>', 'for people')
      .option('--expires <date>', 'when it stops wrapping, RFC 3339')
      .option('--ring <id>', 'key ring (default: default)');

  newKeyVerb('create <name>', 'a new root key').action(async (name: string, flags: NewKeyFlags) => {
    const keys = await connect(host, io, extra, flags);
    const body = createBody(name, false, describedBy(flags));
    const call = { action: 'create a key', method: 'POST', path: 'keys', body, headers: ringHeader(flags) } as const;
    const [made] = await keys.resources(call);
    if (made !== undefined) print(io, flags, made, shownText(made));
  });

  newKeyVerb('import <name>', 'a root key from 16, 24 or 32 bytes of your own')
    .requiredOption('--payload-file <file>', 'the raw bytes; - for standard input')
    .action(async (name: string, flags: NewKeyFlags & { payloadFile: string }) => {
      const keys = await connect(host, io, extra, flags);
      const payload = await readInput(host, io, flags.payloadFile);
      const more = { ...describedBy(flags), payload: payload.toString('base64') };
      const body = Secret.fromText(createBody(name, false, more));
      payload.fill(0);
      const call = { action: 'import a key', method: 'POST', path: 'keys', body, headers: ringHeader(flags) } as const;
      const [made] = await keys.resources(call).finally(() => body.wipe());
      if (made !== undefined) print(io, flags, made, shownText(made));
    });

  verb('list', 'the keys of the instance')
    .option('--deleted', 'deleted ones too')
    .option('--ring <id>', 'those of one key ring')
    .action(async (flags: AccessFlags & { deleted?: true; ring?: string }) => {
      const keys = await connect(host, io, extra, flags);
      const query = flags.deleted === true ? '?limit=5000&state=0,1,2,3,5' : '?limit=5000';
      const call = {
        action: 'list the keys',
        method: 'GET',
        path: `keys${query}`,
        headers: ringHeader(flags),
      } as const;
      const found = await keys.resources(call);
      print(io, flags, found, listText(found));
    });

  verb('show <key>', 'one key, with its state and versions').action(async (key: string, flags: AccessFlags) =>
    showKey(io, await connect(host, io, extra, flags), flags, key),
  );

  addGoverningVerbs(host, io, extra, verb);
  addPolicyVerbs(host, io, extra, verb);
  addSeedVerbs(host, io, extra, verb);
  return group;
};
