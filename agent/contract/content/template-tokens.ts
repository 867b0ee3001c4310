/**
 * Words of a Go template action, by the lexical rules of Go's text/template (pkg.go.dev/text/template). Actions are
 * cut out of the text first, with their trim markers; what stands inside is told in tokens.
 */

export class TemplateFault extends Error {
  /** Offset in characters into the template. */
  readonly offset: number;
  constructor(offset: number, reason: string) {
    super(reason);
    this.name = 'TemplateFault';
    this.offset = offset;
  }
}

export type TokenKind =
  | 'space'
  | 'field'
  | 'dot'
  | 'variable'
  | 'word'
  | 'number'
  | 'string'
  | 'open'
  | 'close'
  | 'pipe'
  | 'declare'
  | 'assign'
  | 'comma';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly offset: number;
}

export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly offset: number; readonly tokens: readonly Token[] };

const letter = '[\\p{L}_]';
const forms: readonly (readonly [TokenKind, RegExp])[] = [
  ['space', /[ \t\r\n]+/y],
  ['number', /[+-]?(?:0[xXoObB])?[0-9](?:[eEpP][+-]?|[0-9a-fA-F_.])*i?/y],
  ['number', /[+-]?\.[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?/y],
  // A character constant is a number to a template.
  ['number', /'(?:[^'\\\n]|\\.)+'/y],
  ['string', /"(?:[^"\\\n]|\\.)*"/y],
  ['string', /`[^`]*`/y],
  ['field', new RegExp(`\\.${letter}(?:${letter}|\\p{Nd})*`, 'uy')],
  ['dot', /\./y],
  ['variable', new RegExp(`\\$(?:${letter}|\\p{Nd})*`, 'uy')],
  ['word', new RegExp(`${letter}(?:${letter}|\\p{Nd})*`, 'uy')],
  ['open', /\(/y],
  ['close', /\)/y],
  ['pipe', /\|/y],
  ['declare', /:=/y],
  ['assign', /=/y],
  ['comma', /,/y],
];

const unreadable = (text: string, at: number): TemplateFault => {
  if (text[at] === '"' || text[at] === '`' || text[at] === "'") return new TemplateFault(at, 'a quote is not closed');
  if (text.startsWith('}', at)) return new TemplateFault(at, 'a closing brace stands alone; an action ends with }}');
  return new TemplateFault(at, 'this character has no meaning in an action');
};

const nextToken = (text: string, at: number): Token => {
  for (const [kind, form] of forms) {
    form.lastIndex = at;
    const found = form.exec(text);
    if (found !== null) return { kind, text: found[0], offset: at };
  }
  throw unreadable(text, at);
};

const trimmedStart = (text: string): string => text.replace(/^[ \t\r\n]+/, '');
const trimmedEnd = (text: string): string => {
  let end = text.length;
  while (end > 0 && ' \t\r\n'.includes(text[end - 1] ?? '')) end -= 1;
  return text.slice(0, end);
};

const isSpace = (character: string | undefined): boolean => character !== undefined && ' \t\r\n'.includes(character);

/** End of an action: behind its `}}`, and whether the text that follows is trimmed. */
const actionEnd = (text: string, at: number): { readonly end: number; readonly trims: boolean } | null => {
  if (text.startsWith('}}', at)) return { end: at + 2, trims: false };
  return isSpace(text[at - 1]) && text.startsWith('-}}', at) ? { end: at + 3, trims: true } : null;
};

/** Cuts a template into texts and actions. Comments leave nothing. Throws TemplateFault. */
export const templatePieces = (text: string): readonly Piece[] => {
  const pieces: Piece[] = [];
  let at = 0;
  let trims = false;
  const push = (from: number, to: number, trimsEnd: boolean): void => {
    const start = trims ? trimmedStart(text.slice(from, to)) : text.slice(from, to);
    const shown = trimsEnd ? trimmedEnd(start) : start;
    if (shown !== '') pieces.push({ kind: 'text', text: shown });
  };
  for (;;) {
    const open = text.indexOf('{{', at);
    if (open === -1) {
      push(at, text.length, false);
      return pieces;
    }
    const trimsBefore = text[open + 2] === '-' && isSpace(text[open + 3]);
    push(at, open, trimsBefore);
    let inside = open + (trimsBefore ? 3 : 2);
    const first = trimsBefore
      ? inside + (/^[ \t\r\n]*/.exec(text.slice(inside, inside + 1024))?.[0].length ?? 0)
      : inside;
    if (text.startsWith('/*', first)) {
      const close = text.indexOf('*/', first + 2);
      const after = close === -1 ? -1 : close + 2;
      if (after === -1) throw new TemplateFault(open, 'a comment is not closed');
      const gap = /^[ \t\r\n]*/.exec(text.slice(after, after + 1024))?.[0].length ?? 0;
      const end =
        gap === 0
          ? text.startsWith('}}', after)
            ? { end: after + 2, trims: false }
            : null
          : actionEnd(text, after + gap);
      if (end === null || (gap > 0 && !end.trims)) {
        throw new TemplateFault(after, 'a comment must be closed by */}} with nothing between');
      }
      ({ end: at, trims } = end);
      continue;
    }
    const tokens: Token[] = [];
    for (;;) {
      const end = actionEnd(text, inside);
      if (end !== null) {
        ({ end: at, trims } = end);
        break;
      }
      if (inside >= text.length) throw new TemplateFault(open, 'an action is not closed: }} is missing');
      const token = nextToken(text, inside);
      tokens.push(token);
      inside += token.text.length;
    }
    pieces.push({ kind: 'action', offset: open, tokens });
  }
};
