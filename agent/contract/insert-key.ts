/**
 * Adding signingKey to the env section as text. The deployer reviewed these bytes: not one of them is changed, no
 * comment is lost, no number is written anew.
 */
import { isSameData } from './same-data.ts';
import { isMapping, parseStrictYaml, type StrictDocument } from './strict-yaml.ts';

const key = 'signingKey';

const insertion = ({ text, places }: StrictDocument, value: string): string | null => {
  const root = places[0];
  const first = places.find(({ path }) => path.length === 1);
  if (root === undefined || first === undefined) return null;
  if (text[root.start] === '{') {
    const after = root.start + 1;
    return `${text.slice(0, after)}"${key}": "${value}", ${text.slice(after)}`;
  }
  const lineStart = text.lastIndexOf('\n', first.keyOffset - 1) + 1;
  const indent = text.slice(lineStart, first.keyOffset);
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n';
  if (!/^ *$/.test(indent)) return null;
  return `${text.slice(0, lineStart)}${indent}${key}: ${value}${lineEnd}${text.slice(lineStart)}`;
};

/**
 * `document`'s text with `signingKey: value` as its first entry, or null when it is written in a way that no line
 * can be added to. The result is read back: it says the same as before, and the key.
 */
export const insertSigningKey = (document: StrictDocument, value: string): string | null => {
  const text = insertion(document, value);
  if (text === null || !isMapping(document.value)) return null;
  const read = parseStrictYaml(text);
  if (read.kind === 'refused') return null;
  return isSameData(read.document.value, { ...document.value, [key]: value }) ? text : null;
};
