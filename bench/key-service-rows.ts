/** The local key service, a process of its own: how fast it is there, and how many seeds it wraps and unwraps. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { quantile, type Row } from './measure.ts';
import type { Repetitions } from './rows.ts';

/** What the service has to keep. */
export const LIMITS = { startMs: 300, callsPerSecond: 500, p99Ms: 50 };
/** Requests under way at a time: a few guests that boot together. */
const CLIENTS = 8;
export const BURST = 500;
const SEED = Buffer.alloc(32, 6).toString('base64');

/** As much HTTP and JSON as the service does, and nothing else. */
const BARE_SERVER = `
const { createServer } = require('node:http');
createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    JSON.parse(Buffer.concat(chunks));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ ciphertext: 'x'.repeat(300), keyVersion: { id: 'x'.repeat(36) } }));
  });
}).listen(0, '127.0.0.1', function () { console.log(JSON.stringify({ url: 'http://127.0.0.1:' + this.address().port })); });
`;

interface Started {
  readonly process: ChildProcess;
  readonly url: string;
  readonly instances: readonly string[];
}

/** Starts a program that says in JSON where it listens. */
const start = async (args: readonly string[]): Promise<Started> => {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { process: child, instances: [], ...(JSON.parse(line) as { readonly url: string }) };
};

const stop = async ({ process }: Started): Promise<void> => {
  process.kill('SIGKILL');
  if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
};

const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });

const post = (url: string, headers: Readonly<Record<string, string>>, body: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode === 200 || answer.statusCode === 201) resolve(text);
        else reject(new Error(`${url}: ${answer.statusCode} ${text}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });

/** `BURST` calls, `CLIENTS` at a time; the milliseconds of each, which are added to `all` too. */
const burst = async (call: () => Promise<unknown>, all: number[]): Promise<readonly number[]> => {
  const times: number[] = [];
  let left = BURST;
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const beganMs = performance.now();
      await call();
      times.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  all.push(...times);
  return times;
};

const startUp = ({ processes }: Repetitions, args: readonly string[]): Row => ({
  name: 'kms serve, until it listens',
  subject: 'triseed kms serve, from the bundle, with a store that exists',
  baseline: 'node -e 0',
  repetitions: processes,
  calls: 1,
  measured: async () => stop(await start(args)),
  compared: async () => once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit'),
  limit: { subject: LIMITS.startMs },
});

export interface KeyServiceRows extends AsyncDisposable {
  /** The start; then a burst of each verb, whose `measured` answers the milliseconds of its calls. */
  readonly rows: readonly Row[];
}

/** `folder` is for the store; `bundle` is the path of the shipped form. The service runs until it is disposed of. */
export const keyServiceRows = async (times: Repetitions, folder: string, bundle: string): Promise<KeyServiceRows> => {
  const argsFor = (store: string): readonly string[] => [
    ...[bundle, 'kms', 'serve', '--json', '--listen', '127.0.0.1:0'],
    ...['--db', join(folder, `${store}.db`), '--api-key-file', join(folder, 'key-service-api-key')],
  ];
  await stop(await start(argsFor('start')));
  const [service, bare] = [await start(argsFor('load')), await start(['-e', BARE_SERVER])];
  const grant = 'grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=';
  const apiKey = readFileSync(join(folder, 'key-service-api-key'), 'utf8').trim();
  const token = JSON.parse(await post(`${service.url}/identity/token`, {}, grant + encodeURIComponent(apiKey)));
  const headers = {
    authorization: `Bearer ${token.access_token}`,
    'bluemix-instance': service.instances[0] ?? '',
  };
  const type = 'application/vnd.ibm.kms.key+json';
  const made = await post(
    `${service.url}/api/v2/keys`,
    headers,
    JSON.stringify({
      metadata: { collectionType: type, collectionTotal: 1 },
      resources: [{ type, name: 'bench', extractable: false }],
    }),
  );
  const actions = `${service.url}/api/v2/keys/${JSON.parse(made).resources[0].id}/actions`;
  const { ciphertext } = JSON.parse(await post(`${actions}/wrap`, headers, JSON.stringify({ plaintext: SEED })));

  const load = (verb: 'wrap' | 'unwrap', body: string): Row => {
    const [latencies, theirs]: [number[], number[]] = [[], []];
    return {
      name: `kms serve, ${BURST} × ${verb}`,
      subject: `${BURST} × ${verb}, ${CLIENTS} at a time, client and service on the same processors`,
      baseline: 'the same requests to a bare HTTP server that answers JSON',
      repetitions: times.functions,
      calls: 1,
      measured: () => burst(() => post(`${actions}/${verb}`, headers, body), latencies),
      compared: () => burst(() => post(`${bare.url}/`, headers, body), theirs),
      limit: { subject: (BURST * 1000) / LIMITS.callsPerSecond },
      remark: ({ ours }) =>
        `${((BURST * 1000) / ours.median).toFixed(0)} calls a second (at least ${LIMITS.callsPerSecond}), ` +
        `p99 ${quantile(latencies, 0.99).toFixed(1)} ms (at most ${LIMITS.p99Ms}; ` +
        `the bare server: ${quantile(theirs, 0.99).toFixed(1)} ms)`,
    };
  };
  return {
    rows: [
      startUp(times, argsFor('start')),
      load('wrap', JSON.stringify({ plaintext: SEED })),
      load('unwrap', JSON.stringify({ ciphertext })),
    ],
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await Promise.all([stop(service), stop(bare)]);
    },
  };
};
