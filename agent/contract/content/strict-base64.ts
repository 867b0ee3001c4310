/** Standard base64 of RFC 4648 section 4 on one line, with its padding; null for anything else. */
export const decodeBase64 = (text: string): Buffer | null =>
  text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null;
