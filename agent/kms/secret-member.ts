/**
 * Takes one secret text out of a JSON answer without making a JavaScript string of it: strings live in the garbage
 * collector's heap and cannot be wiped. What is left in the buffer is harmless and goes through JSON.parse as usual.
 */
import { Secret } from '../secret.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const BLANK = 0x78;

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;

/** Alphabet of base64, base64url and JWT compact form (RFC 4648, RFC 7515): nothing JSON has to escape. */
const isPlain = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2b ||
  byte === SLASH ||
  byte === 0x3d ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x5f;

const skipSpace = (body: Buffer, from: number): number => {
  let at = from;
  while (isSpace(body[at])) at += 1;
  return at;
};

/** Index of the closing quote of the string that opens at `open`, or -1. */
const closingQuote = (body: Buffer, open: number): number => {
  for (let at = open + 1; at < body.length; at += 1) {
    if (body[at] === BACKSLASH) at += 1;
    else if (body[at] === QUOTE) return at;
  }
  return -1;
};

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Value range of the top-level string member `name`; null when it is absent, doubled or malformed. */
const findMember = (body: Buffer, name: string): Range | null => {
  let depth = 0;
  let keyExpected = false;
  let found: Range | null = null;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) {
      const end = closingQuote(body, at);
      if (end < 0) return null;
      if (depth === 1 && keyExpected) {
        const key = body.subarray(at + 1, end);
        // An escaped key could spell `name` a second time unseen.
        if (key.includes(BACKSLASH)) return null;
        if (key.toString('latin1') === name) {
          const colon = skipSpace(body, end + 1);
          const open = skipSpace(body, colon + 1);
          if (found !== null || body[colon] !== 0x3a || body[open] !== QUOTE) return null;
          const close = closingQuote(body, open);
          if (close < 0) return null;
          found = { start: open + 1, end: close };
          at = close;
          keyExpected = false;
          continue;
        }
      }
      at = end;
      keyExpected = false;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      keyExpected = byte === 0x7b;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
      keyExpected = false;
    } else if (byte === 0x2c) {
      keyExpected = true;
    }
  }
  return found;
};

/**
 * Moves the text of the top-level member `name` of the JSON object in `body` into a Secret, and overwrites it there.
 * Only texts of base64, base64url or JWT characters are taken (`\/` is read as `/`). Null when the member is absent,
 * doubled, no string or holds other characters; the body must still be judged by JSON.parse.
 */
export const takeSecretMember = (body: Buffer, name: string): Secret | null => {
  const range = findMember(body, name);
  if (range === null) return null;
  const text = body.subarray(range.start, range.end);
  let length = 0;
  for (let from = 0; from < text.length; from += 1) {
    if (text[from] === BACKSLASH && text[from + 1] === SLASH) from += 1;
    const byte = text[from] as number;
    if (!isPlain(byte)) {
      text.fill(BLANK);
      return null;
    }
    text[length] = byte;
    length += 1;
  }
  const secret = Secret.take(text.subarray(0, length));
  text.fill(BLANK);
  return secret;
};
