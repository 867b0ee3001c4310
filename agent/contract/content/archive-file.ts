/** A YAML file inside an archive: findings about it stand at the archive's value and name file and line. */
import { offsetAt } from '../finding.ts';
import type { FindingCode } from '../finding-rules.ts';
import { decodeUtf8, parseStrictYaml, positionOf, type StrictDocument, type YamlPath } from '../strict-yaml.ts';
import type { ContentProblem } from './content-problem.ts';

/** A problem at a place of some document, before it is known which one. */
export interface PlacedProblem extends ContentProblem {
  readonly path: YamlPath;
  readonly at: 'key' | 'value';
}

export interface ArchiveDocument {
  readonly file: string;
  /** Lines of the file before the document. */
  readonly before: number;
  readonly document: StrictDocument;
}

/** Part of a file that holds one YAML document. */
export interface DocumentText {
  readonly text: string;
  /** Lines of the file before it. */
  readonly before: number;
}

/** A descriptor or compose file is some kilobytes long. */
const maximumFileBytes = 1024 * 1024;

export type ArchiveDocumentOutcome =
  | { readonly kind: 'read'; readonly value: ArchiveDocument }
  | { readonly kind: 'refused'; readonly problem: ContentProblem };

/** Parses a document of `file`; what is wrong with it gets `code`. */
export const parseArchiveDocument = (
  file: string,
  { text, before }: DocumentText,
  code: FindingCode,
): ArchiveDocumentOutcome => {
  const outcome = parseStrictYaml(text);
  if (outcome.kind === 'parsed') return { kind: 'read', value: { file, before, document: outcome.document } };
  const [first] = outcome.problems;
  const { line, column } = positionOf(text, first?.offset ?? 0);
  const message = `${file} line ${before + line}, column ${column}: ${first?.reason ?? 'this is no YAML'}`;
  return { kind: 'refused', problem: { code, message, hint: yamlHint(file) } };
};

// Archives made on a Mac hold one such companion for every file with extended attributes.
const yamlHint = (file: string): string =>
  /(?:^|\/)\._/.test(file)
    ? 'this is no YAML but attributes of a Mac: pack with triseed contract archive DIR, or with COPYFILE_DISABLE=1 tar …'
    : 'plain YAML 1.2 is read: unique text keys, no tags, spaces for indentation';

/** Text of a member, or the problem that it is none. */
export const archiveText = (
  file: string,
  bytes: Uint8Array,
  code: FindingCode,
):
  | { readonly kind: 'read'; readonly text: string }
  | { readonly kind: 'refused'; readonly problem: ContentProblem } => {
  if (bytes.length > maximumFileBytes) {
    const message = `${file}: it is longer than ${maximumFileBytes / 1024} KiB`;
    return { kind: 'refused', problem: { code, message, hint: 'keep data in other files' } };
  }
  const text = decodeUtf8(bytes);
  if (text !== null) return { kind: 'read', text };
  return {
    kind: 'refused',
    problem: { code, message: `${file}: it is not UTF-8 text`, hint: 'save the file as UTF-8' },
  };
};

/** The same problem told about the archive. */
export const inArchive = ({ file, before, document }: ArchiveDocument, problem: PlacedProblem): ContentProblem => {
  const { code, message, hint, path, at } = problem;
  const { line } = positionOf(document.text, offsetAt(document, path, at));
  return { code, message: `${file} line ${before + line}: ${message}`, hint };
};
