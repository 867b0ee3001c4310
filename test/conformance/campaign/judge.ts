/**
 * Whether a run under a fault script kept its promises, judged from what really arrived at the client and from the
 * documentation's own table, not with the client's code.
 */
import type { AgentError } from '../../../agent/errors.ts';
import { describeChain } from '../../../agent/errors.ts';
import type { ObtainedSeed } from '../../../agent/kms/obtain-seed.ts';
import { keyServiceRefusals, tokenServiceRefusals } from '../../unit/kms/documented-refusals.ts';
import type { Exchange, Network } from './network.ts';
import type { Script } from './script.ts';

export interface Run {
  readonly script: Script;
  readonly network: Network;
  readonly stored: string | null;
  /** The seed that is stored; null when a new one is made, or when nobody can unwrap the stored text. */
  readonly seed: string | null;
  readonly result: ObtainedSeed | AgentError;
  readonly startedMs: number;
  readonly endedMs: number;
  /** What the journal was told. */
  readonly said: readonly unknown[];
  /** Texts that must not be said: API keys and seeds. */
  readonly secrets: readonly string[];
}

/** One call, token included, and the time a silent backend is left behind later. */
const CALL_MS = 10_100;
const LONGEST_PATIENCE_MS = 60_000;

const isError = (result: ObtainedSeed | AgentError): result is AgentError => result instanceof Error;

type Meaning = (typeof keyServiceRefusals)[number]['means'];

/** What the documentation says about an exchange that did not succeed; null for one that is nobody's refusal. */
const meaningOf = ({ operation, outcome }: Exchange): Meaning | null => {
  if (outcome.kind === 'failure') return 'retryable';
  const { status, code, field } = outcome;
  if (status === 200) return null;
  const table = operation === 'token' ? tokenServiceRefusals : keyServiceRefusals;
  const exact = table.find(
    (row) => row.status === status && row.code === code && (row.field ?? null) === field && code !== null,
  );
  const named = exact ?? table.find((row) => row.status === status && row.code === code && code !== null);
  if (named !== undefined) return named.means;
  if (operation === 'token') return status === 401 || status === 403 ? 'denied' : 'retryable';
  if (status === 401 || status === 403) return 'denied';
  return status === 410 ? 'gone' : 'retryable';
};

const isFinal = (exchange: Exchange): boolean =>
  exchange.operation !== 'token' && ['badCiphertext', 'badConfiguration'].includes(meaningOf(exchange) ?? '');

/** How the line of a refusal has to read: its own status, code or failure, or the words of its kind. */
const wordsOf = (exchange: Exchange): RegExp | null => {
  const { operation, outcome } = exchange;
  const meaning = meaningOf(exchange);
  if (operation === 'token') {
    // A caller that could not wait for the token's answer has said so instead.
    if (meaning === null) return null;
    return meaning === 'denied' ? /the token service refuses/ : /token service: /;
  }
  if (outcome.kind === 'failure') return new RegExp(`: ${outcome.failure}: `);
  switch (meaning) {
    case null:
      return null;
    case 'notActive':
      return /the root key is /;
    case 'gone':
      return /does not exist, or is deleted/;
    case 'denied':
      return /the key service refuses/;
    case 'badCiphertext':
      return /did not wrap the stored seed/;
    default:
      return new RegExp(`HTTP ${outcome.status}${outcome.code === null ? '' : ` ${outcome.code}`}`);
  }
};

const complaintsAboutTime = ({ script, network, result, startedMs, endedMs }: Run): string[] => {
  const tookMs = endedMs - startedMs;
  const limitMs = script.kmsTimeoutMinutes * 60_000;
  const complaints: string[] = [];
  if (limitMs > 0 && tookMs > limitMs + 150) complaints.push(`took ${tookMs} ms of ${limitMs}`);
  // One full pass: state, every entry, wrap and its confirmation.
  const passMs = (script.entries + 3) * CALL_MS;
  if (limitMs === 0 && tookMs > passMs) complaints.push(`one pass took ${tookMs} ms, at most ${passMs} are allowed`);
  if (!isError(result)) return complaints;
  const endsEarly: readonly string[] = ['KMS_CONFIGURATION_REFUSED', 'KMS_SEED_CHANGED', 'KMS_UNWRAP_FAILED'];
  const gaveUpEarly = limitMs > 0 && tookMs < limitMs - 150;
  if (!gaveUpEarly) return complaints;
  if (!endsEarly.includes(result.code)) complaints.push(`${result.code} after ${tookMs} ms of ${limitMs}`);
  const isLied = result.code === 'KMS_SEED_CHANGED';
  const isMangled = network.exchanges.some(({ outcome }) => outcome.kind === 'answer' && outcome.isTouched);
  const hasFinal = network.exchanges.some(isFinal);
  if (!hasFinal && !isMangled) complaints.push(`${result.code} although nothing final was answered`);
  if (isLied && !isMangled && !hasFinal) complaints.push('a lie was seen where there was none');
  return complaints;
};

