/**
 * Documents of our own, read back: exactly the fields that were written, each of its kind. A reader answers the value, or
 * throws `Unfit`, which tells where and never what was found.
 */
import { type Json, parseStrictJson } from './strict-json.ts';

export class Unfit extends Error {}

export type Reader<T> = (value: Json | undefined, at: string) => T;
export interface Wrong {
  readonly wrong: string;
}

const unfit = (at: string, expected: string): never => {
  throw new Unfit(`${at === '' ? 'the document' : at}: ${expected} is expected`);
};

/** Longest text in a document: paths, names, reasons. */
const maxText = 4096;
const maxItems = 256;

export const text: Reader<string> = (value, at) =>
  typeof value === 'string' && value.length <= maxText ? value : unfit(at, 'a text');

export const matching =
  (pattern: RegExp, what: string): Reader<string> =>
  (value, at) =>
    typeof value === 'string' && pattern.test(value) ? value : unfit(at, what);

/** A whole number from 0 on that a number of JavaScript holds exactly. */
export const count: Reader<number> = (value, at) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : unfit(at, 'a whole number');

export const flag: Reader<boolean> = (value, at) => (typeof value === 'boolean' ? value : unfit(at, 'true or false'));

export const one =
  <const T extends Json>(...allowed: readonly T[]): Reader<T> =>
  (value, at) => {
    const found = allowed.find((entry) => entry === value);
    return found === undefined ? unfit(at, allowed.map((entry) => JSON.stringify(entry)).join(' or ')) : found;
  };

export const orNull =
  <T>(reader: Reader<T>): Reader<T | null> =>
  (value, at) =>
    value === null ? null : reader(value, at);

export const array =
  <T>(reader: Reader<T>): Reader<readonly T[]> =>
  (value, at) =>
    Array.isArray(value) && value.length <= maxItems
      ? value.map((entry: Json, index) => reader(entry, `${at}[${index}]`))
      : unfit(at, `a list of at most ${maxItems}`);

type Shape = Readonly<Record<string, Reader<unknown>>>;
type Of<S extends Shape> = { readonly [K in keyof S]: S[K] extends Reader<infer T> ? T : never };

/** An object with these fields and no others. */
export const exact =
  <S extends Shape>(shape: S): Reader<Of<S>> =>
  (value, at) => {
    if (value === null || value === undefined || typeof value !== 'object' || Array.isArray(value))
      return unfit(at, 'an object');
    const given = value as { readonly [key: string]: Json };
    const where = (name: string): string => (at === '' ? name : `${at}.${name}`);
    for (const name of Object.keys(given))
      if (!Object.hasOwn(shape, name)) unfit(where(JSON.stringify(name).slice(0, 80)), 'nothing');
    return Object.fromEntries(
      Object.entries(shape).map(([name, reader]) => [
        name,
        reader(Object.hasOwn(given, name) ? given[name] : undefined, where(name)),
      ]),
    ) as Of<S>;
  };

/** Parses `bytes` with `reader`. Duplicate names are refused as well. */
export const read = <T extends object>(reader: Reader<T>, bytes: string): T | Wrong => {
  const parsed = parseStrictJson(bytes);
  if (parsed === null) return { wrong: 'it is not JSON, or names a field twice' };
  try {
    return reader(parsed.value, '');
  } catch (error) {
    if (error instanceof Unfit) return { wrong: error.message };
    throw error;
  }
};
