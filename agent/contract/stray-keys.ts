/** Keys that no schema refuses and nobody reads: mostly misspelt ones. */
import { closest } from './closest.ts';
import { quoted } from './finding.ts';
import type { YamlMapping } from './strict-yaml.ts';

export interface StrayKey {
  readonly key: string;
  readonly message: string;
  /** Made when asked for: comparing names takes time, and a hostile document has many. */
  readonly hint: () => string;
}

/** "is … meant?" when one of `names` is near, else `otherwise`. */
export const meantOr = (name: string, names: readonly string[], otherwise: string): string => {
  const near = closest(name, names.slice(0, 200));
  return near === null ? otherwise : `is ${quoted(near)} meant?`;
};

/** The keys of `value` that are not among `known`. */
export const strayKeys = (value: YamlMapping, known: readonly string[]): readonly StrayKey[] =>
  Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => ({
      key,
      message: `the key ${quoted(key)} is not known here and has no effect`,
      hint: () => meantOr(key, known, `known here: ${known.join(', ')}`),
    }));
