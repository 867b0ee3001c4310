/** Finding values of a parsed document again: by path, and by where they stand. Made for thousands of look-ups. */
import { holdsValue } from './shown-name.ts';
import type { StrictDocument, YamlPath, YamlPlace } from './strict-yaml.ts';

interface Index {
  readonly byPath: ReadonlyMap<string, YamlPlace>;
  /** What may be secret, by its start. They do not overlap, so it is by their end, too. */
  readonly secrets: readonly YamlPlace[];
}

const indexes = new WeakMap<readonly YamlPlace[], Index>();

/** Tells `['a', 0]` and `['a', '0']` apart. */
const nameOf = (path: YamlPath): string => JSON.stringify(path);

/** A key that holds a value, from its first character to the value after it. */
const gluedKey = (place: YamlPlace): readonly YamlPlace[] => {
  const { path, keyOffset, start } = place;
  const name = path.at(-1);
  if (typeof name !== 'string' || !holdsValue(name)) return [];
  // With the quotes around it.
  const end = start > keyOffset ? start : keyOffset + name.length + 2;
  return [{ ...place, start: keyOffset, end }];
};

const indexOf = ({ places }: StrictDocument): Index => {
  const known = indexes.get(places);
  if (known !== undefined) return known;
  const scalars = places.filter(({ isScalar, start, end }) => isScalar && end > start);
  const secrets = [...scalars, ...places.flatMap(gluedKey)];
  const index = {
    byPath: new Map(places.map((place) => [nameOf(place.path), place])),
    secrets: secrets.sort((a, b) => a.start - b.start),
  };
  indexes.set(places, index);
  return index;
};

export const placeAt = (document: StrictDocument, path: YamlPath): YamlPlace | undefined =>
  indexOf(document).byPath.get(nameOf(path));

/** Scalars, and keys with a value in them, that share a character with the half-open range of characters, in order. */
export const secretsWithin = (document: StrictDocument, start: number, end: number): readonly YamlPlace[] => {
  const { secrets } = indexOf(document);
  let [low, high] = [0, secrets.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((secrets[middle]?.end ?? 0) > start) high = middle;
    else low = middle + 1;
  }
  let after = low;
  while ((secrets[after]?.start ?? end) < end) after += 1;
  return secrets.slice(low, after);
};
