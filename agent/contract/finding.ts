/** Making and printing findings: where a fault is in the delivered document, whatever wraps it. */
import { excerptOf, excerptOfUnparsed } from './excerpt.ts';
import { type FindingCode, findingRules } from './finding-rules.ts';
import { placeAt } from './places.ts';
import { printable, shownName } from './shown-name.ts';
import { positionOf, type StrictDocument, type YamlPath, type YamlPlace } from './strict-yaml.ts';
import type { Finding, SectionName, Severity } from './types.ts';

/** A text that findings point into, and how its lines map to the delivered document. */
export interface Ground {
  readonly section: SectionName | null;
  /** True for documents without secrets, such as the agent configuration: excerpts show values. */
  readonly isPublic?: boolean;
  /** Values of the same text that are not this ground's own: an excerpt never shows them. */
  readonly foreign?: readonly YamlPlace[];
  /** The text whose offsets are given: the contract itself, or a section's own text. */
  readonly text: string;
  /** null while (or because) the text does not parse. */
  readonly document: StrictDocument | null;
  /** Position in the delivered document of an offset into `text`. */
  readonly toDelivered: (offset: number) => { readonly line: number; readonly column: number };
}

export type ParsedGround = Ground & { readonly document: StrictDocument };

export interface FindingDetail {
  readonly message: string;
  readonly hint: string;
}

const severities: Readonly<Record<string, Severity>> = { E: 'error', W: 'warning', I: 'note' };

/** `['volumes', 'data', 'kms', 0]` → `volumes.data.kms[0]`, after the section's name. */
export const renderPath = (section: SectionName | null, path: YamlPath): string => {
  const parts = section === null ? path : [section, ...path];
  return parts
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${shownName(part)}`))
    .join('');
};

/** A name out of the contract, safe to print. */
export const quoted = (name: string): string => JSON.stringify(shownName(name));

/** Rules quote names of the contract; hints have several lines now and then. */
const printableDetail = ({ message, hint }: FindingDetail): FindingDetail => ({
  message: printable(message),
  hint: hint.split('\n').map(printable).join('\n'),
});

/** A finding at character `offset` of the ground's text. */
export const findingAt = (
  code: FindingCode,
  ground: Ground,
  path: YamlPath,
  offset: number,
  detail: FindingDetail,
): Finding => {
  const { section, text, document } = ground;
  const id = findingRules[code];
  return {
    code,
    id,
    severity: severities[id.slice(-1)] ?? 'error',
    path: renderPath(section, path),
    ...ground.toDelivered(offset),
    within: section === null ? null : { section, ...positionOf(text, offset) },
    ...printableDetail(detail),
    excerpt:
      document === null
        ? excerptOfUnparsed(text, offset)
        : excerptOf(document, offset, ground.isPublic === true, ground.foreign),
  };
};

/** The same place, told in other words. */
export const reworded = (found: Finding, code: FindingCode, detail: FindingDetail): Finding => {
  const id = findingRules[code];
  return { ...found, code, id, severity: severities[id.slice(-1)] ?? 'error', ...printableDetail(detail) };
};

/** Offset of the value at `path`, or of its key; of its nearest ancestor when it does not exist. */
export const offsetAt = (document: StrictDocument, path: YamlPath, at: 'key' | 'value'): number => {
  for (let length = path.length; length >= 0; length -= 1) {
    const place = placeAt(document, path.slice(0, length));
    if (place !== undefined) return at === 'key' || length < path.length ? place.keyOffset : place.start;
  }
  return 0;
};

/** A finding about the value (or the key) at `path` of a parsed ground. */
export const finding = (
  code: FindingCode,
  ground: ParsedGround,
  path: YamlPath,
  detail: FindingDetail,
  at: 'key' | 'value' = 'value',
): Finding => findingAt(code, ground, path, offsetAt(ground.document, path, at), detail);

/** A finding about the contract as a whole, with nothing to point at. */
export const findingOverall = (code: FindingCode, detail: FindingDetail): Finding => {
  const id = findingRules[code];
  const severity = severities[id.slice(-1)] ?? 'error';
  return { code, id, severity, path: '', line: 1, column: 1, within: null, excerpt: null, ...printableDetail(detail) };
};

export const hasErrors = (findings: readonly Finding[]): boolean =>
  findings.some(({ severity }) => severity === 'error');

const inside = ({ within, line, column }: Finding): string =>
  within === null || (within.line === line && within.column === column)
    ? ''
    : ` (${within.section} line ${within.line}, column ${within.column})`;

/** Findings for a person: position, id, message, source line with a caret, hint. `name` is the document's name. */
export const renderFindings = (findings: readonly Finding[], name: string): string =>
  findings
    .map((entry) => {
      const { id, code, severity, path, line, column, message, hint, excerpt } = entry;
      const source = excerpt === null ? [] : excerpt.split('\n').map((text) => `    ${text}`);
      return [
        `${name}:${line}:${column}: ${severity} ${id} ${code}: ${path === '' ? '' : `${path}: `}${message}${inside(entry)}`,
        ...source,
        ...hint.split('\n').map((text, index) => (index === 0 ? `    hint: ${text}` : `          ${text}`)),
        '',
      ].join('\n');
    })
    .join('\n');
