/** contract-schema/*.json as documents, and the two sections as every profile has them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const schemaFolder = join(import.meta.dirname, '..', 'contract-schema');

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

interface Patch {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: Json;
}
export interface ProfileSource {
  readonly description: string;
  readonly tokenPrefix: string;
  readonly workload: readonly Patch[];
  readonly env: readonly Patch[];
}

const readSchema = (name: string): JsonObject =>
  JSON.parse(readFileSync(join(schemaFolder, `${name}.json`), 'utf8')) as JsonObject;

/** The three verbs of RFC 6902 that profiles.json uses. A patch that does not fit its schema is a mistake. */
export const applyPatches = (schema: JsonObject, patches: readonly Patch[]): JsonObject => {
  const result = structuredClone(schema);
  for (const { op, path, value } of patches) {
    const keys = path.split('/').slice(1);
    const last = keys.pop() as string;
    let target = result;
    for (const key of keys) {
      const next = target[key];
      if (next === undefined) throw new Error(`profiles.json: ${path} does not exist`);
      target = next as JsonObject;
    }
    if (last in target !== (op !== 'add')) throw new Error(`profiles.json: ${op} ${path} does not fit`);
    if (op === 'remove') delete target[last];
    else target[last] = value as Json;
  }
  return result;
};

/** Schemas that others refer to, by the name they are referred to with. */
export const sharedSchemas: Readonly<Record<string, JsonObject>> = {
  'common.json': readSchema('common'),
  'play.json': readSchema('play'),
};

/** Documents of their own, and the two sections as profile hpvs has them. */
export const schemas = {
  workload: readSchema('workload'),
  env: readSchema('env'),
  contract: readSchema('contract'),
  network: readSchema('network'),
  agent: readSchema('agent'),
} as const;

export const profileSources = readSchema('profiles') as unknown as Readonly<Record<string, ProfileSource>>;

const sections: Record<string, JsonObject> = {};

const sectionName = (profile: string, source: ProfileSource, section: 'workload' | 'env'): string => {
  const schema = applyPatches(schemas[section], source[section]);
  const twin = Object.keys(sections).find((name) => JSON.stringify(sections[name]) === JSON.stringify(schema));
  const name = twin ?? `${section}_${profile}`;
  sections[name] = schema;
  return name;
};

/** Names of a profile's two sections in `sectionSchemas`: those without a difference share the name of the first. */
export const sectionNames: Readonly<Record<string, { readonly workload: string; readonly env: string }>> =
  Object.fromEntries(
    Object.entries(profileSources).map(([profile, source]) => [
      profile,
      { workload: sectionName(profile, source, 'workload'), env: sectionName(profile, source, 'env') },
    ]),
  );

export const sectionSchemas: Readonly<Record<string, JsonObject>> = sections;
