/** JSON as a security decision needs it: one meaning for one text. Duplicate keys are refused, not silently merged. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** True when any object of `text` (already known to be JSON) names one key twice, also when spelt with escapes. */
const hasDuplicateKey = (text: string): boolean => {
  const found = text.match(tokens) ?? [];
  const open: (Set<string> | null)[] = [];
  for (const [at, token] of found.entries()) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token.startsWith('"') && found[at + 1] === ':') {
      const keys = open.at(-1);
      const key: string = JSON.parse(token);
      if (keys?.has(key)) return true;
      keys?.add(key);
    }
  }
  return false;
};

/** Parses `text`; null when it is not JSON or names a key twice. */
export const parseStrictJson = (text: string): { readonly value: Json } | null => {
  try {
    const value: Json = JSON.parse(text);
    return hasDuplicateKey(text) ? null : { value };
  } catch {
    return null;
  }
};

/** The same text for the same meaning: keys sorted, no white space. What a MAC is computed over. */
export const canonicalJson = (value: Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`).join(',')}}`;
};
