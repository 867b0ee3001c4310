/**
 * The compose project of an archive (IBM Cloud docs, "About the contract", section "compose"): a file of one of two
 * names, services with an image that may run, nothing built in the guest.
 */
import { quoted } from '../finding.ts';
import { isMapping, type YamlMapping, type YamlPath, type YamlValue } from '../strict-yaml.ts';
import {
  type ArchiveDocument,
  archiveText,
  inArchive,
  type PlacedProblem,
  parseArchiveDocument,
} from './archive-file.ts';
import { type ContentProblem, firstOf, maximumProblems } from './content-problem.ts';
import { imageProblem, type TrustedImages } from './image-policy.ts';
import type { Member } from './members.ts';
import { interpolate, parseDotEnv, type Variables } from './variables.ts';

const fileNames = ['docker-compose.yaml', 'docker-compose.yml'];
/** Names that docker compose looks for, too, and before the two above. */
const otherNames = ['compose.yaml', 'compose.yml'];
const maximumExtends = 10;

type Named = Pick<Member, 'name' | 'kind'>;
/** Pods may have any name, but those of compose that the guest does not take. */
const isDescriptor = (name: string): boolean =>
  fileNames.includes(name) || (/\.ya?ml$/i.test(name) && !otherNames.includes(name.toLowerCase()));

interface Located {
  readonly value: YamlValue;
  readonly path: YamlPath;
}

/** The entry `key` of a mapping, also where a merge key (`<<`) brings it in. */
const entryOf = (mapping: YamlMapping, path: YamlPath, key: string): Located | null => {
  const own = Object.hasOwn(mapping, key) ? mapping[key] : undefined;
  if (own !== undefined) return { value: own, path: [...path, key] };
  const merged = Object.hasOwn(mapping, '<<') ? mapping['<<'] : undefined;
  const sources: readonly (YamlValue | undefined)[] = Array.isArray(merged) ? merged : [merged];
  for (const source of sources) {
    const found = isMapping(source) ? entryOf(source, [...path, '<<'], key) : null;
    if (found !== null) return found;
  }
  return null;
};

const problem = (
  code: PlacedProblem['code'],
  path: YamlPath,
  message: string,
  hint: string,
  at: 'key' | 'value' = 'value',
): PlacedProblem => ({ code, path, message, hint, at });

/** The name of the service that `extends` leads to; null when it lies in another file. */
const extended = (value: YamlValue): string | null => {
  if (typeof value === 'string') return value;
  const { file, service } = isMapping(value) ? value : {};
  return file === undefined && typeof service === 'string' ? service : null;
};

interface Inherited extends Located {
  /** True when the search ended at a service of another file. */
  readonly isElsewhere: boolean;
}

/** The entry `key` of a service or of the one it extends. */
const inherited = (services: YamlMapping, name: string, key: string): Inherited => {
  const here: YamlPath = ['services', name];
  let current = name;
  for (let step = 0; step < maximumExtends; step += 1) {
    const service = Object.hasOwn(services, current) ? services[current] : undefined;
    if (!isMapping(service)) break;
    const own = entryOf(service, ['services', current], key);
    if (own !== null) return { ...own, isElsewhere: false };
    const base = entryOf(service, ['services', current], 'extends');
    if (base === null) break;
    const next = extended(base.value);
    if (next === null) return { value: null, path: here, isElsewhere: true };
    current = next;
  }
  return { value: null, path: here, isElsewhere: false };
};

const elsewhere = (path: YamlPath, what: string): PlacedProblem =>
  problem(
    'CONTENT_NOT_CHECKED',
    path,
    `${what} is not looked into`,
    'put it into the compose file itself to have it checked',
    'key',
  );

const serviceProblems = (
  services: YamlMapping,
  name: string,
  variables: Variables,
  trusted: TrustedImages,
): readonly PlacedProblem[] => {
  const path: YamlPath = ['services', name];
  if (!isMapping(services[name])) {
    const hint = 'a service is a mapping with an image';
    return [problem('COMPOSE_FILE_INVALID', path, `the service ${quoted(name)} is no mapping`, hint, 'key')];
  }
  const found: PlacedProblem[] = [];
  const build = inherited(services, name, 'build');
  if (build.value !== null) {
    const message = `the service ${quoted(name)} has a build section, and nothing is built in the guest`;
    found.push(
      problem('COMPOSE_BUILD', build.path, message, 'build and push the image, then give its name and digest', 'key'),
    );
  }
  const image = inherited(services, name, 'image');
  if (image.isElsewhere) return [...found, elsewhere(path, `the file that the service ${quoted(name)} extends`)];
  if (image.value === null) {
    if (build.value !== null) return found;
    const hint = 'add image: registry/path@sha256:…';
    return [...found, problem('IMAGE_MISSING', path, `the service ${quoted(name)} has no image`, hint, 'key')];
  }
  if (typeof image.value !== 'string') {
    const message = `the image of the service ${quoted(name)} is not text`;
    return [...found, problem('IMAGE_REFERENCE_INVALID', image.path, message, 'put it in quotes')];
  }
  const { text, sketch, missing, malformed } = interpolate(image.value, variables);
  // Both are told for every value of the file.
  if (malformed || missing.length > 0) return found;
  const wrong = imageProblem({ written: image.value, text, sketch }, 'compose', trusted);
  return wrong === null ? found : [...found, { ...wrong, path: image.path, at: 'value' }];
};

