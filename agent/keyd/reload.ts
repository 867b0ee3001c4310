/** Settings that are read again while the daemon runs (SIGHUP): how the key service is reached, how often, and what a refusal means. */
import type { AgentConfiguration } from '../configuration.ts';
import type { KmsEntry } from '../contract/types.ts';
import { reasonOf } from '../errors.ts';
import type { KeyBackend } from '../kms/backend.ts';
import type { Host } from '../ports.ts';
import type { PolledKey } from './hand-over.ts';
import type { Event } from './state.ts';

export type BackendFor = (host: Host, entry: KmsEntry, settings: AgentConfiguration['kms']) => KeyBackend;

/** Reading the settings again while the daemon runs. */
export interface Reloads {
  /** Calls `listener` whenever it is asked for; answers how to stop that. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The settings as they are now, and a host that reaches the key service by them. Throws what is wrong with them. */
  readonly read: () => Promise<{ readonly host: Host; readonly settings: AgentConfiguration['kms'] }>;
}

/** Whom each key is asked through. They are made anew when the settings were read again. */
export class Backends {
  readonly #make: BackendFor;
  readonly #keys: readonly PolledKey[];
  #made = new Map<string, KeyBackend>();

  constructor(make: BackendFor, keys: readonly PolledKey[]) {
    this.#make = make;
    this.#keys = keys;
  }

  /** Throws KMS_REFERENCE_INVALID, and leaves those that there are. */
  make(host: Host, settings: AgentConfiguration['kms']): void {
    this.#made = new Map(this.#keys.map(({ id, entry }) => [id, this.#make(host, entry, settings)]));
  }

  of(id: string): KeyBackend {
    const found = this.#made.get(id);
    if (found === undefined) throw new TypeError(`no key is called ${id}`);
    return found;
  }
}

/** Settings that cannot be used change nothing. Requests to read them while they are being read make one more reading. */
export const reloader = (
  host: Host,
  { read }: Reloads,
  { backends, inbox }: { readonly backends: Backends; readonly inbox: { put(event: Event): void } },
): (() => void) => {
  let isReading = false;
  let isWanted = false;
  const reload = async (): Promise<void> => {
    try {
      const { host: reached, settings } = await read();
      backends.make(reached, settings);
      const { pollSeconds, onRevoked } = settings;
      inbox.put({ kind: 'reloaded', atMs: host.clock.monotonicMs(), pollMs: pollSeconds * 1000, onRevoked });
    } catch (error) {
      host.journal.message('SETTINGS_NOT_RELOADED', { reason: reasonOf(error) });
    }
  };
  const work = async (): Promise<void> => {
    isReading = true;
    while (isWanted) {
      isWanted = false;
      await reload();
    }
    isReading = false;
  };
  return () => {
    isWanted = true;
    if (!isReading) void work();
  };
};
