/**
 * Remote logging, HPCR's stage hpcr-logging: the log server takes a first record, then the units that send every further one
 * get what they need. Nothing else starts before.
 */
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { requirePrivateMemory } from '../workload/private-place.ts';
import { probeSingle } from './log-router.ts';
import { renderLogRouter } from './log-router-file.ts';
import { type LoggingPorts, shownHost } from './network-check.ts';
import { type LoggingPlaces, loggingPlaces, rsyslogFiles } from './places.ts';
import { forwardingConfiguration, journalInput, permittedNames } from './rsyslog.ts';
import { sendSingles } from './send-singles.ts';
import type { LoggingSettings, LogRouterSettings, SyslogSettings } from './settings.ts';
import { syslogRecord } from './syslog-record.ts';
import { type Attempt, type Ending, untilReady } from './until-ready.ts';

export type ConfigurePorts = Host & LoggingPorts;

const probeText = 'authentication probe';
const ruleset = 'remote';
const maxAuthorityBytes = 256 * 1024;

const readText = async (host: Pick<Host, 'files'>, path: string, maxBytes: number): Promise<string> =>
  ((await host.files.read(path, maxBytes)) ?? Buffer.alloc(0)).toString('utf8').trim();

const hostnameOf = (host: Pick<Host, 'files'>): Promise<string> => readText(host, '/proc/sys/kernel/hostname', 256);
const bootIdOf = (host: Pick<Host, 'files'>): Promise<string> => readText(host, '/proc/sys/kernel/random/boot_id', 64);

/** Names in the certificate of a server that took the record. */
const probeSyslog = async (
  host: ConfigurePorts,
  settings: SyslogSettings,
  patienceMs: number,
): Promise<Ending<readonly string[]>> => {
  const { hostname, port, ca, cert, key } = settings;
  const bytes = syslogRecord(host.clock.now(), await hostnameOf(host), probeText);
  const attempt = async (timeoutMs: number): Promise<Attempt<readonly string[]>> => {
    const outcome = await host.connections.deliver({ hostname, port, ca, cert, key, bytes, timeoutMs });
    if (outcome.kind === 'delivered') return { kind: 'ready', value: outcome.names };
    const reason = `${outcome.failure}: ${outcome.detail}`;
    return outcome.failure === 'refused'
      ? { kind: 'never', reason: `TLS was refused by one of the two sides (${outcome.detail})` }
      : { kind: 'notYet', reason };
  };
  return untilReady(host, patienceMs, attempt, waitingFor(host, hostname));
};

const probeLogRouter = async (
  host: ConfigurePorts,
  settings: LogRouterSettings,
  iam: string,
  patienceMs: number,
): Promise<Ending<null>> => {
  const { hostname, port, apiKey, tags } = settings;
  const single = probeSingle(host.clock.now(), await hostnameOf(host), tags);
  const attempt = async (timeoutMs: number): Promise<Attempt<null>> => {
    const outcome = await sendSingles(host, { hostname, port, apiKey, iam }, [single], timeoutMs);
    switch (outcome.kind) {
      case 'sent':
        return { kind: 'ready', value: null };
      case 'later':
        return { kind: 'notYet', reason: outcome.reason };
      case 'denied':
        return { kind: 'never', reason: outcome.reason };
      case 'unacceptable':
        return { kind: 'never', reason: `it refuses a first record with HTTP status ${outcome.status}` };
    }
  };
  return untilReady(host, patienceMs, attempt, waitingFor(host, hostname));
};

const waitingFor =
  (host: Pick<Host, 'journal'>, hostname: string) =>
  (reason: string): void =>
    host.journal.message('LOG_SERVER_WAITING', { hostname: shownHost(hostname), reason });

const taken = <T>(ending: Ending<T>, hostname: string): T => {
  if (ending.kind === 'ready') return ending.value;
  throw new AgentError('LOG_SERVER_NOT_USABLE', { hostname: shownHost(hostname), reason: ending.reason });
};

const write = (host: Pick<Host, 'files'>, path: string, content: Secret): Promise<void> =>
  content.expose((bytes) => host.files.writeAtomically(path, bytes, 0o600));

const leaveForRsyslog = async (
  host: ConfigurePorts,
  places: LoggingPlaces,
  { hostname, port, ca, cert, key }: SyslogSettings,
  serverNames: readonly string[],
): Promise<void> => {
  const names = permittedNames(hostname, serverNames);
  const text =
    forwardingConfiguration({ hostname, port, names, files: rsyslogFiles }, ruleset) +
    journalInput(await bootIdOf(host), ruleset);
  await host.files.writeAtomically(places.ca, Buffer.from(ca), 0o600);
  await host.files.writeAtomically(places.cert, Buffer.from(cert), 0o600);
  await write(host, places.key, key);
  // Last: it is what the forwarding unit waits for.
  await host.files.writeAtomically(places.rsyslogConfiguration, Buffer.from(text), 0o600);
};

const leaveForLogRouter = async (
  host: ConfigurePorts,
  places: LoggingPlaces,
  settings: LogRouterSettings,
  { iam, ca: paths, proxy }: AgentConfiguration['kms'],
): Promise<void> => {
  const ca = await Promise.all(paths.map((path) => readText(host, path, maxAuthorityBytes)));
  const content = renderLogRouter({ settings, ways: { iam, ca, proxy } });
  try {
    await write(host, places.logRouter, content);
  } finally {
    content.wipe();
  }
};

/**
 * Probes the log server for `patienceMs` and leaves files for the sending units. Throws LOG_SERVER_NOT_USABLE (HPL01011E),
 * MEMORY_NOT_PRIVATE, FILE_UNWRITABLE; then there is nothing for a unit to send with.
 */
export const configureLogging = async (
  host: ConfigurePorts,
  { paths, kms }: Pick<AgentConfiguration, 'paths' | 'kms'>,
  settings: LoggingSettings,
  patienceMs: number,
): Promise<void> => {
  await requirePrivateMemory(host, paths.run);
  const places = loggingPlaces(paths.run);
  await host.files.makeFolder(places.folder, 0o700);
  for (const path of [places.rsyslogConfiguration, places.logRouter]) await host.files.remove(path);
  if (settings.kind === 'syslog') {
    const names = taken(await probeSyslog(host, settings, patienceMs), settings.hostname);
    await leaveForRsyslog(host, places, settings, names);
  } else {
    taken(await probeLogRouter(host, settings, kms.iam, patienceMs), settings.hostname);
    await leaveForLogRouter(host, places, settings, kms);
  }
};
