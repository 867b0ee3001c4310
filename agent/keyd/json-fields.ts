/** Reading parsed JSON field by field. Every function throws `Malformed`, which says what was expected, never what was found. */

export class Malformed extends Error {}

export const fields = (value: unknown): { readonly [key: string]: unknown } => {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Malformed('an object is expected');
  return value as { readonly [key: string]: unknown };
};

export const list = (value: unknown): readonly unknown[] => {
  if (!Array.isArray(value)) throw new Malformed('a list is expected');
  return value;
};

export const text = (value: unknown): string => {
  if (typeof value !== 'string') throw new Malformed('a text is expected');
  return value;
};

export const texts = (value: unknown): readonly string[] => list(value).map(text);

export const number = (value: unknown): number => {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Malformed('a number is expected');
  return value;
};

export const flag = (value: unknown): boolean => {
  if (typeof value !== 'boolean') throw new Malformed('true or false is expected');
  return value;
};

export const oneOf = <T extends string>(value: unknown, allowed: readonly T[]): T => {
  const found = allowed.find((entry) => entry === value);
  if (found === undefined) throw new Malformed(`one of ${allowed.join(', ')} is expected`);
  return found;
};
