/**
 * The key daemon: asks the machine what to do and does it. Time, network, disk and systemd are here; decisions are not.
 * Storing and revoking need rights that the daemon has not: it asks for them at two sockets (places.ts).
 */
import type { AgentConfiguration } from '../configuration.ts';
import type { KmsEntry } from '../contract/types.ts';
import type { KeyBackend } from '../kms/backend.ts';
import type { AskSocket, Host, Notify } from '../ports.ts';
import { type Errands, errands } from './errands.ts';
import { type HandOver, polledKeys, watchConfigurationOf } from './hand-over.ts';
import { prepare, step } from './machine.ts';
import { keptPath, verbSocket } from './places.ts';
import { readKept } from './read-hand-over.ts';
import { renderKept } from './record.ts';
import { startRevocation } from './revoke.ts';
import type { Effect, Event, State } from './state.ts';
import { askToStore } from './store-verb.ts';

export interface KeyDaemon {
  readonly handOver: HandOver;
  readonly backendFor: (host: Host, entry: KmsEntry, settings: AgentConfiguration['kms']) => KeyBackend;
  /** Reaches the two verbs that need privilege. */
  readonly ask: AskSocket;
  /** Aborted when systemd asks the daemon to end. */
  readonly signal: AbortSignal;
  readonly notify: Notify;
  /** Sees every event before the machine does: a recorded run replays in a test. */
  readonly record?: (event: Event) => void;
}

/** Longest silence between two finished polls that is still healthy, with as much again for a busy machine. */
const watchdogMs = (pollMs: number): number => 2 * pollMs + 60_000;

/** How long the daemon sleeps when the machine has set no time; events wake it. */
const longWaitMs = 60 * 60_000;

/** Events in the order they came, and the one timer of the machine. */
class Inbox {
  readonly #host: Host;
  readonly #events: Event[] = [];
  #tickAtMs: number | null = null;
  #interrupt = new AbortController();

  constructor(host: Host) {
    this.#host = host;
  }

  put(event: Event): void {
    this.#events.push(event);
    this.#interrupt.abort();
  }

  scheduleTick(atMs: number): void {
    this.#tickAtMs = atMs;
  }

  async next(): Promise<Event> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      const nowMs = this.#host.clock.monotonicMs();
      if (this.#tickAtMs !== null && this.#tickAtMs <= nowMs) {
        this.#tickAtMs = null;
        return { kind: 'tick', atMs: nowMs };
      }
      this.#interrupt = new AbortController();
      // Always a timer: with none, Node would find nothing left to do and end the daemon in the middle of its watch.
      const waitMs = this.#tickAtMs === null ? longWaitMs : this.#tickAtMs - nowMs;
      await this.#host.clock.sleep(waitMs, this.#interrupt.signal);
    }
  }
}

const tell = (host: Host, effect: Effect & { kind: 'message' }): void =>
  // Name and facts belong together by construction of the union; TypeScript cannot follow them apart.
  (host.journal.message as (name: string, facts: unknown) => void)(effect.name, effect.facts);

const carryOut = async (
  host: Host,
  daemon: KeyDaemon,
  { inbox, running, pollMs }: { inbox: Inbox; running: Errands; pollMs: number },
  effect: Effect,
): Promise<void> => {
  const { handOver } = daemon;
  switch (effect.kind) {
    case 'keep':
      return host.files.writeAtomically(
        keptPath(handOver.settings.paths.run),
        Buffer.from(renderKept(effect.kept)),
        0o600,
      );
    case 'message':
      return tell(host, effect);
    case 'poll':
      return running.poll(effect);
    case 'rewrap':
      return running.rewrap(effect);
    case 'store':
      return running.store(effect);
    case 'notify':
      return daemon.notify({
        ready: effect.ready,
        alive: true,
        watchdogMs: effect.ready ? watchdogMs(pollMs) : null,
        status: effect.status,
      });
    case 'schedule':
      return inbox.scheduleTick(effect.atMs);
    case 'revoke': {
      const { volume, reason } = effect;
      return startRevocation(host, daemon.ask, handOver, { volume, reason });
    }
    case 'end':
      return;
  }
};

/** `host` with a clock whose sleepers also wake when `ended` aborts. */
const endingHost = (host: Host, ended: AbortSignal): Host => ({
  ...host,
  clock: {
    now: () => host.clock.now(),
    monotonicMs: () => host.clock.monotonicMs(),
    sleep: (ms, signal) => host.clock.sleep(ms, signal === undefined ? ended : AbortSignal.any([signal, ended])),
  },
});

/**
 * Guards the volumes of `handOver` until `signal` aborts, and wipes its API keys then. After a revocation it waits for the
 * restart it asked for. Rejects when it cannot do its duty; its unit then starts it again, and in the end revokes.
 * @throws FILE_UNWRITABLE, KEY_DAEMON_CONFIGURATION, KMS_REFERENCE_INVALID, REVOKE_NOT_STARTED
 */
export const runKeyDaemon = async (host: Host, daemon: KeyDaemon): Promise<void> => {
  const { handOver, signal } = daemon;
  const inbox = new Inbox(host);
  const now = (): number => host.clock.monotonicMs();
  /** Wakes whatever still sleeps when the daemon ends, so that nothing holds the process. */
  const ended = new AbortController();
  const terminate = (): void => inbox.put({ kind: 'terminated', atMs: now() });
  signal.addEventListener('abort', terminate, { once: true });
  try {
    const configuration = watchConfigurationOf(handOver);
    const keys = polledKeys(handOver.volumes).map((key) => ({
      ...key,
      backend: daemon.backendFor(host, key.entry, handOver.settings.kms),
    }));
    const running = errands(endingHost(host, ended.signal), {
      keys,
      storeSeed: (volume, wrapped, keyVersion) =>
        askToStore(daemon.ask, verbSocket(handOver.settings.paths.run, 'store'), volume, wrapped, keyVersion),
      finished: (event) => inbox.put(event),
    });
    const kept = await readKept(host.files, handOver.settings.paths.run);
    inbox.put({ kind: 'started', atMs: now(), kept });
    if (signal.aborted) terminate();

    let state: State = prepare(configuration);
    while (state.phase !== 'ended') {
      const event = await inbox.next();
      daemon.record?.(event);
      const answered = step(state, event);
      state = answered.state;
      const tools = { inbox, running, pollMs: configuration.pollMs };
      for (const effect of answered.effects) await carryOut(host, daemon, tools, effect);
    }
    await running.storesFinished();
  } finally {
    ended.abort();
    signal.removeEventListener('abort', terminate);
    for (const { apiKey } of handOver.volumes) apiKey.wipe();
  }
};
