/** The status socket, under a flood too. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { askSocket } from '../../../agent/host/ask-socket.ts';
import { serveSocket } from '../../../agent/host/serve-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'serve-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const limits = { timeoutMs: 5_000, maxAnswerBytes: 1_000_000 };
const nothing = new Uint8Array();

t.test('everybody gets the answer as it is then; what is said is not read', async (t) => {
  const path = join(folder, 'status');
  let count = 0;
  const server = await serveSocket(path, () => Buffer.from(`answer ${++count}`));
  t.equal(statSync(path).mode & 0o777, 0o666, 'for every user who may see the folder');
  t.equal((await askSocket(path, nothing, limits)).toString(), 'answer 1');
  await askSocket(path, Buffer.alloc(100_000), limits).catch(() => null);
  t.equal((await askSocket(path, nothing, limits)).toString(), 'answer 3', 'whoever talks is no trouble');
  await server.close();
  await t.rejects(askSocket(path, nothing, limits), { message: /ENOENT/ });
});

t.test('what an earlier one left behind is no obstacle', async (t) => {
  const path = join(folder, 'again');
  // A daemon that was killed leaves its name behind.
  writeFileSync(path, '');
  const second = await serveSocket(path, () => Buffer.from('second'));
  t.equal((await askSocket(path, nothing, limits)).toString(), 'second');
  await second.close();
});

t.test('a folder that is not there', (t) =>
  t.rejects(
    serveSocket(join(folder, 'none/status'), () => nothing),
    { code: 'SOCKET_NO_ANSWER' },
  ),
);

t.test('a flood: few answers a second, and afterwards it answers again', async (t) => {
  const path = join(folder, 'flooded');
  let asked = 0;
  const large = Buffer.alloc(500_000, 'x');
  const server = await serveSocket(path, () => {
    asked += 1;
    return large;
  });
  const startMs = performance.now();
  const silent = Array.from({ length: 20 }, () => createConnection(path).on('error', () => {}));
  for (let round = 0; round < 50; round += 1)
    await Promise.all(Array.from({ length: 20 }, () => askSocket(path, nothing, limits).catch(() => null)));
  const seconds = (performance.now() - startMs) / 1_000;
  t.ok(asked <= 60 * (Math.ceil(seconds) + 1), `${asked} answers in ${seconds} s`);
  for (const connection of silent) connection.destroy();
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  t.equal((await askSocket(path, nothing, limits)).length, large.length);
  await server.close();
});
