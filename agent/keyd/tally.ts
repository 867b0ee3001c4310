/**
 * What the daemon has seen and used, beside what it decides: counts for monitoring, and one audit record for each use of a key and each
 * change of what a key service says about it. Pure; the machine knows nothing of it.
 */
import { type KeyAudit, rootKeyOf } from './audit.ts';
import type { Event, PollAnswer } from './state.ts';

interface Counted {
  readonly done: number;
  readonly failed: number;
}

export interface Tally {
  readonly keys: {
    readonly [key: string]: {
      /** What the latest poll said, in one word. */
      readonly state: string;
      readonly polls: { readonly active: number; readonly other: number };
    };
  };
  readonly volumes: { readonly [volume: string]: { readonly rewraps: Counted; readonly stores: Counted } };
}

/** Who a key is, for people who have to find it. */
export interface AuditedKey {
  readonly key: string;
  readonly crn: string;
  readonly volumes: readonly string[];
}

export const emptyTally: Tally = { keys: {}, volumes: {} };

/** `active`, a state of the key, or why there is none. One word, for comparing and for labels. */
export const stateWord = (answer: PollAnswer): string => {
  if (answer.kind === 'notActive') return answer.state;
  return answer.kind === 'retryable' ? 'unreachable' : answer.kind;
};

const none = { done: 0, failed: 0 };
/** Of a volume of any name: `constructor` is one. */
export const countsOf = ({ volumes }: Tally, volume: string): { readonly rewraps: Counted; readonly stores: Counted } =>
  (Object.hasOwn(volumes, volume) ? volumes[volume] : undefined) ?? { rewraps: none, stores: none };

const counted = (before: Counted, isDone: boolean): Counted => ({
  done: before.done + (isDone ? 1 : 0),
  failed: before.failed + (isDone ? 0 : 1),
});

const afterPoll = (tally: Tally, event: Event & { kind: 'pollFinished' }, keys: readonly AuditedKey[]) => {
  const before = tally.keys[event.key] ?? { state: 'unknown', polls: { active: 0, other: 0 } };
  const state = stateWord(event.answer);
  const { active, other } = before.polls;
  const polls = state === 'active' ? { active: active + 1, other } : { active, other: other + 1 };
  const known = keys.find(({ key }) => key === event.key);
  const audit: readonly KeyAudit[] =
    state === before.state || known === undefined
      ? []
      : [
          {
            what: 'key-state',
            rootKey: rootKeyOf(known.crn),
            volumes: known.volumes,
            from: before.state,
            to: state,
            correlationId: event.answer.correlationId ?? null,
          },
        ];
  return { tally: { ...tally, keys: { ...tally.keys, [event.key]: { state, polls } } }, audit };
};

/** `tally` after `event`, and what has to be on record of it. */
export const tallied = (
  tally: Tally,
  event: Event,
  keys: readonly AuditedKey[],
): { readonly tally: Tally; readonly audit: readonly KeyAudit[] } => {
  if (event.kind === 'pollFinished') return afterPoll(tally, event, keys);
  if (event.kind !== 'rewrapFinished' && event.kind !== 'storeFinished') return { tally, audit: [] };
  const { volume, outcome } = event;
  const before = countsOf(tally, volume);
  const isDone = outcome.kind === 'done';
  const isRewrap = event.kind === 'rewrapFinished';
  const after = isRewrap
    ? { ...before, rewraps: counted(before.rewraps, isDone) }
    : { ...before, stores: counted(before.stores, isDone) };
  const known = keys.find(({ volumes }) => volumes.includes(volume));
  const detail = {
    outcome: isDone ? 'done' : outcome.reason,
    volume,
    rootKey: known === undefined ? null : rootKeyOf(known.crn),
  } as const;
  const record: KeyAudit = isRewrap
    ? {
        what: 'key-used',
        operation: 'rewrap',
        ...detail,
        keyVersion: event.outcome.kind === 'done' ? event.outcome.keyVersion : null,
        correlationId: event.outcome.kind === 'done' ? (event.outcome.correlationId ?? null) : null,
      }
    : { what: 'seed-stored', ...detail };
  return { tally: { ...tally, volumes: { ...tally.volumes, [volume]: after } }, audit: [record] };
};
