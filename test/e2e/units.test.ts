/**
 * The units on a real systemd: their order, what they say on the console, and that a guest whose root key is out of reach
 * loses its volume keys and goes down, whatever gets in the way. Boot is a stand-in that opens a volume with plain cryptsetup;
 * daemon, revocation and everything below them are real.
 */
import t, { type Test } from 'tap';
import { messages, textOf } from '../../agent/messages.ts';
import { handOver, standInGuest, units } from './cases/stand-in.ts';
import type { Guest } from './guest/guest.ts';
import { openScratch } from './guest/scratch.ts';
import type { GuestFiles } from './guest/tree.ts';

const scratch = openScratch('units');
t.setTimeout(900_000);
t.teardown(() => scratch.remove());

const workload = `\
[Unit]
Description=A workload
PartOf=triseed-workload.target
Before=triseed-workload.target
After=triseed-volumes.target triseed-guarded.service
RequiresMountsFor=/mnt/data
[Service]
ExecStart=/bin/sh -c 'cd /mnt/data; while sleep 0.2; do date >>log; done'
# Long enough that nobody gets by who does not wait for it.
ExecStop=/bin/sleep 3
ExecStop=/bin/echo "the workload stops"
`;

/** As systemd/README.md has it; its end on SIGTERM is a failure to systemd, as that of many programs is. */
const unclean = `\
[Unit]
Description=A workload that does not end cleanly
PartOf=triseed-workload.target
Before=triseed-workload.target
After=triseed-guarded.service
RequiresMountsFor=/mnt/data
OnFailure=hpl-catch-failed.service
[Service]
ExecStart=/bin/sh -c 'trap "exit 143" TERM; cd /mnt/data; while sleep 0.2; do date >>log; done'
`;

const start = (t: Test, files: GuestFiles = {}, handed = handOver()): Guest =>
  standInGuest(t, scratch, handed, {
    [`${units}/work.service`]: workload,
    [`${units}/triseed-workload.target.d/work.conf`]: '[Unit]\nWants=work.service\n',
    ...files,
  });

const idsOf = (guest: Guest): readonly string[] =>
  guest.journal().flatMap(({ text }) => /^(?:HPL|TSD)\d+[IWE](?=:)/.exec(text)?.[0] ?? []);
/** Where a line of the journal is; fails the test when it is not there. */
const place = (t: Test, guest: Guest, identifier: string, text: RegExp): number => {
  const at = guest.journal().findIndex((line) => line.identifier === identifier && text.test(line.text));
  t.not(at, -1, `${identifier}: ${text}`);
  return at;
};
const inOrder = (t: Test, places: readonly number[]): void => {
  t.strictSame(
    places,
    [...places].sort((a, b) => a - b),
    'in this order',
  );
};

t.test('a failed boot: both lines on the console, then power off', async (t) => {
  const guest = start(t, { '/etc/boot-fails': '' });
  t.equal(await guest.waitForExit(180_000), 'poweredOff');
  const failed = `${messages.SERVICE_FAILED.id}: ${textOf('SERVICE_FAILED', {})}`;
  inOrder(t, [
    place(t, guest, 'systemd', /Failed to start triseed-boot\.service/),
    place(t, guest, 'hpcr-catch-failure', /^VSI has failed to start!$/),
    place(t, guest, 'hpcr-catch-failure', new RegExp(`^${failed}$`)),
    place(t, guest, 'systemd', /Reached target poweroff\.target/),
  ]);
  t.strictSame(
    idsOf(guest).filter((id) => id.endsWith('E')),
    ['HPL10000E'],
  );
});

