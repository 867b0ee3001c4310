/** Parsing a text that findings will point into. */
import { findingAt, findingOverall, type Ground, type ParsedGround } from './finding.ts';
import { decodeUtf8, parseStrictYaml, positionOf, type YamlProblem } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';

export type Reading<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'refused'; readonly findings: readonly Finding[] };

const hints: Readonly<Record<YamlProblem['code'], string>> = {
  YAML_SYNTAX: 'plain YAML 1.2 is read: unique text keys, no tags, spaces for indentation',
  YAML_CHARACTER: 'remove it; bytes that are no text are written in base64',
  YAML_DUPLICATE_KEY: 'keep one of the two',
  YAML_KEY: 'use plain text for the key',
  YAML_LIMIT: 'write out what aliases repeat; put data into an archive, an image or a volume',
  YAML_DIRECTIVE: 'remove the line that begins with %YAML',
};

/** Braces at the beginning of a value are a mapping to YAML, so that a template expression there needs quotes. */
const hintFor = (code: YamlProblem['code'], text: string, offset: number): string => {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  return /^.{0,1024}?(?::|-)[ \t]+\{\{/.test(text.slice(start, start + 2048))
    ? 'put a value that begins with {{ in quotes: "{{ .Env.NAME }}"'
    : hints[code];
};

/**
 * Parses `text`; the first problem becomes a finding in it. `toDelivered` maps its positions to the delivered document;
 * without it, the text is that document.
 */
export const parseGround = (
  text: string,
  section: SectionName | null,
  toDelivered: Ground['toDelivered'] = (offset) => positionOf(text, offset),
): Reading<ParsedGround> => {
  const outcome = parseStrictYaml(text);
  if (outcome.kind === 'parsed') {
    return { kind: 'read', value: { section, text, toDelivered, document: outcome.document } };
  }
  const ground: Ground = { section, text, toDelivered, document: null };
  // After its first problem a parser guesses, and what it says then repeats the one fault in other words.
  const [first] = outcome.problems.toSorted((a, b) => a.offset - b.offset);
  if (first === undefined) throw new TypeError('a document is refused without a reason');
  const { code, path, offset, reason } = first;
  const detail = { message: reason, hint: hintFor(code, text, offset) };
  return { kind: 'refused', findings: [findingAt(code, ground, path, offset, detail)] };
};

/** As parseGround, from bytes that must be UTF-8. */
export const parseGroundBytes = (bytes: Uint8Array, section: SectionName | null): Reading<ParsedGround> => {
  const text = decodeUtf8(bytes);
  if (text !== null) return parseGround(text, section);
  const detail = { message: 'the document is not UTF-8 text', hint: 'save the file as UTF-8' };
  return { kind: 'refused', findings: [findingOverall('NOT_UTF8', detail)] };
};
