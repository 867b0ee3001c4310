/** Every rule of every schema is broken once, in a valid document of the matrix: the finding that comes, and where. */
import t from 'tap';
import { parse } from 'yaml';
import { type ParsedGround, renderPath } from '../../../agent/contract/finding.ts';
import { parseGround } from '../../../agent/contract/parse-ground.ts';
import { schemaFindings } from '../../../agent/contract/schema-findings.ts';
import type { Validator } from '../../../contract-schema/generated/contract-validators.js';
import * as validators from '../../../contract-schema/generated/contract-validators.js';
import { network as validateNetwork } from '../../../contract-schema/generated/network-validator.js';
import { fixtureSections, type ValidDocument, validDocuments } from '../../../fixtures/field-cases.ts';
import type { Path } from '../../../fixtures/field-rows/row.ts';
import { fieldsAlong, fieldsOf } from '../../../scripts/schema-fields.ts';
import { type JsonObject, schemas, sectionNames, sectionSchemas } from '../../../scripts/schemas.ts';

type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

/** A way to break one rule: what to do with the value, and the finding that must be among those that come. */
interface Break {
  readonly rule: string;
  readonly change: (value: Value) => Value;
  readonly code: string;
  /** Key below the value that the finding is about. */
  readonly key?: string;
}

const stray = 'no such key';
const isMapping = (value: Value | undefined): value is { [key: string]: Value } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrongTypes: readonly Value[] = ['text', 7, true, { a: 1 }, [1]];
const typeOf = (value: Value): string =>
  Array.isArray(value) ? 'array' : typeof value === 'number' ? 'integer' : value === null ? 'null' : typeof value;

const breaksOf = (rules: JsonObject): readonly Break[] => {
  const found: Break[] = [];
  const put = (rule: string, value: Value, code: string): void =>
    void found.push({ rule, change: () => structuredClone(value), code });
  const types = [rules.type].flat();
  for (const wrong of rules.type === undefined ? [] : wrongTypes) {
    if (!types.includes(typeOf(wrong))) put(`type (${typeOf(wrong)})`, wrong, 'WRONG_TYPE');
  }
  if ('enum' in rules || 'const' in rules) put('enum', 'no such value', 'WRONG_VALUE');
  if (typeof rules.pattern === 'string') {
    const form = new RegExp(rules.pattern, 'u');
    const wrong = ['', 'é', ' ', '!'].find((text) => !form.test(text.repeat(20)));
    if (wrong === undefined) throw new Error(`nothing breaks ${rules.pattern}`);
    put('pattern', wrong.repeat(20), 'WRONG_PATTERN');
  }
  if (Number(rules.minLength) > 0) put('minLength', 'a'.repeat(Number(rules.minLength) - 1), 'WRONG_LENGTH');
  if ('maxLength' in rules) put('maxLength', 'a'.repeat(Number(rules.maxLength) + 1), 'WRONG_LENGTH');
  if ('minimum' in rules) put('minimum', Number(rules.minimum) - 1, 'OUT_OF_RANGE');
  if ('maximum' in rules && Number.isSafeInteger(Number(rules.maximum) + 1)) {
    put('maximum', Number(rules.maximum) + 1, 'OUT_OF_RANGE');
  }
  if (Number(rules.minItems) > 0) put('minItems', [], 'WRONG_LENGTH');
  if ('maxItems' in rules) {
    const change = (value: Value): Value =>
      Array.from({ length: Number(rules.maxItems) + 1 }, () => (value as Value[])[0] as Value);
    found.push({ rule: 'maxItems', change, code: 'WRONG_LENGTH' });
  }
  for (const key of (rules.required as string[] | undefined) ?? []) {
    const change = (value: Value): Value => {
      const { [key]: _, ...rest } = value as { [key: string]: Value };
      return rest;
    };
    found.push({ rule: `required ${key}`, change, code: 'MISSING_KEY' });
  }
  if (rules.additionalProperties === false) {
    const change = (value: Value): Value => ({ ...(value as { [key: string]: Value }), [stray]: 'text' });
    found.push({ rule: 'additionalProperties', change, code: 'UNKNOWN_KEY', key: stray });
  }
  if ('propertyNames' in rules) {
    const change = (value: Value): Value => ({ ...(value as { [key: string]: Value }), [stray]: {} });
    found.push({ rule: 'propertyNames', change, code: 'WRONG_PATTERN', key: stray });
  }
  return found;
};

const replaced = (root: Value, path: Path, change: (value: Value) => Value): Value => {
  const [step, ...rest] = path;
  if (step === undefined) return change(root);
  const copy = (Array.isArray(root) ? [...root] : { ...(root as object) }) as { [key: string]: Value };
  copy[step] = replaced(copy[step] as Value, rest, change);
  return copy;
};

const pathsOf = (value: Value, path: Path = []): readonly Path[] => {
  const below = Array.isArray(value)
    ? value.flatMap((item, index) => pathsOf(item, [...path, index]))
    : isMapping(value)
      ? Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...path, key]))
      : [];
  return [path, ...below];
};

const groundOf = (value: Value): ParsedGround => {
  const read = parseGround(JSON.stringify(value), null);
  if (read.kind === 'refused') throw new Error('the document does not parse');
  return read.value;
};

const schemaNameOf = ({ section, profile }: ValidDocument): string =>
  section === 'contract' || section === 'network' ? section : (sectionNames[profile]?.[section] ?? '');

const all: Readonly<Record<string, JsonObject>> = {
  contract: schemas.contract,
  network: schemas.network,
  ...sectionSchemas,
};

const validatorsByName = new Map<string, Validator>(Object.entries({ ...validators, network: validateNetwork }));

t.test('every rule of every schema refuses what breaks it, at its place', async (t) => {
  const documents = fixtureSections.flatMap(validDocuments);
  let count = 0;
  for (const [name, schema] of Object.entries(all)) {
    const validate = validatorsByName.get(name) as Validator;
    const places = new Map<string, readonly [Value, Path]>();
    for (const document of documents.filter((one) => schemaNameOf(one) === name)) {
      const root = parse(document.text) as Value;
      for (const path of pathsOf(root)) {
        const along = fieldsAlong(schema, path);
        const key = along.at(-1);
        if (key !== undefined && along.length === path.length && !places.has(key)) places.set(key, [root, path]);
      }
    }
    for (const { key, name: field, whole } of fieldsOf(schema)) {
      const place = places.get(key);
      if (place === undefined || !isMapping(whole as Value)) continue;
      const [root, path] = place;
      for (const { rule, change, code, key: below } of breaksOf(whole as JsonObject)) {
        const broken = replaced(root, path, change);
        const found = schemaFindings(validate, groundOf(broken), broken);
        const expected = `${code} at ${renderPath(null, below === undefined ? path : [...path, below])}`;
        const told = found.map((one) => `${one.code} at ${one.path}`);
        count += 1;
        if (!told.includes(expected))
          t.fail(`${name}: ${field}: ${rule}: ${expected}, but ${told.join(', ') || 'nothing'}`);
      }
    }
  }
  t.ok(count > 900, `${count} broken rules`);
});
