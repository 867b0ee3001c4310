/** The key daemon at 1, 8 and 64 volumes, each with a root key of its own: memory, and processor time of a poll. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { renderHandOver } from '../agent/keyd/hand-over.ts';
import { Secret } from '../agent/secret.ts';
import type { Limit, Row } from './measure.ts';
import type { Shipped } from './shipped.ts';

const instance = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d';
const keyVersion = '00000000-0000-4000-8000-000000000001';
/** The shortest that a daemon can be told: what takes an hour in a guest takes a minute here. */
const pollSeconds = 1;
/** USER_HZ (proc_pid_stat(5)); 100 on every architecture of Linux that Node runs on. */
const ticksPerSecond = 100;

const keyId = (at: number): string => `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`;

/** A certificate of its own for 127.0.0.1: paths of key and certificate below `folder`. */
const makeCertificate = (folder: string): { readonly key: string; readonly cert: string } => {
  const [key, cert] = [join(folder, 'service-key.pem'), join(folder, 'service.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', key];
  const subject = ['-subj', '/CN=bench', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-out', cert], { stdio: 'ignore' });
  return { key, cert };
};

/** Token service and key service in this process, and what they were asked. Every key is active, and none is rotated. */
const startServices = async (folder: string) => {
  const polls = new Map<string, number>();
  const { key, cert } = makeCertificate(folder);
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const id = /^\/api\/v2\/keys\/([0-9a-f-]+)\/metadata$/.exec(request.url ?? '')?.[1];
    const asker = request.headers['user-agent'] === 'bare' ? 'bare' : 'daemon';
    if (id !== undefined) polls.set(asker, (polls.get(asker) ?? 0) + 1);
    const answer =
      id === undefined
        ? { access_token: 'x'.repeat(1200), expires_in: 3600 }
        : { metadata: {}, resources: [{ id, extractable: false, state: 1, keyVersion: { id: keyVersion } }] };
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { url, cert, polled: (asker: 'daemon' | 'bare') => polls.get(asker) ?? 0, close };
};

/** The same questions at the same pace, and nothing else. */
const bareClient = `
const { Agent, get } = require('node:https');
const [, url, ca, count] = process.argv;
const agent = new Agent({ keepAlive: true, ca: require('node:fs').readFileSync(ca) });
setInterval(() => {
  for (let at = 0; at < Number(count); at += 1)
    get(url + '/api/v2/keys/00000000-0000-4000-8000-' + String(at).padStart(12, '0') + '/metadata', { agent, headers: { 'user-agent': 'bare' } },
      (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => JSON.parse(Buffer.concat(chunks)));
      });
}, ${pollSeconds * 1000});
`;

interface Service {
  readonly url: string;
  /** Path of its certificate. */
  readonly cert: string;
}

/** What a boot hands to the daemon; none of the devices exists, and none is touched while all keys are active. */
const handOver = (folder: string, { url, cert }: Service, count: number): Secret =>
  renderHandOver({
    version: 1,
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    // CLOCK_MONOTONIC, as the daemon's own clock counts.
    provenAtMs: Number(process.hrtime.bigint() / 1_000_000n),
    settings: {
      kms: { iam: url, endpoints: { [instance]: url }, ca: [cert], proxy: null, pollSeconds, onRevoked: 'grace' },
      paths: { state: join(folder, 'state'), run: join(folder, 'run') },
      power: 'report',
    },
    volumes: Array.from({ length: count }, (_, at) => ({
      key: `volume_${at}`,
      mount: `/nonexistent/${at}`,
      device: `/nonexistent/device-${at}`,
      metadataDevice: null,
      mapping: `nonexistent-${at}`,
      luksUuid: keyId(at),
      wrapped: 'eA==',
      keyVersion,
      kmsTimeoutMinutes: 10,
      crn: `crn:v1:bluemix:public:kms:us-south:a/0123456789abcdef0123456789abcdef:${instance}:key:${keyId(at)}`,
      type: 'public' as const,
      apiKey: Secret.fromText('an-api-key-of-the-bench'),
    })),
  });

interface Watched {
  readonly process: ChildProcess;
  readonly polled: () => number;
}

const stop = async ({ process }: Watched): Promise<void> => {
  process.kill('SIGKILL');
  if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
};

const residentMiB = ({ process }: Watched): number => {
  const status = readFileSync(`/proc/${process.pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
};

const processorMs = ({ process }: Watched): number => {
  const fields = readFileSync(`/proc/${process.pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
};

export interface DaemonRows extends AsyncDisposable {
  readonly rows: readonly Row[];
}

const settings = ({ url, cert }: Service): string =>
  JSON.stringify({ kms: { iam: url, endpoints: { [instance]: url }, ca: [cert] }, power: 'report' });

/** Eight volumes, asked once a minute as is the default: a thousandth of a processor. */
const limits: Readonly<Record<number, { readonly memory: Limit; readonly processor: Limit }>> = {
  8: { memory: { subject: 64 }, processor: { subject: (60_000 * 0.001) / 8 } },
};

interface Pace {
  readonly repetitions: number;
  /** Of one measurement. */
  readonly windowMs: number;
  /** Until memory is looked at: the daemon gives back what starting took after 5 s (agent/host/lasting.ts). */
  readonly settleMs: number;
}

/** A daemon and a bare client with `count` keys, which both run until they are disposed of. */
const rowsFor = async (
  { repetitions, windowMs, settleMs }: Pace,
  given: string,
  { executable }: Shipped,
  count: number,
): Promise<DaemonRows> => {
  const folder = join(given, `daemon-${count}`);
  const credentials = join(folder, 'credentials');
  for (const path of [credentials, join(folder, 'run'), join(folder, 'run-keyd')]) mkdirSync(path, { recursive: true });
  const services = await startServices(folder);
  handOver(folder, services, count).expose((bytes) => writeFileSync(join(credentials, 'keyd'), bytes));
  const configuration = join(folder, 'agent.yaml');
  writeFileSync(configuration, settings(services));
  const start = (program: string, args: readonly string[], asker: 'daemon' | 'bare'): Watched => ({
    process: spawn(program, args, { env: { CREDENTIALS_DIRECTORY: credentials }, stdio: 'ignore' }),
    polled: () => services.polled(asker),
  });
  const daemon = start(executable, ['keyd', '--config', configuration], 'daemon');
  const bare = start(process.execPath, ['-e', bareClient, services.url, services.cert, String(count)], 'bare');
  // Both are warm after some polls.
  for (const watched of [daemon, bare])
    for (let tries = 0; watched.polled() < 3 * count; tries += 1) {
      if (tries === 300 || watched.process.exitCode !== null) throw new Error('the key daemon does not poll');
      await sleep(100);
    }
  await sleep(settleMs);
  const processorOfPoll = async (watched: Watched): Promise<number> => {
    const [usedMs, polls] = [processorMs(watched), watched.polled()];
    await sleep(windowMs);
    return (processorMs(watched) - usedMs) / Math.max(1, watched.polled() - polls);
  };
  const limitOf = (what: 'memory' | 'processor') => {
    const limit = limits[count]?.[what];
    return limit === undefined ? {} : { limit };
  };
  const name = `key daemon, ${count} volume${count === 1 ? '' : 's'}`;
  return {
    rows: [
      {
        name: `${name}: memory`,
        subject: `resident memory of triseed keyd with ${count} root keys, over https, after its first polls`,
        baseline: 'a bare Node process that asks the same questions',
        ...limitOf('memory'),
        repetitions,
        calls: 1,
        reported: true,
        unit: 'MiB',
        measured: async () => residentMiB(daemon),
        compared: async () => residentMiB(bare),
      },
      {
        name: `${name}: processor`,
        subject: 'processor time of one poll of one key, by the kernel',
        baseline: 'the same of a bare Node process',
        ...limitOf('processor'),
        repetitions,
        calls: 1,
        reported: true,
        measured: () => processorOfPoll(daemon),
        compared: () => processorOfPoll(bare),
        remark: ({ ours }) =>
          `with a poll a minute: ${(ours.median * count * 60).toFixed(0)} ms of processor time an hour`,
      },
    ],
    [Symbol.asyncDispose]: async () => {
      await Promise.all([stop(daemon), stop(bare)]);
      await services.close();
    },
  };
};

export const daemonSizes = [1, 8, 64] as const;

const smoke: Pace = { repetitions: 1, windowMs: 1500, settleMs: 0 };

/** Rows of one size; `folder` is for files. */
export const daemonRows = (
  isSmoke: boolean,
  folder: string,
  shipped: Shipped,
  count: (typeof daemonSizes)[number],
): Promise<DaemonRows> =>
  rowsFor(isSmoke ? smoke : { repetitions: 3, windowMs: 5000, settleMs: 6000 }, folder, shipped, count);
