/** Keys at a wrong depth inside a section: under nothing, beside their parent, in a list, among the variables. */
import { finding, type ParsedGround, quoted, reworded } from './finding.ts';
import type { Mistake } from './sample-lint-text.ts';
import { isMapping, type YamlMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';

export const volumeFields = [
  'seed',
  'previousSeed',
  'mount',
  'filesystem',
  'kms',
  'kmsTimeout',
  'volumeName',
  'volumeID',
  'apiKey',
  'grep11',
  'uv-secret-id',
  'uv-previous-secret-id',
];
export const backendFields = ['hostname', 'iamApiKey', 'port', 'server', 'cert', 'key', 'ingestionKey', 'tags'];
export const backends = ['logRouter', 'syslog', 'logDNA'];

/** What may stand below a key, for keys that are mappings. */
const childrenOf: Readonly<Record<string, readonly string[]>> = {
  logging: [...backends, ...backendFields],
  logRouter: backendFields,
  syslog: backendFields,
  compose: ['archive'],
  play: ['archive', 'resources', 'templates'],
};

/** Errors about the shape of a document, which a lost indentation brings about. */
export const structural: ReadonlySet<string> = new Set([
  'YAML_SYNTAX',
  'YAML_DUPLICATE_KEY',
  'NOT_A_MAPPING',
  'WRONG_TYPE',
  'WRONG_CHOICE',
  'MISSING_KEY',
  'UNKNOWN_KEY',
]);

export const isBelow = (path: string, start: string): boolean =>
  path === start || path.startsWith(`${start}.`) || path.startsWith(`${start}[`);

export const listed = (names: readonly string[]): string => names.map((name) => quoted(name)).join(', ');

export const valueAt = (value: YamlValue | undefined, path: YamlPath): YamlValue | undefined =>
  path.reduce<YamlValue | undefined>(
    (at, part) =>
      Array.isArray(at) ? (at as readonly YamlValue[])[part as number] : isMapping(at) ? at[part] : undefined,
    value,
  );

interface Level {
  readonly ground: ParsedGround;
  readonly path: YamlPath;
  readonly mapping: YamlMapping;
  /** Names that are at home here. */
  readonly own: readonly string[];
  readonly childrenOf: (key: string) => readonly string[];
}

const levelsOf = (ground: ParsedGround): readonly Level[] => {
  const root = ground.document.value;
  if (!isMapping(root)) return [];
  const level = (path: YamlPath, value: YamlValue | undefined, own: readonly string[], all = childrenOf): Level[] =>
    isMapping(value)
      ? [
          {
            ground,
            path,
            mapping: value,
            own,
            childrenOf: (key) => (Object.hasOwn(all, key) ? all[key] : undefined) ?? [],
          },
        ]
      : [];
  const volumes = isMapping(root.volumes) ? root.volumes : {};
  const anyVolume = Object.fromEntries(Object.keys(volumes).map((key) => [key, volumeFields]));
  return [
    ...level([], root, ['type', 'volumes', 'env', 'auths']),
    ...level(['logging'], root.logging, backends),
    ...level(['volumes'], volumes, [], anyVolume),
  ];
};

export const rendered = (section: SectionName | null, path: YamlPath): string => [section, ...path].join('.');

/** Keys that stand beside the nearest key above that has no value, and below which they belong. */
const groups = ({ path, mapping, own, childrenOf }: Level): ReadonlyMap<string, readonly string[]> => {
  const found = new Map<string, string[]>();
  let parent: string | null = null;
  for (const [key, value] of Object.entries(mapping)) {
    const isChild = parent !== null && !own.includes(key) && childrenOf(parent).includes(key);
    const isVolume = path.length > 0 && isMapping(value) && !backends.includes(key);
    if (parent !== null && isChild && !isVolume) found.set(parent, [...(found.get(parent) ?? []), key]);
    else if (value === null) parent = key;
  }
  return found;
};

/** `test:` without a value, and beside it what should stand below it. */
const beside = (level: Level, errors: readonly Finding[]): readonly Mistake[] => {
  const { ground, path, mapping } = level;
  const { section } = ground;
  return [...groups(level)].flatMap(([parent, strays]) => {
    const [first = ''] = strays;
    const paths = [parent, ...strays].map((key) => rendered(section, [...path, key]));
    const explained = errors.filter((found) => paths.some((start) => isBelow(found.path, start)));
    if (explained.length === 0) return [];
    const one = strays.length === 1;
    const what = path[0] === 'volumes' ? 'a volume of its own' : `a setting of ${[section, ...path].join('.')}`;
    const message = `${listed(strays)} ${one ? 'stands' : 'stand'} beside ${quoted(parent)}, so ${one ? 'it is' : 'each is'} read as ${what}`;
    const needsBackend = parent === 'logging' && !backends.includes(first);
    const backend = mapping.iamApiKey === undefined ? 'syslog' : 'logRouter';
    const between = needsBackend ? [`  ${backend}:`] : [];
    const shown = strays.map((key) => `${needsBackend ? '    ' : '  '}${key}: …`);
    const hint = ['indent by two more:', `${printableKey(parent)}:`, ...between, ...shown].join('\n');
    return [{ explained, said: finding('KEY_MISINDENTED', ground, [...path, first], { message, hint }, 'key') }];
  });
};

const printableKey = (key: string): string => quoted(key).slice(1, -1);

/** Settings of a volume where the names of volumes belong. */
const nameless = (ground: ParsedGround, errors: readonly Finding[]): readonly Mistake[] => {
  const { section } = ground;
  const root = ground.document.value;
  const volumes = isMapping(root) && isMapping(root.volumes) ? root.volumes : {};
  const strays = Object.keys(volumes).filter((key) => volumeFields.includes(key) && !isMapping(volumes[key]));
  const [first] = strays;
  if (first === undefined || Object.values(volumes).includes(null)) return [];
  const paths = strays.map((key) => rendered(section, ['volumes', key]));
  const explained = errors.filter(
    (found) => paths.some((start) => isBelow(found.path, start)) || found.code === 'VOLUME_KEYS_DIFFER',
  );
  if (explained.length === 0) return [];
  const message = `${listed(strays)} ${strays.length === 1 ? 'is' : 'are'} read as the name of a volume: the name is missing`;
  const hint = `put the volume's name above, the same one in both sections:\nvolumes:\n  data:\n${strays.map((key) => `    ${key}: …`).join('\n')}`;
  const said = finding('KEY_MISINDENTED', ground, ['volumes', first], { message, hint }, 'key');
  return [{ explained, said }];
};

/** Logging among the variables, or the fields of a log service without its name. */
const logging = (ground: ParsedGround, errors: readonly Finding[]): readonly Mistake[] => {
  const root = ground.document.value;
  if (!isMapping(root)) return [];
  if (root.logging === undefined && isMapping(root.env) && isMapping(root.env.logging)) {
    const explained = errors.filter(
      ({ code, path }) => isBelow(path, 'env.env.logging') || (path === 'env' && code === 'MISSING_KEY'),
    );
    if (explained.length === 0) return [];
    const message = '"logging" stands among the variables of the workload, one level too deep';
    const hint = 'move it to the left, as deep as "type":\ntype: env\nlogging:\n  …';
    return [{ explained, said: finding('KEY_MISINDENTED', ground, ['env', 'logging'], { message, hint }, 'key') }];
  }
  const value = root.logging;
  if (!isMapping(value) || backends.some((name) => name in value)) return [];
  const fields = Object.keys(value).filter((key) => backendFields.includes(key));
  const [first] = fields;
  const explained = errors.filter(({ code, path }) => path === 'env.logging' && code === 'WRONG_CHOICE');
  if (first === undefined || explained.length === 0) return [];
  const name = 'iamApiKey' in value ? 'logRouter' : 'syslog';
  const message = `${listed(fields)} ${fields.length === 1 ? 'needs' : 'need'} the name of the log service above`;
  const hint = `add the line and indent by two more:\nlogging:\n  ${name}:\n    ${first}: …`;
  return [{ explained, said: finding('KEY_MISINDENTED', ground, ['logging', first], { message, hint }, 'key') }];
};

/** A list where a mapping is wanted: a dash too many. */
const dashes = (ground: ParsedGround, errors: readonly Finding[]): readonly Mistake[] =>
  [['logging'], ['volumes'], ['compose'], ['play'], ['images'], ['auths']].flatMap((path) => {
    const value = valueAt(ground.document.value, path);
    const here = rendered(ground.section, path);
    const explained = errors.filter((found) => found.path === here && structural.has(found.code));
    const [first] = explained;
    if (!Array.isArray(value) || first === undefined || !value.some((item) => isMapping(item))) return [];
    const [item] = value as readonly YamlValue[];
    const name = isMapping(item) ? (Object.keys(item)[0] ?? '') : '';
    const message = `"${path[0]}" holds a list, because of the dash; a mapping is wanted`;
    const hint = `remove the dash, keep the indentation:\n${path[0]}:\n  ${printableKey(name)}: …`;
    return [{ explained, said: reworded(first, 'KEY_MISINDENTED', { message, hint }) }];
  });

/** Every mistake of this kind in one section. Each looks at the errors that the ones before have left. */
export const indentMistakes: readonly ((ground: ParsedGround, errors: readonly Finding[]) => readonly Mistake[])[] = [
  dashes,
  (ground, errors) => levelsOf(ground).flatMap((level) => beside(level, errors)),
  nameless,
  (ground, errors) => (ground.section === 'env' ? logging(ground, errors) : []),
];
