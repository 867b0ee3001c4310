/** Starts the real `triseed kms serve` for a test, and ends it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Command, CommanderError } from 'commander';
import type { CommandIo } from '../../agent/cli/io.ts';
import { kmsCommand } from '../../agent/cli/kms.ts';
import { describeChain, exitStatusOf } from '../../agent/errors.ts';
import { calendar } from '../../agent/host/calendar.ts';
import { makeHost } from '../../agent/host/host.ts';
import { makeHttp } from '../../agent/host/http.ts';
import { serveHttp } from '../../agent/host/http-server.ts';
import { openLineFile } from '../../agent/host/line-file.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `triseed` to its end. */
export const triseed = async (
  args: readonly string[],
  input = '',
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> => {
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, [main, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env });
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

const everyCommand = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(everyCommand)];

const runKms = async (ask: (() => Promise<string>) | null, args: readonly string[]): Promise<Ended> => {
  let stdout = '';
  let stderr = '';
  const journal = { message: () => {}, note: () => {} };
  const host = await makeHost({ journal, ca: [], proxy: null, power: 'report' });
  const io: CommandIo = {
    stdin: async () => Buffer.alloc(0),
    stdout: (bytes) => {
      stdout += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('utf8');
    },
    stderr: (text) => {
      stderr += text;
    },
    isTerminal: ask !== null,
    setExitStatus: () => {},
  };
  const extra = {
    signal: new AbortController().signal,
    makeHttp,
    serve: serveHttp,
    calendar,
    openLineFile,
    credentialsFolder: null,
    ask:
      ask ??
      (async () => {
        throw new Error('nobody is there to be asked');
      }),
  };
  const command = kmsCommand(host, io, extra);
  for (const one of everyCommand(command))
    one.exitOverride().configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
  try {
    await command.parseAsync(args, { from: 'user' });
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (error instanceof CommanderError) return { status: error.exitCode === 0 ? 0 : 2, stdout, stderr };
    return { status: exitStatusOf(error), stdout, stderr: `${stderr}${describeChain(error)}` };
  }
};

/** The same command in this process, which is quicker by the start of a Node. Nobody sits at a terminal. */
export const triseedKms = (...args: readonly string[]): Promise<Ended> => runKms(null, args);

/** At a terminal where every question is answered alike. */
export const triseedKmsAnswering = (answer: string, ...args: readonly string[]): Promise<Ended> =>
  runKms(async () => answer, args);

export interface Served {
  readonly url: string;
  readonly instance: string;
  readonly process: ChildProcess;
  /** Ends it with `signal` and gives its exit status. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** `under` is a program, with its arguments, that runs the service and passes signals on. */
export const serve = async (
  args: readonly string[],
  listen = '127.0.0.1:0',
  under: readonly string[] = [],
): Promise<Served> => {
  const [program = '', ...all] = [
    ...under,
    process.execPath,
    ...[main, 'kms', 'serve', '--json', '--listen', listen, ...args],
  ];
  const child = spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'] });
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
