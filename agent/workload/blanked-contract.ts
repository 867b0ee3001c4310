/**
 * The opened contract as the workload may read it: everything but what opens a volume. A seed becomes asterisks of the
 * same length, as the schema of HPCR contracts shows it for consumed values, so that the text still fits the schema.
 * API keys of volumes go the same way: with one, the workload could unwrap the third seed or govern the root key.
 *
 * The text is written anew from the parsed data, because a comment may hold an earlier seed.
 */
import { stringify } from 'yaml';
import type { YamlMapping, YamlValue } from '../contract/strict-yaml.ts';
import type { Contract } from '../contract/types.ts';
import { assertValidated } from '../contract/validate.ts';

/** Entries below `volumes` that help to open a volume, at whatever depth they stand. */
const opening = new Set(['seed', 'previousSeed', 'apiKey', 'clientKey', 'aesKeyBlob', 'previousaesKeyBlob']);

const isMapping = (value: YamlValue): value is YamlMapping =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** Every string that opens a volume. Short ones count too: an old previousSeed may have three characters. */
const secretsIn = (value: YamlValue, key: string | null): readonly string[] => {
  if (typeof value === 'string') return key !== null && opening.has(key) ? [value] : [];
  if (Array.isArray(value)) return value.flatMap((item: YamlValue) => secretsIn(item, key));
  return isMapping(value) ? Object.entries(value).flatMap(([name, item]) => secretsIn(item, name)) : [];
};

const asterisks = (text: string): string => '*'.repeat([...text].length);

/** The same data with every string that is one of `secrets` blanked, wherever it stands: seeds get reused. */
const blanked = (value: YamlValue, secrets: ReadonlySet<string>): YamlValue => {
  if (typeof value === 'string') return secrets.has(value) ? asterisks(value) : value;
  if (Array.isArray(value)) return value.map((item: YamlValue) => blanked(item, secrets));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, blanked(item, secrets)]));
};

/** Strings such as `yes`, which YAML 1.1 takes for something else, are quoted. */
const textOf = (value: YamlValue): string =>
  stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' });

/** YAML of the contract with its sections as block strings. Holds the workload's own secrets: mode 0600. */
export const blankedContract = (contract: Contract): string => {
  assertValidated(contract);
  const { workload, env } = contract.sections;
  const secrets = new Set([workload, env].flatMap(({ value }) => secretsIn(value.volumes ?? null, null)));
  const section = ({ value }: typeof env): string => textOf(blanked(value, secrets));
  return textOf({
    workload: section(workload),
    env: section(env),
    ...(contract.attestationPublicKey === null ? {} : { attestationPublicKey: contract.attestationPublicKey }),
  });
};
