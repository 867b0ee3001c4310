/** Finding values of a parsed document again: by path, and by where they stand. Made for thousands of look-ups. */
import type { StrictDocument, YamlPath, YamlPlace } from './strict-yaml.ts';

interface Index {
  readonly byPath: ReadonlyMap<string, YamlPlace>;
  /** Scalars that take up room, by their start. They do not overlap, so it is by their end, too. */
  readonly scalars: readonly YamlPlace[];
}

const indexes = new WeakMap<readonly YamlPlace[], Index>();

/** Tells `['a', 0]` and `['a', '0']` apart. */
const nameOf = (path: YamlPath): string => JSON.stringify(path);

const indexOf = ({ places }: StrictDocument): Index => {
  const known = indexes.get(places);
  if (known !== undefined) return known;
  const scalars = places.filter(({ isScalar, start, end }) => isScalar && end > start);
  const index = {
    byPath: new Map(places.map((place) => [nameOf(place.path), place])),
    scalars: scalars.sort((a, b) => a.start - b.start),
  };
  indexes.set(places, index);
  return index;
};

export const placeAt = (document: StrictDocument, path: YamlPath): YamlPlace | undefined =>
  indexOf(document).byPath.get(nameOf(path));

/** Scalars that share a character with the half-open range of characters, in order. */
export const scalarsWithin = (document: StrictDocument, start: number, end: number): readonly YamlPlace[] => {
  const { scalars } = indexOf(document);
  let [low, high] = [0, scalars.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((scalars[middle]?.end ?? 0) > start) high = middle;
    else low = middle + 1;
  }
  let after = low;
  while ((scalars[after]?.start ?? end) < end) after += 1;
  return scalars.slice(low, after);
};
