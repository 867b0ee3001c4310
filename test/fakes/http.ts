/** An HTTP port that answers from a function of the test, keeps what it was sent and hangs on the manual clock. */

import type { Clock, HttpRequest, SendHttp, TransportFailure } from '../../agent/ports.ts';
import { privateBuffer, Secret } from '../../agent/secret.ts';

export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
}

export type FakeAnswer =
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly failure: TransportFailure }
  | 'hang';

export interface FakeHttp {
  readonly send: SendHttp;
  readonly sent: readonly SentRequest[];
}

const textOf = (body: HttpRequest['body']): string => {
  if (body === undefined) return '';
  if (body instanceof Secret) return body.expose((bytes) => bytes.toString('latin1'));
  return typeof body === 'string' ? body : Buffer.from(body).toString('latin1');
};

const bytesOf = (body: unknown): Buffer => {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  const bytes = privateBuffer(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
};

/** `answer` may be asynchronous, for instance an emulator in the same process. A string body is sent as it is. */
export const fakeHttp = (
  clock: Clock,
  answer: (request: SentRequest) => FakeAnswer | Promise<FakeAnswer>,
): FakeHttp => {
  const sent: SentRequest[] = [];
  return {
    sent,
    send: async (request) => {
      const seen: SentRequest = {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: textOf(request.body),
        timeoutMs: request.timeoutMs,
      };
      sent.push(seen);
      const given = await answer(seen);
      if (given === 'hang') {
        await clock.sleep(request.timeoutMs);
        return { kind: 'failure', failure: 'timeout', detail: `no complete answer within ${request.timeoutMs} ms` };
      }
      if ('failure' in given) return { kind: 'failure', failure: given.failure, detail: 'as the test says' };
      return {
        kind: 'answer',
        response: { status: given.status, headers: given.headers ?? {}, body: bytesOf(given.body) },
      };
    },
  };
};
