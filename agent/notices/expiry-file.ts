/** When contract and encryption certificate end: left by a boot for the process that gives notice. */
import { AgentError } from '../errors.ts';
import { exact, one, orNull, read, text } from '../volumes/exact-json.ts';

export interface Ends {
  /** End of the signing certificate, which is the contract's; null when it has none. */
  readonly contract: Date | null;
  /** End of the image's encryption certificate; null when the image names none. */
  readonly certificate: Date | null;
}

export const expiryPath = (run: string): string => `${run}/expiry.json`;
export const expiryMaxBytes = 4096;

export const renderExpiry = ({ contract, certificate }: Ends): string =>
  `${JSON.stringify({ version: 1, contract: contract?.toISOString() ?? null, certificate: certificate?.toISOString() ?? null })}\n`;

const record = exact({ version: one(1), contract: orNull(text), certificate: orNull(text) });

const dateOf = (iso: string | null): Date | null => {
  if (iso === null) return null;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) throw new AgentError('EXPIRY_FILE_INVALID', { reason: 'a date in it is no date' });
  return date;
};

/** Throws EXPIRY_FILE_INVALID. */
export const parseExpiry = (bytes: string): Ends => {
  const parsed = read(record, bytes);
  if ('wrong' in parsed) throw new AgentError('EXPIRY_FILE_INVALID', { reason: parsed.wrong });
  return { contract: dateOf(parsed.contract), certificate: dateOf(parsed.certificate) };
};
