/**
 * The key daemon as data: what it is told (events), what it knows (state), what it wants done (effects). All of it is
 * JSON, so a recorded run replays in a test. Times are milliseconds of one monotonic clock; no wall-clock time occurs.
 */
import type { FactsOf } from '../errors.ts';
import type { KmsRefusal } from '../kms/backend.ts';
import type { keydMessages } from './messages.ts';

/** A volume whose key is watched. `key` names one poll: a distinct (crn, type, API key). */
export interface WatchedVolume {
  readonly volume: string;
  readonly key: string;
  /** 0 to 60,000,000 (1000 minutes). */
  readonly kmsTimeoutMs: number;
  readonly wrapped: string;
  readonly keyVersion: string;
}

export interface WatchConfiguration {
  readonly bootId: string;
  readonly pollMs: number;
  readonly onRevoked: 'grace' | 'immediate';
  /** When boot asked for the state of the root keys and was told Active. */
  readonly provenAtMs: number;
  readonly volumes: readonly WatchedVolume[];
}

/**
 * What a finished poll said. `active` is the only good one. `correlationId` is what the support of the key service asks
 * for; absent or null when no request was made.
 */
export type PollAnswer =
  | { readonly kind: 'active'; readonly keyVersion: string | null; readonly correlationId?: string | null }
  | (KmsRefusal & { readonly correlationId?: string | null });

/** What a renewal gave: stored next. */
export interface NewWrapping {
  readonly wrapped: string;
  readonly keyVersion: string;
  readonly correlationId?: string | null;
}

export type Upkept<T> = ({ readonly kind: 'done' } & T) | { readonly kind: 'failed'; readonly reason: string };

export type Event =
  /** The first event. `kept` is what an earlier daemon of any boot left behind. */
  | { readonly kind: 'started'; readonly atMs: number; readonly kept: Kept | null }
  /** `jitter` in [0, 1) shortens the way to the next poll. */
  | {
      readonly kind: 'pollFinished';
      readonly atMs: number;
      readonly key: string;
      readonly answer: PollAnswer;
      readonly jitter: number;
    }
  | {
      readonly kind: 'rewrapFinished';
      readonly atMs: number;
      readonly volume: string;
      readonly outcome: Upkept<NewWrapping>;
    }
  | {
      readonly kind: 'storeFinished';
      readonly atMs: number;
      readonly volume: string;
      readonly outcome: Upkept<unknown>;
    }
  | { readonly kind: 'tick'; readonly atMs: number }
  /** The agent configuration was read again (SIGHUP). */
  | {
      readonly kind: 'reloaded';
      readonly atMs: number;
      readonly pollMs: number;
      readonly onRevoked: 'grace' | 'immediate';
    }
  /** systemd asked the daemon to end. Not a reason to revoke: a guest that shuts down ends its daemons. */
  | { readonly kind: 'terminated'; readonly atMs: number };

export interface Grace {
  /** Start of the first poll that was not answered Active. */
  readonly sinceMs: number;
  /** When the guest is restarted unless a poll that started before is answered Active. */
  readonly deadlineMs: number;
  /** Polls that were not answered Active since then. */
  readonly attempts: number;
  /** True once the key's owner or the service has answered "no", rather than not at all. */
  readonly refused: boolean;
}

/** Keeping the wrapping current after a rotation. Never stops the daemon; a failure only moves the next attempt. */
export type Upkeep =
  | { readonly kind: 'current' }
  | { readonly kind: 'rewrapping'; readonly failures: number }
  | { readonly kind: 'rewrapDue'; readonly dueMs: number; readonly failures: number }
  | (NewWrapping & { readonly kind: 'storing'; readonly failures: number })
  | (NewWrapping & { readonly kind: 'storeDue'; readonly dueMs: number; readonly failures: number });

export interface VolumeState extends WatchedVolume {
  readonly grace: Grace | null;
  readonly upkeep: Upkeep;
  /** The version whose sighting led to the latest renewal: a service naming versions in two ways is not asked forever. */
  readonly seenVersion: string | null;
}

export interface KeyWatch {
  readonly key: string;
  /** Start of the last poll that was answered Active. */
  readonly lastGoodMs: number;
  /** `pollMs` when it was answered: settings read again judge no poll but those that they made. */
  readonly intervalMs: number;
  readonly poll:
    | { readonly kind: 'waiting'; readonly dueMs: number }
    | { readonly kind: 'running'; readonly startedMs: number };
  /** False until the first poll of this daemon has finished. */
  readonly answered: boolean;
}

export interface Revocation {
  readonly volume: string;
  readonly reason: string;
}

/** `watching` and `grace` are per volume: a guest is in grace when any of its volumes is. */
export interface State {
  readonly bootId: string;
  readonly pollMs: number;
  readonly onRevoked: 'grace' | 'immediate';
  readonly phase: 'prepared' | 'guarding' | 'revoking' | 'ended';
  readonly revocation: Revocation | null;
  readonly keys: readonly KeyWatch[];
  readonly volumes: readonly VolumeState[];
}

/** What survives the daemon, not the boot: a file in memory. Restarting the daemon never buys time. */
export interface Kept {
  readonly version: 1;
  readonly bootId: string;
  readonly pollMs: number;
  readonly onRevoked: 'grace' | 'immediate';
  readonly keys: readonly Pick<KeyWatch, 'key' | 'lastGoodMs' | 'intervalMs'>[];
  readonly volumes: readonly {
    readonly volume: string;
    readonly grace: Grace | null;
    readonly wrapped: string;
    readonly keyVersion: string;
  }[];
  readonly revocation: Revocation | null;
}

type MessageEffect = {
  readonly [Name in keyof typeof keydMessages]: {
    readonly kind: 'message';
    readonly name: Name;
    readonly facts: FactsOf<Name>;
  };
}[keyof typeof keydMessages];

/** Carried out in order. Everything after a `keep` may rely on it being on record. */
export type Effect =
  | { readonly kind: 'keep'; readonly kept: Kept }
  | MessageEffect
  /** Ask for the state of the key; without an answer after `limitMs` the poll counts as unanswered. */
  | { readonly kind: 'poll'; readonly key: string; readonly limitMs: number }
  | { readonly kind: 'rewrap'; readonly volume: string; readonly key: string; readonly wrapped: string }
  /** Put this wrapping in the place of the one that is stored. */
  | {
      readonly kind: 'store';
      readonly volume: string;
      readonly wrapped: string;
      readonly keyVersion: string;
    }
  /** A poll has finished: the only thing that feeds systemd's watchdog. */
  | { readonly kind: 'notify'; readonly ready: boolean; readonly status: string }
  /** Send `tick` at `atMs` or soon after, unless another `schedule` comes first. */
  | { readonly kind: 'schedule'; readonly atMs: number }
  | { readonly kind: 'revoke'; readonly volume: string; readonly reason: string }
  | { readonly kind: 'end' };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}
