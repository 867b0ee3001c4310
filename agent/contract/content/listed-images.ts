/** The images that a workload names, as far as they can be read. For looking at a contract; nothing is judged here. */
import type { ParsedGround } from '../finding.ts';
import { isMapping, parseStrictYaml, type YamlValue } from '../strict-yaml.ts';
import { mappingAt } from '../volume-rules.ts';
import { archiveText } from './archive-file.ts';
import { readArchive } from './archive-read.ts';
import { parseImageReference } from './image-reference.ts';
import { splitDocuments } from './play-archive.ts';

export interface ListedImage {
  readonly reference: string;
  /** True when a digest fixes the very bytes. */
  readonly isFixed: boolean;
}

const maximumImages = 100;
const maximumFiles = 100;

const itemsOf = (value: YamlValue | undefined): readonly YamlValue[] => (Array.isArray(value) ? value : []);

const imagesOfCompose = (root: YamlValue): readonly YamlValue[] =>
  Object.values(mappingAt(root, 'services')).flatMap((service) => (isMapping(service) ? [service.image ?? null] : []));

const imagesOfPod = (resource: YamlValue): readonly YamlValue[] => {
  const spec = mappingAt(resource, 'spec');
  return [...itemsOf(spec.initContainers), ...itemsOf(spec.containers)].flatMap((container) =>
    isMapping(container) ? [container.image ?? null] : [],
  );
};

const parsed = (text: string): readonly YamlValue[] => {
  const outcome = parseStrictYaml(text);
  return outcome.kind === 'parsed' ? [outcome.document.value] : [];
};

const inArchive = (archive: YamlValue | undefined, kind: 'compose' | 'play'): readonly YamlValue[] => {
  const read = typeof archive === 'string' ? readArchive(archive) : null;
  const members = read?.kind === 'read' ? read.value : [];
  const isWanted = kind === 'compose' ? /^docker-compose\.ya?ml$/ : /^[^/]+\.ya?ml$/;
  return members
    .filter(({ name, kind: type }) => type === 'file' && isWanted.test(name))
    .slice(0, maximumFiles)
    .flatMap(({ name, bytes }) => {
      const read = archiveText(name, bytes, 'PLAY_FILE_INVALID');
      const text = read.kind === 'read' ? read.text : '';
      if (kind === 'compose') return parsed(text).flatMap(imagesOfCompose);
      return splitDocuments(text).flatMap((document) => parsed(document.text).flatMap(imagesOfPod));
    });
};

const isFixed = (reference: string): boolean => {
  const read = parseImageReference(reference);
  return read.kind === 'reference' && read.value.digest !== null;
};

/** Each once, in the order of the workload. References with variables stand as they are written. */
export const listedImages = (workload: ParsedGround): readonly ListedImage[] => {
  const root = workload.document.value;
  const play = mappingAt(root, 'play');
  const values = [
    ...inArchive(mappingAt(root, 'compose').archive, 'compose'),
    ...inArchive(play.archive, 'play'),
    ...itemsOf(play.resources).flatMap(imagesOfPod),
    ...itemsOf(play.templates).flatMap(imagesOfPod),
  ];
  const references = [...new Set(values.filter((value) => typeof value === 'string'))].slice(0, maximumImages);
  return references.map((reference) => ({ reference, isFixed: isFixed(reference) }));
};
