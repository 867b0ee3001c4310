/**
 * Strict standard base64, with the position of the first wrong byte as the original service reports it: that one is
 * written in Go, whose encoding/base64 skips CR and LF, insists on padding and says "illegal base64 data at input
 * byte N".
 */
import { privateBuffer } from '../secret.ts';

export type Decoded =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'illegal'; readonly at: number };

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const isBreak = (character: string | undefined): boolean => character === '\n' || character === '\r';

/** Index of the first wrong byte, or null. */
const firstIllegal = (text: string): number | null => {
  let inGroup = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] as string;
    if (isBreak(character)) continue;
    if (character === '=') {
      if (inGroup < 2) return at;
      let next = at + 1;
      if (inGroup === 2) {
        while (isBreak(text[next])) next += 1;
        if (text[next] !== '=') return Math.min(next, text.length);
        next += 1;
      }
      while (isBreak(text[next])) next += 1;
      return next < text.length ? next : null;
    }
    if (!ALPHABET.includes(character)) return at;
    inGroup = (inGroup + 1) % 4;
  }
  return inGroup === 0 ? null : text.length - inGroup;
};

export const decodeBase64 = (text: string): Decoded => {
  const at = firstIllegal(text);
  if (at !== null) return { kind: 'illegal', at };
  const bytes = privateBuffer(Buffer.byteLength(text.replace(/[\r\n]/g, ''), 'base64'));
  bytes.write(text.replace(/[\r\n]/g, ''), 'base64');
  return { kind: 'bytes', bytes };
};
