import type { Token, TokenKind } from './template-tokens.ts';

/** Walks the tokens of one action. */
export class Cursor {
  readonly #tokens: readonly Token[];
  readonly #end: number;
  #at = 0;

  constructor(tokens: readonly Token[], offset: number) {
    this.#tokens = tokens;
    const last = tokens.at(-1);
    this.#end = last === undefined ? offset : last.offset + last.text.length;
  }

  get offset(): number {
    return this.peek()?.offset ?? this.#end;
  }

  peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  take(kind: TokenKind): Token | undefined {
    const token = this.peek();
    if (token?.kind !== kind) return undefined;
    this.#at += 1;
    return token;
  }

  /** The next token that is no space, without taking anything. */
  beyondSpace(): Token | undefined {
    const token = this.peek();
    return token?.kind === 'space' ? this.#tokens[this.#at + 1] : token;
  }

  skipSpace(): void {
    this.take('space');
  }

  mark(): number {
    return this.#at;
  }

  reset(mark: number): void {
    this.#at = mark;
  }
}
