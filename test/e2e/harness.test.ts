import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { outcomeOf } from './guest/command-line.ts';
import { parseJournalLine } from './guest/console.ts';
import { guestForTest } from './guest/for-test.ts';
import { checkout, place } from './guest/place.ts';
import { hostPrograms } from './guest/recorder.ts';
import { createContractDisk, createDisk, openScratch } from './guest/scratch.ts';
import { sweep } from './guest/sweep.ts';
import { hostState, processesOf } from './leftovers.ts';

const asRoot = process.getuid?.() === 0;
const scratch = openScratch('harness');
const before = await hostState();
t.setTimeout(600_000);
t.jobs = 2;
t.teardown(() => scratch.remove());

t.test('journal lines on the console', async (t) => {
  t.strictSame(parseJournalLine('[    1.500000] triseed[12]: HPL10001I: a: b'), {
    at: 1.5,
    identifier: 'triseed',
    pid: 12,
    text: 'HPL10001I: a: b',
  });
  t.strictSame(parseJournalLine('[   12.000001] (udev-worker)[3]: x'), {
    at: 12.000001,
    identifier: '(udev-worker)',
    pid: 3,
    text: 'x',
  });
  t.strictSame(parseJournalLine('[    0.1] kernel: x'), { at: 0.1, identifier: 'kernel', pid: null, text: 'x' });
  t.equal(parseJournalLine('reboot: System halted'), null);
});

t.test('how a process ended', async (t) => {
  const cases = [
    ['poweredOff', 0, 'ended', '[ 1.9] reboot: System halted'],
    ['poweredOff', 0, 'ended', '[ 1.9] reboot: Power down'],
    ['restarting', 0, 'ended', '[ 1.9] reboot: Restarting system'],
    ['panicked', 0, 'ended', 'Kernel panic - not syncing: sysrq'],
    ['killed', 0, 'killed', ''],
    ['timedOut', 0, 'limit', '[ 1.9] reboot: System halted'],
    ['failed', 127, 'ended', 'reboot: System halted'],
    ['failed', 0, 'ended', 'starter: fork'],
  ] as const;
  for (const [outcome, code, reason, console] of cases) t.equal(outcomeOf({ code, reason, console }), outcome);
});

t.test('disks, LUKS, restart, power off', { buffered: true }, async (t) => {
  const serial = '0787-62ad31c6-bcbc-4dd2-88e5-b7f1e3e1d2b3';
  const disk = createDisk(scratch, { name: 'data', sizeBytes: 64 << 20, serial });
  const contractDisk = createContractDisk(scratch, { userData: 'env: e\nworkload: w\n' });
  const guest = guestForTest(t, scratch, {
    disks: [disk],
    contractDisk,
    files: { '/etc/triseed/contract-key.pem': { content: 'a key\n', mode: 0o600 } },
  });
  guest.start();
  await guest.ready();
  const device = `/dev/disk/by-id/virtio-${serial}`;
  t.equal((await guest.check(`readlink -f ${device}`)).trim(), '/dev/ubda');
  t.equal(
    await guest.check('mkdir /mnt/seed; mount -o ro /dev/disk/by-label/cidata /mnt/seed; cat /mnt/seed/user-data'),
    'env: e\nworkload: w\n',
  );
  t.not(
    (await guest.run('dd if=/dev/zero of=/dev/ubdp count=1 conv=fsync')).status,
    0,
    'the contract disk is read-only',
  );
  t.equal(
    await guest.check('stat -c "%U %a" /etc/triseed/contract-key.pem; cat /etc/triseed/contract-key.pem'),
    'root 600\na key\n',
  );
  t.match(await guest.check('/opt/triseed/node_modules/.bin/node --version'), /^v26\./);
  t.not((await guest.run('touch /opt/triseed/x')).status, 0, 'the checkout is read-only');

  const format =
    'cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 4096';
  await guest.check(`${format} ${device} -`, { input: 'passphrase' });
  const open = `cryptsetup open ${device} data --key-file - && mkdir -p /mnt/data`;
  await guest.check(open, { input: 'passphrase' });
  await guest.check('mkfs.ext4 -q /dev/mapper/data && mount /dev/mapper/data /mnt/data && udevadm settle');
  t.match(await guest.check('dmsetup table data'), /^0 \d+ crypt aes-xts-plain64 :64:logon:cryptsetup:/);
  await guest.check('echo kept >/mnt/data/file');
  t.match(await guest.journalFields(), [{ _TRANSPORT: /./ }]);

  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  t.equal(await guest.waitForExit(60_000), 'restarting');
  t.strictSame(processesOf(guest.session), []);
  guest.start();
  // The shell may be there before udev has been told of any disk.
  await guest.ready();
  await guest.check(`${open}; mount /dev/mapper/data /mnt/data`, { input: 'passphrase' });
  t.equal(await guest.check('cat /mnt/data/file'), 'kept\n');
  t.equal(await guest.powerOff(), 'poweredOff');
  t.equal(guest.boots, 2);
  t.ok(guest.journal(1).some((line) => line.identifier === 'systemd' && line.text.includes('e2e.target')));
});

