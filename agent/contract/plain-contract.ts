/** A contract with its tokens opened where they stand: everything else keeps its bytes, comments and unknown keys too. */
import { stringify } from 'yaml';
import { isSameData } from './same-data.ts';
import { isMapping, parseStrictYaml, type StrictDocument, type YamlMapping } from './strict-yaml.ts';

const style = { lineWidth: 0, blockQuote: 'literal', version: '1.2' } as const;

/** `|` and the indented lines, or a quoted scalar where a block cannot hold the text; without the last line end. */
const rendered = (value: string, comment: string): string => {
  const scalar = stringify({ k: value }, style).slice('k: '.length).replace(/\n$/, '');
  const end = scalar.indexOf('\n');
  if (comment === '') return scalar;
  return end === -1 ? `${scalar} ${comment}` : `${scalar.slice(0, end)} ${comment}${scalar.slice(end)}`;
};

const edited = ({ text, places }: StrictDocument, values: ReadonlyMap<string, string>): string => {
  const splices = places
    .filter(({ path }) => path.length === 1 && typeof path[0] === 'string' && values.has(path[0]))
    .map(({ path, start, end }) => {
      const rest = /^[ \t]*(#[^\r\n]*)?/.exec(text.slice(end)) ?? [''];
      const isLine = !text.slice(start, end).includes('\n');
      const comment = isLine ? (rest[1] ?? '') : '';
      const value = rendered(values.get(String(path[0])) ?? '', comment);
      return { start, end: isLine ? end + rest[0].length : end, value: isLine ? value : `${value}\n` };
    });
  return splices
    .sort((a, b) => b.start - a.start)
    .reduce((now, { start, end, value }) => now.slice(0, start) + value + now.slice(end), text);
};

/** `document`'s text with `values` in the place of top-level strings. */
export const withPlainValues = (document: StrictDocument, values: ReadonlyMap<string, string>): string => {
  const root: YamlMapping = isMapping(document.value) ? document.value : {};
  const wanted = { ...root, ...Object.fromEntries(values) };
  const text = edited(document, values);
  const read = parseStrictYaml(text);
  if (read.kind === 'parsed' && isSameData(read.document.value, wanted)) return text;
  // Written so that nothing can be put in its place, such as a document in brackets.
  return stringify(wanted, style);
};
