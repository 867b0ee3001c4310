/** All ports together, as the real world implements them. */
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host, Journal, RunCommand } from '../ports.ts';
import { clock } from './clock.ts';
import { disks } from './disks.ts';
import { entropy } from './entropy.ts';
import { files } from './files.ts';
import type { HttpClient, HttpOptions } from './http.ts';
import { locks } from './locks.ts';
import { reportedPower, systemdPower } from './power.ts';

const maxCertificateBytes = 1024 * 1024;

export interface HostOptions {
  readonly journal: Journal;
  /** Paths of PEM files with extra CA certificates. */
  readonly ca: readonly string[];
  readonly proxy: string | null;
  readonly power: AgentConfiguration['power'];
}

/** Child processes, loaded with the first of them: most commands start none. */
const runCommand: RunCommand = async (command) => (await import('./exec.ts')).runCommand(command);

/** Without options there is nothing to refuse, so TLS is loaded with the first request. */
const httpWith = async (options: HttpOptions): Promise<() => Promise<HttpClient>> => {
  const { extraCa, proxy } = options;
  const make = async (): Promise<HttpClient> => (await import('./http.ts')).makeHttpClient(options);
  let made: Promise<HttpClient> | null = extraCa.length > 0 || proxy !== null ? make() : null;
  await made;
  return () => {
    made ??= make();
    return made;
  };
};

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Throws FILE_UNREADABLE for a CA file that is missing, KMS_CA_UNUSABLE for one that is no certificate. */
export const makeHost = async ({ journal, ca, proxy, power }: HostOptions): Promise<Host> => {
  const extraCa = await Promise.all(ca.map((path) => readCertificate(path)));
  const client = await httpWith({ extraCa, proxy });
  return {
    preload: async () => {
      // Whatever is to go on meanwhile is started by then.
      await nextTurn();
      await import('./exec.ts');
      (await client()).prepare();
    },
    run: runCommand,
    files,
    disks,
    locks,
    http: async (request) => (await client()).send(request),
    clock,
    entropy,
    power: power === 'systemd' ? systemdPower(runCommand) : reportedPower(journal),
    journal,
  };
};

const readCertificate = async (path: string): Promise<string> => {
  const bytes = await files.read(path, maxCertificateBytes);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  return bytes.toString('latin1');
};
