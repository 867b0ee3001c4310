/** Positioned reads and writes, locks, journal lines, power and standard streams, each over the real thing. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hasCode } from '../../../agent/errors.ts';
import { readingBeginningOnce } from '../../../agent/host/beginning.ts';
import { disks } from '../../../agent/host/disks.ts';
import { stderrJournal } from '../../../agent/host/journal.ts';
import { locks } from '../../../agent/host/locks.ts';
import { reportedPower, systemdPower } from '../../../agent/host/power.ts';
import type { Command } from '../../../agent/ports.ts';

const agent = join(import.meta.dirname, '../../../agent');

t.test('a device is read and written at offsets, never beyond its end', async (t) => {
  const path = join(t.testdir({ disk: Buffer.alloc(8192).toString() }), 'disk');
  const device = await disks.open(path, 'write');
  t.equal(device.sizeBytes, 8192);
  await device.write(8190, Buffer.from([7, 8]));
  await device.flush();
  t.strictSame(await device.read(8190, 2), Buffer.from([7, 8]));
  t.equal((await device.read(0, 8192)).length, 8192);
  t.equal((await device.read(8192, 0)).length, 0);
  for (const [offset, length] of [
    [8191, 2],
    [8193, 0],
    [-1, 1],
    [0, -1],
  ] as const)
    t.ok(hasCode(await device.read(offset, length).catch((e) => e), 'FILE_UNREADABLE'), `read ${offset} ${length}`);
  for (const [offset, length] of [
    [8191, 2],
    [-1, 1],
  ] as const)
    t.ok(
      hasCode(await device.write(offset, Buffer.alloc(length)).catch((e) => e), 'FILE_UNWRITABLE'),
      `write ${offset}`,
    );
  await device.close();
  t.equal(readFileSync(path).length, 8192, 'the file did not grow');

  const readOnly = await disks.open(path, 'read');
  t.ok(hasCode(await readOnly.write(0, Buffer.from('x')).catch((e) => e), 'FILE_UNWRITABLE'), 'opened for reading');
  await readOnly.close();
  t.ok(hasCode(await disks.open(join(path, 'none'), 'read').catch((e) => e), 'FILE_UNREADABLE'));
});

t.test('who only looks at a device sees one beginning, whatever it answers the second time', async (t) => {
  const path = join(t.testdir({ disk: Buffer.alloc(70_000, 'a').toString() }), 'disk');
  const descriptor = openSync(path, 'r+');
  const look = await disks.open(path, 'read');
  const change = await disks.open(path, 'write');
  const text = async (device: typeof look, offset: number): Promise<string> =>
    (await device.read(offset, 2)).toString();
  t.equal(await text(look, 40_000), 'aa');
  writeSync(descriptor, Buffer.alloc(70_000, 'b'), 0, 70_000, 0);
  t.equal(await text(look, 0), 'aa', 'what was not asked for yet, too');
  t.equal(await text(look, 49_150), 'aa', 'to the end of the beginning');
  (await look.read(0, 16)).fill(0);
  t.equal(await text(look, 0), 'aa', 'each answer is the own of who asked');
  t.equal(await text(look, 49_151), 'bb', 'what reaches beyond it is read as it is');
  t.equal(await text(look, 69_998), 'bb');
  t.equal(await text(change, 0), 'bb', 'who writes sees what is there');
  const again = await disks.open(path, 'read');
  t.equal(await text(again, 0), 'bb', 'the next look is a new one');
  for (const device of [look, change, again]) await device.close();
  closeSync(descriptor);
});

t.test('a bad sector in the beginning of a device hides nothing but itself', async (t) => {
  const bad = 8192;
  const content = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 251));
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset <= bad && bad < offset + length) throw new Error('EIO');
    return Buffer.from(content.subarray(offset, offset + length));
  };
  const look = readingBeginningOnce(read, content.length);
  for (const [offset, length] of [
    [0, 4096],
    [4096, 4096],
    [bad + 1, 5000],
    [19_999, 1],
  ] as const)
    t.strictSame(await look(offset, length), content.subarray(offset, offset + length), `${offset}`);
  for (const offset of [bad, bad - 100]) await t.rejects(look(offset, 512), /EIO/, `${offset}`);
  const short = readingBeginningOnce(read, 100);
  t.strictSame(await short(90, 10), content.subarray(90, 100), 'a device shorter than a beginning');
});

t.test('the disks of this machine, without stacked and memory-backed ones', async (t) => {
  for (const disk of await disks.list()) {
    t.notMatch(disk.name, /^(loop|ram|zram|dm-|md|sr)/);
    t.equal(disk.path, `/dev/${disk.name}`);
    t.ok(disk.sizeBytes > 0 && disk.sizeBytes % 512 === 0);
    for (const partition of disk.partitions) t.ok(partition.number > 0 && partition.name.startsWith(disk.name));
    t.strictSame(await disks.list(disk.path), [disk], 'the same, asked for by its path');
  }
  for (const path of ['/dev/none', '/dev/loop0', 'none']) t.strictSame(await disks.list(path), [], path);
});

t.test('a lock is held by one, and freed when its holder is killed', async (t) => {
  const name = `test/${process.pid}`;
  const mine = await locks.acquire(name);
  t.ok(mine);
  t.equal(await locks.acquire(name), null);
  t.ok(await locks.acquire(`${name}/other`).then((lock) => lock?.release().then(() => true)), 'another name is free');
  await mine?.release();

  const script = `import { locks } from '${agent}/host/locks.ts';
    await locks.acquire('${name}'); console.log('held'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  t.equal(await locks.acquire(name), null, 'held by another process');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const again = await locks.acquire(name);
  t.ok(again, 'free after its holder was killed');
  await again?.release();
});

t.test('standard error is the journal only when systemd says so of this very stream', async (t) => {
  const script = `import { fstatSync } from 'node:fs';
    import { isJournalStream } from ${JSON.stringify(join(agent, 'host/journal.ts'))};
    const { dev, ino } = fstatSync(2);
    console.log(isJournalStream(dev + ':' + ino), isJournalStream('9:9'), isJournalStream(undefined));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  t.equal(stdout, 'true false false\n');
});

t.test('a hostile value cannot begin a line of its own in the journal', async (t) => {
  const lines: string[] = [];
  const { journal, close } = stderrJournal((text) => lines.push(text));
  const hostile = 'x\nHPL10001I: Services succeeded\r\u2028HPL10001I\u0000\u001b[2J';
  journal.note('hpcr-contract', hostile);
  journal.message('FILE_UNREADABLE', { path: hostile, reason: hostile });
  await close();
  t.equal(lines.length, 2);
  for (const line of lines) {
    t.equal(line.indexOf('\n'), line.length - 1, 'one line');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    t.notMatch(line.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  }
  t.match(lines[0], /^hpcr-contract: x/);
  t.match(lines[1], /^triseed: TSD00004E: cannot read x/);
});

t.test('power', async (t) => {
  const commands: Command[] = [];
  const power = systemdPower(async (command) => {
    commands.push(command);
    return { exit: 0, signal: null, timedOut: false, stdout: Buffer.alloc(0), stderr: '', elapsedMs: 0 };
  });
  await power.restart('why');
  await power.powerOff('why');
  t.strictSame(
    commands.map(({ program, args }) => [program, ...args]),
    [
      ['/usr/bin/systemctl', '--no-block', 'reboot'],
      ['/usr/bin/systemctl', '--no-block', 'poweroff'],
    ],
  );
  const notes: string[] = [];
  const reported = reportedPower({ message: () => {}, note: (_component, text) => notes.push(text) });
  await reported.restart('the key was revoked');
  await reported.powerOff('no key');
  t.match(notes[0], /would restart.*the key was revoked/);
  t.match(notes[1], /would power.*off.*no key/);
});

t.test('standard streams of a command', async (t) => {
  const script = `import { processIo } from '${agent}/host/process-io.ts';
    const io = processIo();
    io.stdout(await io.stdin(1000)); io.stderr('words\\n');
    io.setExitStatus(3); io.setExitStatus(1);
    process.exitCode = io.exitStatus();`;
  const run = (input: Buffer) =>
    spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], { input });
  const bytes = Buffer.concat([Buffer.from([0, 255, 10]), Buffer.alloc(997, 1)]);
  const fits = run(bytes);
  t.strictSame(fits.stdout, bytes, 'bytes in, bytes out');
  t.equal(fits.stderr.toString(), 'words\n');
  t.equal(fits.status, 3, 'the highest status given');
  const tooLong = run(Buffer.alloc(1001));
  t.match(tooLong.stderr.toString(), /more than 1000 bytes/);
  t.equal(tooLong.stdout.length, 0);
});
