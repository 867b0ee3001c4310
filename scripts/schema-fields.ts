/** Walks a schema of contract-schema/ field by field, so that tests can say which of them have a case. */
import { type Json, type JsonObject, sharedSchemas } from './schemas.ts';

export interface Field {
  /** Where its schema stands: `play.json#/$defs/container/properties/image`. The same wherever a part is referred to. */
  readonly key: string;
  /** A path that leads to it, for people: `play.resources[].spec.containers[].image`. */
  readonly name: string;
  /** As it stands there; a reference is not followed. */
  readonly schema: Json;
  /** With its references followed; the words beside a reference go before those of its target. */
  readonly whole: Json;
}

interface Node {
  readonly file: string;
  readonly pointer: string;
  readonly schema: Json;
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 6901, as the fragment of an address. */
const escaped = (step: string): string => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'));

const below = (node: Node, ...steps: readonly string[]): Node => ({
  file: node.file,
  pointer: `${node.pointer}/${steps.map(escaped).join('/')}`,
  schema: steps.reduce<Json>((value, step) => (isObject(value) ? (value[step] ?? null) : null), node.schema),
});

const followed = (node: Node, root: JsonObject): Node => {
  const reference = isObject(node.schema) ? node.schema.$ref : undefined;
  if (typeof reference !== 'string') return node;
  const [file = '', pointer = ''] = reference.split('#');
  const target = file === '' ? node.file : file;
  const document = target === '' ? root : sharedSchemas[target];
  if (document === undefined) throw new Error(`no schema ${target}`);
  const found = below({ file: target, pointer: '', schema: document }, ...pointer.split('/').slice(1));
  return followed(found, root);
};

interface Child {
  readonly node: Node;
  /** `.image`, `.*` or `[]`. */
  readonly step: string;
  readonly takes: (key: string | number) => boolean;
}

/** What is below a node, in the order in which a key is looked up. */
const childrenOf = (node: Node): readonly Child[] => {
  const { schema } = node;
  if (!isObject(schema)) return [];
  const namesOf = (keyword: string): readonly string[] =>
    isObject(schema[keyword]) ? Object.keys(schema[keyword]) : [];
  const children: Child[] = namesOf('properties').map((name) => ({
    node: below(node, 'properties', name),
    step: `.${name}`,
    takes: (key) => key === name,
  }));
  for (const pattern of namesOf('patternProperties')) {
    const form = new RegExp(pattern, 'u');
    const takes = (key: string | number): boolean => typeof key === 'string' && form.test(key);
    children.push({ node: below(node, 'patternProperties', pattern), step: '.*', takes });
  }
  if (isObject(schema.additionalProperties)) {
    const takes = (key: string | number): boolean => typeof key === 'string';
    children.push({ node: below(node, 'additionalProperties'), step: '.*', takes });
  }
  if (isObject(schema.items)) {
    children.push({ node: below(node, 'items'), step: '[]', takes: (key) => typeof key === 'number' });
  }
  return children;
};

const keyOf = ({ file, pointer }: Node): string => `${file}#${pointer}`;

/** Every field of the document that `root` describes, once, however often a part is referred to. */
export const fieldsOf = (root: JsonObject): readonly Field[] => {
  const seen = new Map<string, Field>();
  const visit = (node: Node, name: string): void => {
    for (const { node: child, step } of childrenOf(followed(node, root))) {
      const key = keyOf(child);
      if (seen.has(key)) continue;
      const path = `${name}${step}`;
      const { schema } = child;
      const target = followed(child, root).schema;
      const whole = isObject(schema) && isObject(target) ? { ...target, ...schema } : target;
      seen.set(key, { key, name: path.replace(/^\./, ''), schema, whole });
      visit(child, path);
    }
  };
  visit({ file: '', pointer: '', schema: root }, '');
  return [...seen.values()];
};

/** The keys of the fields that `path` passes through, the last one last; shorter than `path` where the schema ends. */
export const fieldsAlong = (root: JsonObject, path: readonly (string | number)[]): readonly string[] => {
  const keys: string[] = [];
  let node: Node = { file: '', pointer: '', schema: root };
  for (const step of path) {
    const child = childrenOf(followed(node, root)).find(({ takes }) => takes(step));
    if (child === undefined) return keys;
    keys.push(keyOf(child.node));
    node = child.node;
  }
  return keys;
};
