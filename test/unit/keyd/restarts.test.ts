/** How often the daemon may restart a guest, and where that is written. */
import t from 'tap';
import { countRestart, readRestarts, settleRestarts } from '../../../agent/keyd/restart-record.ts';
import {
  afterRestart,
  noRestarts,
  parseRestarts,
  type Restarts,
  renderRestarts,
  restartsBytes,
} from '../../../agent/keyd/restarts.ts';
import { revokeGuest, runRevocation } from '../../../agent/keyd/revoke.ts';
import { daemonHost, handedVolume, handOver } from './daemon-host.ts';

const minute = 60_000;
const sectorOf = (text: string): Buffer => {
  const sector = Buffer.alloc(restartsBytes);
  sector.write(text, 'latin1');
  return sector;
};

t.test('more than three restarts within an hour of healthy boots power off', async (t) => {
  const cases: Readonly<Record<string, readonly [guardedMinutes: readonly number[], actions: string]>> = {
    once: [[1], 'restart'],
    'three times at once': [[0, 0, 0], 'restart restart restart'],
    'four times at once': [[0, 0, 0, 0], 'restart restart restart powerOff'],
    'four times in exactly an hour': [[15, 15, 15, 15], 'restart restart restart powerOff'],
    'four times in a little more': [[15, 15, 15, 16], 'restart restart restart restart'],
    'often, with a long boot in between': [[1, 1, 70, 1, 1, 1], 'restart restart restart restart restart restart'],
    'often again after the long boot': [[70, 1, 1, 1, 1], 'restart restart restart restart powerOff'],
    'a day of long boots': [
      Array.from({ length: 20 }, () => 61),
      Array.from({ length: 20 }, () => 'restart').join(' '),
    ],
    'after a power-off it counts anew': [[1, 1, 1, 1, 1], 'restart restart restart powerOff restart'],
  };
  for (const [name, [minutes, expected]] of Object.entries(cases)) {
    let record: Restarts = noRestarts;
    const actions = minutes.map((guarded) => {
      const after = afterRestart(record, guarded * minute);
      // What the next boot reads, and settles.
      record = { ...(parseRestarts(renderRestarts(after.record)) ?? noRestarts), pending: false };
      return after.action;
    });
    t.equal(actions.join(' '), expected, name);
  }
});

t.test('the record fits a sector, and what the host makes of it stays harmless', async (t) => {
  const longest: Restarts = { pending: true, guardedMs: [2 ** 53, 2 ** 53, 2 ** 53] };
  t.equal(renderRestarts(longest).length, restartsBytes);
  t.strictSame(parseRestarts(renderRestarts(longest)), longest);
  t.strictSame(parseRestarts(Buffer.alloc(restartsBytes)), noRestarts, 'a partition that has none');
  const none = [
    'triseed-restarts ',
    'triseed-restarts {',
    'triseed-restarts []',
    'triseed-restarts {"version":2,"pending":true,"guardedMs":[]}',
    'triseed-restarts {"version":1,"pending":1,"guardedMs":[]}',
    'triseed-restarts {"version":1,"pending":true,"guardedMs":[0,0,0,0]}',
    'triseed-restarts {"version":1,"pending":true,"guardedMs":[-1]}',
    'triseed-restarts {"version":1,"pending":true,"guardedMs":["1"]}',
  ];
  for (const text of none) t.strictSame(parseRestarts(sectorOf(text)), noRestarts, text);
  for (const text of ['\x7fELF', 'EFI PART', ' triseed-restarts {}'])
    t.equal(parseRestarts(sectorOf(text)), null, `not ours: ${text}`);
});

t.test('counted on every metadata partition; something else is never overwritten', async (t) => {
  const host = daemonHost();
  host.sectors.set('/dev/vdc1', sectorOf('a boot loader'));
  host.sectors.set('/dev/vdb1', renderRestarts({ pending: false, guardedMs: [1, 2] }));
  t.equal(await countRestart(host, ['/dev/vdb1', '/dev/vdc1'], 3), 'restart');
  t.strictSame(await readRestarts(host, '/dev/vdb1'), { pending: true, guardedMs: [1, 2, 3] });
  t.strictSame(host.sectors.get('/dev/vdc1'), sectorOf('a boot loader'));
  t.equal(await countRestart(host, ['/dev/vdc1', '/dev/vdb1'], 4), 'powerOff', 'one disk that knows is enough');
  host.sectors.delete('/dev/vdb1');
  await settleRestarts(host, '/dev/vdb1', { pending: true, guardedMs: [1, 2, 3] });
  t.strictSame(
    await readRestarts(host, '/dev/vdb1'),
    { pending: false, guardedMs: [1, 2, 3] },
    'kept when the boot made the file system anew',
  );
});

t.test('the fourth revocation of a flapping key powers the guest off, orderly or by force', async (t) => {
  const known = renderRestarts({ pending: false, guardedMs: [minute, minute, minute] });
  const orderly = daemonHost();
  orderly.sectors.set('/dev/vdb1', known);
  await orderly.clock.run(revokeGuest(orderly, handOver(orderly.clock), 'suspended'));
  t.strictSame(orderly.log.slice(-4), [
    'TOO_MANY_RESTARTS',
    'systemctl start triseed-forced-power-off.timer',
    'systemctl stop triseed-forced-restart.timer',
    'power off',
  ]);
  t.strictSame(await readRestarts(orderly, '/dev/vdb1'), noRestarts, 'whoever starts it has looked at it');

  const busy = daemonHost((line) => (line.startsWith('umount') || line.includes('remove') ? 1 : 0));
  busy.sectors.set('/dev/vdb1', known);
  busy.written.set('/sys/block/dm-0/dm/name', 'triseed-data\n');
  await busy.clock.run(revokeGuest(busy, handOver(busy.clock), 'suspended'));
  t.equal(busy.log.at(-1), 'systemctl start --no-block triseed-forced-power-off.service');
});

t.test(
  'a daemon that can never be kept alive, while its key is fine, does not restart its guest for ever',
  async (t) => {
    const sectors = daemonHost().sectors;
    const ends: (string | undefined)[] = [];
    for (let boot = 0; boot < 4; boot += 1) {
      const host = daemonHost();
      for (const [path, sector] of sectors) host.sectors.set(path, sector);
      // The boot opens the volume, and the daemon fails five times in two minutes.
      await settleRestarts(host, '/dev/vdb1', await readRestarts(host, '/dev/vdb1'));
      const handed = handOver(host.clock);
      await host.clock.advance(2 * minute);
      await host.clock.run(runRevocation(host, handed));
      t.ok(host.log.includes('KEY_DAEMON_FAILED'));
      ends.push(host.log.at(-1));
      for (const [path, sector] of host.sectors) sectors.set(path, sector);
    }
    t.strictSame(ends, ['restart', 'restart', 'restart', 'power off']);
  },
);

t.test('a metadata partition that hangs or fails holds up nothing', async (t) => {
  for (const open of [() => new Promise<never>(() => {}), () => Promise.reject(new Error('EIO'))]) {
    const host = daemonHost();
    const failing = { ...host, disks: { ...host.disks, open } };
    const startMs = host.clock.monotonicMs();
    await host.clock.run(revokeGuest(failing, handOver(host.clock, [handedVolume()]), 'suspended'));
    t.equal(host.log.at(-1), 'restart');
    t.ok(host.clock.monotonicMs() - startMs <= 5_000);
  }
});
