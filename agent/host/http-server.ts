/** A small HTTP(S) server: collects a bounded request, hands it to one function, carries out what that says. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { ServeHttp, ServerOptions, ServerReply } from '../service-ports.ts';
import { createServer } from './node-http.ts';

const REQUEST_TIMEOUT_MS = 30_000;

/** Null when the body is longer than allowed. */
const readBody = async (request: IncomingMessage, maxBytes: number): Promise<Buffer | null> => {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const headersOf = (request: IncomingMessage): Record<string, string> => {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
};

const carryOut = (reply: ServerReply, response: ServerResponse): void => {
  switch (reply.kind) {
    case 'reply':
      response.writeHead(reply.status, {
        ...reply.headers,
        ...(reply.status === 204 ? {} : { 'content-length': String(Buffer.byteLength(reply.body)) }),
      });
      response.end(reply.status === 204 || response.req.method === 'HEAD' ? undefined : reply.body);
      return;
    case 'drop':
      response.destroy();
      return;
    case 'truncate':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(reply.body.length) });
      response.write(reply.body.slice(0, Math.ceil(reply.body.length / 2)), () => response.destroy());
      return;
    case 'hang':
      return;
  }
};

const answer = async (options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  try {
    const body = await readBody(request, options.maxBodyBytes);
    if (body === null) {
      response.writeHead(413, { connection: 'close' }).end();
      return;
    }
    const reply = await options.handle({
      method: request.method ?? '',
      target: request.url ?? '',
      headers: headersOf(request),
      body,
      remote: request.socket.remoteAddress ?? '',
    });
    carryOut(reply, response);
  } catch (error) {
    // The other side going away while it sends is no error of ours.
    if (!request.destroyed || request.complete) options.onError(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
};

const listen = (server: Server, host: string, port: number): Promise<AddressInfo> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve(server.address() as AddressInfo);
    });
  });

/** Resolves once the server listens; rejects with the system's error when it cannot. */
export const serveHttp: ServeHttp = async (options) => {
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void answer(options, request, response);
  };
  const server: Server =
    options.tls === null
      ? createServer(onRequest)
      : createSecureServer({ ...options.tls, minVersion: 'TLSv1.2' }, onRequest);
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const address = await listen(server, options.host, options.port);
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `${options.tls === null ? 'http' : 'https'}://${shown}:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
};
