/** `triseed status`: the guest in a few lines, for people; the same as one document, for scripts. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError, hasCode } from '../errors.ts';
import { renderDuration } from '../keyd/duration.ts';
import { handOverPath } from '../keyd/hand-over.ts';
import { statusPath, statusSocket } from '../keyd/places.ts';
import { readBootId } from '../keyd/read-hand-over.ts';
import { type DaemonStatus, parseStatus, statusMaxBytes } from '../keyd/status.ts';
import type { Host } from '../ports.ts';
import type { AskSocket } from '../service-ports.ts';
import { readOpened } from '../volumes/look-live.ts';
import { type OpenedRecord, openedPath } from '../volumes/opened-record.ts';
import { defaultConfiguration } from './default-configuration.ts';
import type { CommandIo } from './io.ts';

export interface StatusContext {
  readonly io: CommandIo;
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  readonly ask: AskSocket;
}

/** What the guest is, in one word; the first that fits. */
type GuestState = 'revoking' | 'grace' | 'not guarded' | 'guarded' | 'no root key' | 'no volume' | 'not booted';

interface Shown {
  readonly state: GuestState;
  /** Null when there is no record: boot has not come that far, or this user may not read it. */
  readonly opened: readonly OpenedRecord[] | null;
  readonly daemon: { readonly isAnswering: boolean; readonly status: DaemonStatus } | null;
}

/** On a busy machine it takes its time; while somebody floods the socket it is closed for a second. */
const answerLimitMs = 5_000;
const attempts = 3;
const betweenAttemptsMs = 1_000;

type OpenedKnown = readonly OpenedRecord[] | 'absent' | 'forbidden';

const readRecord = async (host: Host, run: string): Promise<OpenedKnown> => {
  try {
    return await readOpened(host, run);
  } catch (error) {
    if (hasCode(error, 'NOTHING_RECORDED')) return 'absent';
    if (hasCode(error, 'FILE_UNREADABLE')) return 'forbidden';
    throw error;
  }
};

const orNull = async <T>(work: Promise<T>): Promise<T | null> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof AgentError) return null;
    throw error;
  }
};

const askDaemon = async (host: Host, ask: AskSocket, run: string): Promise<DaemonStatus | null> => {
  const limits = { timeoutMs: answerLimitMs, maxAnswerBytes: statusMaxBytes };
  for (let tried = 1; tried <= attempts; tried += 1) {
    const answer = await orNull(ask(statusSocket(run), new Uint8Array(), limits));
    const status = answer === null ? null : parseStatus(answer);
    if (status !== null) return status;
    if ((await host.files.kind(statusPath(run))) === 'absent') return null;
    if (tried < attempts) await host.clock.sleep(betweenAttemptsMs);
  }
  return null;
};

/** The daemon itself, or what it wrote last in this boot. */
const readDaemon = async (host: Host, ask: AskSocket, run: string): Promise<Shown['daemon']> => {
  const live = await askDaemon(host, ask, run);
  const bootId = await readBootId(host.files);
  if (live?.bootId === bootId) return { isAnswering: true, status: live };
  const bytes = await host.files.read(statusPath(run), statusMaxBytes);
  const written = bytes === null ? null : parseStatus(bytes);
  return written?.bootId === bootId ? { isAnswering: false, status: written } : null;
};

/** Whether boot handed something over; null when this user may not know. */
const isWatched = async (host: Host, run: string): Promise<boolean | null> => {
  const kind = await orNull(host.files.kind(handOverPath(run)));
  return kind === null ? null : kind !== 'absent';
};

const stateOf = (daemon: Shown['daemon'], opened: OpenedKnown, watched: boolean | null): GuestState => {
  if (daemon?.status.state === 'revoking') return 'revoking';
  if (daemon?.isAnswering === true && daemon.status.state !== 'ended')
    return daemon.status.state === 'grace' ? 'grace' : 'guarded';
  if (daemon !== null || watched === true) return 'not guarded';
  if (typeof opened === 'string') return 'not booted';
  return opened.length === 0 ? 'no volume' : 'no root key';
};

const sentences: Readonly<Record<GuestState, string>> = {
  revoking: 'a root key was lost: the volumes are being closed and the guest restarts',
  grace: 'a root key is not usable: the guest restarts unless it is active again in time',
  'not guarded': 'volumes hang on root keys, and the key daemon does not answer',
  guarded: 'every root key is active',
  'no root key': 'volumes are open, none of them hangs on a root key',
  'no volume': 'the contract names no volume',
  'not booted': 'boot has opened nothing, or has not come that far',
};

const describe = ({ state, opened, daemon }: Shown): string => {
  const lines = [`${state}: ${sentences[state]}`];
  for (const { volume, mount } of opened ?? []) lines.push(`volume ${volume} on ${mount}`);
  if (daemon !== null) {
    const { atMs, keys, volumes } = daemon.status;
    if (!daemon.isAnswering) lines.push('as the key daemon wrote it last:');
    for (const { key, state: said, lastActiveMs } of keys) {
      const guarded = volumes.filter((volume) => volume.key === key);
      lines.push(
        `${key} of ${guarded.map(({ volume }) => volume).join(', ')}: ${said}, active ${renderDuration(atMs - lastActiveMs)} ago`,
      );
      for (const { volume, deadlineMs, wrapping } of guarded) {
        if (deadlineMs !== null) lines.push(`  ${volume}: the guest restarts in ${renderDuration(deadlineMs - atMs)}`);
        if (wrapping !== 'current') lines.push(`  ${volume}: the stored seed is being renewed`);
      }
    }
  }
  return `${lines.join('\n')}\n`;
};

const isWell: ReadonlySet<GuestState> = new Set(['guarded', 'no root key', 'no volume']);

const help = `
Exit status: 0 every volume of the contract is open and every root key is active · 1 otherwise · 3 could not find out.

Examples:
  triseed status
  triseed status --json | jq .daemon.status.volumes`;

export const statusCommand = ({ io, configured, ask }: StatusContext): Command =>
  new Command('status')
    .description('whether this guest has its volumes and its root keys')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--json', 'one JSON document on standard output')
    .addHelpText('after', help)
    .action(async ({ config, json }: { readonly config: string; readonly json?: true }) => {
      const { settings, host } = await configured(config);
      const { run } = settings.paths;
      const [opened, daemon] = [await readRecord(host, run), await readDaemon(host, ask, run)];
      if (opened === 'forbidden' && daemon === null)
        throw new AgentError('FILE_UNREADABLE', {
          path: openedPath(run),
          reason: 'it is for root, and no key daemon answers',
        });
      const state = stateOf(daemon, opened, await isWatched(host, run));
      const shown: Shown = { state, opened: typeof opened === 'string' ? null : opened, daemon };
      io.stdout(json === true ? `${JSON.stringify(shown, null, 2)}\n` : describe(shown));
      if (!isWell.has(shown.state)) io.setExitStatus(1);
    });
