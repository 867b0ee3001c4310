/**
 * `.env` files as Docker Compose reads them, for its own interpolation and for `env_file:` (Docker documentation, "Syntax
 * for environment files in Docker Compose").
 *
 * A value stands in single quotes, where nothing is special, whenever it can: a shell that sources the file reads the
 * same then. A single quote, a backslash at the end and a carriage return need double quotes with escapes.
 */

/** Line feeds are kept in both kinds of quotes. */
const doubleQuoted = (value: string): string =>
  `"${value.replace(/[\\"$]/g, (character) => `\\${character}`).replaceAll('\r', '\\r')}"`;

export const quoteValue = (value: string): string => (/['\r]|\\$/.test(value) ? doubleQuoted(value) : `'${value}'`);

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

/** Where the quoted value that begins at `start` ends, just behind its closing quote; null when it never does. */
const endOfQuoted = (text: string, start: number): number | null => {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === quote) return at + 1;
  }
  return null;
};

/** Blanks, but no line feed. */
const blanks = /[\t\v\f\r \u0085\u00a0]*/y;
const beforeStatement = /(?:\s|#[^\n]*)*/y;
const exported = /export(?=\s)[\t\v\f\r \u0085\u00a0]*/y;
const name = /[\p{L}\p{N}_.[\]-]+/uy;
const restOfLine = /[^\n]*/y;

const skip = (pattern: RegExp, text: string, from: number): number => {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
};

/**
 * Why Compose would not read `text`, or null when it would: whatever is appended then begins a statement of its own.
 * Says lines, never what stands there.
 */
export const objectionTo = (text: string): string | null => {
  for (let at = skip(beforeStatement, text, 0); at < text.length; at = skip(beforeStatement, text, at)) {
    const start = skip(exported, text, at);
    const end = skip(name, text, start);
    const sign = skip(blanks, text, end);
    if (end === start || !['=', ':', '\n', undefined].includes(text[sign]))
      return `line ${lineOf(text, at)} is no NAME=VALUE`;
    const value = skip(blanks, text, sign + 1);
    if (text[sign] === '\n' || text[sign] === undefined) at = sign;
    else if (text[value] === "'" || text[value] === '"') {
      const closed = endOfQuoted(text, value);
      if (closed === null) return `the quote in line ${lineOf(text, value)} is never closed`;
      at = closed;
    } else at = skip(restOfLine, text, value);
  }
  return null;
};

/**
 * The lines of `existing`, then one for each variable: the last one of a name wins. Lines of `existing` are kept byte
 * for byte, because they may refer to each other. `existing` has passed `objectionTo`.
 */
export const renderDotenv = (existing: string, env: ReadonlyMap<string, string>): string => {
  const kept = existing === '' || existing.endsWith('\n') ? existing : `${existing}\n`;
  return `${kept}${[...env].map(([key, value]) => `${key}=${quoteValue(value)}\n`).join('')}`;
};
