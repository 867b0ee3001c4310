/**
 * `${NAME}` in a compose file: the interpolation of the Compose Specification, chapter "Interpolation".
 * Values come from the merged env of the contract and the archive's own .env file.
 */

/** null: it is not known which variables there are, as a section stayed closed. */
export type Variables = ReadonlyMap<string, string> | null;

export interface Interpolated {
  /** null when it holds a variable that is not known, or is malformed. */
  readonly text: string | null;
  /** The text with `x` for what is not known: good enough to look at what stands around it. */
  readonly sketch: string;
  /** Names that have neither value nor default. */
  readonly missing: readonly string[];
  readonly malformed: boolean;
}

const simple = /^[A-Za-z_][A-Za-z0-9_]*/;
/** Nested defaults such as ${A:-${B:-c}} are allowed; nobody needs more. */
const maximumDepth = 8;

/** End of the `${…}` that begins at `start`, at its closing brace; -1 when it has none. */
const closing = (text: string, start: number): number => {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text.startsWith('$$', at)) at += 1;
    else if (text.startsWith('${', at)) depth += 1;
    else if (text[at] === '}') {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
};

class Interpolation {
  readonly missing: string[] = [];
  malformed = false;
  isKnown = true;
  readonly #variables: Variables;

  constructor(variables: Variables) {
    this.#variables = variables;
  }

  expand(text: string, depth: number): string {
    if (depth > maximumDepth) return this.#bad();
    let result = '';
    let at = 0;
    for (;;) {
      const dollar = text.indexOf('$', at);
      if (dollar === -1) return result + text.slice(at);
      result += text.slice(at, dollar);
      const rest = text.slice(dollar + 1);
      const name = simple.exec(rest)?.[0];
      if (rest.startsWith('$')) {
        result += '$';
        at = dollar + 2;
      } else if (rest.startsWith('{')) {
        const end = closing(text, dollar);
        if (end === -1) return result + this.#bad();
        result += this.#braced(text.slice(dollar + 2, end), depth);
        at = end + 1;
      } else if (name === undefined) {
        result += this.#bad();
        at = dollar + 1;
      } else {
        result += this.#value(name);
        at = dollar + 1 + name.length;
      }
    }
  }

  #bad(): string {
    this.malformed = true;
    return 'x';
  }

  #value(name: string): string {
    const value = this.#variables?.get(name);
    return value ?? this.#unknown(name);
  }

  #unknown(name: string): string {
    this.isKnown = false;
    if (this.#variables !== null) this.missing.push(name);
    return 'x';
  }

  #braced(inner: string, depth: number): string {
    const name = simple.exec(inner)?.[0];
    const operator = /^(?::?[-+?])?/.exec(inner.slice(name?.length ?? 0))?.[0] ?? '';
    const operand = inner.slice((name?.length ?? 0) + operator.length);
    if (name === undefined || (operator === '' && operand !== '')) return this.#bad();
    const value = this.#variables?.get(name);
    const isSet = value !== undefined && (value !== '' || !operator.startsWith(':'));
    switch (operator.at(-1)) {
      case '-':
        if (this.#variables === null) this.isKnown = false;
        return isSet ? (value ?? '') : this.expand(operand, depth + 1);
      case '+':
        if (this.#variables === null) this.isKnown = false;
        return isSet ? this.expand(operand, depth + 1) : '';
      case '?':
        // Without a value the engine stops with the operand as its message.
        return isSet ? (value ?? '') : this.#unknown(name);
      default:
        return this.#value(name);
    }
  }
}

/** Replaces the variables of `text`. */
export const interpolate = (text: string, variables: Variables): Interpolated => {
  const run = new Interpolation(variables);
  const sketch = run.expand(text, 0);
  const { isKnown, malformed, missing } = run;
  return { text: isKnown && !malformed ? sketch : null, sketch, missing, malformed };
};

/** A `.env` file: NAME=VALUE lines, comments, quotes; interpolation inside it is left alone. */
export const parseDotEnv = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split(/\r?\n/).flatMap((line): [string, string][] => {
      const entry = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*$/.exec(line);
      if (entry === null) return [];
      const [, name = '', raw = ''] = entry;
      const quotes = /^(["'])(.*?)\1/.exec(raw);
      return [[name, quotes === null ? raw.replace(/(?:^|\s)#.*$/, '') : (quotes[2] ?? '')]];
    }),
  );
