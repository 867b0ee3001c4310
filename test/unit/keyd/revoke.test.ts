import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { renderRestarts } from '../../../agent/keyd/restarts.ts';
import { revokeGuest, runRevocation } from '../../../agent/keyd/revoke.ts';
import { type DaemonHost, daemonHost, handedVolume, handOver, type Outcome } from './daemon-host.ts';

const second = 1000;
const arm = 'systemctl start triseed-forced-restart.timer';
const askForUnits = 'systemctl show --property=ConsistsOf --value triseed-workload.target';
const stopWorkload = 'systemctl stop -- triseed-workload.target';
const armPowerOff = 'systemctl start triseed-forced-power-off.timer';
const disarm = 'systemctl stop triseed-forced-restart.timer';
const force = 'systemctl start --no-block triseed-forced-restart.service';

const guest = (outcomeOf?: (line: string) => Outcome, mapped: readonly string[] = ['triseed-data']): DaemonHost => {
  const host = daemonHost(outcomeOf);
  mapped.forEach((name, at) => {
    host.written.set(`/sys/block/dm-${at}/dm/name`, `${name}\n`);
  });
  host.written.set('/sys/block/vda/size', '1');
  return host;
};
const isMessage = (line: string): boolean => /^[A-Z_]+$/.test(line);
const actions = (host: DaemonHost): readonly string[] => host.log.filter((line) => !isMessage(line));
const told = (host: DaemonHost): readonly string[] => host.log.filter(isMessage);

t.test('stop the workload, unmount, close, restart; the forced restart is armed before anything else', async (t) => {
  const host = guest();
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.strictSame(actions(host), [
    arm,
    askForUnits,
    stopWorkload,
    'umount -- /mnt/data',
    'dmsetup --noudevsync remove -- triseed-data',
    'restart',
  ]);
  t.strictSame(told(host), ['VOLUME_CLOSED']);
});

t.test('the stop of the workload waits for every unit that is part of it', async (t) => {
  const host = guest((line) => (line === askForUnits ? { stdout: 'web.service database.service\n' } : 0));
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.ok(actions(host).includes(`${stopWorkload} web.service database.service`));
});

t.test('a busy volume is suspended and its key wiped, then the guest is restarted by force', async (t) => {
  const host = guest((line) => (line.startsWith('umount') || line.includes('remove') ? 1 : 0));
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.strictSame(actions(host).slice(-4), [
    'dmsetup --noudevsync remove -- triseed-data',
    'dmsetup --noudevsync suspend -- triseed-data',
    'dmsetup --noudevsync message triseed-data 0 key wipe',
    force,
  ]);
  t.match(
    host.texts.find((text) => text.includes('VOLUME_CLOSED')),
    '"by":"wipe"',
  );
});

t.test('a disk that hangs: everything is abandoned in time, keys are wiped without writing out', async (t) => {
  const host = guest((line) =>
    line === askForUnits ||
    line.startsWith(stopWorkload) ||
    line.startsWith('umount') ||
    line.endsWith('remove -- triseed-data')
      ? 'hangs'
      : line.endsWith('suspend -- triseed-data') && !line.includes('--noflush')
        ? 'hangs'
        : 0,
  );
  const startMs = host.clock.monotonicMs();
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.ok(host.clock.monotonicMs() - startMs < 105 * second, 'before the armed timer fires');
  t.strictSame(actions(host).slice(-3), [
    'dmsetup --noudevsync suspend --noflush --nolockfs -- triseed-data',
    'dmsetup --noudevsync message triseed-data 0 key wipe',
    force,
  ]);
});

t.test('whatever fails, the guest restarts', async (t) => {
  const cases: readonly (readonly [string, (line: string) => Outcome, string])[] = [
    ['every command fails', () => 1, 'restart'],
    ['every command hangs', () => 'hangs', 'restart'],
    ['only dmsetup fails', (line) => (line.startsWith('dmsetup') ? 1 : 0), force],
  ];
  for (const [name, outcomeOf, last] of cases) {
    const host = guest(outcomeOf);
    await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
    t.equal(actions(host).at(-1), last, name);
    t.ok(told(host).includes('VOLUME_NOT_CLOSED'), `${name}: and it is said that the volume is not closed`);
  }
});

t.test('volumes: inner mounts first, and one that is stuck does not keep the others open', async (t) => {
  const host = guest((line) => (line.includes('remove -- outer') ? 'hangs' : 0), ['outer', 'inner']);
  const volumes = [
    handedVolume({ key: 'outer', mount: '/mnt', mapping: 'outer' }),
    handedVolume({ key: 'inner', mount: '/mnt/inner', mapping: 'inner' }),
  ];
  await host.clock.run(revokeGuest(host, handOver(host.clock, volumes), 'suspended'));
  t.strictSame(
    actions(host).filter((line) => line.startsWith('umount')),
    ['umount -- /mnt/inner', 'umount -- /mnt'],
  );
  t.equal(told(host).filter((name) => name === 'VOLUME_CLOSED').length, 2);
});

