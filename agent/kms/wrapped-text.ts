/** Wrapped seeds and seed3 are opaque base64 texts (RFC 4648, section 4, with padding, no line breaks). */

/** A wrapped 32-byte seed takes 240 to 330 characters; more than this is no wrapped seed. */
const MAX_WRAPPED_LENGTH = 4096;

const isBase64Byte = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2b ||
  byte === 0x2f;

const paddingOf = (text: Uint8Array): number => {
  if (text.at(-1) !== 0x3d) return 0;
  return text.at(-2) === 0x3d ? 2 : 1;
};

/** True for a non-empty padded base64 text. Works on bytes, so that a secret need not become a string. */
export const isBase64Text = (text: Uint8Array): boolean => {
  if (text.length === 0 || text.length % 4 !== 0) return false;
  return text.subarray(0, text.length - paddingOf(text)).every(isBase64Byte);
};

/** Number of bytes a valid base64 text stands for. */
export const decodedLength = (text: Uint8Array): number => (text.length / 4) * 3 - paddingOf(text);

/**
 * True for what a backend may hand out and take back as a wrapped seed: canonical base64 of bounded length, as the
 * keyfile of a volume holds it.
 */
export const isWrappedText = (text: string): boolean =>
  text.length > 0 && text.length <= MAX_WRAPPED_LENGTH && Buffer.from(text, 'base64').toString('base64') === text;