const complaintsAboutRetries = ({ network, stored }: Run): string[] => {
  const complaints: string[] = [];
  for (const [at, exchange] of network.exchanges.entries()) {
    const later = network.exchanges.slice(at + 1).filter(({ entry }) => entry === exchange.entry);
    const { operation, outcome, ciphertext } = exchange;
    const isAboutStored = operation === 'unwrap' && ciphertext === stored;
    if (isFinal(exchange) && isAboutStored && later.some((again) => again.ciphertext === stored)) {
      complaints.push(`entry ${exchange.entry + 1} is asked to unwrap again after ${JSON.stringify(outcome)}`);
    }
    const endsAll = operation === 'metadata' && exchange.entry === 0 && meaningOf(exchange) === 'badConfiguration';
    if (endsAll && at < network.exchanges.length - 1) complaints.push('asked on after a final answer about entry 1');
    if (outcome.kind !== 'answer' || meaningOf(exchange) !== 'retryable' || outcome.retryAfterMs === null) continue;
    const notBeforeMs = exchange.answeredMs + Math.min(outcome.retryAfterMs, LONGEST_PATIENCE_MS);
    const hasty = later.find(({ askedMs }) => askedMs < notBeforeMs);
    if (hasty !== undefined)
      complaints.push(
        `entry ${exchange.entry + 1} asked for ${outcome.retryAfterMs} ms and got ${hasty.askedMs - exchange.answeredMs}`,
      );
  }
  return complaints;
};

/** A 401 is asked again once with a new token: only the second one in a row is an answer. */
const isSecondUnauthorized = (exchanges: readonly Exchange[], at: number): boolean => {
  const exchange = exchanges[at] as Exchange;
  const before = exchanges
    .slice(0, at)
    .filter(({ entry, operation }) => entry === exchange.entry && operation !== 'token')
    .at(-1);
  return (
    before?.operation === exchange.operation &&
    before.outcome.kind === 'answer' &&
    before.outcome.status === 401 &&
    before.ciphertext === exchange.ciphertext
  );
};

const complaintsAboutReasons = ({ network, result, endedMs }: Run): string[] => {
  if (!isError(result)) return [];
  const { cause } = result;
  if (!(cause instanceof AggregateError)) return ['the error has no reasons'];
  const lines = (cause.errors as readonly Error[]).map(({ message }) => message);
  return network.exchanges.flatMap((exchange, at) => {
    const { entry, outcome, operation, answeredMs } = exchange;
    const isUnauthorized = outcome.kind === 'answer' && outcome.status === 401 && operation !== 'token';
    if (isUnauthorized && !isSecondUnauthorized(network.exchanges, at)) return [];
    const words = answeredMs > endedMs ? null : wordsOf(exchange);
    const isSaid =
      words === null || lines.some((line) => line.startsWith(`kms entry ${entry + 1},`) && words.test(line));
    return isSaid ? [] : [`hidden: entry ${entry + 1} ${operation} ${JSON.stringify(outcome)}`];
  });
};

const complaintsAboutOpening = ({ network, seed, stored, result }: Run): string[] => {
  if (isError(result)) return [];
  const complaints: string[] = [];
  const text = result.seed3.expose((bytes) => bytes.toString('latin1'));
  if (stored !== null && text !== seed) complaints.push('a wrong seed was returned');
  if (stored === null && Buffer.from(text, 'base64').length !== 32) complaints.push('a new seed has not 32 bytes');
  const saidActive = network.exchanges.findLast(
    ({ entry, operation, askedMs }) => entry === 0 && operation === 'metadata' && askedMs >= result.askedAtMs,
  );
  const { outcome } = saidActive ?? {};
  if (outcome?.kind !== 'answer' || outcome.status !== 200 || outcome.state !== 1) {
    complaints.push(`opened although entry 1 said ${JSON.stringify(outcome)}`);
  }
  return complaints;
};

const complaintsAboutSecrets = ({ network, result, said, secrets, seed }: Run): string[] => {
  const facts = isError(result)
    ? [describeChain(result), result, ...((result.cause as AggregateError | undefined)?.errors ?? []).map(String)]
    : [];
  const everything = JSON.stringify([said, facts]);
  const planted = [...secrets, ...network.tokens, ...(seed === null ? [] : [seed])];
  return planted.filter((secret) => everything.includes(secret)).map(() => 'a secret was said');
};

/** Everything that is wrong with a run; empty when it is right. */
export const judge = (run: Run): string[] => [
  ...complaintsAboutTime(run),
  ...complaintsAboutRetries(run),
  ...complaintsAboutReasons(run),
  ...complaintsAboutOpening(run),
  ...complaintsAboutSecrets(run),
];
