/**
 * The same answer for whoever connects to a stream socket with a path, unix(7). Nothing is read from anybody. Whoever floods it
 * finds it closed for a moment: the kernel refuses then, and this process does not notice.
 */
import { rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { AgentError } from '../errors.ts';
import type { ServeSocket } from '../service-ports.ts';

const atOnce = 8;
const answersASecond = 50;
const pauseMs = 1_000;
/** For one who connects and does not read. */
const connectionLimitMs = 1_000;

export const serveSocket: ServeSocket = async (path, answer) => {
  let server: Server | null = null;
  let timer: NodeJS.Timeout | null = null;
  let answered = 0;
  let isClosed = false;

  const listen = async (): Promise<void> => {
    await rm(path, { force: true });
    const made = createServer({ pauseOnConnect: true }, (connection) => {
      connection.on('error', () => {});
      connection.setTimeout(connectionLimitMs, () => connection.destroy());
      connection.end(answer(), () => connection.destroy());
      answered += 1;
      if (answered >= answersASecond) made.close();
    });
    made.maxConnections = atOnce;
    await new Promise<void>((resolve, reject) => {
      made.on('error', (error: NodeJS.ErrnoException) =>
        reject(new AgentError('SOCKET_NO_ANSWER', { path, reason: error.code ?? error.name }, { cause: error })),
      );
      // Whoever may see the folder may ask.
      made.listen({ path, backlog: atOnce, readableAll: true, writableAll: true }, resolve);
    });
    server = made;
  };

  /** Once a second: a new count, and a new socket when the old one was closed. */
  const recover = async (): Promise<void> => {
    answered = 0;
    if (server?.listening !== true) await listen().catch(() => {});
    if (!isClosed) again();
  };
  const again = (): void => {
    timer = setTimeout(() => void recover(), pauseMs);
    timer.unref();
  };

  await listen();
  again();
  return {
    close: async () => {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      server?.close();
      await rm(path, { force: true });
    },
  };
};
