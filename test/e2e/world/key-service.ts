/**
 * `triseed kms serve` as a process of its own, over https with a throw-away authority, reachable by a guest through
 * its user-mode network (the host's 127.0.0.1 is 10.0.2.2 there).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { steadyPort } from '../../fakes/steady-port.ts';
import { checkout } from '../guest/place.ts';
import { triseedDone } from './triseed.ts';

const main = join(checkout, 'agent', 'main.ts');
const startLimitMs = 20_000;
/** For a guest whose /etc/hosts says so. */
export const nameInGuest = 'keys.example';
/** Of the certificates: a guest whose clock is a year ahead still accepts them. */
const validDays = '800';

export interface RootKey {
  readonly id: string;
  readonly crn: string;
}

const openssl = (folder: string, ...args: readonly string[]): void => {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
};

/** THROWAWAY-ca.pem, and a server certificate for the addresses under which host and guest see the service. */
const makeCertificates = (folder: string): void => {
  if (existsSync(join(folder, 'server.pem'))) return;
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];
  const authority = ['-keyout', 'ca-key.pem', '-out', 'THROWAWAY-ca.pem', '-subj', '/CN=Throw-away authority'];
  openssl(folder, 'req', '-x509', '-days', validDays, ...newKey, ...authority);
  openssl(
    folder,
    'req',
    ...newKey,
    '-keyout',
    'server-key.pem',
    '-out',
    'server.csr',
    '-subj',
    '/CN=Local key service',
  );
  writeFileSync(join(folder, 'names'), `subjectAltName=IP:127.0.0.1,IP:10.0.2.2,DNS:${nameInGuest}\n`);
  const signing = ['-CA', 'THROWAWAY-ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', validDays];
  openssl(folder, 'x509', '-req', '-in', 'server.csr', ...signing, '-extfile', 'names', '-out', 'server.pem');
};

export class KeyService {
  readonly folder: string;
  readonly instance = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d';
  #child: ChildProcess | null = null;
  #port = 0;
  readonly #faults: unknown[] = [];

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    makeCertificates(folder);
  }

  get apiKeyFile(): string {
    return join(this.folder, 'api-key');
  }

  get apiKey(): string {
    return readFileSync(this.apiKeyFile, 'latin1').trim();
  }

  get caFile(): string {
    return join(this.folder, 'THROWAWAY-ca.pem');
  }

  /** As the guest sees it. */
  get urlInGuest(): string {
    return `https://10.0.2.2:${this.#port}`;
  }

  /** The same by name. */
  get namedUrlInGuest(): string {
    return `https://${nameInGuest}:${this.#port}`;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** Starts it on the port it had before, or one where nobody listens. Resolves when it listens. */
  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await steadyPort();
    const child = spawn(
      // The kernel ends it when this process ends, however that happens (prctl(2), PR_SET_PDEATHSIG).
      'setpriv',
      [
        '--pdeathsig=TERM',
        process.execPath,
        main,
        'kms',
        'serve',
        `--listen=127.0.0.1:${this.#port}`,
        '--db=keys.db',
        '--api-key-file=api-key',
        `--instance=${this.instance}`,
        '--tls-cert=server.pem',
        '--tls-key=server-key.pem',
        '--json',
      ],
      // A session of its own: Ctrl-C at the terminal reaches the driver only, which ends it in order.
      { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    );
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let out = '';
      let problems = '';
      const timer = setTimeout(() => reject(new Error(`the key service did not start\n${problems}`)), startLimitMs);
      child.stderr?.on('data', (chunk: Buffer) => {
        problems += chunk.toString();
      });
      child.stdout?.on('data', (chunk: Buffer) => {
        out += chunk.toString();
        if (out.includes('\n')) resolve();
      });
      child.once('close', () => reject(new Error(`the key service ended at once\n${problems}`)));
      child.once('close', () => clearTimeout(timer));
      child.stdout?.once('data', () => clearTimeout(timer));
    });
  }

  /** Ends it; its keys stay in the folder. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill(signal);
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** What every `kms key` command needs to reach this service. */
  get access(): readonly string[] {
    return [
      `--instance=${this.instance}`,
      `--api-key-file=${this.apiKeyFile}`,
      `--endpoint=${this.url}`,
      `--iam=${this.url}`,
      `--ca=${this.caFile}`,
    ];
  }

  /** `triseed kms key VERB …` against this service; answers stdout. */
  key(verb: string, ...args: readonly string[]): Promise<string> {
    return triseedDone('kms', 'key', verb, ...args, ...this.access);
  }

  async createRootKey(name: string, ...options: readonly string[]): Promise<RootKey> {
    const made = JSON.parse(await this.key('create', name, '--json', ...options)) as RootKey;
    return { id: made.id, crn: made.crn };
  }

  /** Moves its clock forward: guards in time (enable 30 s after disable, one rotation an hour) count by it. */
  async advance(seconds: number): Promise<void> {
    await this.#admin('POST', 'clock', { advanceSeconds: seconds });
  }

  /** One more fault; the others stay. */
  async fault(fault: unknown): Promise<void> {
    this.#faults.push(fault);
    await this.#admin('POST', 'faults', { faults: this.#faults });
  }

  /** Ends all faults. */
  async mend(): Promise<void> {
    this.#faults.length = 0;
    await this.#admin('DELETE', 'faults', null);
  }

  async #admin(method: string, path: string, body: unknown): Promise<void> {
    const { request } = await import('node:https');
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        `${this.url}/__triseed/${path}`,
        { method, ca: readFileSync(this.caFile), headers: { 'content-type': 'application/json' } },
        (answer) => {
          answer.resume();
          answer.once('end', () => resolve(answer.statusCode ?? 0));
        },
      );
      sent.once('error', reject);
      sent.end(body === null ? undefined : JSON.stringify(body));
    });
    if (status >= 300) throw new Error(`the key service refused ${method} ${path} with ${status}`);
  }
}
