/**
 * Descriptors in the archive of `play`: YAML files at its top, each with one or more Pods or ConfigMaps (IBM Cloud docs,
 * "About the contract", section "play"). They keep the rules that descriptors in the contract keep.
 */
import { profiles } from '../../../contract-schema/generated/profiles.ts';
import { type ParsedGround, quoted } from '../finding.ts';
import { podFindings } from '../pod-rules.ts';
import { schemaFindings } from '../schema-findings.ts';
import { isMapping, positionOf, type StrictDocument, type YamlMapping } from '../strict-yaml.ts';
import type { Finding, Profile } from '../types.ts';
import {
  type ArchiveDocument,
  archiveText,
  type DocumentText,
  inArchive,
  parseArchiveDocument,
} from './archive-file.ts';
import { type ContentProblem, firstOf } from './content-problem.ts';
import type { Member } from './members.ts';
import { type PodContext, resourceProblems } from './pod-content.ts';

/** Descriptors of one file, and files; nobody has so many. */
const maximumDocuments = 100;
const maximumFiles = 100;
/** All of them together: the time to read them is bounded by it. */
const maximumDescriptorBytes = 2 * 1024 * 1024;

/**
 * Documents of a YAML stream. Three hyphens at the left margin begin a document wherever they stand (YAML 1.2.2
 * section 9.1.2).
 */
export const splitDocuments = (text: string): readonly DocumentText[] => {
  const found: DocumentText[] = [];
  let before = 0;
  for (let from = 0; from < text.length && found.length < maximumDocuments; ) {
    const next = /^---(?=\s|$)/gm;
    next.lastIndex = from + 1;
    const to = next.exec(text)?.index ?? text.length;
    const piece = text.slice(from, to);
    const isEmpty =
      piece
        .replace(/^---/, '')
        .replace(/^[ \t]*(?:#.*)?$/gm, '')
        .trim() === '';
    if (!isEmpty) found.push({ text: piece, before });
    before += piece.split('\n').length - 1;
    from = to;
  }
  return found;
};

/** Where `podFindings` and the schema look for descriptors. */
const home = ['play', 'resources', 0] as const;

/** The document as if it stood in play.resources. */
const asResource = ({ document }: ArchiveDocument): ParsedGround => {
  // An archive beside it: ConfigMaps of other files are not known here.
  const value: YamlMapping = { type: 'workload', play: { resources: [document.value], archive: '' } };
  const placed: StrictDocument = {
    ...document,
    value,
    places: document.places.map((place) => ({ ...place, path: [...home, ...place.path] })),
  };
  return {
    section: 'workload',
    text: document.text,
    toDelivered: (offset) => positionOf(document.text, offset),
    document: placed,
  };
};

const prefix = 'workload.play.resources[0]';

const toProblem = (
  { file, before }: ArchiveDocument,
  { code, line, path, message, hint }: Finding & { readonly code: string },
): ContentProblem => {
  const inside = path.slice(prefix.length).replace(/^\./, '');
  return {
    code: code as ContentProblem['code'],
    message: `${file} line ${before + line}: ${inside === '' ? '' : `${inside}: `}${message}`,
    hint,
  };
};

const descriptorProblems = (
  read: ArchiveDocument,
  profile: Profile,
  context: PodContext,
): readonly ContentProblem[] => {
  const { file, before, document } = read;
  const { kind } = isMapping(document.value) ? document.value : {};
  if (kind !== 'Pod' && kind !== 'ConfigMap') {
    const what = typeof kind === 'string' ? `a ${quoted(kind)}` : 'no descriptor';
    const { line } = positionOf(document.text, document.places[0]?.start ?? 0);
    const message = `${file} line ${before + line}: this is ${what}, and only Pods and ConfigMaps are read`;
    const hint = 'turn it into a Pod, or put the file into a folder of the archive when it is data';
    return [{ code: 'PLAY_FILE_INVALID', message, hint }];
  }
  const ground = asResource(read);
  const shaped = { type: 'workload', play: { resources: [document.value] } };
  const found = [...schemaFindings(profiles[profile].workload, ground, shaped), ...podFindings(ground)];
  return [
    ...found.filter(({ path }) => path.startsWith(prefix)).map((one) => toProblem(read, one)),
    ...firstOf(resourceProblems(document.value, context)).map((one) => inArchive(read, one)),
  ];
};

const isDescriptorFile = ({ name, kind }: Member): boolean =>
  kind === 'file' && !name.includes('/') && /\.ya?ml$/i.test(name);

const fileProblems = ({ name, bytes }: Member, profile: Profile, context: PodContext): readonly ContentProblem[] => {
  const text = archiveText(name, bytes, 'PLAY_FILE_INVALID');
  if (text.kind === 'refused') return [text.problem];
  return splitDocuments(text.text).flatMap((document) => {
    const read = parseArchiveDocument(name, document, 'PLAY_FILE_INVALID');
    return read.kind === 'refused' ? [read.problem] : descriptorProblems(read.value, profile, context);
  });
};

/** Everything that is wrong with the descriptors of a play archive. `isAlone`: the contract has no others. */
export const playArchiveProblems = (
  members: readonly Member[],
  profile: Profile,
  context: PodContext,
  isAlone: boolean,
): readonly ContentProblem[] => {
  const files = members.filter(isDescriptorFile);
  const size = files.reduce((bytes, file) => bytes + file.bytes.length, 0);
  if (files.length > maximumFiles || size > maximumDescriptorBytes) {
    const message = `the archive has more than ${maximumFiles} YAML files at its top, or ${maximumDescriptorBytes / 1024} KiB of them`;
    return [{ code: 'ARCHIVE_TOO_LARGE', message, hint: 'put YAML files that are data into a folder of the archive' }];
  }
  if (files.length > 0) return files.flatMap((file) => fileProblems(file, profile, context));
  if (!isAlone) return [];
  const deeper = members.find(({ name, kind }) => kind === 'file' && /\.ya?ml$/i.test(name));
  const message = 'the archive has no YAML file at its top, so nothing is started';
  const hint =
    deeper === undefined
      ? 'add a file such as pod.yaml with a Pod'
      : `${quoted(deeper.name)} lies too deep: pack from inside its folder, with triseed contract archive DIR`;
  return [{ code: 'PLAY_EMPTY', message, hint }];
};
