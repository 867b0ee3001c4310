/**
 * Documents for `podman kube play`: the ConfigMap that carries the merged variables, and the pods of the contract.
 * Written as JSON, which is YAML: no reader takes a string such as `yes` or `010` for anything else.
 */
import type { YamlValue } from '../contract/strict-yaml.ts';
import { renderTemplate, TemplateError } from './template.ts';

/** IBM Cloud docs, "About the contract": the name under which pods find the variables. */
const configMapName = 'contract.config.map';

/** Line separators of YAML 1.1 that JSON leaves as they are, and what YAML calls not printable. */
const escaped = (json: string): string =>
  json.replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const isSafe = (value: YamlValue): boolean => {
  if (typeof value === 'number')
    return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
  return value === null || typeof value !== 'object' || Object.values(value).every(isSafe);
};

const documentOf = (value: YamlValue): string => `---\n${escaped(JSON.stringify(value, null, 2))}\n`;

export const configMap = (env: ReadonlyMap<string, string>): string =>
  documentOf({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: configMapName },
    data: Object.fromEntries(env),
  });

export interface PodSources {
  readonly resources: readonly YamlValue[];
  readonly templates: readonly YamlValue[];
}

/** Resources, then rendered templates, one document each. Throws TemplateError. */
export const podDocuments = ({ resources, templates }: PodSources, env: ReadonlyMap<string, string>): string => {
  const rendered = templates.map((template, at) => renderTemplate(template, env, `templates[${at}]`));
  const all = [...resources, ...rendered];
  if (!all.every(isSafe)) throw new TemplateError('a resource holds a number that has no exact value');
  return all.map(documentOf).join('');
};
