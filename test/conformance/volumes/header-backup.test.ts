/** A header that changes while a backup of it waits for its turn. Stock cryptsetup changes it, and says what the backup is worth. */
import { randomUUID } from 'node:crypto';
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { backUpHeader, manifestPath } from '../../../agent/volumes/header-backup.ts';
import { cryptsetup, luksFormat, luksJsonOf, opensWith } from '../../e2e/cases/luks-file.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { inMemory } from '../volume-cli.ts';

t.setTimeout(120_000);
const quick = ['--pbkdf=pbkdf2', '--pbkdf-force-iterations=1000'];
const passphrases = { old: 'throw-away passphrase, the old one', new: 'throw-away passphrase, the new one' };

/** A backup of a volume for which another process holds the lock when it comes, and which `change`s it meanwhile. */
const backedUpAfter = async (t: Test, change: (device: string, folder: string) => void) => {
  const folder = inMemory(t);
  const [device, backup] = [join(folder, 'device'), join(folder, 'backup')];
  writeFileSync(device, '');
  truncateSync(device, 32 * 2 ** 20);
  luksFormat(device, passphrases.old, ['--type=luks2', '--key-size=512', ...quick]);
  const host = hostOnFiles();
  let isHeld = true;
  const acquire: typeof host.locks.acquire = async (name) => {
    if (!isHeld) return host.locks.acquire(name);
    isHeld = false;
    change(device, folder);
    return null;
  };
  return { device, backup, done: backUpHeader({ ...host, locks: { acquire } }, device, backup) };
};

t.test('another process re-keys: the backup is of the header as it is then', async (t) => {
  const { device, backup, done } = await backedUpAfter(t, (device, folder) => {
    for (const [name, text] of Object.entries(passphrases)) writeFileSync(join(folder, name), text);
    cryptsetup(['luksAddKey', '--batch-mode', ...quick, `--key-file=${folder}/old`, device, `${folder}/new`]);
    cryptsetup(['luksKillSlot', '--batch-mode', `--key-file=${folder}/new`, device, '0']);
  });
  const manifest = await done;
  t.strictSame(manifest.keyslots, ['1']);
  t.strictSame(luksJsonOf(backup), luksJsonOf(device));
  t.notOk(opensWith(backup, passphrases.old));
  t.ok(opensWith(backup, passphrases.new), 'the keyslot and its area belong together');
});

t.test('another volume has come in its place: nothing is kept', async (t) => {
  const { backup, done } = await backedUpAfter(t, (device) => {
    cryptsetup(['luksUUID', '--batch-mode', `--uuid=${randomUUID()}`, device]);
  });
  await t.rejects(done, { code: 'HEADER_NOT_BACKED_UP' });
  t.notOk(existsSync(backup) || existsSync(manifestPath(backup)));
});