t.test('the network reaches the host, is cut, and mends', { buffered: true }, async (t) => {
  const server = createServer((request, response) => response.end(`hello ${request.url}`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const guest = guestForTest(t, scratch, { network: true });
  guest.start();
  const url = `http://10.0.2.2:${(server.address() as AddressInfo).port}/x`;
  const get = `http.get('${url}', { timeout: 1500 }, (r) => r.pipe(process.stdout))`;
  const fail = `.on('timeout', () => { console.log('timeout'); process.exit(); })`;
  const request = `/opt/triseed/node_modules/.bin/node -e "${get}${fail}"`;
  await guest.ready();
  t.equal(await guest.check(request), 'hello /x');
  guest.cutNetwork();
  t.equal(await guest.check(request), 'timeout\n');
  guest.mendNetwork();
  t.equal(await guest.check(request), 'hello /x');
  t.not((await guest.run('ip route get 192.0.2.1')).status, 0, 'no way to anywhere else');

  guest.cutNetwork();
  await guest.cutPower();
  t.equal(await guest.waitForExit(1000), 'killed');
  t.strictSame(processesOf(guest.session), [], 'a stopped network is killed too');
});

t.test('a power cut keeps what reached the disk; the console outlives it', { buffered: true }, async (t) => {
  const disk = createDisk(scratch, { name: 'cut', sizeBytes: 16 << 20, serial: 'cut' });
  const unit =
    '[Service]\nExecStart=/bin/sh -c "echo written; exec sleep 1000"\nStandardOutput=journal\nSyslogIdentifier=writer\n';
  const guest = guestForTest(t, scratch, {
    disks: [disk],
    files: { '/usr/lib/systemd/system/writer.service': unit },
    wantedUnits: ['writer.service'],
  });
  const lines: string[] = [];
  guest.onLine((line) => lines.push(line));
  guest.start();
  await guest.check('printf "on the disk" | dd of=/dev/ubda conv=fsync');
  await guest.waitForText(/writer\[\d+\]: written/, 60_000);
  await guest.cutPower();
  t.equal(await guest.waitForExit(0), 'killed');
  t.equal(readFileSync(disk.file, 'utf8').slice(0, 11), 'on the disk');
  t.match(
    guest.journal().find((line) => line.identifier === 'writer'),
    { text: 'written' },
  );
  t.strictSame(lines, guest.consoleText().split('\n'));
  await t.rejects(guest.waitForText(/never/, 100), /never/);
  await t.rejects(guest.run('true'), /ended/);
});

t.test('a panic and an endless guest are told apart', { buffered: true }, async (t) => {
  const panicking = guestForTest(t, scratch);
  panicking.start();
  await panicking.run('echo c >/proc/sysrq-trigger').catch(() => undefined);
  t.equal(await panicking.waitForExit(180_000), 'panicked');
  const endless = guestForTest(t, scratch, { limitSeconds: 4 });
  endless.start();
  t.equal(await endless.waitForExit(180_000), 'timedOut');
  for (const { session } of [panicking, endless]) t.strictSame(processesOf(session), []);
});

t.test('commands: status, both outputs, bytes, limit', { buffered: true }, async (t) => {
  const guest = guestForTest(t, scratch);
  guest.start();
  t.match(await guest.run('echo out; echo err >&2; exit 7'), { status: 7, stdout: 'out\n', stderr: 'err\n' });
  const every = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 256));
  t.strictSame((await guest.run('cat', { input: every })).bytes, every);
  t.match(await guest.run('sleep 60', { timeoutMs: 1000 }), { status: 124 });
  t.equal(await guest.check('echo still here'), 'still here\n');
  await t.rejects(guest.check('echo why >&2; false'), /status 1.*why/s);

  if (asRoot) {
    t.not(statSync(`/proc/${guest.session}`).uid, 0, 'never root on the host');
    const write = `mount -t hostfs -o ${place().inside(checkout)} none /mnt && touch /mnt/x`;
    t.match(await guest.run(write), { status: 1, stderr: /Permission denied/ });
    const secret = scratch.path('only-root');
    writeFileSync(secret, 'secret', { mode: 0o600 });
    const inside = secret.replace(checkout, '/opt/triseed');
    t.match(await guest.run(`cat ${inside}`), { status: 1, stdout: '', stderr: /Permission denied/ });
  }
});

