/**
 * Which notice is due in which hour. Schedules: IBM Cloud documentation, "About the contract" (contract expiry) and
 * "Validating the certificates" (encryption certificate). A function of two dates and nothing else: a wall clock that jumps
 * leaves no backlog to work off and nothing to wait for.
 */
import type { Ends } from './expiry-file.ts';

export type Notice =
  | { readonly name: 'CONTRACT_VALID' | 'CONTRACT_WILL_EXPIRE' | 'CERTIFICATE_WILL_EXPIRE'; readonly end: Date }
  | { readonly name: 'CONTRACT_HAS_EXPIRED' | 'CERTIFICATE_HAS_EXPIRED'; readonly end: Date };

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Whether anything may be due is asked once an hour, in UTC. */
export const hourly = '0 * * * *';

interface Rule {
  /** Applies while at least this much time is left; the rules of a table go from the longest to the shortest. */
  readonly leftMs: number;
  readonly isDue: (at: Date) => boolean;
}

const everyHours =
  (hours: number) =>
  (at: Date): boolean =>
    at.getUTCHours() % hours === 0;
const firstOfMonth = (at: Date): boolean => at.getUTCDate() === 1 && at.getUTCHours() === 0;
const never = (): boolean => false;

/** First day of a month; daily in the last 30 days; every 4 hours within 7 days; hourly within the last day and after. */
const contractRules: readonly Rule[] = [
  { leftMs: 30 * dayMs, isDue: firstOfMonth },
  { leftMs: 7 * dayMs, isDue: everyHours(24) },
  { leftMs: dayMs, isDue: everyHours(4) },
  { leftMs: Number.NEGATIVE_INFINITY, isDue: everyHours(1) },
];

/** Every 24 hours in the last 30 days, every 12 within 7 days, every 4 after the end. */
const certificateRules: readonly Rule[] = [
  { leftMs: 30 * dayMs, isDue: never },
  { leftMs: 7 * dayMs, isDue: everyHours(24) },
  { leftMs: 0, isDue: everyHours(12) },
  { leftMs: Number.NEGATIVE_INFINITY, isDue: everyHours(4) },
];

const isDue = (rules: readonly Rule[], end: Date, at: Date): boolean => {
  const leftMs = end.getTime() - at.getTime();
  return rules.find((rule) => leftMs > rule.leftMs)?.isDue(at) ?? false;
};

const aboutContract = (end: Date, at: Date): Notice => {
  const leftMs = end.getTime() - at.getTime();
  if (leftMs <= 0) return { name: 'CONTRACT_HAS_EXPIRED', end };
  return { name: leftMs > 30 * dayMs ? 'CONTRACT_VALID' : 'CONTRACT_WILL_EXPIRE', end };
};

const aboutCertificate = (end: Date, at: Date): Notice => ({
  name: end.getTime() > at.getTime() ? 'CERTIFICATE_WILL_EXPIRE' : 'CERTIFICATE_HAS_EXPIRED',
  end,
});

/** What is to be said in the hour that begins at `at`. */
export const noticesDue = ({ contract, certificate }: Ends, at: Date): readonly Notice[] => [
  ...(contract !== null && isDue(contractRules, contract, at) ? [aboutContract(contract, at)] : []),
  ...(certificate !== null && isDue(certificateRules, certificate, at) ? [aboutCertificate(certificate, at)] : []),
];

/** What is said once when a guest has started, whatever the hour: how the contract stands, and a certificate that ends soon. */
export const noticesAtStart = ({ contract, certificate }: Ends, at: Date): readonly Notice[] => [
  ...(contract === null ? [] : [aboutContract(contract, at)]),
  ...(certificate !== null && certificate.getTime() - at.getTime() <= 30 * dayMs
    ? [aboutCertificate(certificate, at)]
    : []),
];

const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** `03 March 2027 at 09:05:00 UTC`, as HPCR writes dates in these messages. */
export const shownDate = (date: Date): string => {
  const two = (count: number): string => String(count).padStart(2, '0');
  const day = `${two(date.getUTCDate())} ${months[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  return `${day} at ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} UTC`;
};

/** Time left in the largest unit that is whole at least twice. */
export const shownLeft = (leftMs: number): string => {
  const units = [
    [30 * dayMs, 'months'],
    [dayMs, 'days'],
    [hourMs, 'hours'],
  ] as const;
  const [unitMs, unit] = units.find(([length]) => leftMs >= 2 * length) ?? [60_000, 'minutes'];
  return `over ${Math.max(0, Math.floor(leftMs / unitMs))} ${unit}`;
};
