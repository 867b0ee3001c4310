/**
 * What the unprivileged daemon may say to the store verb, and what it hears back: one JSON document each way. The daemon speaks to
 * the network, so the verb believes none of it: everything that says where to write comes from the hand-over of boot, and
 * the request only repeats it to be compared.
 */
import { isWrappedText } from '../kms/wrapped-text.ts';
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, flag, Malformed, text } from './json-fields.ts';

export interface StoreRequest {
  /** Volume key of the contract. */
  readonly volume: string;
  /** The root key that wrapped it: has to be the one of the hand-over. */
  readonly crn: string;
  readonly wrapped: string;
  readonly keyVersion: string;
}

/** Four texts of bounded length; a wrapped seed is the longest with 4096 characters. */
export const storeRequestMaxBytes = 8 * 1024;
export const storeAnswerMaxBytes = 4 * 1024;
const longestReason = 500;

/** As `KeyBackend` promises it. */
const keyVersionForm = /^[A-Za-z0-9_-]{1,64}$/;
const requestFields = ['crn', 'keyVersion', 'version', 'volume', 'wrapped'].join();

export const renderStoreRequest = ({ volume, crn, wrapped, keyVersion }: StoreRequest): Buffer =>
  Buffer.from(JSON.stringify({ version: 1, volume, crn, wrapped, keyVersion }));

/** Reads a document of `renderStoreRequest`. A string says what is wrong with it; it never contains a value. */
export const parseStoreRequest = (bytes: Buffer): StoreRequest | string => {
  if (bytes.length > storeRequestMaxBytes) return 'it is too long';
  const parsed = parseStrictJson(bytes.toString('utf8'));
  if (parsed === null) return 'it is not JSON';
  try {
    const given = fields(parsed.value);
    if (Object.keys(given).sort().join() !== requestFields || given.version !== 1) return 'it is not of this version';
    const wrapped = text(given.wrapped);
    const keyVersion = text(given.keyVersion);
    if (!isWrappedText(wrapped)) return 'the wrapped seed is not base64 of a known length';
    if (!keyVersionForm.test(keyVersion)) return 'the key version has a form that none has';
    return { volume: text(given.volume), crn: text(given.crn), wrapped, keyVersion };
  } catch (error) {
    if (error instanceof Malformed) return `a field is missing or wrong: ${error.message}`;
    throw error;
  }
};

export type StoreAnswer = { readonly stored: true } | { readonly stored: false; readonly reason: string };

export const renderStoreAnswer = (answer: StoreAnswer): string =>
  JSON.stringify(answer.stored ? answer : { stored: false, reason: answer.reason.slice(0, longestReason) });

/** Null when it is none: a verb that was ended in the middle has not said that it is done. */
export const parseStoreAnswer = (bytes: Buffer): StoreAnswer | null => {
  const parsed = parseStrictJson(bytes.toString('utf8'));
  if (parsed === null) return null;
  try {
    const { stored, reason } = fields(parsed.value);
    return flag(stored) ? { stored: true } : { stored: false, reason: text(reason).slice(0, longestReason) };
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
};
