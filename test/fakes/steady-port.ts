/** Ports for servers that go away and come back, or that are told to somebody before they listen. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below what Linux gives to outgoing connections (ip(7), ip_local_port_range: 32768 and up): of such a port somebody else's connection
 * may be the owner when the server comes back, even that of the client that waits for it.
 */
const lowest = 15_000;
const highest = 32_000;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** A port of 127.0.0.1 where nobody listens now, drawn at random: tests of other files draw theirs. */
export const steadyPort = async (): Promise<number> => {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(lowest, highest);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${lowest} to ${highest} is free`);
};
