/**
 * Every way to lose a root key, each in a guest of its own, which boot in turns and wait side by side: the guest acts at the deadline
 * that docs/key-daemon.md names, start of the last good poll + pollSeconds + kmsTimeout, not before and at most two seconds after it,
 * not counting what the whole guest stood still.
 */
import type { Test } from 'tap';
import { limited } from '../../../../agent/volumes/take-turns.ts';
import type { Guest } from '../../guest/guest.ts';
import { nameInGuest } from '../../world/key-service.ts';
import { actedInTime, activePolls, residentKiB, statusIn, tickAround, untilPolled, untilStatus } from '../daemon.ts';
import { idsOf } from '../journal.ts';
import { Stage } from '../stage.ts';
import { makeVolume, volumeText } from '../volume-case.ts';
import { disable, up } from './root-keys.ts';

const pollSeconds = 3;
const kmsTimeoutMinutes = 1;

interface Loss {
  /** Makes the key unusable for this guest. */
  readonly lose: (stage: Stage, guest: Guest, keyName: string) => unknown;
  /** What the daemon then says of the key. */
  readonly state: string;
  /** Arguments of `triseed kms key create`. */
  readonly key?: readonly string[];
  readonly byName?: true;
}

const faultOn =
  (effect: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}): Loss['lose'] =>
  (stage, _guest, keyName) =>
    stage.service.fault({ operation: 'any', key: stage.key(keyName).id, effect, ...more });

const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

const losses: Readonly<Record<string, Loss>> = {
  suspended: { lose: (stage, _guest, keyName) => disable(stage, keyName), state: 'suspended' },
  deleted: {
    lose: (stage, _guest, keyName) => stage.service.key('delete', stage.key(keyName).id, '--yes'),
    state: 'destroyed',
  },
  expired: { key: ['--expires', inAnHour()], lose: (stage) => stage.service.advance(7200), state: 'deactivated' },
  denied: { lose: faultOn({ status: 403 }), state: 'denied' },
  'wrong-instance': { lose: faultOn({ status: 401 }), state: 'denied' },
  'network-cut': { lose: (_stage, guest) => guest.cutNetwork(), state: 'unreachable' },
  'service-hangs': { lose: faultOn({ hang: true }), state: 'unreachable' },
  'no-names': {
    byName: true,
    // As long as its connection lasts the daemon asks for no name.
    lose: async (stage, guest, keyName) => {
      await guest.check('echo >/etc/hosts');
      await faultOn({ drop: true }, { count: 1 })(stage, guest, keyName);
    },
    state: 'unreachable',
  },
};

/** The wall clock of the guest jumps a year ahead and back again: nothing happens, and the polls go on. */
const jumpingClock = async (t: Test, guest: Guest): Promise<void> => {
  await untilPolled(guest, 2);
  const before = await residentKiB(guest);
  for (const jump of ['+366 days', '-366 days']) {
    await guest.check(`date -s "$(date -d '${jump}')"`);
    const jumped = await statusIn(guest);
    const later = await untilPolled(guest, 3);
    t.equal(later.state, 'watching', `${jump}: watching`);
    const polls = later.keys.reduce((sum, { polls }) => sum + polls.active + polls.other, 0);
    t.equal(polls, activePolls(later), `${jump}: no other answer than active`);
    const intervals = (later.atMs - jumped.atMs) / 1000 / pollSeconds;
    t.ok(intervals < 6, `${jump}: three polls within ${intervals.toFixed(1)} intervals`);
  }
  t.notOk(idsOf(guest).includes('HPL18002W'), 'no grace');
  const growth = (await residentKiB(guest)) - before;
  t.ok(growth < 16 * 1024, `resident memory grew by ${growth} KiB`);
};

/** Few boot at a time: they need a CPU each then, and starve one another when they are many. */
const inTurn = limited((work: () => Promise<void>) => work(), 2);

const oneLoss = async (t: Test, stage: Stage, name: string, { lose, state, byName }: Loss): Promise<void> => {
  const scratch = stage.folder(name);
  const contract = { kmsTimeout: kmsTimeoutMinutes };
  const volume = await makeVolume(stage, scratch, { key: 'data', kms: () => [stage.entry(name)], contract });
  const hosts = `127.0.0.1 localhost\n10.0.2.2 ${nameInGuest}\n`;
  const guest = await stage.guest(scratch, {
    name,
    volumes: [volumeText(stage, volume.volume)],
    disks: volume.disks,
    pollSeconds,
    ...(byName === true ? { serviceUrl: stage.service.namedUrlInGuest } : {}),
    options: { memoryMiB: 512, ...(byName === true ? { files: { '/etc/hosts': hosts } } : {}) },
  });
  await inTurn(async () => {
    guest.start();
    t.match(await up(guest), /HPL10001I/, 'open');
  });
  if (name === 'network-cut') await jumpingClock(t, guest);
  else await untilPolled(guest, 1);

  await lose(stage, guest, name);
  await guest.waitForText(/HPL18002W/, 180_000);
  const { keys, volumes } = await untilStatus(guest, (status) => status.state === 'grace');
  t.equal(keys[0]?.state, state);
  const dueSeconds = (keys[0]?.lastActiveMs ?? Number.NaN) / 1000 + pollSeconds + kmsTimeoutMinutes * 60;
  t.ok(Math.abs((volumes[0]?.deadlineMs ?? Number.NaN) / 1000 - dueSeconds) < 0.01, 'the daemon names this deadline');

  await tickAround(guest, dueSeconds);
  t.equal(await guest.waitForExit(360_000), 'restarting');
  actedInTime(t, guest, dueSeconds);
  t.ok(guest.journal().some(({ text }) => text.startsWith('TSD18002I: volume is closed')));
};

export const everyLoss = async (t: Test): Promise<void> => {
  const stage = new Stage('deadlines');
  t.teardown(() => stage.close());
  await stage.open();
  for (const [name, { key = [] }] of Object.entries(losses)) await stage.makeKey(name, ...key);
  t.jobs = Object.keys(losses).length;
  await Promise.all(Object.entries(losses).map(([name, loss]) => t.test(name, (t) => oneLoss(t, stage, name, loss))));
};
