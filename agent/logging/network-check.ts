/**
 * The connectivity check, HPCR's stage hpcr-networkcheck: what the log server of the contract needs is there. Key services
 * are not asked: a volume's own kmsTimeout bounds that, and its messages say more.
 */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Connections } from '../service-ports.ts';
import type { LoggingSettings, LogTarget } from './settings.ts';
import { type Attempt, untilReady } from './until-ready.ts';

export type LoggingPorts = Pick<Host, 'clock' | 'entropy' | 'journal' | 'files' | 'http'> & {
  readonly connections: Connections;
};

export interface WayOut {
  /** Address of the token service, for logRouter. */
  readonly iam: string;
  /** HTTP goes through it, so that nothing else has to be reachable for logRouter. */
  readonly proxy: string | null;
}

/** An address shows only its first half: the console belongs to the host, and HPCR masks addresses there, too. */
export const shownHost = (hostname: string): string =>
  hostname
    .replace(/^(\d{1,3}\.\d{1,3})\.\d{1,3}\.\d{1,3}$/, '$1.**.**')
    .replace(/^([0-9a-f]{1,4}:[0-9a-f]{1,4}):[0-9a-f:.]+$/i, '$1:**');

const targetOf = (url: string): LogTarget => {
  const { hostname, port, protocol } = new URL(url);
  return {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port),
  };
};

/** What has to be reachable before logging is set up. */
export const targetsOf = (settings: LoggingSettings, { iam, proxy }: WayOut): readonly LogTarget[] => {
  const { kind, hostname, port } = settings;
  if (kind === 'syslog') return [{ hostname, port }];
  return proxy === null ? [targetOf(iam), { hostname, port }] : [targetOf(proxy)];
};

/** Throws NETWORK_FAILED (HPL14001E) when the one attempt fails, NETWORK_TIMEOUT (HPL14002E) when the time is over. */
export const checkNetwork = async (
  host: LoggingPorts,
  targets: readonly LogTarget[],
  patienceMs: number,
): Promise<void> => {
  const startedMs = host.clock.monotonicMs();
  for (const target of targets) {
    const shown = `${shownHost(target.hostname)} port ${target.port}`;
    const attempt = async (timeoutMs: number): Promise<Attempt<null>> => {
      const outcome = await host.connections.reach(target, timeoutMs);
      if (outcome.kind === 'reached') return { kind: 'ready', value: null };
      return { kind: 'notYet', reason: `${outcome.failure}: ${outcome.detail}` };
    };
    const leftMs = Math.max(0, startedMs + patienceMs - host.clock.monotonicMs());
    const ending = await untilReady(host, leftMs, attempt, (reason) =>
      host.journal.message('NETWORK_WAITING', { target: shown, reason }),
    );
    if (ending.kind === 'ready') continue;
    const { reason } = ending;
    if (ending.kind === 'tooLate' && ending.attempts > 1)
      throw new AgentError('NETWORK_TIMEOUT', { target: shown, reason, seconds: Math.round(patienceMs / 1000) });
    throw new AgentError('NETWORK_FAILED', { target: shown, reason });
  }
};

/** What the message about a successful check says. */
export const reachedText = (targets: readonly LogTarget[]): string =>
  targets.length === 0
    ? 'the contract names nothing that has to be reached'
    : targets.map(({ hostname, port }) => `${shownHost(hostname)} port ${port}`).join(', ');