t.test('no protected volume: no daemon, and the start is reported after the workload is up', async (t) => {
  const guest = start(t, { '/etc/unprotected': '' });
  await guest.waitForText(/HPL10001I/, 180_000);
  inOrder(t, [
    place(t, guest, 'systemd', /Data volumes are mounted ready to be used/),
    place(t, guest, 'systemd', /Started work\.service/),
    place(t, guest, 'systemd', /Reached target triseed-workload\.target/),
    place(t, guest, 'hpcr-catch-success', /^VSI has started successfully\.$/),
    place(t, guest, 'hpcr-catch-success', /^HPL10001I: Services succeeded -> /),
  ]);
  t.match(await guest.check('findmnt -no SOURCE /mnt/data'), '/dev/mapper/data', 'everybody sees the mount');
  const daemon = await guest.check('systemctl show -p ActiveState,ConditionResult,NRestarts triseed-keyd.service');
  t.match(daemon, /ActiveState=inactive/);
  t.match(daemon, /ConditionResult=no/);
  await guest.waitForText(new RegExp(messages.VOLUMES_ARE_ENCRYPTED.id), 180_000);
  inOrder(t, [
    place(t, guest, 'systemd', /Data volumes are mounted ready to be used/),
    place(t, guest, 'systemd', /Started triseed-verify\.timer/),
    place(t, guest, 'verify-disk-encryption', /^HPL13000I: /),
    place(t, guest, 'verify-disk-encryption', /^HPL13001I: /),
  ]);
  t.equal(await guest.powerOff(), 'poweredOff');
  inOrder(t, [
    place(t, guest, 'echo', /^the workload stops$/),
    place(t, guest, 'systemd', /Stopped target triseed-volumes\.target/),
    place(t, guest, 'systemd', /mnt-data\.mount: Deactivated/),
  ]);
});

t.test('the key service is gone: the workload stops, the volume is closed, the guest restarts', async (t) => {
  const guest = start(t);
  t.equal(await guest.waitForExit(360_000), 'restarting');
  inOrder(t, [
    place(t, guest, 'keydaemon', /^HPL18003I/),
    place(t, guest, 'keydaemon', /^HPL18002W/),
    place(t, guest, 'systemd', /Started triseed-keyd\.service/),
    place(t, guest, 'systemd', /Started work\.service/),
    place(t, guest, 'hpcr-catch-success', /^HPL10001I/),
    place(t, guest, 'keydaemon', /^HPL18003W/),
    place(t, guest, 'systemd', /Started triseed-forced-restart\.timer/),
    place(t, guest, 'echo', /^the workload stops$/),
    place(t, guest, 'keydaemon', /^TSD18002I: volume is closed/),
    place(t, guest, 'systemd', /Reached target reboot\.target/),
  ]);
  // systemd remarks it when it comes round to it: before or after the daemon has closed the mapping.
  inOrder(t, [
    place(t, guest, 'echo', /^the workload stops$/),
    place(t, guest, 'systemd', /mnt-data\.mount: Deactivated/),
    place(t, guest, 'systemd', /Reached target reboot\.target/),
  ]);
  t.notOk(idsOf(guest).some((id) => id.endsWith('E')));
});

const endedUncleanly = (t: Test, guest: Guest): void => {
  place(t, guest, 'systemd', /work\.service: Failed with result/);
  t.strictSame(
    guest.journal().filter(({ identifier }) => identifier === 'hpcr-catch-failure'),
    [],
    'which is no failed start',
  );
  t.notOk(guest.journal().some(({ text }) => text.includes('Reached target poweroff.target')));
};

t.test('the workload ends with a failure when a revocation stops it: the guest restarts', async (t) => {
  const guest = start(t, { [`${units}/work.service`]: unclean });
  t.equal(await guest.waitForExit(360_000), 'restarting');
  inOrder(t, [
    place(t, guest, 'hpcr-catch-success', /^HPL10001I/),
    place(t, guest, 'systemd', /work\.service: Failed with result/),
    place(t, guest, 'keydaemon', /^TSD18002I: volume is closed/),
    place(t, guest, 'systemd', /Reached target reboot\.target/),
  ]);
  endedUncleanly(t, guest);
});

