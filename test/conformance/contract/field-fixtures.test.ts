/** The fixture matrix: every field of the grammar, in every section, has a valid and an invalid case. */
import t from 'tap';
import { parse } from 'yaml';
import { checkContractContent, checkSectionContent } from '../../../agent/contract/content/check-content.ts';
import { renderFindings, renderPath } from '../../../agent/contract/finding.ts';
import { checkNetwork } from '../../../agent/contract/network.ts';
import type { Finding, Profile } from '../../../agent/contract/types.ts';
import { type FixtureSection, fieldCases, fixtureSections, validDocuments } from '../../../fixtures/field-cases.ts';
import type { Path } from '../../../fixtures/field-rows/row.ts';
import { type Field, fieldsAlong, fieldsOf } from '../../../scripts/schema-fields.ts';
import { type JsonObject, schemas, sectionNames, sectionSchemas } from '../../../scripts/schemas.ts';

/** The very check that `triseed contract validate` runs. */
const check = async (section: FixtureSection, text: string, profile: string): Promise<readonly Finding[]> => {
  const bytes = Buffer.from(text);
  const rules = { profile: profile as Profile, minimumSerial: 0, key: null, at: new Date('2026-12-01') };
  if (section === 'network') return checkNetwork(bytes);
  if (section === 'contract') return (await checkContractContent(bytes, rules)).findings;
  return checkSectionContent(bytes, section, rules);
};

const cases = fieldCases();
const documents = fixtureSections.flatMap(validDocuments);

t.test('valid documents have no error, and exactly the remarks their header names', async (t) => {
  for (const { section, name, text, profile, codes } of documents) {
    const found = await check(section, text, profile);
    t.same([...new Set(found.map(({ code }) => code))], codes, `${section}/${name}\n${renderFindings(found, name)}`);
    t.notOk(found.some(({ severity }) => severity === 'error'));
  }
});

t.test('invalid documents have one error: its code, and its place in the document', async (t) => {
  for (const { file, section, profile, code, found, text } of cases) {
    const errors = (await check(section, text, profile)).filter(({ severity }) => severity === 'error');
    const path = renderPath(section === 'workload' || section === 'env' ? section : null, found);
    const told = errors.map((one) => `${one.code} at ${one.path}`);
    t.same(told, [`${code} at ${path}`], `${file}\n${renderFindings(errors, file)}`);
    t.ok(
      errors.every(({ line, hint }) => line > 1 && hint.length > 15),
      `${file} ${errors[0]?.hint}`,
    );
  }
});

t.test('no excerpt shows a secret of the matrix', async (t) => {
  const secrets = /_phrase|phrase_|phrase\/|not_a_real|bm90X2|LS0tLS1|MIIB|1234567890123456/;
  for (const { file, section, profile, text } of cases) {
    if (section === 'network') continue;
    const shown = renderFindings(await check(section, text, profile), file).replace(/^ {4}hint: .*$/gm, '');
    if (secrets.test(shown)) t.fail(`${file}\n${shown}`);
  }
});

/** Paths of all values of a document, its sections opened where they are text. */
const pathsOf = (value: unknown, path: Path = []): readonly Path[] => {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Array.isArray(value)
    ? value.flatMap((item, index) => pathsOf(item, [...path, index]))
    : Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...path, key]));
  return [path, ...below];
};

const sameSchema = (a: Field, b: Field | undefined): boolean => JSON.stringify(a.schema) === JSON.stringify(b?.schema);

/** Fields that need a case in this schema: all of profile hpvs, and where another profile differs from it. */
const neededFields = (name: string, schema: JsonObject): readonly Field[] => {
  const base = sectionSchemas[`${name.split('_')[0]}_hpvs`];
  if (base === undefined || base === schema) return fieldsOf(schema);
  const known = new Map(fieldsOf(base).map((field) => [field.key, field]));
  return fieldsOf(schema).filter((field) => !sameSchema(field, known.get(field.key)));
};

const schemaOf = (section: FixtureSection, profile: string): JsonObject => {
  if (section === 'contract' || section === 'network') return schemas[section];
  return sectionSchemas[sectionNames[profile]?.[section] ?? ''] as JsonObject;
};

t.test('every field of every schema has a valid and an invalid case', async (t) => {
  const all: readonly (readonly [string, JsonObject])[] = [
    ['contract', schemas.contract],
    ['network', schemas.network],
    ...Object.entries(sectionSchemas),
  ];
  let count = 0;
  for (const [name, schema] of all) {
    const isOf = ({ section, profile }: { section: FixtureSection; profile: string }) =>
      schemaOf(section, profile) === schema;
    const valid = new Set(
      documents
        .filter(isOf)
        .flatMap(({ text }) => pathsOf(parse(text)))
        .flatMap((path) => fieldsAlong(schema, path)),
    );
    const invalid = new Set(cases.filter(isOf).map(({ path }) => fieldsAlong(schema, path).at(-1)));
    for (const field of neededFields(name, schema)) {
      count += 1;
      if (field.schema !== false && !valid.has(field.key)) t.fail(`${name}: no valid case of ${field.name}`);
      if (!invalid.has(field.key)) t.fail(`${name}: no invalid case of ${field.name}`);
    }
  }
  t.ok(count > 190, `${count} fields`);
});

t.test('the walk finds what a schema has: a new field without a case would be told', async (t) => {
  const grown = structuredClone(schemas.network);
  const network = (grown.properties as JsonObject).network as JsonObject;
  (network.properties as JsonObject).renderer = { type: 'string' };
  const before = new Set(fieldsOf(schemas.network).map(({ key }) => key));
  t.same(
    fieldsOf(grown)
      .filter(({ key }) => !before.has(key))
      .map(({ name }) => name),
    ['network.renderer'],
  );
  t.same(fieldsAlong(grown, ['network', 'renderer']).length, 2);
  t.same(fieldsAlong(schemas.network, ['network', 'renderer']).length, 1);
});
