/** Plain requests to a running key service, over connections that are kept, and everything that its answers say. */
import { Agent, request } from 'node:http';

export interface Raw {
  readonly status: number;
  readonly text: string;
}

export class RawClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  readonly url: string;
  #authorization = '';

  constructor(url: string) {
    this.url = url;
  }

  /** Rejects when the connection ends before a complete answer. */
  send(method: string, path: string, body = '', headers: Readonly<Record<string, string>> = {}): Promise<Raw> {
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, agent: this.#agent, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          if (answer.complete) resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
          else reject(new Error('cut short'));
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  async logIn(apiKey: string): Promise<string> {
    const grant = 'grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=';
    const { text } = await this.send('POST', '/identity/token', grant + encodeURIComponent(apiKey));
    const token = String(JSON.parse(text).access_token);
    this.#authorization = `Bearer ${token}`;
    return token;
  }

  /** A request of the key API; throws when it is refused. */
  async api(instance: string, method: string, path: string, body?: object): Promise<Raw> {
    const headers = { authorization: this.#authorization, 'bluemix-instance': instance };
    const answer = await this.send(method, `/api/v2/${path}`, body === undefined ? '' : JSON.stringify(body), headers);
    if (answer.status >= 300) throw new Refused(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The service answered no: a fault of the test, and no cut connection. */
export class Refused extends Error {}
