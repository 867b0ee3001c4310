/** Mistakes of samples that keep a text from being parsed: tabs, characters of a web page, lost pipe signs. */
import type { DeliveredContract } from './delivered.ts';
import { type FindingDetail, findingAt, type Ground, type ParsedGround, reworded } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import { volumeFields } from './sample-lint-indent.ts';
import { positionOf } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';

export interface Linted {
  /** The document; null when it is not UTF-8. */
  readonly text: string | null;
  readonly delivered: DeliveredContract | null;
  /** Texts of the sections as far as they could be opened. */
  readonly texts: Readonly<Record<SectionName, string | null>>;
  readonly sections: Readonly<Record<SectionName, ParsedGround | null>>;
  readonly findings: readonly Finding[];
}

/** A mistake with the errors that follow from it. */
export interface Mistake {
  readonly explained: readonly Finding[];
  readonly said: Finding;
}

const syntax: ReadonlySet<string> = new Set(['YAML_SYNTAX', 'YAML_DUPLICATE_KEY', 'NOT_A_MAPPING', 'YAML_CHARACTER']);

/** The text that a finding stands in, and its line there. */
const placeOf = (
  linted: Linted,
  { within, line }: Finding,
): { readonly lines: readonly string[]; readonly at: number } => {
  const text = within === null ? linted.text : linted.texts[within.section];
  return { lines: (text ?? '').split(/\r?\n/), at: (within?.line ?? line) - 1 };
};

const indentOf = (line: string): number => line.search(/\S|$/);

