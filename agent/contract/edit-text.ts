/**
 * Editing a contract as text. Only the places that have to change are written: comments, the order of keys and every
 * byte of the sections stay as their author left them. Each edit is read back and must say exactly what was meant.
 */
import { isSameData } from './same-data.ts';
import { isMapping, parseStrictYaml, positionOf, type StrictDocument, type YamlPlace } from './strict-yaml.ts';

/** Values of top-level keys. Tokens and base64 stand as plain scalars; everything else is quoted. */
export type NewValues = ReadonlyMap<string, string>;

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const isPlain = (value: string): boolean => /^[A-Za-z0-9+/][A-Za-z0-9+/=.-]*$/.test(value) && value.length > 40;

const rendered = (value: string, isFlow: boolean): string =>
  isPlain(value) && !isFlow ? value : JSON.stringify(value);

const topLevel = ({ places }: StrictDocument, key: string): YamlPlace | undefined =>
  places.find(({ path }) => path.length === 1 && path[0] === key);

/** The comment that may stand behind the sign of a block scalar: `workload: | # the vendor's`. */
const headerComment = (slice: string): string => /^[|>][0-9+-]*([ \t]+#[^\r\n]*)/.exec(slice)?.[1] ?? '';

const replacing = (text: string, place: YamlPlace, value: string, isFlow: boolean): Splice => {
  const slice = text.slice(place.start, place.end).trimEnd();
  const colon = text.slice(place.keyOffset, place.start);
  // A nested mapping begins on a line of its own; its token goes behind the key, unless a comment is in between.
  const gap = /:(\s+)$/.exec(colon)?.[1] ?? '';
  const start = gap.includes('\n') ? place.start - gap.length : place.start;
  const space = start !== place.start || text[start - 1] === ':' ? ' ' : '';
  return { start, end: place.start + slice.length, text: `${space}${rendered(value, isFlow)}${headerComment(slice)}` };
};

const lineEndOf = (text: string): string => (text.includes('\r\n') ? '\r\n' : '\n');

/** Last entry of the mapping; `first` instead for texts whose last value would grow by the line break before it. */
const adding = (document: StrictDocument, key: string, value: string, where: 'last' | 'first'): Splice | null => {
  const { text, places } = document;
  const [root, first] = [places[0], places.find(({ path }) => path.length === 1)];
  const last = places.findLast(({ path }) => path.length === 1);
  if (root === undefined || first === undefined || last === undefined) return null;
  if (text[root.start] === '{') return { start: last.end, end: last.end, text: `, "${key}": ${JSON.stringify(value)}` };
  const line = `${key}: ${rendered(value, false)}${lineEndOf(text)}`;
  if (where === 'first') return { start: first.keyOffset, end: first.keyOffset, text: line };
  const marker = /^\.\.\.[ \t]*\r?$/m.exec(text.slice(last.end));
  const at = marker === null ? text.length : last.end + marker.index;
  return { start: at, end: at, text: `${text[at - 1] === '\n' ? '' : lineEndOf(text)}${line}` };
};

const applied = (text: string, splices: readonly Splice[]): string =>
  [...splices]
    .sort((a, b) => b.start - a.start)
    .reduce((now, s) => now.slice(0, s.start) + s.text + now.slice(s.end), text);

const readsAs = (document: StrictDocument, text: string, values: NewValues): string | null => {
  const read = parseStrictYaml(text);
  if (read.kind === 'refused' || !isMapping(document.value)) return null;
  return isSameData(read.document.value, { ...document.value, ...Object.fromEntries(values) }) ? text : null;
};

/**
 * `document`'s text with top-level `values` replaced where they stand, or appended as last entries. Null when the
 * text cannot be edited so that everything else keeps its meaning, for example when another value is an alias of one
 * that changes.
 */
export const setValues = (document: StrictDocument, values: NewValues): string | null => {
  const { text, places } = document;
  const isFlow = text[places[0]?.start ?? 0] === '{';
  for (const where of ['last', 'first'] as const) {
    const splices: Splice[] = [];
    for (const [key, value] of values) {
      const place = topLevel(document, key);
      const splice = place === undefined ? adding(document, key, value, where) : replacing(text, place, value, isFlow);
      if (splice === null) return null;
      splices.push(splice);
    }
    const edited = readsAs(document, applied(text, splices), values);
    if (edited !== null) return edited;
  }
  return null;
};

const commonStart = (a: string, b: string): number => {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  return at;
};

/** Where character `offset` of a `|` scalar's value stands in the document, and how far its lines are indented. */
const insideLiteral = (text: string, place: YamlPlace, value: string, offset: number) => {
  const inner = positionOf(value, offset);
  const lines = text.split('\n');
  const number = positionOf(text, place.start).line + inner.line;
  const outerLine = (lines[number - 1] ?? '').replace(/\r$/, '');
  const indent = outerLine.length - (value.split('\n')[inner.line - 1] ?? '').length;
  const lineStart = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  return { offset: lineStart + indent + inner.column - 1, indent: outerLine.slice(0, indent) };
};

/**
 * `document`'s text in which the string `key` reads `value`, which is its present value with one piece inserted. In a
 * `|` block the piece is inserted with the block's indentation; a value of another style is written again, quoted.
 */
export const insertInto = (document: StrictDocument, key: string, value: string): string | null => {
  const { text } = document;
  const place = topLevel(document, key);
  const present = isMapping(document.value) ? document.value[key] : undefined;
  if (place === undefined || typeof present !== 'string') return null;
  const values = new Map([[key, value]]);
  if (place.style === 'literal') {
    const at = commonStart(present, value);
    const piece = value.slice(at, at + value.length - present.length);
    const where = insideLiteral(text, place, present, at);
    const lines = piece.replaceAll('\n', `${lineEndOf(text)}${where.indent}`);
    const edited = applied(text, [{ start: where.offset, end: where.offset, text: lines }]);
    const read = readsAs(document, edited, values);
    if (read !== null) return read;
  }
  const isFlow = text[document.places[0]?.start ?? 0] === '{';
  const slice = text.slice(place.start, place.end).trimEnd();
  const quoted = {
    start: place.start,
    end: place.start + slice.length,
    text: JSON.stringify(value) + (isFlow ? '' : headerComment(slice)),
  };
  return readsAs(document, applied(text, [quoted]), values);
};

/** `text` with the byte order mark that `bytes`, which it was read from, began with. */
export const withByteOrderMark = (bytes: Uint8Array, text: string): string =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? `\u{feff}${text}` : text;
