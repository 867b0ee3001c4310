/** What the key service acknowledged is there after a SIGKILL, and lay on the disk before it was acknowledged. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import t, { type Test } from 'tap';
import { clock } from '../../../agent/host/clock.ts';
import { serve } from '../key-service.ts';
import { judgeTrace } from './flush-trace.ts';
import { RawClient } from './raw-service.ts';
import { SEED, WriteLoad } from './write-load.ts';

t.setTimeout(240_000);

const INSTANCES = ['one', 'two', 'three', 'four'] as const;
const WRITES = Number(process.env.DURABILITY_WRITES ?? 10_000);
const KILLS = 5;
const CLIENTS = 8;

const argsIn = (folder: string): readonly string[] => [
  ...['--db', `${folder}/keys.db`],
  ...INSTANCES.flatMap((instance) => ['--grant', `${instance},Manager,${folder}/api-key`]),
];
/**
 * A kill takes nothing from the kernel, whatever was flushed: for it, memory is as good a disk as any, and ten thousand
 * flushes of a busy disk would tell nothing more. What a power cut would take is for the other test, on a real disk.
 */
const memoryFolder = (t: Test): string => {
  if (!existsSync('/dev/shm')) return t.testdir();
  const folder = mkdtempSync('/dev/shm/triseed-durability-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const apiKeyIn = (folder: string): string => readFileSync(`${folder}/api-key`, 'utf8').trim();

t.test(`${WRITES} writes, ${KILLS} SIGKILLs in the midst of them, no acknowledged write lost`, async (t) => {
  const folder = memoryFolder(t);
  let kill: () => void = () => {};
  let killAt = Number.POSITIVE_INFINITY;
  const load = new WriteLoad(INSTANCES, (count) => {
    if (count >= killAt) kill();
  });
  let underWay = 0;
  let unseen = 0;
  for (let round = 1; round <= KILLS + 1; round += 1) {
    const served = await serve(argsIn(folder));
    t.teardown(() => served.stop('SIGKILL'));
    const client = new RawClient(served.url);
    await client.logIn(apiKeyIn(folder));
    const told = load.lives.filter((life) => life.isUnderWay).length;
    const before = load.lives.reduce((sum, life) => sum + life.acknowledged, 0);
    t.strictSame(
      (await load.judge(client)).slice(0, 5),
      [],
      `after ${round - 1} kills and ${load.acknowledged} writes`,
    );
    unseen += load.lives.reduce((sum, life) => sum + life.acknowledged, 0) - before;
    underWay += told;
    if (round > KILLS) {
      await load.run(client, CLIENTS, WRITES);
      t.strictSame((await load.judge(client)).slice(0, 5), []);
      const lasting = load.lives.filter((life) => life.steps === 4 && life.wrapped !== '' && life.acknowledged >= 3);
      for (const { instance, id, wrapped } of lasting) {
        const { text } = await client.api(instance, 'POST', `keys/${id}/actions/unwrap`, { ciphertext: wrapped });
        const { plaintext, rewrappedKeyVersion } = JSON.parse(text);
        if (plaintext !== SEED || rewrappedKeyVersion === undefined) t.fail(`${id} does not unwrap`);
      }
      t.ok(lasting.length > WRITES / 20, `${lasting.length} seeds unwrap with the version that wrapped them`);
      t.equal(await served.stop(), 0);
    } else {
      killAt = Math.round((WRITES * round) / (KILLS + 1));
      let ended: Promise<unknown> | null = null;
      kill = () => {
        killAt = Number.POSITIVE_INFINITY;
        ended = served.stop('SIGKILL');
      };
      await load.run(client, CLIENTS, WRITES);
      t.not(ended, null, 'it was killed while it worked');
      await ended;
    }
    client.close();
  }
  t.ok(load.acknowledged >= WRITES, `${load.acknowledged} writes were acknowledged, ${load.lives.length} keys`);
  t.ok(underWay >= KILLS, 'requests were under way when it was killed');
  t.comment(`${underWay} requests were cut; ${unseen} of them had been carried out`);
});

t.test('every acknowledgement follows a flush of what it acknowledges', async (t) => {
  const folder = t.testdir();
  const trace = `${folder}/trace`;
  const served = await serve(argsIn(folder), '127.0.0.1:0', [
    ...['strace', '-D', '-f', '-yy', '-s', '24', '-o', trace],
    ...['-e', 'trace=openat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,msync,sync_file_range'],
  ]);
  t.teardown(() => served.stop('SIGKILL'));
  const client = new RawClient(served.url);
  await client.logIn(apiKeyIn(folder));
  const alone = new WriteLoad(INSTANCES, () => {});
  await alone.run(client, 1, 200);
  const mark = statSync(trace).size;
  const together = new WriteLoad(INSTANCES, () => {});
  together.lives.push(...alone.lives);
  await together.run(client, CLIENTS, 400);
  client.close();
  t.equal(await served.stop(), 0);

  // The tracer is a process of its own and ends a moment after the service.
  const isComplete = (): boolean =>
    new RegExp(`^${served.process.pid} \\+\\+\\+ exited`, 'm').test(readFileSync(trace, 'utf8'));
  for (let waits = 0; waits < 200 && !isComplete(); waits += 1) await clock.sleep(50);
  const whole = readFileSync(trace, 'utf8');
  const end = whole.indexOf('\n', mark);
  const [first, all] = [judgeTrace(whole.slice(0, end), folder), judgeTrace(whole, folder)];
  t.strictSame(all.complaints.slice(0, 5), [], 'nothing was answered while a write was not on the disk');
  t.ok(first.flushed >= 200, `${first.flushed} answers each had a flush of their own since the one before`);
  t.ok(all.answers >= 600, `${all.answers} answers were seen`);
  for (const name of ['keys.db', 'keys.db-wal', 'keys.db.key', 'api-key'])
    t.ok(all.created.includes(`${folder}/${name}`), `${name} was made, and its folder flushed before the first answer`);
});

t.test('the judge of the trace sees what is not flushed', async (t) => {
  const wal = '7 pwrite64(23</s/keys.db-wal>, "x", 24, 32) = 24';
  const flush = '7 fsync(23</s/keys.db-wal>) = 0';
  const answer = '7 write(25<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 201 Created"..., 9) = 9';
  const judged = (...lines: readonly string[]) => judgeTrace(`${lines.join('\n')}\n`, '/s');
  t.match(judged(wal, flush, answer), { complaints: [], answers: 1, flushed: 1 });
  t.equal(judged(wal, answer).complaints.length, 1);
  t.equal(judged(wal, flush, wal, answer).complaints.length, 1);
  t.equal(judged(wal, '7 fsync(23</s/keys.db-wal>) = -1 EIO (Input/output error)', answer).complaints.length, 1);
  t.equal(judged(wal, '7 fsync(23</s/keys.db>) = 0', answer).complaints.length, 1, 'another file');
  const begun = '7 fsync(23</s/keys.db-wal> <unfinished ...>';
  const ended = '7 <... fsync resumed>) = 0';
  t.equal(judged(wal, begun, answer.replace('7', '8'), ended).complaints.length, 1, 'not over yet');
  t.match(judged(wal, begun, ended, answer), { complaints: [], flushed: 1 });
  t.match(judged(answer), { complaints: [], answers: 1, flushed: 0 });
  const made = '7 openat(AT_FDCWD</w>, "/s/keys.db", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 9</s/keys.db>';
  t.equal(judged(made, answer).complaints.length, 1, 'a file whose name is not on the disk');
  t.match(judged(made, '7 fsync(10</s>) = 0', answer), { complaints: [], created: ['/s/keys.db'] });
});
