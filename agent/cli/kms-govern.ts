/** `triseed kms key rotate | disable | enable | delete | restore | purge`: each says first what it does to volumes. */
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import { type AccessFlags, confirm, connect, pathOf, print, readInput, type Verb } from './kms-access.ts';
import { showKey } from './kms-shown.ts';

interface GovernFlags extends AccessFlags {
  readonly yes?: true;
  readonly payloadFile?: string;
  readonly force?: true;
}

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
  purge:
    'Purging forgets a deleted key. It can never be restored: the data of every volume whose seed only this key unwraps\n' +
    'is lost for ever.',
} as const;

export const addGoverningVerbs = (host: Host, io: CommandIo, extra: KmsExtra, verb: Verb): void => {
  const act = (action: 'disable' | 'enable', effect: string | null) => async (key: string, flags: GovernFlags) => {
    const keys = await connect(host, io, extra, flags);
    const doing = `${action} the key`;
    if (effect !== null) await confirm(io, extra, flags, doing, effect);
    await keys.call({ action: doing, method: 'POST', path: pathOf(key, `/actions/${action}`) });
    await showKey(io, keys, flags, key);
  };

  verb('rotate <key>', 'a new version of a root key')
    .option('--payload-file <file>', 'the raw bytes of the new version, for an imported key; - for standard input')
    .option('--yes', 'do not ask')
    .action(async (key: string, flags: GovernFlags) => {
      const action = 'rotate the key';
      const keys = await connect(host, io, extra, flags);
      await confirm(io, extra, flags, action, EFFECTS.rotate);
      const call = { action, method: 'POST', path: pathOf(key, '/actions/rotate') } as const;
      if (flags.payloadFile === undefined) {
        await keys.call(call);
      } else {
        const payload = await readInput(host, io, flags.payloadFile);
        const body = Secret.fromText(JSON.stringify({ payload: payload.toString('base64') }));
        payload.fill(0);
        await keys.call({ ...call, body }).finally(() => body.wipe());
      }
      await showKey(io, keys, flags, key);
    });

  verb('disable <key>', 'suspend a key: its guests restart and shut down')
    .option('--yes', 'do not ask')
    .action(act('disable', EFFECTS.disable));

  verb('enable <key>', 'end the suspension').action(act('enable', null));

  verb('delete <key>', 'delete a key: its volumes cannot be opened any more')
    .option('--force', 'although cloud resources are registered with it')
    .option('--yes', 'do not ask')
    .action(async (key: string, flags: GovernFlags) => {
      const action = 'delete the key';
      const keys = await connect(host, io, extra, flags);
      await confirm(io, extra, flags, action, EFFECTS.delete);
      const path = pathOf(key, flags.force === true ? '?force=true' : '');
      await keys.call({ action, method: 'DELETE', path });
      await showKey(io, keys, flags, key);
    });

  verb('restore <key>', 'bring a deleted key back, within 30 days').action(async (key: string, flags: GovernFlags) => {
    const keys = await connect(host, io, extra, flags);
    await keys.call({ action: 'restore the key', method: 'POST', path: pathOf(key, '/restore') });
    await showKey(io, keys, flags, key);
  });

  verb('purge <key>', 'forget a deleted key for ever, four hours after its deletion or later')
    .option('--yes', 'do not ask')
    .action(async (key: string, flags: GovernFlags) => {
      const action = 'purge the key';
      const keys = await connect(host, io, extra, flags);
      await confirm(io, extra, flags, action, EFFECTS.purge);
      await keys.call({ action, method: 'DELETE', path: pathOf(key, '/purge') });
      print(io, flags, { id: key, purged: true }, `key ${key} is purged\n`);
    });
};
