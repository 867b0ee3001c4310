/** Which RSA keys are used, public and private. */
import type { KeyObject } from 'node:crypto';

/** Lengths of the modulus, in bits: shorter keys can be broken, longer ones cost every reader time. */
export const modulusBits = { minimum: 2048, maximum: 8192 } as const;

/**
 * Why a key is not used, or null. Contracts know nothing but RSA. The exponent: FIPS 186-5 section A.1.1 wants an odd
 * one above 2^16; 3 is in use. With 1, a wrapped passphrase lies open.
 */
export const rsaFault = (key: KeyObject): string | null => {
  if (key.asymmetricKeyType !== 'rsa') return 'it is no RSA key';
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < modulusBits.minimum) return `RSA keys need ${modulusBits.minimum} bits or more`;
  if (modulusLength > modulusBits.maximum) return `RSA keys of more than ${modulusBits.maximum} bits are not used`;
  if (publicExponent < 3n || publicExponent % 2n === 0n) return 'its public exponent is not an odd number above 2';
  return null;
};
