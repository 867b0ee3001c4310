/** Which error ends the key work of a volume. Pure. */
import { AgentError } from '../errors.ts';
import { describeRefusal } from './classify.ts';
import type { NextStep, Pass } from './fallback.ts';

export type FinalStep = Extract<NextStep, { readonly do: 'stop' | 'wait' }>;

export interface GivingUp {
  readonly volume: string;
  readonly pass: Pass;
  /** How long answers were awaited, in seconds. */
  readonly seconds: number;
  readonly cause: unknown;
}

const stopped = (step: Extract<FinalStep, { readonly do: 'stop' }>, { volume, cause }: GivingUp): AgentError => {
  switch (step.why) {
    case 'configuration':
      return new AgentError(
        'KMS_CONFIGURATION_REFUSED',
        { volume, entry: step.entry + 1, reason: step.reason },
        { cause },
      );
    case 'everyEntryRefuses':
      return new AgentError('KMS_UNWRAP_FAILED', { volume, reason: 'every kms entry refuses it' }, { cause });
    case 'notTheSameSeed':
      return new AgentError('KMS_SEED_CHANGED', { volume }, { cause });
  }
};

/** The error for a final step: `stop`, or `wait` when there is no time left. */
export const giveUp = (step: FinalStep, giving: GivingUp): AgentError => {
  const { volume, pass, seconds, cause } = giving;
  if (step.do === 'stop') return stopped(step, giving);
  const { firstKey } = pass;
  if (firstKey === null || firstKey.kind === 'retryable') {
    return new AgentError('KMS_UNREACHABLE', { volume, seconds }, { cause });
  }
  if (firstKey.kind === 'denied') return new AgentError('KMS_ACCESS_DENIED', { volume }, { cause });
  if (firstKey.kind !== 'done') {
    const state = firstKey.kind === 'gone' ? 'deleted or unknown' : describeRefusal(firstKey);
    return new AgentError('KMS_KEY_NOT_ACTIVE', { volume, state }, { cause });
  }
  if (firstKey.value.state !== 'active') {
    return new AgentError('KMS_KEY_NOT_ACTIVE', { volume, state: firstKey.value.state }, { cause });
  }
  return pass.intent === 'create' || pass.unwrappedBy !== null
    ? new AgentError('KMS_WRAP_FAILED', { volume, reason: step.reason }, { cause })
    : new AgentError('KMS_UNWRAP_FAILED', { volume, reason: step.reason }, { cause });
};
