/** Answers of the compiled schema validators, told as findings: one fault, one finding, no value quoted. */
import type { SchemaError, Validator } from '../../contract-schema/generated/contract-validators.js';
import { closest } from './closest.ts';
import { finding, type ParsedGround } from './finding.ts';
import { propertiesOf, requiredOf, tell } from './schema-words.ts';
import { isMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';

const limit = 50;
/** Errors that are compared with each other; documents with more are hostile. */
const maxErrors = 500;

/** RFC 6901, with numbers for the indices of sequences. */
const pathOf = (pointer: string, root: YamlValue): YamlPath => {
  let value: YamlValue | undefined = root;
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => {
      const isIndex = Array.isArray(value);
      value = isMapping(value) ? value[key] : isIndex ? (value as readonly YamlValue[])[Number(key)] : undefined;
      return isIndex ? Number(key) : key;
    });
};

/** Errors inside a branch of a choice, of a name's own schema, and of a condition as a whole, only repeat others. */
const isRepetition = (error: SchemaError, all: readonly SchemaError[]): boolean =>
  error.keyword === 'if' ||
  error.propertyName !== undefined ||
  all.some(
    (other) =>
      (other.keyword === 'oneOf' || other.keyword === 'anyOf') &&
      other !== error &&
      other.instancePath === error.instancePath &&
      error.schemaPath.startsWith(`${other.schemaPath}/`),
  );

/** A misspelt key is both unknown and missing: the finding about the unknown one says what is meant. */
const isMisspelling = (error: SchemaError, all: readonly SchemaError[]): boolean => {
  if (error.keyword !== 'required' && error.keyword !== 'oneOf') return false;
  const missing = error.keyword === 'required' ? [String(error.params.missingProperty)] : requiredOf(error.schema);
  return all.some((other) => {
    if (other.keyword !== 'additionalProperties' || other.instancePath !== error.instancePath) return false;
    const meant = closest(String(other.params.additionalProperty), Object.keys(propertiesOf(other.parentSchema)));
    return meant !== null && missing.includes(meant);
  });
};

const valueAt = (root: YamlValue, path: YamlPath): YamlValue | undefined =>
  path.reduce<YamlValue | undefined>(
    (at, part) =>
      Array.isArray(at) ? (at as readonly YamlValue[])[part as number] : isMapping(at) ? at[part] : undefined,
    root,
  );

/** A rule that a value of the document broke. */
export interface BrokenRule {
  readonly path: YamlPath;
  readonly value: YamlValue | undefined;
  readonly keyword: string;
  readonly expectedTypes: readonly string[];
}

/**
 * Runs `validator` over `root` and tells its errors with their place in `ground`. `isForgiven` takes out what the
 * schema alone cannot know.
 */
export const schemaFindings = (
  validator: Validator,
  ground: ParsedGround,
  root: YamlValue,
  isForgiven: (broken: BrokenRule) => boolean = () => false,
): readonly Finding[] => {
  if (validator(root)) return [];
  const errors = (validator.errors ?? []).slice(0, maxErrors);
  return errors
    .filter((error) => !isRepetition(error, errors) && !isMisspelling(error, errors))
    .map((error) => {
      const path = pathOf(error.instancePath, root);
      return { error, path, value: valueAt(root, path) };
    })
    .filter(({ error: { keyword, params }, path, value }) => {
      const expectedTypes = keyword === 'type' ? ([params.type].flat() as readonly string[]) : [];
      return !isForgiven({ path, value, keyword, expectedTypes });
    })
    .slice(0, limit)
    .map(({ error, path, value }) => {
      const { code, key, message, hint } = tell(error, value, errors);
      return key === undefined
        ? finding(code, ground, path, { message, hint })
        : finding(code, ground, [...path, key], { message, hint }, 'key');
    });
};
