/**
 * Go text/template expressions of play.templates, checked without running them: the grammar of pkg.go.dev/text/template
 * and the variables they ask for. The only object is `.Env` (IBM Cloud docs, "About the contract", section "play").
 */
import { Cursor } from './template-cursor.ts';
import { Expressions, maximumDepth, type Scope, type TemplateName } from './template-expressions.ts';
import { type Piece, TemplateFault, templatePieces } from './template-tokens.ts';
import type { Interpolated, Variables } from './variables.ts';

export interface Template {
  /** NAME of every `.Env.NAME`. */
  readonly variables: readonly TemplateName[];
  /** Functions that text/template does not have. */
  readonly functions: readonly TemplateName[];
  /** Fields that are not below `.Env`. */
  readonly strangers: readonly TemplateName[];
  /** Text, the name of a variable, or null for what only the engine can tell. */
  readonly parts: readonly (string | { readonly variable: string } | null)[];
}

export type TemplateOutcome =
  | { readonly kind: 'parsed'; readonly template: Template }
  | { readonly kind: 'malformed'; readonly offset: number; readonly reason: string };

const controls: ReadonlySet<string> = new Set(['if', 'range', 'with']);

class Parser {
  readonly expressions = new Expressions();
  readonly parts: Template['parts'][number][] = [];
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  template(): void {
    const end = this.#list({ isRoot: true, isLoop: false, depth: 0 });
    if (end !== null) throw new TemplateFault(end.offset, `{{${end.word}}} without if, range or with before it`);
  }

