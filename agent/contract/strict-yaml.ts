/**
 * YAML as hostile input: core schema of YAML 1.2, no merge keys, no tags of other schemas, keys unique and textual,
 * aliases and sizes capped, warnings are errors. Everything later reads the plain data made here, never the nodes.
 */
import { type Alias, isAlias, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import { composeYaml, maxDepth } from './compose-yaml.ts';
import { shownName } from './shown-name.ts';

/** Nodes visited while expanding aliases: bounds "billion laughs" documents. */
const maxNodes = 100_000;
const maxAliases = 100;
/** YAML 1.2.2 section 7.4.2 limits implicit keys to this many characters; here it bounds pattern matching, too. */
const maxKeyLength = 1024;

export type YamlValue = null | boolean | number | string | readonly YamlValue[] | YamlMapping;
export interface YamlMapping {
  readonly [key: string]: YamlValue;
}

export type YamlPath = readonly (string | number)[];

export interface YamlProblem {
  readonly code: 'YAML_SYNTAX' | 'YAML_CHARACTER' | 'YAML_DUPLICATE_KEY' | 'YAML_KEY' | 'YAML_LIMIT' | 'YAML_DIRECTIVE';
  /** Offset in characters into the text. */
  readonly offset: number;
  readonly path: YamlPath;
  readonly reason: string;
}

/** Where a value stands in the text, in characters. */
export interface YamlPlace {
  /** Offset of the key, for a mapping's entry; otherwise of the value. */
  readonly keyOffset: number;
  readonly start: number;
  readonly end: number;
  readonly path: YamlPath;
  /** True for strings, numbers, booleans and null: what an excerpt may have to hide. */
  readonly isScalar: boolean;
  /** `|` block scalars keep their lines; other styles do not. */
  readonly style: 'literal' | 'other';
}

export interface StrictDocument {
  readonly text: string;
  readonly value: YamlValue;
  /** Every value in document order; aliased values appear where they are anchored. */
  readonly places: readonly YamlPlace[];
}

export type YamlOutcome =
  | { readonly kind: 'parsed'; readonly document: StrictDocument }
  | { readonly kind: 'refused'; readonly problems: readonly YamlProblem[] };

// YAML 1.2.2 section 5.1: C0 controls but tab, line feed and carriage return, DEL, C1 controls but NEL, and two
// noncharacters are not printable. The yaml package lets them through.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const unprintable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u0080-\u0084\u0086-\u009f\ufffe\uffff]/u;

const characterProblem = (text: string): { offset: number; reason: string } | null => {
  if (!text.isWellFormed()) return { offset: 0, reason: 'the text holds half of a surrogate pair' };
  const found = unprintable.exec(text);
  if (found === null) return null;
  const code = (found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return { offset: found.index, reason: `control character U+${code} is not allowed` };
};

class Refusal extends Error {
  readonly problem: YamlProblem;
  constructor(problem: YamlProblem) {
    super(problem.reason);
    this.problem = problem;
  }
}

const offsetOf = (node: unknown): number => (node as Node | null)?.range?.[0] ?? 0;

/** Turns nodes into plain data with own limits, recording where each value stands. */
class Reader {
  readonly places: YamlPlace[] = [];
  /** Anchors as they stand where reading has come to; a later one of the same name takes its place. */
  readonly #anchors = new Map<string, Node>();
  /** What each alias meant where it is written. Asking the package walks the whole document for every alias. */
  readonly #targets = new Map<Alias, Node>();
  readonly #quoted: ReadonlyMap<number, string>;
  #nodes = 0;
  #aliases = 0;

  constructor(quoted: ReadonlyMap<number, string>) {
    this.#quoted = quoted;
  }

  read(node: unknown, path: YamlPath, keyOffset: number, expanding: boolean): YamlValue {
    const refuse = (code: YamlProblem['code'], reason: string, offset = offsetOf(node)): never => {
      throw new Refusal({ code, offset, path, reason });
    };
    this.#nodes += 1;
    if (this.#nodes > maxNodes) refuse('YAML_LIMIT', `the document has more than ${maxNodes} values`);
    if (path.length > maxDepth) refuse('YAML_LIMIT', `values are nested deeper than ${maxDepth} levels`);
    if (isAlias(node)) {
      this.#aliases += 1;
      if (this.#aliases > maxAliases) refuse('YAML_LIMIT', `more than ${maxAliases} aliases`);
      const target = this.#targets.get(node) ?? this.#anchors.get(node.source);
      if (target === undefined) return refuse('YAML_SYNTAX', 'an alias has no anchor');
      this.#targets.set(node, target);
      return this.read(target, path, keyOffset, true);
    }
    if (!expanding) this.#note(node);
    const [start = 0, end = start] = (node as Node | null)?.range ?? [keyOffset, keyOffset];
    if (!expanding) {
      const style = isScalar(node) && node.type === 'BLOCK_LITERAL' ? 'literal' : 'other';
      this.places.push({ keyOffset, start, end, path, isScalar: node === null || isScalar(node), style });
    }
    if (isMap(node)) return this.#mapping(node.items, path, expanding, refuse);
    if (isSeq(node)) {
      return node.items.map((item, index) => this.read(item, [...path, index], offsetOf(item), expanding));
    }
    const value = isScalar(node) ? (this.#quoted.get(start) ?? node.value) : null;
    if (typeof value === 'string') {
      // An escape in a double-quoted scalar can make what the text check has not seen.
      const problem = characterProblem(value);
      if (problem !== null) refuse('YAML_CHARACTER', problem.reason);
      return value;
    }
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
    return refuse('YAML_SYNTAX', 'this kind of value is not allowed');
  }

  #note(node: unknown): void {
    const { anchor } = (node ?? {}) as { readonly anchor?: string };
    if (anchor !== undefined) this.#anchors.set(anchor, node as Node);
  }

  #mapping(
    pairs: readonly Pair[],
    path: YamlPath,
    expanding: boolean,
    refuse: (code: YamlProblem['code'], reason: string, offset?: number) => never,
  ): YamlMapping {
    const entries = new Map<string, YamlValue>();
    for (const { key, value } of pairs) {
      const offset = offsetOf(key);
      if (!expanding) this.#note(key);
      if (!isScalar(key) || key.value === null || typeof key.value === 'object') {
        return refuse('YAML_KEY', 'a key must be plain text', offset);
      }
      // `1:` and `"1":` are one key to every reader of plain data, so they are one here.
      const name = String(key.value);
      if (name.length > maxKeyLength) refuse('YAML_LIMIT', `a key has more than ${maxKeyLength} characters`, offset);
      if (name === '__proto__') refuse('YAML_KEY', 'the key __proto__ is not allowed', offset);
      const problem = characterProblem(name);
      if (problem !== null) refuse('YAML_CHARACTER', problem.reason, offset);
      if (entries.has(name))
        refuse('YAML_DUPLICATE_KEY', `the key ${JSON.stringify(shownName(name))} appears twice`, offset);
      entries.set(name, this.read(value, [...path, name], offset, expanding));
    }
    return Object.fromEntries(entries);
  }
}

/** Strict parse of `text`; the caller has bounded its size and decoded it with `decodeUtf8`. */
export const parseStrictYaml = (text: string): YamlOutcome => {
  const refused = (problem: YamlProblem): YamlOutcome => ({ kind: 'refused', problems: [problem] });
  const character = characterProblem(text);
  if (character !== null) return refused({ code: 'YAML_CHARACTER', path: [], ...character });
  // Own check of unique keys: the one of the package takes quadratic time in the keys of one mapping.
  const composed = composeYaml(text, {
    schema: 'core',
    version: '1.2',
    strict: true,
    uniqueKeys: false,
    resolveKnownTags: false,
    merge: false,
  });
  if (composed.kind === 'refused') return refused({ code: 'YAML_LIMIT', path: [], ...composed });
  const { document, nextDocument, quoted } = composed;
  const problems = [...document.errors, ...document.warnings].slice(0, 20).map(
    (problem): YamlProblem => ({
      code: limitCodes.has(problem.code) ? 'YAML_LIMIT' : 'YAML_SYNTAX',
      offset: problem.pos[0],
      path: [],
      reason: reasonOf(problem.code),
    }),
  );
  if (nextDocument !== null) {
    problems.push({ code: 'YAML_SYNTAX', offset: nextDocument, path: [], reason: 'more than one YAML document' });
  }
  if (problems.length > 0) return { kind: 'refused', problems };
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
    return refused({ code: 'YAML_DIRECTIVE', offset: 0, path: [], reason: 'only YAML 1.2 is read' });
  }
  try {
    const reader = new Reader(quoted);
    const value = reader.read(document.contents, [], offsetOf(document.contents), false);
    return { kind: 'parsed', document: { text, value, places: reader.places } };
  } catch (error) {
    if (error instanceof Refusal) return refused(error.problem);
    throw error;
  }
};

/** The package's own words quote the source, which may be a seed: its codes are worded here instead. */
const reasonOf = (code: string): string => wording[code] ?? `this is not valid YAML (${code})`;

const wording: Readonly<Record<string, string>> = {
  BAD_INDENT: 'wrong indentation',
  BLOCK_AS_IMPLICIT_KEY: 'a mapping starts here although a value is already open',
  BLOCK_IN_FLOW: 'a block value inside brackets',
  MISSING_CHAR: 'a character such as a colon, quote or bracket is missing',
  MULTILINE_IMPLICIT_KEY: 'a key runs over several lines: a colon is missing',
  TAB_AS_INDENT: 'a tab is used for indentation',
  TAG_RESOLVE_FAILED: 'this YAML tag is not allowed',
  UNEXPECTED_TOKEN: 'unexpected text',
  RESOURCE_EXHAUSTION: 'nested too deeply',
  KEY_OVER_1024_CHARS: `a key has more than ${maxKeyLength} characters`,
};

const limitCodes: ReadonlySet<string> = new Set(['RESOURCE_EXHAUSTION', 'KEY_OVER_1024_CHARS']);

/** UTF-8 with a refusal of anything else; a byte order mark is dropped as YAML 1.2.2 section 5.2 says. */
export const decodeUtf8 = (bytes: Uint8Array): string | null => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
};

/** 1-based line and column of character `offset`. */
export const positionOf = (text: string, offset: number): { readonly line: number; readonly column: number } => {
  let line = 1;
  let lineStart = 0;
  for (let end = text.indexOf('\n'); end !== -1 && end < offset; end = text.indexOf('\n', lineStart)) {
    line += 1;
    lineStart = end + 1;
  }
  return { line, column: offset - lineStart + 1 };
};

export const isMapping = (value: YamlValue | undefined): value is YamlMapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
