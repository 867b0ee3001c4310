/**
 * The full circle of two root keys in one guest: one is rotated and stays, the other one is suspended; meanwhile the daemon is killed
 * each minute and the metadata partitions take no writes. Three real minutes of grace are in here.
 */
import type { Test } from 'tap';
import type { DaemonStatus } from '../../../../agent/keyd/status.ts';
import { messages } from '../../../../agent/messages.ts';
import type { Guest } from '../../guest/guest.ts';
import { actedInTime, activePolls, statusIn, tickAround, untilStatus } from '../daemon.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import { judge, tokenOnDisk } from '../judge.ts';
import { Stage } from '../stage.ts';
import { type MadeVolume, makeVolume, seeds, volumeText } from '../volume-case.ts';
import { disable, enable, rotate, up } from './root-keys.ts';

const pollSeconds = 3;
const kmsTimeoutMinutes = 3;
/** One kill a minute of the grace. */
const kills = 2;

/** Volume key → root key; `plain` has two seeds. */
const rootKeyOf = { one: 'kept', two: 'kept', three: 'lost', plain: null } as const;
type Key = keyof typeof rootKeyOf;
const keys = Object.keys(rootKeyOf) as readonly Key[];

const countOf = (guest: Guest, id: string): number => linesWith(guest, id).length;

/**
 * Kills the daemon; what its successor says after its first poll that found a key active. The successor greets before it
 * writes a status: until then the file is that of the daemon that was killed, and counts polls that are no longer counted.
 */
const killDaemon = async (guest: Guest): Promise<DaemonStatus> => {
  const greetings = () => guest.journal().filter(({ text }) => text.startsWith('HPL18003I'));
  const before = greetings().length;
  await guest.check('kill -KILL $(systemctl show --property=MainPID --value triseed-keyd.service)');
  while (greetings().length === before) {
    if (!guest.running) throw new Error(`no daemon after it was killed\n${guest.lastLines()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const greetedMs = (greetings()[before]?.at ?? Number.NaN) * 1000;
  return untilStatus(guest, (status) => status.atMs > greetedMs && activePolls(status) > 0);
};

const circle = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('circle');
  const volumes: Record<string, MadeVolume> = {};
  for (const key of keys) {
    const rootKey = rootKeyOf[key];
    const kms = rootKey === null ? {} : { kms: () => [stage.entry(rootKey)] };
    volumes[key] = await makeVolume(stage, scratch, { key, ...kms, contract: { kmsTimeout: kmsTimeoutMinutes } });
  }
  const made = (key: Key): MadeVolume => volumes[key] as MadeVolume;
  const guest = await stage.guest(scratch, {
    name: 'circle',
    volumes: keys.map((key) => volumeText(stage, made(key).volume)),
    disks: keys.flatMap((key) => made(key).disks),
    wholeStart: true,
    pollSeconds,
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/, 'four volumes are open');
  for (const key of keys) await guest.check(`printf ${key} >/mnt/${key}/kept && sync`);
  const metadata = keys.map((key) => `/dev/disk/by-id/virtio-${key}-part1`).join(' ');
  await guest.check(`for device in ${metadata}; do blockdev --setro $device; done`);

  const token = (key: Key) => tokenOnDisk(made(key).file, stage.piece());
  const before = { one: token('one'), two: token('two'), three: token('three') };
  await rotate(stage, 'kept');
  const stored = await untilStatus(guest, () => countOf(guest, 'HPL18001I') === 2);
  t.strictSame([stored.state, stored.keys.length], ['watching', 2], 'each root key is asked once for all its volumes');
  for (const key of ['one', 'two'] as const) t.not(token(key).wrapped, before[key].wrapped, `${key} is wrapped anew`);
  t.strictSame(token('three'), before.three, 'the other key was not rotated');

  await disable(stage, 'lost');
  await guest.waitForText(/HPL18002W/, 180_000);
  const grace = await untilStatus(guest, (status) => status.state === 'grace');
  const lost = grace.keys.find(({ state }) => state === 'suspended');
  t.equal(grace.keys.filter(({ state }) => state === 'active').length, 1, 'the other key is active');
  const dueSeconds = (lost?.lastActiveMs ?? Number.NaN) / 1000 + pollSeconds + kmsTimeoutMinutes * 60;
  const deadlines = (status: typeof grace) => status.volumes.map(({ deadlineMs }) => deadlineMs ?? null);
  t.strictSame(
    deadlines(grace).filter((deadline) => deadline !== null).length,
    1,
    'the volume of the lost key alone has a deadline',
  );
  await tickAround(guest, dueSeconds);
  for (let killed = 0; killed < kills; killed += 1) {
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    const succeeded = await killDaemon(guest);
    t.strictSame(deadlines(succeeded), deadlines(grace), `killed ${killed + 1}: the same deadline`);
  }
  t.equal((await statusIn(guest)).state, 'grace');

  t.equal(await guest.waitForExit(360_000), 'restarting');
  actedInTime(t, guest, dueSeconds);
  t.equal(countOf(guest, 'HPL18002W'), 1, 'one grace, told once');
  const guarded = keys.filter((key) => rootKeyOf[key] !== null).length;
  t.equal(countOf(guest, 'TSD18002I'), guarded, 'every volume under a root key is closed, whichever key was lost');
  t.equal(countOf(guest, messages.RESTARTS_NOT_KEPT.id), guarded, 'the restart could not be counted, and went on');

  guest.start();
  await guest.waitForText(/TSD06007W/, 180_000);
  t.notOk(idsOf(guest).includes(messages.VOLUME_MOUNTED.id), 'no volume is mounted while one of them may not be');
  await enable(stage, 'lost');
  t.match(await up(guest), /HPL10001I/, 'enabled while it polled');
  for (const key of keys) t.equal(await guest.check(`cat /mnt/${key}/kept`), key);
  t.equal(await guest.powerOff(), 'poweredOff');
  for (const key of keys) {
    const keyName = rootKeyOf[key];
    const { file } = made(key);
    const root = keyName === null ? {} : { keyName };
    await judge(t, stage, { key, file, seeds, ...root, madeHere: true, content: { kept: key } });
  }
  for (let boot = 1; boot <= guest.boots; boot += 1) t.strictSame(stackTraces(guest, boot), []);
};

export const twoRootKeys = async (t: Test): Promise<void> => {
  const stage = new Stage('circle');
  t.teardown(() => stage.close());
  await stage.open('kept', 'lost');
  await circle(t, stage);
};