t.test('a sweep finds what was planted, wherever it is, and nothing else', { buffered: true }, async (t) => {
  const disk = createDisk(scratch, { name: 'swept', sizeBytes: 16 << 20, serial: 'swept' });
  const guest = guestForTest(t, scratch, { disks: [disk], recordPrograms: hostPrograms });
  guest.start();
  await guest.ready();
  const plant = (name: string) => `planted-${name}-4f9a1c`;
  const hex = (text: string) => Buffer.from(text).toString('hex');
  await guest.check(`cryptsetup --version --header ${plant('argv')}`);
  await guest.check(`SECRET=${plant('environment')} mkfs.ext4 -V`);
  await guest.check(`cd /usr && ../sbin/blkid --version ${hex(plant('relative'))}`);
  await guest.check(`perl -e 'sleep 60' ${plant('cmdline')} & SECRET=${plant('environ')} sleep 60 &`);
  await guest.check(`systemd-cat -t careless echo ${plant('journal')}`);
  await guest.check(`echo ${plant('console')} >/dev/console`);
  await guest.check(
    `printf %s ${Buffer.from(`xx${plant('disk')}`).toString('base64')} | dd of=/dev/ubda bs=1 seek=8388600 conv=fsync`,
  );
  const names = ['argv', 'environment', 'relative', 'cmdline', 'environ', 'journal', 'console', 'disk', 'nowhere'];
  const secrets = Object.fromEntries(names.map((name) => [name, plant(name)]));
  const { findings, searched } = await sweep({ secrets, guest, files: [disk.file] });
  const has = (secret: string, form: string, where: RegExp) =>
    t.ok(
      findings.some((found) => found.secret === secret && found.form === form && where.test(found.where)),
      `${secret} in ${where}`,
    );
  has('argv', 'plain', /\/recorded\/\d+$/);
  has('environment', 'plain', /\/recorded\/\d+$/);
  has('relative', 'hex', /\/recorded\/\d+$/);
  has('cmdline', 'plain', /^process \/proc\/\d+\/cmdline$/);
  has('environ', 'plain', /^process \/proc\/\d+\/environ$/);
  has('journal', 'plain', /^journal$/);
  has('journal', 'plain', /console-1\.log$/);
  has('console', 'plain', /console-1\.log$/);
  has('disk', 'base64', /swept\.img$/);
  t.strictSame(
    findings.filter((found) => found.secret === 'nowhere'),
    [],
  );
  t.match(
    findings.find((found) => found.secret === 'disk'),
    { offset: 8388603 },
  );
  t.ok(['processes', 'journal', disk.file].every((place) => searched.includes(place)));
  t.match(
    guest.recorded().find(({ argv }) => argv[1] === '--version' && argv[2] === '--header'),
    {
      argv: ['/usr/sbin/cryptsetup', '--version', '--header', plant('argv')],
    },
  );
  t.ok(guest.recorded().some(({ environment }) => environment.includes(`SECRET=${plant('environment')}`)));

  await guest.check('mount -o remount,ro /var/lib/recorded');
  t.match(await guest.run('blkid --version'), { status: 97, stderr: /cannot record/ });
  await guest.stop();
  await t.rejects(sweep({ secrets, guest }), /ended/, 'a guest that has ended cannot be searched by mistake');
  const after = await sweep({ secrets, guest, ended: true });
  t.ok(
    after.findings.some((found) => found.secret === 'argv'),
    'records outlive a power cut',
  );
});

