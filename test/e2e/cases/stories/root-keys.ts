/** What the owner of a root key does while guests run, and what the guests do then. Two real minutes of waiting are in here. */
import type { Test } from 'tap';
import { auditIdentifier } from '../../../../agent/keyd/audit.ts';
import { messages } from '../../../../agent/messages.ts';
import type { Guest } from '../../guest/guest.ts';
import { fingerprint, partitionOf, take } from '../image.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import { judge, type TokenFields, tokenOnDisk } from '../judge.ts';
import type { Stage } from '../stage.ts';
import { type MadeVolume, makeVolume, seeds, volumeText } from '../volume-case.ts';

/** The service refuses to enable a key within 30 s after it was disabled, and a second rotation within the hour. */
const enablePause = 31;
const rotationPause = 3601;

export const disable = (stage: Stage, keyName: string) => stage.service.key('disable', stage.key(keyName).id, '--yes');
export const enable = async (stage: Stage, keyName: string): Promise<void> => {
  await stage.service.advance(enablePause);
  await stage.service.key('enable', stage.key(keyName).id);
};
export const rotate = async (stage: Stage, keyName: string): Promise<void> => {
  await stage.service.advance(rotationPause);
  await stage.service.key('rotate', stage.key(keyName).id, '--yes');
};

export const up = (guest: Guest): Promise<string> => guest.waitForText(/HPL10001I|HPL10000E/, 360_000);
export const restart = async (t: Test, guest: Guest): Promise<void> => {
  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'restarting');
  guest.start();
  t.match(await up(guest), /HPL10001I/);
};

/** The audit records of this boot, without what differs from run to run. */
const audited = (guest: Guest): readonly Readonly<Record<string, unknown>>[] =>
  guest
    .journal()
    .filter(({ identifier }) => identifier === auditIdentifier)
    .map(({ text }) => JSON.parse(text));

const ask = `
import { createConnection } from 'node:net';
const connection = createConnection({ path: process.argv[2], allowHalfOpen: true });
connection.on('connect', () => connection.end(process.argv[3]));
connection.on('data', (bytes) => process.stdout.write(bytes));
connection.on('end', () => connection.destroy());
`;

/** What a privileged verb answers to the user whom the key daemon runs as. */
const askAsDaemon = async (guest: Guest, verb: string, request: string): Promise<string> => {
  await guest.check('cat >/tmp/ask.mjs && chmod 644 /tmp/ask.mjs', { input: ask });
  const user = 'setpriv --reuid=triseed-keyd --regid=triseed-keyd --clear-groups --';
  const node = '/opt/triseed/node_modules/.bin/node';
  return guest.check(`${user} ${node} /tmp/ask.mjs /run/triseed-verbs/${verb} '${request}'`);
};

/** The count of restarts by the daemon, as it lies on the disk. */
const restartsOn = (file: string): unknown => {
  const sector = take(file, partitionOf(file, 1).offset, 512).toString('latin1').replace(/\0+$/, '');
  return JSON.parse(sector.replace(/^triseed-restarts /, ''));
};

interface Kept {
  readonly guest: Guest;
  readonly volume: MadeVolume;
  readonly token: () => TokenFields;
}