t.test('the workload ends with a failure when somebody restarts the guest: it restarts', async (t) => {
  const guest = start(t, { [`${units}/work.service`]: unclean }, handOver({ kmsTimeoutMinutes: 5 }));
  await guest.waitForText(/HPL10001I/, 180_000);
  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'restarting');
  endedUncleanly(t, guest);
});

t.test('stopping what the daemon was started after leaves it running, and the volume watched', async (t) => {
  const guest = start(
    t,
    { [`${units}/rival.service`]: '[Unit]\nConflicts=data1.mount\n[Service]\nExecStart=/bin/sleep infinity\n' },
    handOver({ kmsTimeoutMinutes: 5 }),
  );
  await guest.waitForText(/HPL10001I/, 180_000);
  const mounts = 'data1.mount root-.docker.mount var-hyperprotect.mount';
  const kept = 'triseed-boot.service triseed-volumes.target triseed-keyd.service work.service';
  const states = async (names: string) =>
    (await guest.run(`systemctl is-active ${names}`)).stdout.split('\n').slice(0, -1);
  for (const name of mounts.split(' ')) t.not((await guest.run(`systemctl stop ${name}`)).status, 0, name);
  t.strictSame(await states(`${mounts} ${kept}`), Array(7).fill('active'));
  await guest.check('systemctl start rival.service');
  t.strictSame(await states(`data1.mount ${kept}`), ['inactive', ...Array(4).fill('active')], 'asked for by a unit');
  t.equal(await guest.powerOff(), 'poweredOff');
  inOrder(t, [
    place(t, guest, 'echo', /^the workload stops$/),
    place(t, guest, 'systemd', /Stopped triseed-boot\.service/),
    place(t, guest, 'systemd', /var-hyperprotect\.mount: Deactivated/),
  ]);
});

t.test('a busy volume: its key leaves the kernel all the same, and the restart is forced', async (t) => {
  const guest = start(t, {
    // Shows what the kernel still holds just before the machine goes down.
    [`${units}/triseed-forced-restart.service.d/show.conf`]: `\
[Service]
StandardOutput=journal
SyslogIdentifier=show
ExecStartPre=/usr/sbin/dmsetup info -c --noheadings -o name,suspended data
ExecStartPre=/usr/sbin/dmsetup table --showkeys data
`,
    // Not part of the workload: nobody stops it.
    [`${units}/squatter.service`]: `\
[Unit]
After=triseed-volumes.target
Before=triseed-keyd.service
[Service]
WorkingDirectory=/mnt/data
ExecStart=/bin/sleep infinity
`,
    [`${units}/triseed-volumes.target.d/squatter.conf`]: '[Unit]\nWants=squatter.service\n',
  });
  await guest.waitForExit(360_000);
  place(t, guest, 'keydaemon', /^TSD18002I: volume was busy/);
  place(t, guest, 'show', /^data:Suspended$/);
  place(t, guest, 'show', / crypt aes-xts-plain64 0{128} /);
  t.match(guest.consoleText(), /sysrq: Resetting/, 'restarted by the kernel, without waiting for the suspended volume');
});

t.test('a daemon that cannot be kept alive: systemd revokes, and no start is reported', async (t) => {
  const guest = start(t, {
    [`${units}/triseed-keyd.service.d/broken.conf`]: '[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n',
  });
  t.equal(await guest.waitForExit(360_000), 'restarting');
  inOrder(t, [
    place(t, guest, 'keydaemon', /^HPL18004E/),
    place(t, guest, 'keydaemon', /^TSD18002I: volume is closed/),
    place(t, guest, 'systemd', /Reached target reboot\.target/),
  ]);
  t.notOk(idsOf(guest).includes('HPL10001I'));
  t.notOk(
    guest.journal().some(({ text }) => text.includes('Started work.service')),
    'the workload never ran unguarded',
  );
});