  /** Reads until an `end` or `else`, which it leaves taken; null at the end of the template. */
  #list(scope: Scope): { readonly word: 'end' | 'else'; readonly offset: number; readonly cursor: Cursor } | null {
    for (;;) {
      const piece = this.#pieces[this.#at];
      if (piece === undefined) return null;
      this.#at += 1;
      const isTop = scope.depth === 0;
      if (piece.kind === 'text') {
        if (isTop) this.parts.push(piece.text);
        continue;
      }
      const cursor = new Cursor(piece.tokens, piece.offset + 2);
      cursor.skipSpace();
      const word = cursor.peek()?.kind === 'word' ? (cursor.peek()?.text ?? '') : '';
      if (word === 'end' || word === 'else') {
        cursor.take('word');
        return { word, offset: piece.offset, cursor };
      }
      const part = this.#action(cursor, word, piece.offset, scope);
      if (isTop && part !== undefined) this.parts.push(part);
    }
  }

  #action(cursor: Cursor, word: string, offset: number, scope: Scope): Template['parts'][number] | undefined {
    if (controls.has(word)) {
      cursor.take('word');
      this.#control(cursor, word, offset, scope);
      return null;
    }
    switch (word) {
      case 'define':
        if (scope.depth > 0) throw new TemplateFault(offset, '{{define}} must stand at the top of the template');
        this.#named(cursor, word);
        this.#finish(cursor);
        this.#body(word, offset, { isRoot: false, isLoop: false, depth: scope.depth + 1 });
        return undefined;
      case 'block':
        this.#named(cursor, word);
        this.expressions.pipeline(cursor, word, scope);
        this.#finish(cursor);
        this.#body(word, offset, { isRoot: false, isLoop: false, depth: scope.depth + 1 });
        return null;
      case 'template':
        this.#named(cursor, word);
        cursor.skipSpace();
        if (cursor.peek() !== undefined) this.expressions.pipeline(cursor, word, scope);
        this.#finish(cursor);
        return null;
      case 'break':
      case 'continue':
        cursor.take('word');
        if (!scope.isLoop) throw new TemplateFault(offset, `{{${word}}} outside of {{range}}`);
        this.#finish(cursor);
        return null;
      default: {
        const operand = this.expressions.pipeline(cursor, 'the action', scope);
        this.#finish(cursor);
        const name = operand === null ? null : this.expressions.environmentName(operand, scope);
        return name === null ? null : { variable: name };
      }
    }
  }

  #named(cursor: Cursor, word: string): void {
    cursor.take('word');
    cursor.skipSpace();
    if (cursor.take('string') === undefined)
      throw new TemplateFault(cursor.offset, `{{${word}}} needs a name in quotes`);
  }

  #finish(cursor: Cursor): void {
    cursor.skipSpace();
    const rest = cursor.peek();
    if (rest === undefined) return;
    const reason =
      rest.kind === 'close' ? 'a parenthesis is closed that was not opened' : 'the action goes on where it should end';
    throw new TemplateFault(rest.offset, reason);
  }

  /** Everything up to the `end` that belongs to `word`. */
  #body(word: string, offset: number, scope: Scope): void {
    if (scope.depth > maximumDepth) throw new TemplateFault(offset, 'actions are nested too deeply');
    const before = this.expressions.declared;
    if (word === 'define' || word === 'block') this.expressions.declared = ['$'];
    const end = this.#list(scope);
    this.expressions.declared = before;
    if (end === null) throw new TemplateFault(offset, `{{${word}}} has no {{end}}`);
    if (end.word === 'else') throw new TemplateFault(end.offset, `{{else}} has no meaning in {{${word}}}`);
    this.#finish(end.cursor);
  }

  #control(cursor: Cursor, word: string, offset: number, scope: Scope): void {
    if (scope.depth > maximumDepth) throw new TemplateFault(offset, 'actions are nested too deeply');
    const before = this.expressions.declared;
    this.expressions.pipeline(cursor, word, scope);
    this.#finish(cursor);
    const inner: Scope = {
      isRoot: word === 'if' && scope.isRoot,
      isLoop: word === 'range' || scope.isLoop,
      depth: scope.depth + 1,
    };
    const end = this.#list(inner);
    if (end === null) throw new TemplateFault(offset, `{{${word}}} has no {{end}}`);
    if (end.word === 'end') this.#finish(end.cursor);
    else this.#alternative(end.cursor, word, offset, scope);
    this.expressions.declared = before;
  }

  #alternative(cursor: Cursor, word: string, offset: number, scope: Scope): void {
    cursor.skipSpace();
    const next = cursor.take('word');
    // `else if` and `else with` share the end of what they belong to.
    if (next !== undefined && next.text === word && word !== 'range') {
      this.#control(cursor, word, offset, { ...scope, depth: scope.depth + 1 });
      return;
    }
    if (next !== undefined)
      throw new TemplateFault(next.offset, `after {{else}} of {{${word}}} nothing of the kind can follow`);
    this.#finish(cursor);
    const end = this.#list({ ...scope, depth: scope.depth + 1 });
    if (end === null) throw new TemplateFault(offset, `{{${word}}} has no {{end}}`);
    if (end.word === 'else') throw new TemplateFault(end.offset, `{{${word}}} has two {{else}}`);
    this.#finish(end.cursor);
  }
}

/** Parses a template. */
export const parseTemplate = (text: string): TemplateOutcome => {
  try {
    const parser = new Parser(templatePieces(text));
    parser.template();
    const { variables, functions, strangers } = parser.expressions;
    return { kind: 'parsed', template: { variables, functions, strangers, parts: parser.parts } };
  } catch (error) {
    if (error instanceof TemplateFault) return { kind: 'malformed', offset: error.offset, reason: error.message };
    throw error;
  }
};

/** What a template makes, as far as it can be told without the engine. */
export const renderTemplate = ({ parts }: Template, variables: Variables): Omit<Interpolated, 'malformed'> => {
  let isKnown = true;
  const missing: string[] = [];
  const sketch = parts
    .map((part) => {
      if (typeof part === 'string') return part;
      const value = part === null ? undefined : variables?.get(part.variable);
      if (value !== undefined) return value;
      isKnown = false;
      if (part !== null && variables !== null) missing.push(part.variable);
      return 'x';
    })
    .join('');
  return { text: isKnown ? sketch : null, sketch, missing };
};