const sectionHeader = /^(workload|env):[ \t]*[|>][-+0-9]*[ \t]*(?:#.*)?$/;

/** One explanation for a run of syntax errors: the first of them says where. */
const explain = (errors: readonly Finding[], code: FindingCode, detail: FindingDetail): Mistake[] => {
  const [first] = errors;
  return first === undefined ? [] : [{ explained: errors, said: reworded(first, code, detail) }];
};

const inOneText = (errors: readonly Finding[], first: Finding): readonly Finding[] =>
  errors.filter(({ code, within }) => syntax.has(code) && within?.section === first.within?.section);

const tabs = (linted: Linted, errors: readonly Finding[]): Mistake[] => {
  const isTabbed = (found: Finding): boolean => {
    const { lines, at } = placeOf(linted, found);
    return syntax.has(found.code) && /^ *\t/.test(lines[at] ?? '');
  };
  const tab = errors.find(isTabbed);
  if (tab === undefined) return [];
  const message = 'this line is indented with a tab, which YAML does not allow';
  const hint = 'put spaces in its place; expand -t 2 FILE does it for a whole file';
  return [{ explained: inOneText(errors, tab), said: reworded(tab, 'TAB_INDENT', { message, hint }) }];
};

const fromFirstSyntaxError = (linted: Linted, errors: readonly Finding[]): Mistake[] => {
  const first = errors.find(({ code }) => syntax.has(code));
  if (first === undefined) return [];
  const together = inOneText(errors, first);
  const { lines, at } = placeOf(linted, first);
  const line = lines[at] ?? '';
  const [, indent = '', key = ''] = /^( *)([\w-]+):/.exec(line) ?? [];
  const parent = lines
    .slice(0, at)
    .findLast((text) => text.startsWith(indent) && /^[\w-]+:[ \t]*$/.test(text.slice(indent.length)));
  if (first.code === 'YAML_DUPLICATE_KEY' && volumeFields.includes(key) && parent !== undefined) {
    const name = parent.trim();
    const message = `"${key}" stands beside "${name.slice(0, -1)}", as it does beside the volume before`;
    const hint = `indent by two more:\n${name}\n  ${key}: …`;
    return explain(together, 'KEY_MISINDENTED', { message, hint });
  }
  const oneLine = /^(workload|env): *(?:type|logging|compose|play|volumes):/.exec(line);
  if (oneLine !== null && first.within === null) {
    const message = 'the section begins on the line of its name';
    const hint = `put a pipe sign there and the section below, indented:\n${oneLine[1]}: |\n  type: ${oneLine[1]}`;
    return explain(together, 'PIPE_MISSING', { message, hint });
  }
  if (/^\s*-{2,5}(?:BEGIN|END) |^\s*[A-Za-z0-9+/]{40,76}={0,2}$/.test(line)) {
    const message = 'lines of a PEM text end here, because they are not indented deeper than their key';
    const hint = 'indent every line of it by two more than the key:\nsigningKey: |\n  -----BEGIN PUBLIC KEY-----';
    return explain(together, 'KEY_MISINDENTED', { message, hint });
  }
  const next = lines.slice(at + 1).find((text) => text.trim() !== '') ?? '';
  if (/^\s*[\w-]+: +[^\s|>&{["'#]/.test(line) && indentOf(next) > indentOf(line) && /^\s*[\w"'-]+:/.test(next)) {
    const message = 'this line has a value already, but the next one is indented deeper';
    return explain(together, 'KEY_MISINDENTED', { message, hint: 'indent both lines the same' });
  }
  return [];
};

/** A section whose lines stand at the left margin. */
const flatSection =
  /^(workload|env):[ \t]*[|>]?[-+0-9]*[ \t]*\r?\n(?=[A-Za-z])(?!(?:workload|env|attestationPublicKey|envWorkloadSignature):)/m;

const outerGround = (text: string): Ground => ({
  section: null,
  text,
  document: null,
  toDelivered: (offset) => positionOf(text, offset),
});

/** The outer document ends a section where a line is indented less than the section's first. */
const endsEarly = ({ delivered, text }: Linted, errors: readonly Finding[]): Mistake[] => {
  if (delivered !== null || text === null) return [];
  const flat = flatSection.exec(text);
  if (flat !== null) {
    const [, name = ''] = flat;
    const explained = errors.filter(
      ({ code, within, path }) => within === null && (syntax.has(code) || (code === 'WRONG_TYPE' && path === name)),
    );
    const message = `the lines below are not indented, so they are not part of ${name}`;
    const hint = `indent every line of the section by two:\n${name}: |\n  type: ${name}`;
    const said = findingAt('SECTION_ENDS_EARLY', outerGround(text), [], flat.index, { message, hint });
    return explained.length === 0 ? [] : [{ explained, said }];
  }
  const first = errors.find(({ code, within }) => syntax.has(code) && within === null);
  if (first === undefined) return [];
  const lines = text.split(/\r?\n/);
  const at = first.line - 1;
  const header = lines.slice(0, at).findLastIndex((line) => sectionHeader.test(line));
  if (header === -1) return [];
  const inner = lines.slice(header + 1, at).find((line) => line.trim() !== '') ?? '';
  const here = indentOf(lines[at] ?? '');
  if (here === 0 || here >= indentOf(inner)) return [];
  const name = lines[header]?.split(':')[0] ?? '';
  const message = `this line is indented by ${here}, the section ${name} by ${indentOf(inner)}: the section ends above it`;
  const detail = { message, hint: `indent it by ${indentOf(inner)} or more` };
  return explain(inOneText(errors, first), 'SECTION_ENDS_EARLY', detail);
};

/** Where the marks of a page are looked for, in characters. */
const maxBeginning = 4096;

const copied = (linted: Linted, errors: readonly Finding[]): Mistake[] => {
  const { text } = linted;
  if (text === null) return [];
  const ground = outerGround(text);
  // Of a text with a million comments the pattern would need more stack than there is.
  const fence = /^(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*(?:```|~~~)/.exec(text.slice(0, maxBeginning));
  if (fence !== null) {
    const explained = errors.filter(({ code, within }) => syntax.has(code) && within === null);
    const message = 'the marks of a documentation page came along';
    const detail = { message, hint: 'delete the lines that begin with ``` or ~~~' };
    const offset = fence[0].length - 3;
    return explained.length === 0 ? [] : [{ explained, said: findingAt('COPIED_TEXT', ground, [], offset, detail) }];
  }
  const blank = /^[ \t]*[\u00a0\u2000-\u200b\u202f\u3000]/m.exec(text);
  if (blank === null) return [];
  const shape: ReadonlySet<string> = new Set([...syntax, 'WRONG_TYPE', 'WRONG_CHOICE', 'MISSING_KEY', 'UNKNOWN_KEY']);
  const explained = errors.filter(({ code }) => shape.has(code));
  const message =
    'this line is indented with a space that is no space to YAML (such as the no-break space of web pages)';
  const detail = { message, hint: 'delete the indentation and type it again' };
  const offset = blank.index + blank[0].length - 1;
  return explained.length === 0 ? [] : [{ explained, said: findingAt('COPIED_TEXT', ground, [], offset, detail) }];
};

/** In the order in which they should be told: one at a time, as the next depends on it. */
export const textMistakes = (linted: Linted, errors: readonly Finding[]): readonly Mistake[] => {
  for (const find of [copied, tabs, endsEarly, fromFirstSyntaxError]) {
    const found = find(linted, errors);
    if (found.length > 0) return found;
  }
  return [];
};
