import { reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { AskSocket, Notify, ServeSocket } from '../service-ports.ts';
import { type Errands, errands } from './errands.ts';
import { type HandOver, polledKeys, watchConfigurationOf } from './hand-over.ts';
import { prepare, step } from './machine.ts';
import { type Observer, observer } from './observe.ts';
import { keptPath, statusSocket, verbSocket } from './places.ts';
import { readKept } from './read-hand-over.ts';
import { renderKept } from './record.ts';
import { type BackendFor, Backends, type Reloads, reloader } from './reload.ts';
import { startRevocation } from './revoke.ts';
import type { Effect, Event, State } from './state.ts';
import { askToStore } from './store-verb.ts';

export interface KeyDaemon {
  readonly handOver: HandOver;
  readonly backendFor: BackendFor;
  /** Reaches the two verbs that need privilege. */
  readonly ask: AskSocket;
  /** Aborted when systemd asks the daemon to end. */
  readonly signal: AbortSignal;
  readonly notify: Notify;
  /** Shows the status to whoever connects; without it nobody can. */
  readonly serve?: ServeSocket;
  readonly reloads?: Reloads;
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
  { inbox, running, pollMs }: { readonly inbox: Inbox; readonly running: Errands; readonly pollMs: number },
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

/** A daemon that nobody can ask still watches. */
const shown = async (host: Host, { serve }: KeyDaemon, path: string, seen: Observer) => {
  try {
    return (await serve?.(path, () => seen.status())) ?? null;
  } catch (error) {
    host.journal.message('STATUS_NOT_TOLD', { path, reason: reasonOf(error) });
    return null;
  }
};

/**
 * Guards the volumes of `handOver` until `signal` aborts, and wipes its API keys then. After a revocation it waits for the
 * restart it asked for. Rejects when it cannot do its duty; its unit then starts it again, and in the end revokes.
 * @throws FILE_UNWRITABLE, KEY_DAEMON_CONFIGURATION, KMS_REFERENCE_INVALID, REVOKE_NOT_STARTED
 */
export const runKeyDaemon = async (host: Host, daemon: KeyDaemon): Promise<void> => {
  const { handOver, signal } = daemon;
  const { run } = handOver.settings.paths;
  const inbox = new Inbox(host);
  const now = (): number => host.clock.monotonicMs();
  /** Wakes whatever still sleeps when the daemon ends, so that nothing holds the process. */
  const ended = new AbortController();
  const terminate = (): void => inbox.put({ kind: 'terminated', atMs: now() });
  signal.addEventListener('abort', terminate, { once: true });
  const polled = polledKeys(handOver.volumes);
  const keys = polled.map(({ id, entry, volumes }) => ({
    key: id,
    crn: entry.crn,
    volumes: volumes.map(({ key }) => key),
  }));
  let state: State = prepare(watchConfigurationOf(handOver));
  const seen = observer(host, { run, keys, begin: state });
  const closing: (() => Promise<void> | void)[] = [];
  try {
    const asking = endingHost(host, ended.signal);
    const backends = new Backends(daemon.backendFor, polled);
    backends.make(host, handOver.settings.kms);
    const running = errands(asking, {
      keys: polled,
      backendOf: (id) => backends.of(id),
      storeSeed: (volume, wrapped, keyVersion) =>
        askToStore(daemon.ask, verbSocket(run, 'store'), volume, wrapped, keyVersion),
      finished: (event) => inbox.put(event),
    });
    const kept = await readKept(host.files, run);
    inbox.put({ kind: 'started', atMs: now(), kept });
    if (signal.aborted) terminate();
    const server = await shown(host, daemon, statusSocket(run), seen);
    if (server !== null) closing.push(() => server.close());
    if (daemon.reloads !== undefined)
      closing.push(daemon.reloads.subscribe(reloader(host, daemon.reloads, { backends, inbox })));

    while (state.phase !== 'ended') {
      const event = await inbox.next();
      const answered = step(state, event);
      state = answered.state;
      const tools = { inbox, running, pollMs: state.pollMs };
      for (const effect of answered.effects) await carryOut(host, daemon, tools, effect);
      await seen.seen(event, answered);
    }
    await running.storesFinished();
  } finally {
    ended.abort();
    signal.removeEventListener('abort', terminate);
    for (const close of closing) await close();
    await seen.finish();
    for (const { apiKey } of handOver.volumes) apiKey.wipe();
  }
};
