/** One question to a service of this machine over a stream socket with a path, unix(7). */
import { createConnection } from 'node:net';
import { AgentError } from '../errors.ts';
import type { AskSocket } from '../service-ports.ts';

export const askSocket: AskSocket = (path, question, { timeoutMs, maxAnswerBytes }) =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    const connection = createConnection({ path, allowHalfOpen: true });
    const fail = (reason: string, cause?: unknown): void => {
      clearTimeout(timer);
      connection.destroy();
      reject(new AgentError('SOCKET_NO_ANSWER', { path, reason }, { cause }));
    };
    const finish = (): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve(Buffer.concat(chunks));
    };
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    connection.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.name, error));
    connection.once('connect', () => {
      const asked = (): void => {
        if (maxAnswerBytes === 0) finish();
      };
      // Not even nothing is written to one who says the same to everybody: he may have left already, and his answer be here.
      if (question.length === 0) connection.end(asked);
      else connection.end(question, asked);
    });
    connection.on('data', (chunk: Buffer) => {
      total += chunk.length;
      if (total > maxAnswerBytes) fail(`an answer of more than ${maxAnswerBytes} bytes`);
      else chunks.push(chunk);
    });
    connection.once('end', finish);
  });
