/** Schemas that repeat parts of each other, such as a section and its variant for another profile. */
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from './schemas.ts';

type Parts = '$defs' | 'properties';

/** Referring to less than this is no gain. */
const smallestCharacters = 200;

const partsOf = (schema: JsonObject, kind: Parts): Readonly<Record<string, Json>> =>
  (schema[kind] ?? {}) as Readonly<Record<string, Json>>;

/** Names of the definitions of its own schema that `part` refers to. */
const referredTo = (part: Json): readonly string[] =>
  [...JSON.stringify(part).matchAll(/"\$ref":"#\/\$defs\/([^"/]+)"/g)].map(([, name = '']) => name);

/** Whether both have the same part `name`, with all that it refers to. */
const isSame = (
  one: JsonObject,
  other: JsonObject,
  kind: Parts,
  name: string,
  seen: readonly string[] = [],
): boolean => {
  if (seen.includes(name)) return true;
  const [part, its] = [partsOf(one, kind)[name], partsOf(other, kind)[name]];
  if (part === undefined || its === undefined || !isDeepStrictEqual(part, its)) return false;
  return referredTo(part).every((inner) => isSame(one, other, '$defs', inner, [...seen, name]));
};

/** `schema` with references to `source` in place of parts that both have. */
const sharing = (schema: JsonObject, source: JsonObject, sourceName: string): JsonObject => {
  const shared = (kind: Parts): Readonly<Record<string, Json>> =>
    Object.fromEntries(
      Object.entries(partsOf(schema, kind)).map(([name, part]) => {
        const isLarge = JSON.stringify(part).length >= smallestCharacters;
        return isLarge && isSame(schema, source, kind, name)
          ? [name, { $ref: `${sourceName}#/${kind}/${name}` }]
          : [name, part];
      }),
    );
  return {
    ...schema,
    ...('$defs' in schema ? { $defs: shared('$defs') } : {}),
    ...('properties' in schema ? { properties: shared('properties') } : {}),
  };
};

/** The same schemas; what is made of a part that several have is made once. */
export const withSharedParts = (
  schemas: Readonly<Record<string, JsonObject>>,
): Readonly<Record<string, JsonObject>> => {
  const entries = Object.entries(schemas);
  return Object.fromEntries(
    entries.map(([name, schema], at) => {
      // The first that resembles it is the one that all variants are made of.
      const source = entries
        .slice(0, at)
        .find(([, earlier]) => earlier.title !== undefined && earlier.title === schema.title);
      return [name, source === undefined ? schema : sharing(schema, source[1], source[0])];
    }),
  );
};