t.test('a volume that is closed already needs no command, whatever dmsetup would say', async (t) => {
  const host = guest((line) => (line.startsWith('dmsetup') ? 1 : 0), []);
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.notOk(actions(host).some((line) => line.startsWith('dmsetup')));
  t.equal(actions(host).at(-1), 'restart');
});

t.test('a mapping that goes away while its name is read keeps no other volume open', async (t) => {
  const volumes = ['one', 'two', 'three'].map((key) => handedVolume({ key, mount: `/mnt/${key}`, mapping: key }));
  const reads: readonly (readonly [string, number, readonly string[]])[] = [
    ['once', 1, ['VOLUME_CLOSED', 'VOLUME_CLOSED', 'VOLUME_CLOSED']],
    ['always, as if sysfs were broken', 1000, ['VOLUME_CLOSED', 'VOLUME_CLOSED', 'VOLUME_CLOSED']],
  ];
  for (const [name, times, expected] of reads) {
    const host = guest(undefined, ['one', 'two', 'three']);
    let failures = times;
    const read: typeof host.files.read = async (path, maxBytes) => {
      if (path !== '/sys/block/dm-1/dm/name' || failures === 0) return host.files.read(path, maxBytes);
      failures -= 1;
      throw new AgentError('FILE_UNREADABLE', { path, reason: 'ENODEV' });
    };
    const files = { ...host.files, read };
    await host.clock.run(revokeGuest({ ...host, files }, handOver(host.clock, volumes), 'suspended'));
    t.strictSame(told(host), expected, name);
    const removed = actions(host).filter((line) => line.includes('remove'));
    t.equal(removed.length, 3, `${name}: each is removed`);
    t.equal(actions(host).at(-1), 'restart', name);
  }
});

t.test('restarts are counted when every volume is closed: disks that hang hold up no key', async (t) => {
  const host = guest();
  host.hanging.add('/dev/vdb1');
  // Node asks at most four disks at a time; whatever else reads a file then waits for one of them.
  const list = host.files.list;
  const files = {
    ...host.files,
    list: (path: string) => (host.log.includes('count') ? new Promise<never>(() => {}) : list(path)),
  };
  const disks = {
    ...host.disks,
    open: (path: string, access: 'read' | 'write' | 'exclusive') => {
      host.log.push('count');
      return host.disks.open(path, access);
    },
  };
  await host.clock.run(revokeGuest({ ...host, files, disks }, handOver(host.clock), 'suspended'));
  t.strictSame(actions(host).slice(-3), ['dmsetup --noudevsync remove -- triseed-data', 'count', 'restart']);
});

t.test('restarted too often: whatever hangs, the guest is powered off and not restarted', async (t) => {
  const host = guest();
  host.sectors.set('/dev/vdb1', renderRestarts({ pending: false, guardedMs: [1, 1, 1] }));
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.strictSame(actions(host).slice(-3), [armPowerOff, disarm, 'power off']);

  const unarmed = guest((line) => (line === armPowerOff ? 1 : 0));
  unarmed.sectors.set('/dev/vdb1', renderRestarts({ pending: false, guardedMs: [1, 1, 1] }));
  await unarmed.clock.run(revokeGuest(unarmed, handOver(unarmed.clock), 'suspended'));
  t.notOk(actions(unarmed).includes(disarm), 'one of the two stays armed');
});

t.test('no cryptsetup: nothing here reads a header', async (t) => {
  const host = guest(() => 1);
  await host.clock.run(revokeGuest(host, handOver(host.clock), 'suspended'));
  t.notOk(host.log.some((line) => line.includes('cryptsetup')));
});

t.test('the unit of its own', async (t) => {
  t.test('tells that the daemon failed when the daemon did not ask for it', async (t) => {
    const host = guest();
    await host.clock.run(runRevocation(host, handOver(host.clock)));
    t.strictSame(told(host), ['KEY_DAEMON_FAILED', 'VOLUME_CLOSED']);
  });
  t.test('revokes even when the record of the daemon is damaged', async (t) => {
    const host = guest();
    host.written.set('/run/triseed-keyd/state.json', '{');
    await host.clock.run(runRevocation(host, handOver(host.clock)));
    t.equal(actions(host).at(-1), 'restart');
  });
});