/** Variables of every value: malformed ones stop the engine, missing ones become empty text. */
const variableProblems = (root: YamlValue, variables: Variables): readonly PlacedProblem[] => {
  const found: PlacedProblem[] = [];
  const told = new Set<string>();
  const walk = (value: YamlValue, path: YamlPath): void => {
    if (typeof value === 'string') {
      const { missing, malformed } = interpolate(value, variables);
      if (malformed) {
        const message = 'a dollar sign begins no variable here, and the engine refuses the file';
        found.push(
          problem('COMPOSE_FILE_INVALID', path, message, `write $$ for a dollar sign, \${NAME} for a variable`),
        );
      }
      for (const name of missing.slice(0, maximumProblems).filter((one) => !told.has(one))) {
        told.add(name);
        const message = `the variable ${quoted(name)} is in neither env.env nor workload.env`;
        found.push(problem('VARIABLE_UNDEFINED', path, message, `add it, or give a default: \${${name}:-value}`));
      }
    } else if (Array.isArray(value)) {
      for (const [index, item] of (value as readonly YamlValue[]).entries()) walk(item, [...path, index]);
    } else if (isMapping(value)) {
      for (const [key, item] of Object.entries(value)) walk(item, [...path, key]);
    }
  };
  walk(root, []);
  return found;
};

const documentProblems = (
  { document }: ArchiveDocument,
  variables: Variables,
  trusted: TrustedImages,
): readonly PlacedProblem[] => {
  const root = document.value;
  const { services, include } = isMapping(root) ? root : {};
  if (!isMapping(services) || Object.keys(services).length === 0) {
    if (include !== undefined) return [elsewhere(['include'], 'what the file includes')];
    return [
      problem('COMPOSE_FILE_INVALID', [], 'it has no services', 'add services: with one entry for each container'),
    ];
  }
  return [
    ...Object.keys(services).flatMap((name) => serviceProblems(services, name, variables, trusted)),
    ...variableProblems(root, variables),
    ...(include === undefined ? [] : [elsewhere(['include'], 'what the file includes')]),
  ];
};

const missingFile = (members: readonly Named[]): ContentProblem => {
  const files = members.filter(({ kind }) => kind === 'file').map(({ name }) => name);
  const other = files.find((name) => otherNames.includes(name) || fileNames.includes(name.toLowerCase()));
  const deeper = files.find((name) => [...fileNames, ...otherNames].some((end) => name.endsWith(`/${end}`)));
  const remedy =
    other !== undefined
      ? `rename ${quoted(other)} to docker-compose.yaml`
      : deeper === undefined
        ? 'name the compose file docker-compose.yaml'
        : `${quoted(deeper)} lies too deep: pack from inside its folder, with triseed contract archive DIR`;
  const message = 'the archive has neither docker-compose.yaml nor docker-compose.yml at its top';
  return { code: 'COMPOSE_FILE_MISSING', message, hint: remedy };
};

/** For a folder that is to be packed: it should hold a compose file, or YAML files of Pods. */
export const missingWorkloadFile = (members: readonly Named[]): ContentProblem | null =>
  members.some(({ name, kind }) => kind === 'file' && !name.includes('/') && isDescriptor(name))
    ? null
    : missingFile(members);

/** Everything that is wrong with a compose project. `variables` are those of the contract. */
export const composeProblems = (
  members: readonly Member[],
  variables: Variables,
  trusted: TrustedImages,
): readonly ContentProblem[] => {
  const named = (name: string): Member | undefined =>
    members.find((member) => member.kind === 'file' && member.name === name);
  const given = fileNames.flatMap((name) => named(name) ?? []);
  const [chosen] = given;
  if (chosen === undefined) return [missingFile(members)];
  const found: ContentProblem[] = [];
  const rivals = [...given.slice(1), ...otherNames.flatMap((name) => named(name) ?? [])];
  for (const rival of rivals) {
    const message = `the archive has both ${chosen.name} and ${rival.name}; which one runs depends on the engine`;
    found.push({ code: 'COMPOSE_FILE_AMBIGUOUS', message, hint: 'keep docker-compose.yaml alone' });
  }
  const text = archiveText(chosen.name, chosen.bytes, 'COMPOSE_FILE_INVALID');
  if (text.kind === 'refused') return [...found, text.problem];
  const read = parseArchiveDocument(chosen.name, { text: text.text, before: 0 }, 'COMPOSE_FILE_INVALID');
  if (read.kind === 'refused') return [...found, read.problem];
  const own = parseDotEnv(named('.env')?.bytes.toString('utf8') ?? '');
  const known = variables === null ? null : new Map([...own, ...variables]);
  return [...found, ...firstOf(documentProblems(read.value, known, trusted)).map((one) => inArchive(read.value, one))];
};
