/** Questions over a socket of this machine, answered by a real one. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { askSocket } from '../../../agent/host/ask-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'ask-'));
t.teardown(() => rmSync(folder, { recursive: true }));
let count = 0;

const serve = async (t: Test, handle: (connection: Socket) => void): Promise<string> => {
  count += 1;
  const path = join(folder, String(count));
  const connections = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    connections.add(connection);
    connection.on('error', () => {});
    handle(connection);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => {
    for (const connection of connections) connection.destroy();
    server.close();
  });
  return path;
};
const limits = { timeoutMs: 5_000, maxAnswerBytes: 100 };

t.test('the whole question, its end, and the whole answer', async (t) => {
  const path = await serve(t, (connection) => {
    let question = '';
    connection.on('data', (chunk) => {
      question += String(chunk);
    });
    connection.once('end', () => {
      connection.write(`heard ${question},`);
      connection.end(' and that was all');
    });
  });
  t.equal((await askSocket(path, Buffer.from('this'), limits)).toString(), 'heard this, and that was all');
});

t.test('handed over without waiting for an answer', async (t) => {
  const path = await serve(t, () => {});
  t.equal((await askSocket(path, new Uint8Array(), { ...limits, maxAnswerBytes: 0 })).length, 0);
});

t.test('one who answers and leaves before the question is asked was heard', async (t) => {
  const path = join(folder, 'hasty');
  const program = `require('node:net').createServer((connection) => connection.end('told', () => connection.destroy())).listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const server = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => server.kill());
  await new Promise((resolve) => server.stdout.once('data', resolve));
  const asked = askSocket(path, new Uint8Array(), limits);
  // Connected, and this process comes to nothing else meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  t.equal((await asked).toString(), 'told');
});

t.test('what does not answer as it should is an error with a reason', async (t) => {
  const failing = async (path: string, reason: RegExp, given = limits) =>
    t.rejects(askSocket(path, new Uint8Array(), given), { code: 'SOCKET_NO_ANSWER', message: reason });
  await failing(join(folder, 'nobody'), /ENOENT/);
  await failing(await serve(t, () => {}), /no answer within 50 ms/, { ...limits, timeoutMs: 50 });
  await failing(await serve(t, (connection) => connection.end('x'.repeat(200))), /more than 100 bytes/);
});
