/** Pipelines of a Go template: what stands inside an action, and what it asks for. */
import type { Cursor } from './template-cursor.ts';
import { TemplateFault, type Token, type TokenKind } from './template-tokens.ts';

/** Something a template asks for, and where. */
export interface TemplateName {
  readonly name: string;
  readonly offset: number;
}

const builtins: ReadonlySet<string> = new Set(
  'and call html index slice js len not or print printf println urlquery eq ge gt le lt ne'.split(' '),
);
const constants: ReadonlySet<string> = new Set(['true', 'false', 'nil']);
export const maximumDepth = 64;
/** Each use is looked up among all of them. */
const maximumDeclared = 500;

export interface Operand {
  readonly kind: TokenKind;
  readonly token: Token;
  /** Names of a chain of fields; the variable or dot it begins with is `token`. */
  readonly chain: readonly string[];
}

export interface Scope {
  /** True where dot still is the whole data. */
  readonly isRoot: boolean;
  readonly isLoop: boolean;
  readonly depth: number;
}

const quotedAction = (of: string): string => (of.includes(' ') ? of : `{{${of}}}`);

/** Reads pipelines one after the other and remembers which variables are declared. */
export class Expressions {
  /** NAME of every `.Env.NAME`. */
  readonly variables: TemplateName[] = [];
  /** Functions that text/template does not have. */
  readonly functions: TemplateName[] = [];
  /** Fields that are not below `.Env`. */
  readonly strangers: TemplateName[] = [];
  /** Variables that are declared now; a body that ends takes its own with it. */
  declared: readonly string[] = ['$'];

  /** A pipeline; when it is one operand alone, that operand. */
  pipeline(cursor: Cursor, of: string, scope: Scope, depth = 0): Operand | null {
    cursor.skipSpace();
    const declares = this.#declarations(cursor, of);
    let only: Operand | null = null;
    for (let stage = 1; ; stage += 1) {
      cursor.skipSpace();
      const operands = this.#command(cursor, scope, depth);
      const [first] = operands;
      if (first === undefined) {
        throw new TemplateFault(
          cursor.offset,
          stage === 1 ? `${quotedAction(of)} has no value` : 'nothing follows the |',
        );
      }
      const isLiteral = first.kind === 'number' || first.kind === 'string' || first.kind === 'dot';
      if (stage > 1 && (isLiteral || (first.kind === 'word' && constants.has(first.token.text)))) {
        throw new TemplateFault(first.token.offset, 'a value cannot be called after |');
      }
      if (first.token.text === 'nil' && first.kind === 'word') {
        throw new TemplateFault(first.token.offset, 'nil is no command');
      }
      only = stage === 1 && operands.length === 1 && !declares ? first : null;
      cursor.skipSpace();
      if (cursor.take('pipe') === undefined) return only;
    }
  }

  #declarations(cursor: Cursor, of: string): boolean {
    const mark = cursor.mark();
    const names: Token[] = [];
    for (;;) {
      const variable = cursor.take('variable');
      if (variable === undefined) break;
      names.push(variable);
      cursor.skipSpace();
      if (cursor.take('declare') !== undefined) {
        this.declared = [...this.declared, ...names.map(({ text }) => text)];
        if (this.declared.length > maximumDeclared) {
          throw new TemplateFault(cursor.offset, `more than ${maximumDeclared} variables are declared`);
        }
        return true;
      }
      if (cursor.take('assign') !== undefined) {
        for (const name of names) this.#variable(name);
        return true;
      }
      if (of !== 'range' || names.length === 2 || cursor.take('comma') === undefined) break;
      cursor.skipSpace();
    }
    cursor.reset(mark);
    return false;
  }

  #variable({ text, offset }: Token): void {
    if (!this.declared.includes(text)) throw new TemplateFault(offset, `the variable ${text} is not declared`);
  }

  #command(cursor: Cursor, scope: Scope, depth: number): readonly Operand[] {
    const operands: Operand[] = [];
    for (;;) {
      const operand = this.#operand(cursor, scope, depth);
      if (operand === null) break;
      operands.push(operand);
      if (cursor.peek()?.kind !== 'space') break;
      const next = cursor.beyondSpace();
      if (next === undefined || next.kind === 'pipe' || next.kind === 'close') break;
      cursor.skipSpace();
    }
    this.#index(operands, scope);
    return operands;
  }

  /** `index .Env "NAME"` is another way to write .Env.NAME. */
  #index([called, data, key]: readonly Operand[], scope: Scope): void {
    if (called?.token.text !== 'index' || data === undefined || key?.kind !== 'string') return;
    if (data.chain.join('.') !== 'Env' || !this.#startsAtRoot(data, scope)) return;
    const name = /^["`]([A-Za-z_][A-Za-z0-9_]*)["`]$/.exec(key.token.text)?.[1];
    if (name !== undefined) this.variables.push({ name, offset: key.token.offset });
  }

  #operand(cursor: Cursor, scope: Scope, depth: number): Operand | null {
    const token = cursor.peek();
    if (token === undefined) return null;
    const { kind } = token;
    if (kind === 'open') {
      if (depth > maximumDepth) throw new TemplateFault(token.offset, 'parentheses are nested too deeply');
      cursor.take('open');
      this.pipeline(cursor, 'a parenthesis', scope, depth + 1);
      cursor.skipSpace();
      if (cursor.take('close') === undefined) throw new TemplateFault(token.offset, 'a parenthesis is not closed');
      this.#chain(cursor);
      return { kind, token, chain: [] };
    }
    if (kind === 'field') {
      const operand = { kind, token, chain: this.#chain(cursor) };
      this.#ask(operand, scope);
      return operand;
    }
    if (!['dot', 'variable', 'word', 'number', 'string'].includes(kind)) return null;
    cursor.take(kind);
    if (kind === 'variable') this.#variable(token);
    if (kind === 'word' && !constants.has(token.text) && !builtins.has(token.text)) {
      this.functions.push({ name: token.text, offset: token.offset });
    }
    const operand = { kind, token, chain: this.#chain(cursor) };
    if (operand.chain.length > 0 && ['dot', 'number', 'string'].includes(kind)) {
      throw new TemplateFault(token.offset, 'a value has no fields');
    }
    if (kind === 'variable') this.#ask(operand, scope);
    return operand;
  }

  #chain(cursor: Cursor): readonly string[] {
    const names: string[] = [];
    for (let field = cursor.take('field'); field !== undefined; field = cursor.take('field'))
      names.push(field.text.slice(1));
    return names;
  }

  #startsAtRoot({ kind, token }: Operand, { isRoot }: Scope): boolean {
    return (kind === 'field' && isRoot) || (kind === 'variable' && token.text === '$');
  }

  /** NAME when the operand is .Env.NAME and nothing else. */
  environmentName(operand: Operand, scope: Scope): string | null {
    const [first, name, ...more] = operand.chain;
    if (!this.#startsAtRoot(operand, scope) || first !== 'Env' || name === undefined || more.length > 0) return null;
    return name;
  }

  #ask(operand: Operand, scope: Scope): void {
    const { chain, token } = operand;
    if (chain.length === 0 || !this.#startsAtRoot(operand, scope)) return;
    const name = this.environmentName(operand, scope);
    if (name !== null) this.variables.push({ name, offset: token.offset });
    else if (chain.length > 1 || chain[0] !== 'Env')
      this.strangers.push({ name: `.${chain.join('.')}`, offset: token.offset });
  }
}