const driverAt = (
  script: string,
): { readonly child: ChildProcess; readonly said: Promise<Record<string, unknown>> } => {
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = new Promise<Record<string, unknown>>((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(JSON.parse(text));
    });
    child.once('exit', () => reject(new Error(`the driver ended: ${text}`)));
  });
  return { child, said };
};

const until = async (condition: () => boolean, timeoutMs: number): Promise<boolean> => {
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return condition();
};

t.test('nothing outlives a killed driver or a killed starter', { buffered: true }, async (t) => {
  for (const victim of ['driver', 'starter'] as const) {
    const { child, said } = driverAt(fileURLToPath(new URL('./boot-and-wait.ts', import.meta.url)));
    t.teardown(() => child.kill('SIGKILL'));
    const { session, folder } = await said;
    t.ok(processesOf(Number(session)).length > 5, 'the guest runs');
    if (victim === 'driver') child.kill('SIGKILL');
    else process.kill(Number(session), 'SIGKILL');
    t.ok(
      await until(() => processesOf(Number(session)).length === 0, 3000),
      `no process after the ${victim} was killed`,
    );
    child.kill('SIGKILL');
    t.ok(existsSync(String(folder)));
    t.teardown(() => import('node:fs').then(({ rmSync }) => rmSync(String(folder), { recursive: true })));
  }
});

const alreadyClosed = place().prefix.includes('unshare') && 'this checkout is such a one, and so is every guest above';
const skip = asRoot ? alreadyClosed : 'only root can have a checkout that the user of a guest cannot reach';
t.test('a checkout in a folder that nobody else may enter', { buffered: true, skip }, async (t) => {
  const closed = scratch.path('closed');
  const copy = join(closed, 'checkout');
  mkdirSync(copy, { recursive: true });
  chmodSync(closed, 0o700);
  const left = ['node_modules', '.git', '.cache', '.tap', 'dist'];
  for (const name of readdirSync(checkout).filter((name) => !left.includes(name))) {
    cpSync(join(checkout, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(checkout, 'node_modules'), join(copy, 'node_modules'));
  const { child, said } = driverAt(join(copy, 'test/e2e/boot-and-wait.ts'));
  t.teardown(() => child.kill('SIGKILL'));
  const { session, program, prefix } = await said;
  t.ok((prefix as string[]).includes('unshare'));
  t.match(program, /#!.*\{.*virtio-driver/s);
  child.kill('SIGKILL');
  t.ok(await until(() => processesOf(Number(session)).length === 0, 3000));
});

t.test('the host is as it was', async (t) => {
  t.strictSame(await hostState(), before);
});
