/**
 * A port on the loopback address that swallows packets, as a firewall does: its process is stopped and its queue of
 * connections is full, so the kernel drops every further SYN (listen(2), tcp(7): tcp_abort_on_overflow is off).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';

const listener = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));
`;

const isConnected = async (socket: Socket, withinMs: number): Promise<boolean> => {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), withinMs);
  try {
    await once(socket, 'connect', { signal: limit.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
};

/** The port, until the test ends. */
export const blackHole = async (t: Test): Promise<number> => {
  const child = spawn(process.execPath, ['-e', listener], { stdio: ['ignore', 'pipe', 'inherit'] });
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    child.kill('SIGKILL');
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  child.kill('SIGSTOP');
  for (let tries = 0; tries < 16; tries += 1) {
    const socket = connect(Number(line), '127.0.0.1').on('error', () => {});
    sockets.push(socket);
    if (!(await isConnected(socket, 300))) return Number(line);
  }
  throw new Error('the queue of the stopped process does not fill up');
};
