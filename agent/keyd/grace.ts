/**
 * When a volume loses its key. IBM Cloud docs, "Protecting your sensitive data with your own key": if the service cannot be
 * reached, the key is not Active, or the access parameters no longer match, the guest restarts after `kmsTimeout`.
 */
import type { Grace, KeyWatch, PollAnswer, VolumeState } from './state.ts';

const secondMs = 1000;
/** A poll that takes longer counts as unanswered. */
const requestLimitMs = 30 * secondMs;
/** Polls in grace are this close together, or closer when `pollSeconds` is shorter. */
const graceIntervalMs = 10 * secondMs;
/** `kmsTimeout: 0` still gives an unreachable service three attempts within this time. */
const withoutTimeoutMs = 30 * secondMs;
const withoutTimeoutAttempts = 3;
/** Jitter takes away up to this part of an interval and never adds to it. */
const jitterPart = 0.1;

export const graceInterval = (pollMs: number): number => Math.min(pollMs, graceIntervalMs);

/** The time a volume may stay open after a poll became due and was not answered Active. */
const windowMs = (volume: VolumeState): number => (volume.kmsTimeoutMs === 0 ? withoutTimeoutMs : volume.kmsTimeoutMs);

/** Start of the last good poll + one interval + kmsTimeout. */
export const deadlineOf = (volume: VolumeState, key: Pick<KeyWatch, 'lastGoodMs' | 'intervalMs'>): number =>
  volume.grace?.deadlineMs ?? key.lastGoodMs + key.intervalMs + windowMs(volume);

/** Three of these fit into `withoutTimeoutMs`. */
export const pollLimit = (volumes: readonly VolumeState[], pollMs: number): number =>
  volumes.some(({ kmsTimeoutMs }) => kmsTimeoutMs === 0) ? graceInterval(pollMs) : requestLimitMs;

/**
 * When to poll again after a poll that began at `startedMs` and ended at `atMs`. A service that asks for patience gets
 * it as far as one last poll before `deadlineMs` allows.
 */
export const nextPoll = (poll: {
  readonly startedMs: number;
  readonly atMs: number;
  readonly intervalMs: number;
  readonly jitter: number;
  readonly patienceMs: number;
  readonly lastChanceMs: number;
}): number => {
  const due = poll.startedMs + Math.floor(poll.intervalMs * (1 - jitterPart * poll.jitter));
  const patient = Math.min(poll.atMs + poll.patienceMs, poll.lastChanceMs);
  return Math.max(poll.atMs, due, patient);
};

/** A definite "no", as opposed to no answer. */
export const isRefusal = (answer: PollAnswer): boolean => answer.kind !== 'active' && answer.kind !== 'retryable';

/**
 * Whether nobody was there to act at `deadlineMs`: the whole guest was paused. A poll or timer that only just missed it, or
 * one cut short by it after the daemon was killed over and over, is no standstill: that would buy time.
 */
const stoodStill = (deadlineMs: number, atMs: number, pollMs: number): boolean =>
  atMs >= deadlineMs + graceInterval(pollMs);

/**
 * Grace after a poll that began at `startedMs` was not answered Active. When the guest stood still beyond its regular end,
 * one more poll is granted: the key may be fine. A grace that is already running is never lengthened.
 */
export const graceAfter = (
  volume: VolumeState,
  key: KeyWatch,
  poll: { readonly startedMs: number; readonly atMs: number; readonly refused: boolean },
  pollMs: number,
): Grace => {
  const { grace } = volume;
  if (grace !== null) {
    return { ...grace, attempts: grace.attempts + 1, refused: grace.refused || poll.refused };
  }
  const dueMs = deadlineOf(volume, key);
  const regularMs = volume.kmsTimeoutMs === 0 ? Math.min(dueMs, poll.startedMs + withoutTimeoutMs) : dueMs;
  return {
    sinceMs: poll.startedMs,
    deadlineMs: stoodStill(regularMs, poll.atMs, pollMs) ? poll.atMs + graceInterval(pollMs) : regularMs,
    attempts: 1,
    refused: poll.refused,
  };
};

/** Why the guest must restart now, after `answer` led from `before` to `grace`; null to go on waiting. */
export const reasonToRevoke = (
  volume: VolumeState,
  before: Grace | null,
  grace: Grace,
  poll: { readonly atMs: number; readonly refused: boolean },
  onRevoked: 'grace' | 'immediate',
): string | null => {
  if (onRevoked === 'immediate' && poll.refused) return 'the key was revoked';
  if (poll.atMs >= grace.deadlineMs) return 'the key was not active again within kmsTimeout';
  if (volume.kmsTimeoutMs > 0) return null;
  if (before?.refused === true) return 'the key was revoked and kmsTimeout is 0';
  if (grace.attempts >= withoutTimeoutAttempts) return 'the key service did not answer and kmsTimeout is 0';
  return null;
};

const wordAnswer = (answer: PollAnswer): string => {
  switch (answer.kind) {
    case 'active':
      return 'active';
    case 'notActive':
      return `its state is ${answer.state}`;
    case 'gone':
      return 'it does not exist or is deleted';
    case 'denied':
      return answer.by === 'iam' ? 'the API key was refused' : 'access to the key was refused';
    case 'badCiphertext':
      return 'it cannot unwrap the seed of this volume';
    case 'badConfiguration':
      return `the key reference cannot be used (${answer.reason})`;
    case 'retryable':
      return `the key service cannot be reached (${answer.reason})`;
  }
};

/** The bad answer in a few words, with the name of its request; part of HPL18002W. */
export const describeAnswer = (answer: PollAnswer): string => {
  const id = answer.kind === 'active' ? null : (answer.correlationId ?? null);
  return `${wordAnswer(answer)}${id === null ? '' : `, correlation id ${id}`}`;
};
