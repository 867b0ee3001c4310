/** The ingestion of IBM Cloud Logs as its documentation describes it: single records over HTTP, with a bearer token. */
import { createServer, type Server } from 'node:https';
import type { Pair } from './log-server.ts';

export interface Ingestion {
  readonly server: Server;
  readonly port: number;
  /** Every record that was taken, in the order of arrival. */
  readonly taken: readonly Record<string, unknown>[];
  /** From now on every request is answered with this status; 0: with what it deserves. */
  refuse(status: number): void;
}

/** On a free port of 127.0.0.1. The token service is somebody else. */
export const startIngestion = async (pair: Pair): Promise<Ingestion> => {
  const taken: Record<string, unknown>[] = [];
  let refusal = 0;
  const server = createServer({ cert: pair.cert, key: pair.key }, (request, reply) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const known = request.method === 'POST' && request.url === '/logs/v1/singles';
      const status = !known
        ? 404
        : !/^Bearer \S{20,}$/.test(request.headers.authorization ?? '')
          ? 401
          : refusal || 200;
      if (status === 200) taken.push(...JSON.parse(Buffer.concat(chunks).toString('utf8')));
      reply.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    server,
    port: address.port,
    taken,
    refuse: (status) => {
      refusal = status;
    },
  };
};
