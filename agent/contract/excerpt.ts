/**
 * One source line with a caret, for a person. Values are hidden unless their key is known to be harmless: a seed
 * under a misspelt key must not be printed either.
 */
import { secretsWithin } from './places.ts';
import { printable } from './shown-name.ts';
import { positionOf, type StrictDocument, type YamlPath, type YamlPlace } from './strict-yaml.ts';

const hidden = '[hidden]';
const maxWidth = 100;
/** Of lines with millions of characters no more than this is looked at, in characters. */
const maxLine = 10_000;

/** Values of these are shown. */
export const harmlessKeys: ReadonlySet<string> = new Set([
  'type',
  'mount',
  'filesystem',
  'hostname',
  'port',
  'crn',
  'kmsTimeout',
  'volumeName',
  'volumeID',
  'uv-secret-id',
  'uv-previous-secret-id',
  'intent',
  'serial',
  'apiVersion',
  'kind',
  'notary',
]);

/** In these maps the keys are free, so that even a harmless name can hold anything. */
const freeMaps: ReadonlySet<string | number> = new Set(['env', 'auths', 'cacerts', 'play', 'crypto-pt']);

const isHarmless = (path: YamlPath): boolean => {
  const key = path.at(-1);
  return typeof key === 'string' && harmlessKeys.has(key) && !path.slice(0, -1).some((part) => freeMaps.has(part));
};

const lineAround = (text: string, offset: number): { readonly start: number; readonly end: number } => {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const next = text.indexOf('\n', offset);
  return { start, end: next === -1 ? text.length : next };
};

const withCaret = (shown: string, caret: number): string => {
  const line = printable(shown.slice(0, caret + maxLine)).trimEnd();
  const from = caret > maxWidth - 20 ? caret - maxWidth / 2 : 0;
  const cut = `${from > 0 ? '…' : ''}${line.slice(from, from + maxWidth)}${line.length > from + maxWidth ? '…' : ''}`;
  return `${cut}\n${' '.repeat(Math.max(0, caret - from + (from > 0 ? 1 : 0)))}^`;
};

/** The line of a parsed document that holds `offset`. */
export const excerptOf = (
  document: StrictDocument,
  offset: number,
  showsValues: boolean,
  foreign: readonly YamlPlace[] = [],
): string => {
  const { text } = document;
  const { start, end } = lineAround(text, offset);
  const own = secretsWithin(document, start, end).filter(({ path }) => !isHarmless(path));
  const others = foreign.filter((place) => place.start < end && place.end > start);
  const secrets = showsValues ? [] : [...own, ...others].sort((a, b) => a.start - b.start);
  let shown = '';
  let caret = 0;
  let at = start;
  for (const place of secrets) {
    const from = Math.max(place.start, at);
    const to = Math.min(place.end, end);
    if (to <= from) continue;
    if (offset >= at && offset <= from) caret = shown.length + (offset - at);
    else if (offset > from && offset < to) caret = shown.length + (from - at);
    shown += text.slice(at, from) + hidden;
    at = to;
  }
  if (offset >= at) caret = shown.length + (offset - at);
  shown += text.slice(at, end);
  // A comment is prose of the author's and may repeat what the value hides.
  return withCaret(shown.replace(/(^|\s)#.*$/u, '$1'), caret);
};

/** The line of a document that does not parse: nothing but its key can be told apart from a secret. */
export const excerptOfUnparsed = (text: string, offset: number): string => {
  const { start, end } = lineAround(text, offset);
  const line = text.slice(start, Math.min(end, start + maxLine));
  const key = /^\s*(?:- +)*(?:[A-Za-z0-9_.-]{1,64}\s*:)?/u.exec(line)?.[0] ?? '';
  const rest = line.slice(key.length).trim() === '' ? '' : ` ${hidden}`;
  const { column } = positionOf(text, offset);
  return withCaret(key + rest, Math.min(column - 1, key.length + (rest === '' ? 0 : 1)));
};
