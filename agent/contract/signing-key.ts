/** The signingKey of env: the signer's public key or certificate, put into the section's text or found there. */
import type { ParsedGround } from './finding.ts';
import { insertSigningKey } from './insert-key.ts';
import { parseGround } from './parse-ground.ts';
import { fingerprintOf, parseCarriedKey } from './public-key.ts';

export type PlacedKey =
  | { readonly kind: 'placed'; readonly text: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** The very same key and, when there is one, the very same certificate. */
export const isSameSigner = (carried: string, pem: string): boolean => {
  const [ours, theirs] = [parseCarriedKey(pem), parseCarriedKey(carried)];
  if (ours.kind !== 'key' || theirs.kind !== 'key') return false;
  return (
    fingerprintOf(ours.value.key) === fingerprintOf(theirs.value.key) &&
    ours.value.certificate?.notAfter.getTime() === theirs.value.certificate?.notAfter.getTime()
  );
};

/**
 * `text`, which is env's own text, with `pem` as its signingKey. A key that is there already stays when it is the
 * same one; another one is never replaced.
 */
export const placeSigningKey = (env: ParsedGround, text: string, pem: string): PlacedKey => {
  const read = parseGround(text, env.section);
  if (read.kind === 'refused') return { kind: 'refused', reason: 'env cannot stand alone; write "env: |"' };
  const { document } = read.value;
  const { signingKey } = document.value as { readonly signingKey?: unknown };
  if (signingKey !== undefined) {
    if (typeof signingKey === 'string' && isSameSigner(signingKey, pem)) return { kind: 'placed', text };
    return {
      kind: 'refused',
      reason: 'env already holds another signingKey; remove it, or use the key that belongs to it',
    };
  }
  const inserted = insertSigningKey(document, Buffer.from(pem, 'utf8').toString('base64'));
  if (inserted !== null) return { kind: 'placed', text: inserted };
  const reason = 'no signingKey line can be added to env as it is written; put each key on a line of its own';
  return { kind: 'refused', reason };
};
