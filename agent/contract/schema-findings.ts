/** Answers of the compiled schema validators, told as findings: one fault, one finding, no value quoted. */
import type { SchemaError, Validator } from '../../contract-schema/generated/contract-validators.js';
import { closest } from './closest.ts';
import { finding, type ParsedGround } from './finding.ts';
import { isAboutName, propertiesOf, requiredOf, tell } from './schema-words.ts';
import { isMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';

const limit = 50;

const isChoice = (keyword: string): boolean => keyword === 'oneOf' || keyword === 'anyOf';
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

/**
 * Errors that only repeat others: of a condition as a whole, inside a branch of a choice, a choice that fails because
 * the value is of the wrong type, and those about a name, which ajv gives the path of its mapping.
 */
const isRepetition = (error: SchemaError, value: YamlValue | undefined, all: readonly SchemaError[]): boolean => {
  const { keyword, schemaPath } = error;
  if (keyword === 'if' || isAboutName(error, value)) return true;
  const beside = all.filter((other) => other !== error && other.instancePath === error.instancePath);
  if (isChoice(keyword)) return beside.some((other) => other.keyword === 'type');
  return beside.some((other) => isChoice(other.keyword) && schemaPath.startsWith(`${other.schemaPath}/`));
};

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
    .filter((error) => !isMisspelling(error, errors))
    .map((error) => {
      const path = pathOf(error.instancePath, root);
      return { error, path, value: valueAt(root, path) };
    })
    .filter(({ error, value }) => !isRepetition(error, value, errors))
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
