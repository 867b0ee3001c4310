/**
 * Seeds that somebody else could guess. An estimate for authors, from above: it finds what is plainly weak and says
 * nothing about what a person chose with a system of their own. The guest never runs it: how weak a seed is would
 * end in its log.
 */

/** Printed where everybody reads them: IBM Cloud docs "About the contract", and our own schema and documents. */
const published: ReadonlySet<string> = new Set(['workload_phrase', 'env_phrase12345', 'K7mQ2xT9vB4nR8wL']);

/** Counted as one character each. */
const commonWords = [
  'password',
  'passw0rd',
  'passphrase',
  'changeme',
  'example',
  'default',
  'welcome',
  'letmein',
  'secret',
  'admin',
  'test',
];

/** Rows of a keyboard, in which neighbours say little. */
const rows = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm', '!@#$%^&*()'];

/** Bits; five characters drawn from all that are allowed have about as many, and are tried in minutes. */
const minimumBits = 30;

const isNeighbour = (previous: string, next: string): boolean => {
  const step = (next.codePointAt(0) ?? 0) - (previous.codePointAt(0) ?? 0);
  if (Math.abs(step) <= 1) return true;
  if (previous === '9' && next === '0') return true;
  return rows.some((row) => {
    const [at, then] = [row.indexOf(previous), row.indexOf(next)];
    return at !== -1 && then !== -1 && Math.abs(at - then) === 1;
  });
};

/** The shortest part that `text` repeats, whole or cut at the end; `text` itself when it repeats nothing. */
const repeatedPart = (text: string): string => {
  for (let length = 1; length * 2 <= text.length; length += 1) {
    const part = text.slice(0, length);
    if (part.repeat(Math.ceil(text.length / length)).startsWith(text)) return part;
  }
  return text;
};

const estimate = (text: string): number => {
  const characters = [...text];
  const telling = characters.filter((character, at) => at === 0 || !isNeighbour(characters[at - 1] ?? '', character));
  return telling.length * Math.log2(Math.max(2, new Set(characters).size));
};

/** Why `seed` is weak, in words that hold nothing of it; null when nothing plain is wrong. */
export const seedWeakness = (seed: string): string | null => {
  if (published.has(seed)) return 'it is printed in the documentation, where everybody reads it';
  const lower = seed.toLowerCase();
  const part = repeatedPart(lower);
  if (part.length < lower.length && estimate(part) < minimumBits) return 'it repeats one short part';
  const reduced = commonWords.reduce((text, word) => text.replaceAll(word, '\u0000'), lower);
  if (reduced.length < lower.length && estimate(reduced) < minimumBits)
    return 'it is made of words that are tried first';
  return estimate(lower) < minimumBits ? 'most of its characters follow from the one before' : null;
};
