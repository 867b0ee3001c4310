/**
 * Every way to lose a root key, each in a guest of its own, side by side: the guest acts at the deadline that
 * docs/key-daemon.md names, start of the last good poll + pollSeconds + kmsTimeout, not before and at most two seconds after it, not counting
 * what the whole guest stood still.
 */
import type { Test } from 'tap';
import type { Guest } from '../../guest/guest.ts';
import { nameInGuest } from '../../world/key-service.ts';
import { activePolls, residentKiB, statusIn, untilPolled, untilStatus } from '../daemon.ts';
import { idsOf } from '../journal.ts';
import { Stage } from '../stage.ts';
import { makeVolume, volumeText } from '../volume-case.ts';
import { disable, up } from './root-keys.ts';

const pollSeconds = 3;
const kmsTimeoutMinutes = 1;
/** What the guest may be late, in seconds. */
const toleratedSeconds = 2;
const tickSeconds = 0.25;
/** The journal stamps a line in microseconds after it was written. */
const clockSlackSeconds = 0.05;

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

/** Says `tick` in the journal from three seconds before `dueSeconds` on. */
const tickAround = (guest: Guest, dueSeconds: number): Promise<string> =>
  guest.check(`\
read -r now rest </proc/uptime
wait=$((${Math.floor(dueSeconds) - 3} - \${now%.*}))
[ $wait -gt 0 ] || wait=0
systemd-run --quiet --unit=ticks --property=SyslogIdentifier=tick sh -c "sleep $wait; while sleep ${tickSeconds}; do echo tick; done"`);

/** How long nothing at all went on in the guest around `dueSeconds`: on a busy machine it waits for its processor. */
const standstill = (guest: Guest, dueSeconds: number): number => {
  const ticks = guest.journal().flatMap(({ identifier, at }) => (identifier === 'tick' ? [at] : []));
  const near = ticks.filter((at) => at > dueSeconds - 3 && at < dueSeconds + 10);
  if (near.length < 2) throw new Error('nothing ticked around the deadline');
  const gaps = near.slice(1).map((at, before) => at - (near[before] ?? at) - tickSeconds);
  return Math.max(0, ...gaps);
};

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
  guest.start();
  t.match(await up(guest), /HPL10001I/, 'open');
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
  const acted = guest.journal().find(({ text }) => text.startsWith('HPL18003W'))?.at ?? Number.NaN;
  const late = acted - dueSeconds;
  t.ok(late > -clockSlackSeconds, `not before the deadline: ${late.toFixed(3)} s after it`);
  const stood = standstill(guest, dueSeconds);
  const told = `${late.toFixed(3)} s after it, of which the machine stood still ${stood.toFixed(3)} s`;
  t.ok(late < toleratedSeconds + stood, `and in time: ${told}`);
  t.comment(`${name}: acted ${told}`);
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
