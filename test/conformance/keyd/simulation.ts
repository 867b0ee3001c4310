/** A world for the pure machine: answers polls, renews and stores seeds, delivers ticks, all on simulated time. */
import { prepare, step } from '../../../agent/keyd/machine.ts';
import { parseKept, renderKept } from '../../../agent/keyd/record.ts';
import type { Effect, Event, Kept, PollAnswer, State, WatchConfiguration } from '../../../agent/keyd/state.ts';

export interface ScriptedPoll {
  /** `hang`: no answer comes before the limit of the poll. */
  readonly answer: PollAnswer | 'hang';
  /** Part of the poll's limit that passes before the answer, in [0, 1]. */
  readonly slowness: number;
  readonly jitter: number;
}

export interface World {
  readonly configuration: WatchConfiguration;
  /** One entry a poll; the last one repeats. */
  readonly polls: readonly ScriptedPoll[];
  /** Whether each rewrap succeeds, in order; the last one repeats. */
  readonly rewraps: readonly boolean[];
  readonly stores: readonly boolean[];
  /** The daemon is killed and started again after these steps. */
  readonly restartsAfter: readonly number[];
  readonly startMs: number;
  readonly horizonMs: number;
  /** Where a run ends that would go on for ever; 2000 when absent. */
  readonly mostEvents?: number;
}

export interface Happened {
  readonly event: Event;
  readonly effects: readonly Effect[];
  readonly state: State;
}
export interface FinishedPoll {
  readonly key: string;
  readonly startedMs: number;
  readonly atMs: number;
  readonly answer: PollAnswer;
}

export interface Run {
  readonly happened: readonly Happened[];
  readonly polls: readonly FinishedPoll[];
  readonly revokedAtMs: number | null;
  /** Events since the last start of the daemon, and the state they began with. */
  readonly recorded: readonly Event[];
  readonly endMs: number;
}

const unanswered: PollAnswer = { kind: 'retryable', reason: 'no answer', afterMs: null };
const nth = <T>(items: readonly T[], at: number): T => items[Math.min(at, items.length - 1)] as T;

export const simulate = (world: World): Run => {
  const happened: Happened[] = [];
  const polls: FinishedPoll[] = [];
  let recorded: Event[] = [];
  let pending: { readonly atMs: number; readonly make: (atMs: number) => Event; readonly isTick: boolean }[] = [];
  let state = prepare(world.configuration);
  let kept: Kept | null = null;
  let [pollCount, rewrapCount, storeCount] = [0, 0, 0];
  let now = world.startMs;
  let revokedAtMs: number | null = null;

  const later = (atMs: number, make: (atMs: number) => Event): void => {
    pending.push({ atMs, make, isTick: false });
  };
  const carryOut = (effect: Effect): void => {
    if (effect.kind === 'keep') kept = parseKept(renderKept(effect.kept));
    if (effect.kind === 'schedule') {
      pending = pending.filter(({ isTick }) => !isTick);
      pending.push({ atMs: effect.atMs, make: (atMs) => ({ kind: 'tick', atMs }), isTick: true });
    }
    if (effect.kind === 'poll') {
      const scripted = nth(world.polls, pollCount++);
      const hangs = scripted.answer === 'hang';
      const answer = scripted.answer === 'hang' ? unanswered : scripted.answer;
      const startedMs = now;
      later(now + (hangs ? effect.limitMs : Math.floor(effect.limitMs * scripted.slowness)), (atMs) => {
        polls.push({ key: effect.key, startedMs, atMs, answer });
        return { kind: 'pollFinished', atMs, key: effect.key, answer, jitter: scripted.jitter };
      });
    }
    if (effect.kind === 'rewrap') {
      const done = nth(world.rewraps, rewrapCount++);
      const outcome = done
        ? ({ kind: 'done', wrapped: `wrapped-${rewrapCount}`, keyVersion: `version-${rewrapCount}` } as const)
        : ({ kind: 'failed', reason: 'scripted' } as const);
      later(now + 500, (atMs) => ({ kind: 'rewrapFinished', atMs, volume: effect.volume, outcome }));
    }
    if (effect.kind === 'store') {
      const outcome = nth(world.stores, storeCount++)
        ? ({ kind: 'done' } as const)
        : ({ kind: 'failed', reason: 'scripted' } as const);
      later(now + 500, (atMs) => ({ kind: 'storeFinished', atMs, volume: effect.volume, outcome }));
    }
    if (effect.kind === 'revoke') revokedAtMs = now;
  };
  const dispatch = (event: Event): void => {
    const answered = step(state, event);
    state = answered.state;
    recorded.push(event);
    happened.push({ event, effects: answered.effects, state });
    for (const effect of answered.effects) carryOut(effect);
  };

  dispatch({ kind: 'started', atMs: now, kept: null });
  while (revokedAtMs === null && happened.length < (world.mostEvents ?? 2_000)) {
    const next = pending.reduce((soonest, entry) => (entry.atMs < soonest.atMs ? entry : soonest));
    if (next.atMs > world.startMs + world.horizonMs) break;
    pending = pending.filter((entry) => entry !== next);
    now = Math.max(now, next.atMs);
    dispatch(next.make(now));
    if (revokedAtMs === null && world.restartsAfter.includes(happened.length)) {
      pending = [];
      recorded = [];
      state = prepare(world.configuration);
      dispatch({ kind: 'started', atMs: now, kept });
    }
  }
  return { happened, polls, revokedAtMs, recorded, endMs: now };
};
