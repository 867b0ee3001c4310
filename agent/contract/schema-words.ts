/** What a broken rule of a schema is called, and how it is told: from the schema's own description and examples. */
import type { SchemaError } from '../../contract-schema/generated/contract-validators.js';
import { closest } from './closest.ts';
import { type FindingDetail, quoted } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import { isMapping, type YamlValue } from './strict-yaml.ts';

/** Longer mappings and lists are for the documentation; a hint is one line. */
const longestExample = 100;

/** An example as somebody would type it on one line. */
const typed = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(typed).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${key}: ${typed(item)}`)
      .join(', ')}}`;
  }
  const isPlain =
    typeof value === 'string' && /^[A-Za-z/][\w./:@-]*$/.test(value) && !/^(?:true|false|null)$/.test(value);
  return isPlain ? value : JSON.stringify(value);
};

const describe = (schema: unknown): string => {
  const { description, examples } = (schema ?? {}) as { description?: string; examples?: readonly unknown[] };
  if (description === undefined) return '';
  const [example] = examples ?? [];
  const isLong = typeof example === 'object' && typed(example).length > longestExample;
  if (example === undefined || isLong) return description;
  return `${description}; example: ${typeof example === 'string' ? example : typed(example)}`;
};

export const propertiesOf = (schema: unknown): Readonly<Record<string, unknown>> =>
  ((schema as { properties?: Record<string, unknown> } | undefined)?.properties ?? {}) as Record<string, unknown>;

/** What went wrong, with the key it is about when that is not the value itself. */
export interface Told extends FindingDetail {
  readonly code: FindingCode;
  readonly key?: string;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping',
  array: 'a list',
};

const listed = (values: unknown): string =>
  Array.isArray(values) ? values.map((value) => String(value)).join(', ') : String(values);

export const requiredOf = (schema: unknown): readonly string[] =>
  Array.isArray(schema) ? schema.flatMap((branch) => (branch as { required?: string[] }).required ?? []) : [];

const rulesOfText: ReadonlySet<string> = new Set(['pattern', 'minLength', 'maxLength']);

/** Errors of `propertyNames` are about a key, though they carry the path of the mapping that has it. */
export const isAboutName = ({ keyword, propertyName }: SchemaError, value: YamlValue | undefined): boolean =>
  propertyName !== undefined || (rulesOfText.has(keyword) && typeof value !== 'string');

/** What the `then` of a condition says about itself, for what it forbids. */
const conditionOf = (error: SchemaError, all: readonly SchemaError[]): string | null => {
  const condition = all.find(
    (other) => other.keyword === 'if' && error.schemaPath.startsWith(`${other.schemaPath.slice(0, -2)}then/`),
  );
  const { then } = (condition?.parentSchema ?? {}) as { readonly then?: unknown };
  return condition === undefined ? null : describe(then);
};

/** Words for one error about `value`; `all` are the errors it came with. */
export const tell = (error: SchemaError, value: YamlValue | undefined, all: readonly SchemaError[]): Told => {
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
            ? describe(known[missing]) || (Object.keys(known).length === 0 ? about : `add ${quoted(missing)}: ${about}`)
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
        hint:
          describe(
            all.find((other) => other.instancePath === error.instancePath && isAboutName(other, value))?.parentSchema,
          ) || hint('see the schema'),
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
    case 'anyOf':
      return {
        code: 'WRONG_CHOICE',
        message: `at least one of ${requiredOf(schema).join(', ')} is needed`,
        hint: hint('add one of them'),
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
    case 'false schema': {
      const condition = conditionOf(error, all);
      if (condition !== null) {
        return { code: 'WRONG_CHOICE', message: 'this cannot stand beside the other keys here', hint: condition };
      }
      return {
        code: 'NOT_IN_PROFILE',
        message: 'this is not available in the chosen profile',
        hint: 'choose another --profile, or remove it',
      };
    }
    default:
      return { code: 'WRONG_VALUE', message: `the value breaks the rule ${keyword}`, hint: hint('see the schema') };
  }
};
