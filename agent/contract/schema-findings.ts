/** Answers of the compiled schema validators, told as findings: one fault, one finding, no value quoted. */
import type { SchemaError, Validator } from '../../contract-schema/generated/contract-validators.js';
import { closest } from './closest.ts';
import { type FindingDetail, finding, type ParsedGround, quoted } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import { isMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';

const limit = 50;

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

const describe = (schema: unknown): string => {
  const { description, examples } = (schema ?? {}) as { description?: string; examples?: readonly unknown[] };
  const example = examples?.[0];
  const shown = typeof example === 'string' || typeof example === 'number' ? `; example: ${example}` : '';
  return description === undefined ? '' : `${description}${shown}`;
};

const propertiesOf = (schema: unknown): Readonly<Record<string, unknown>> =>
  ((schema as { properties?: Record<string, unknown> } | undefined)?.properties ?? {}) as Record<string, unknown>;

/** What went wrong, with the key it is about when that is not the value itself. */
interface Told extends FindingDetail {
  readonly code: FindingCode;
  readonly key?: string;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  object: 'a mapping',
  array: 'a list',
};

const listed = (values: unknown): string =>
  Array.isArray(values) ? values.map((value) => String(value)).join(', ') : String(values);

const requiredOf = (schema: unknown): readonly string[] =>
  Array.isArray(schema) ? schema.flatMap((branch) => (branch as { required?: string[] }).required ?? []) : [];

const tell = (error: SchemaError, value: YamlValue | undefined): Told => {
  const { keyword, params, schema, parentSchema } = error;
  const about = describe(parentSchema);
  const hint = (fallback: string): string => (about === '' ? fallback : about);
  switch (keyword) {
    case 'required':
    case 'dependentRequired': {
      const missing = String(params.missingProperty);
      const present = isMapping(value) ? Object.keys(value) : [];
      const known = propertiesOf(parentSchema);
      const near = closest(
        missing,
        present.filter((key) => !(key in known)),
      );
      return {
        code: 'MISSING_KEY',
        message: `the key ${quoted(missing)} is missing`,
        hint:
          near === null
            ? describe(known[missing]) || `add ${quoted(missing)}`
            : `is ${quoted(near)} meant to be ${quoted(missing)}?`,
      };
    }
    case 'additionalProperties': {
      const key = String(params.additionalProperty);
      const known = Object.keys(propertiesOf(parentSchema));
      const near = closest(key, known);
      const allowed =
        known.length === 0 ? hint('see the schema for allowed names') : `allowed here: ${known.join(', ')}`;
      return {
        code: 'UNKNOWN_KEY',
        key,
        message: `the key ${quoted(key)} is not allowed here`,
        hint: near === null ? allowed : `is ${quoted(near)} meant? ${allowed}`,
      };
    }
    case 'propertyNames': {
      const key = String(params.propertyName);
      return {
        code: 'WRONG_PATTERN',
        key,
        message: `${quoted(key)} cannot be a name here`,
        hint: hint('see the schema'),
      };
    }
    case 'type':
      return {
        code: 'WRONG_TYPE',
        message: `this must be ${[params.type]
          .flat()
          .map((type) => typeNames[String(type)] ?? type)
          .join(' or ')}`,
        hint:
          params.type === 'string'
            ? `put the value in quotes${about === '' ? '' : `: ${about}`}`
            : hint('change the value'),
      };
    case 'const':
      return {
        code: 'WRONG_VALUE',
        message: `this must be ${quoted(String(params.allowedValue))}`,
        hint: hint('change the value'),
      };
    case 'enum':
      return {
        code: 'WRONG_VALUE',
        message: `this must be one of ${listed(params.allowedValues)}`,
        hint: hint('change the value'),
      };
    case 'pattern':
      return { code: 'WRONG_PATTERN', message: 'the value does not have the right form', hint: hint('see the schema') };
    case 'minLength':
      return {
        code: 'WRONG_LENGTH',
        message: `at least ${params.limit} characters are needed`,
        hint: hint('use a longer value'),
      };
    case 'maxLength':
      return {
        code: 'WRONG_LENGTH',
        message: `at most ${params.limit} characters are allowed`,
        hint: hint('use a shorter value'),
      };
    case 'minItems':
    case 'minProperties':
      return { code: 'WRONG_LENGTH', message: `at least ${params.limit} needed`, hint: hint('add one') };
    case 'maxItems':
    case 'maxProperties':
      return { code: 'WRONG_LENGTH', message: `at most ${params.limit} allowed`, hint: hint('remove some') };
    case 'minimum':
    case 'maximum':
      return {
        code: 'OUT_OF_RANGE',
        message: `the number must be at ${keyword === 'minimum' ? 'least' : 'most'} ${params.limit}`,
        hint: hint('change the number'),
      };
    case 'oneOf': {
      const names = requiredOf(schema);
      const given = isMapping(value) ? names.filter((name) => name in value) : [];
      return {
        code: 'WRONG_CHOICE',
        message: `exactly one of ${names.join(', ')} is needed, ${given.length === 0 ? 'none is' : `${given.join(' and ')} are`} given`,
        hint: hint('keep one of them'),
      };
    }
    case 'uniqueItems':
      return { code: 'WRONG_VALUE', message: 'two items are the same', hint: hint('remove one') };
    case 'false schema':
      return {
        code: 'NOT_IN_PROFILE',
        message: 'this is not available in the chosen profile',
        hint: 'choose another --profile, or remove it',
      };
    default:
      return { code: 'WRONG_VALUE', message: `the value breaks the rule ${keyword}`, hint: hint('see the schema') };
  }
};

/** Errors inside a branch of oneOf, and of a name's own schema, only repeat what their parent says. */
const isRepetition = (error: SchemaError, all: readonly SchemaError[]): boolean =>
  error.propertyName !== undefined ||
  all.some(
    (other) =>
      other.keyword === 'oneOf' &&
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

/** Runs `validator` over `root` and tells its errors with their place in `ground`. */
export const schemaFindings = (validator: Validator, ground: ParsedGround, root: YamlValue): readonly Finding[] => {
  if (validator(root)) return [];
  const errors = validator.errors ?? [];
  return errors
    .filter((error) => !isRepetition(error, errors) && !isMisspelling(error, errors))
    .slice(0, limit)
    .map((error) => {
      const path = pathOf(error.instancePath, root);
      const value = path.reduce<YamlValue | undefined>(
        (at, part) =>
          Array.isArray(at) ? (at as readonly YamlValue[])[part as number] : isMapping(at) ? at[part] : undefined,
        root,
      );
      const { code, key, message, hint } = tell(error, value);
      return key === undefined
        ? finding(code, ground, path, { message, hint })
        : finding(code, ground, [...path, key], { message, hint }, 'key');
    });
};