/** A guest with one blank disk for a volume under the root key `keyName`, up and running, with a file on the volume. */
const guestWith = async (t: Test, stage: Stage, name: string, keyName: string, kmsTimeout: number): Promise<Kept> => {
  const scratch = stage.folder(name);
  const volume = await makeVolume(stage, scratch, {
    key: 'data',
    kms: () => [stage.entry(keyName)],
    contract: { kmsTimeout },
  });
  const guest = await stage.guest(scratch, {
    name,
    volumes: [volumeText(stage, volume.volume)],
    disks: volume.disks,
    pollSeconds: 3,
    options: { memoryMiB: 512 },
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/, 'made');
  await guest.check('printf kept >/mnt/data/kept && sync');
  return { guest, volume, token: () => tokenOnDisk(volume.file, stage.piece()) };
};

const finish = async (t: Test, stage: Stage, keyName: string, { guest, volume }: Kept): Promise<void> => {
  t.equal(await guest.check('cat /mnt/data/kept'), 'kept');
  t.equal(await guest.powerOff(), 'poweredOff');
  await judge(t, stage, { key: 'data', file: volume.file, seeds, keyName, madeHere: true, content: { kept: 'kept' } });
  for (let boot = 1; boot <= guest.boots; boot += 1) t.strictSame(stackTraces(guest, boot), []);
};

/** Rotations, while the guest runs and while it is off; a grace that ends well, twice. */
export const rotations = async (t: Test, stage: Stage, keyName: string): Promise<void> => {
  const kept = await guestWith(t, stage, 'rotations', keyName, 2);
  const { guest, token } = kept;
  const first = token();
  await rotate(stage, keyName);
  await guest.waitForText(/HPL18001I/, 180_000);
  const second = token();
  t.not(second.key_version, first.key_version, 'the token names the new version of the key');
  t.not(second.wrapped, first.wrapped);
  t.equal(second.mac, first.mac, 'and is otherwise as it was');
  t.equal(await stage.unwrap(keyName, second.wrapped ?? ''), await stage.unwrap(keyName, first.wrapped ?? ''));

  t.match(audited(guest), [
    { what: 'key-used', operation: 'generate', volume: 'data', outcome: 'done' },
    { what: 'key-used', operation: 'unwrap', volume: 'data', outcome: 'done' },
    { what: 'key-state', from: 'unknown', to: 'active' },
    { what: 'key-used', operation: 'rewrap', outcome: 'done', keyVersion: second.key_version },
    { what: 'seed-stored', volume: 'data', outcome: 'done' },
  ]);

  await restart(t, guest);
  // The keyfile had kept what the first boot had proven.
  const opensWithNew = [/open-kms: open → make-metadata → mount /];
  t.match(linesWith(guest, messages.VOLUME_PLAN.id), opensWithNew, 'the new wrapping opens it as it is');
  t.equal(await guest.powerOff(), 'poweredOff');
  await rotate(stage, keyName);
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  t.match(linesWith(guest, messages.VOLUME_PLAN.id), [/open-kms: commit-token → open → make-metadata → mount /]);
  const third = token();
  t.not(third.key_version, second.key_version, 'rotated while the guest was off: stored at boot');

  const until = async (id: string, count: number): Promise<void> => {
    for (let waited = 0; linesWith(guest, id).length < count; waited += 1) {
      if (waited > 900 || !guest.running) throw new Error(`${id} did not come\n${guest.lastLines()}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await disable(stage, keyName);
  await until('HPL18002W', 1);
  await enable(stage, keyName);
  await until('HPL18002I', 1);
  guest.cutNetwork();
  await until('HPL18002W', 2);
  guest.mendNetwork();
  await until('HPL18002I', 2);
  t.notOk(idsOf(guest).includes('HPL18003W'), 'no restart');

  // A daemon gone wrong: what it stores has the right form, and nobody can unwrap it.
  const request = {
    version: 1,
    volume: 'data',
    crn: stage.key(keyName).crn,
    wrapped: 'bm90aGluZw==',
    keyVersion: 'v9',
  };
  t.equal(await askAsDaemon(guest, 'store', JSON.stringify(request)), '{"stored":true}');
  t.equal(token().wrapped, request.wrapped);
  await restart(t, guest);
  const opensWithOld = [/open-kms: commit-token → open → make-metadata → mount /];
  t.match(linesWith(guest, messages.VOLUME_PLAN.id), opensWithOld, 'the keyfile has what the boot before had proven');
  t.equal(await stage.unwrap(keyName, token().wrapped ?? ''), await stage.unwrap(keyName, third.wrapped ?? ''));
  await finish(t, stage, keyName, kept);
};

/** Suspended for good: one minute of grace, a restart, one minute of polling, power off; enabled while the next boot polls. */
export const suspension = async (t: Test, stage: Stage, keyName: string): Promise<void> => {
  const kept = await guestWith(t, stage, 'suspension', keyName, 1);
  const { guest } = kept;
  await disable(stage, keyName);
  t.equal(await guest.waitForExit(540_000), 'restarting');
  const said = idsOf(guest).filter((id) => /^HPL18|^TSD18/.test(id));
  t.strictSame(said, ['HPL18003I', 'HPL18002W', 'HPL18003W', 'TSD18002I'], 'warned, announced, closed');
  const at = (id: string): number => guest.journal().find(({ text }) => text.startsWith(id))?.at ?? Number.NaN;
  const grace = at('HPL18003W') - at('HPL18002W');
  t.ok(grace > 50 && grace < 75, `about one minute of grace: ${grace} s`);

  t.match(restartsOn(kept.volume.file), { pending: true, guardedMs: [Number] }, 'counted');
  const before = fingerprint(kept.volume.file);
  guest.start();
  t.equal(await guest.waitForExit(540_000), 'poweredOff');
  t.ok(linesWith(guest, messages.KMS_WAITING.id).length > 1, 'the boot polled');
  t.ok(linesWith(guest, messages.KMS_KEY_NOT_ACTIVE.id).length > 0);
  t.equal(idsOf(guest).at(-1), messages.SERVICE_FAILED.id);
  t.equal(fingerprint(kept.volume.file), before, 'the disk was not written');

  guest.start();
  await guest.waitForText(/TSD06007W/, 180_000);
  await enable(stage, keyName);
  t.match(await up(guest), /HPL10001I/, 'enabled while it polled');
  t.match(restartsOn(kept.volume.file), { pending: false, guardedMs: [Number] }, 'and settled');
  await finish(t, stage, keyName, kept);
};
