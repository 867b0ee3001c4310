/** All ports together, as the real world implements them. */
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host, Journal, RunCommand, SendHttp } from '../ports.ts';
import { clock } from './clock.ts';
import { disks } from './disks.ts';
import { entropy } from './entropy.ts';
import { files } from './files.ts';
import type { HttpOptions } from './http.ts';
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
const httpWith = async (options: HttpOptions): Promise<SendHttp> => {
  const { extraCa, proxy } = options;
  if (extraCa.length > 0 || proxy !== null) return (await import('./http.ts')).makeHttp(options);
  let made: Promise<SendHttp> | null = null;
  return async (request) => {
    made ??= import('./http.ts').then(({ makeHttp }) => makeHttp(options));
    return (await made)(request);
  };
};

/** Throws FILE_UNREADABLE for a CA file that is missing, KMS_CA_UNUSABLE for one that is no certificate. */
export const makeHost = async ({ journal, ca, proxy, power }: HostOptions): Promise<Host> => {
  const extraCa = await Promise.all(ca.map((path) => readCertificate(path)));
  return {
    run: runCommand,
    files,
    disks,
    locks,
    http: await httpWith({ extraCa, proxy }),
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
