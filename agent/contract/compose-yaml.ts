/**
 * The yaml package with bounds that act while it reads. By itself it builds the whole tree before anybody can look at
 * it: some documents of 4 MiB take it 45 s and 3 GiB.
 */
import {
  Composer,
  type CST,
  type Document,
  type DocumentOptions,
  Lexer,
  type ParseOptions,
  Parser,
  type SchemaOptions,
} from 'yaml';

/** Levels of nesting. Enough for any contract; the yaml package itself stops at about 800. */
export const maxDepth = 64;
/** A 4 MiB archive in base64 of 64 columns has 65,536 lines. */
const maxLines = 80_000;
/** Smallest parts that YAML knows: indents, indicators, scalars, line ends. A line `key: value` in a section has eight. */
const maxLexemes = 50_000;

/** Places where text stands that does not belong there, until the rest is not looked at. */
const maxErrors = 20;
/** Quoted text beyond this length in characters is long. */
const longQuoted = 4096;
/** The yaml package puts double-quoted text together character by character, which takes 64 times its size. */
const maxYamlQuoted = 1024 * 1024;

export type Composed =
  | {
      readonly kind: 'composed';
      readonly document: Document.Parsed;
      /** Offset of another document in the same text, or null. */
      readonly nextDocument: number | null;
      /** Values of long quoted scalars by their offset; in the document a filler of the same length stands for them. */
      readonly quoted: ReadonlyMap<number, string>;
    }
  | { readonly kind: 'refused'; readonly offset: number; readonly reason: string };

class BoundReached extends Error {
  readonly offset: number;
  constructor(offset: number, reason: string) {
    super(reason);
    this.offset = offset;
  }
}

/** The value of a double-quoted scalar that is a JSON string, too, which is what contracts in JSON consist of. */
const jsonString = (lexeme: string): string | null => {
  try {
    return JSON.parse(lexeme) as string;
  } catch {
    return null;
  }
};

function* boundedTokens(text: string, quoted: Map<number, string>): Generator<CST.Token, void> {
  const parser = new Parser();
  let [lexemes, errors] = [0, 0];
  for (let lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    if (lexeme.length > longQuoted && lexeme.startsWith('"')) {
      const value = jsonString(lexeme);
      if (value !== null) {
        quoted.set(parser.offset, value);
        lexeme = `'${'-'.repeat(lexeme.length - 2)}'`;
      } else if (lexeme.length > maxYamlQuoted) {
        throw new BoundReached(parser.offset, 'a quoted value is too long; write it as a block, with a pipe sign');
      }
    }
    if (lexemes > maxLexemes) throw new BoundReached(parser.offset, 'the document has too many keys and values');
    for (const token of parser.next(lexeme)) {
      yield token;
      if (token.type === 'error') errors += 1;
    }
    // The document is refused already; only its first fault is told.
    if (errors >= maxErrors) return;
    // Beside the collections there are the document, and the scalar that is being read.
    if (parser.stack.length > maxDepth + 2) {
      throw new BoundReached(parser.offset, `values are nested deeper than ${maxDepth} levels`);
    }
  }
  yield* parser.end();
}

/** Offset of the first line beyond the bound, or null. */
const lineBeyondBound = (text: string): number | null => {
  let lines = 0;
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) {
    lines += 1;
    if (lines >= maxLines) return end + 1;
  }
  return null;
};

/** The first YAML document of `text`. */
export const composeYaml = (text: string, options: ParseOptions & DocumentOptions & SchemaOptions): Composed => {
  const beyond = lineBeyondBound(text);
  if (beyond !== null) {
    return { kind: 'refused', offset: beyond, reason: `the document has more than ${maxLines} lines` };
  }
  const quoted = new Map<number, string>();
  try {
    const [document, another] = new Composer(options).compose(boundedTokens(text, quoted), true, text.length);
    if (document === undefined) throw new TypeError('the composer was told to make a document in any case');
    return { kind: 'composed', document, nextDocument: another?.range[0] ?? null, quoted };
  } catch (error) {
    if (error instanceof BoundReached) return { kind: 'refused', offset: error.offset, reason: error.message };
    throw error;
  }
};
