/** Starts the real `triseed kms serve` for a test, and ends it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `triseed` to its end. */
export const triseed = async (args: readonly string[], input = ''): Promise<Ended> => {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
};

export interface Served {
  readonly url: string;
  readonly instance: string;
  readonly process: ChildProcess;
  /** Ends it with `signal` and gives its exit status. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export const serve = async (args: readonly string[], listen = '127.0.0.1:0'): Promise<Served> => {
  const child = spawn(process.execPath, [main, 'kms', 'serve', '--json', '--listen', listen, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>,
    ended.then(([status]) => {
      throw new Error(`kms serve ended with ${status}: ${stderr}`);
    }),
  ]);
  const { url, instances } = JSON.parse(line[0]) as { readonly url: string; readonly instances: readonly string[] };
  return {
    url,
    instance: instances[0] ?? '',
    process: child,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return (await ended)[0];
    },
  };
};

export interface ThrowAwayCa {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A CA and a server certificate for 127.0.0.1 and 10.0.2.2, made by the openssl command in `folder`. */
export const makeCa = (folder: string): ThrowAwayCa => {
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  };
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=throw-away CA');
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1,IP:10.0.2.2', '-addext', 'basicConstraints=CA:FALSE'];
  const issuer = ['-CA', 'ca.pem', '-CAkey', 'ca.key'];
  openssl(
    'req',
    '-x509',
    ...ec,
    ...issuer,
    '-keyout',
    'server.key',
    '-out',
    'server.pem',
    '-days',
    '2',
    '-subj',
    '/CN=kms',
    ...names,
  );
  return { ca: `${folder}/ca.pem`, cert: `${folder}/server.pem`, key: `${folder}/server.key` };
};
