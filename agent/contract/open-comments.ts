/** Comments of the contract itself: whatever is encrypted, they would stay readable. */
import type { StrictDocument } from './strict-yaml.ts';

/** What stands inside a section that is a mapping is encrypted with it. */
const sections: ReadonlySet<unknown> = new Set(['workload', 'env']);

/** Lines with a comment outside of every value. */
export const openComments = ({ text, places }: StrictDocument): number => {
  const values = places.filter(
    ({ path, isScalar }) => path.length > 0 && (isScalar || (path.length === 1 && sections.has(path[0]))),
  );
  const outside = [...text.matchAll(/(?<=^|[ \t])#/gm)]
    .map(({ index }) => index)
    .filter(
      (at) =>
        !values.some(
          ({ start, end, style }) => at >= (style === 'literal' ? text.indexOf('\n', start) : start) && at < end,
        ),
    );
  return new Set(outside.map((at) => text.lastIndexOf('\n', at))).size;
};
