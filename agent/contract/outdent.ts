/** A nested mapping's own lines: the slice of the contract that holds it, without the common indentation. */
import type { ParsedGround } from './finding.ts';
import { isSameData } from './same-data.ts';
import { parseStrictYaml } from './strict-yaml.ts';

/** Null when the lines do not say the same on their own, for example when they use an anchor from elsewhere. */
export const outdent = ({ text, document }: ParsedGround): string | null => {
  const root = document.places.find(({ path }) => path.length === 0);
  const first = document.places.find(({ path }) => path.length === 1);
  if (root === undefined || first === undefined) return null;
  const isFlow = text[root.start] === '{';
  const lineStart = text.lastIndexOf('\n', first.keyOffset - 1) + 1;
  const indent = text.slice(lineStart, first.keyOffset);
  if (!isFlow && !/^ *$/.test(indent)) return null;
  const slice = isFlow ? `${text.slice(root.start, root.end)}\n` : text.slice(lineStart, root.end);
  const alone = isFlow
    ? slice
    : slice
        .split('\n')
        .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart()))
        .join('\n');
  const read = parseStrictYaml(alone);
  return read.kind === 'parsed' && isSameData(read.document.value, document.value) ? alone : null;
};
