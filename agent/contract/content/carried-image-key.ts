/** Keys of `images` as the contract carries them: base64 of text, looked at before anything parses it. */
import type { ContentProblem } from './content-problem.ts';
import { decodeBase64 } from './strict-base64.ts';

/** Keys with photographs are longer, and no signer of images has one. */
const maximumBytes = 64 * 1024;

export type CarriedOutcome =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'refused'; readonly problem: ContentProblem };

export interface Wanted {
  /** What the text begins with. */
  readonly begins: string;
  readonly what: string;
  readonly make: string;
}

const privateText = /-----BEGIN (?:PGP |[A-Z]+ )?(?:PRIVATE|SECRET) KEY/;

/** RFC 9580 section 4.2: packet type 5 is a secret key, in the old and the new form of packets. */
const isSecretPacket = (bytes: Buffer): boolean =>
  (((bytes[0] ?? 0) & 0xfc) === 0x94 && bytes.length > 100) || bytes[0] === 0xc5;
const isPublicPacket = (bytes: Buffer): boolean => ((bytes[0] ?? 0) & 0xfc) === 0x98 || bytes[0] === 0xc6;

const refused = (code: ContentProblem['code'], message: string, hint: string): CarriedOutcome => ({
  kind: 'refused',
  problem: { code, message, hint },
});

/** The text that `value` carries, when it is the public one that is wanted. */
export const carriedText = (value: string, { begins, what, make }: Wanted): CarriedOutcome => {
  const invalid = (reason: string): CarriedOutcome =>
    refused('IMAGE_KEY_INVALID', `${reason}; ${what} is wanted`, make);
  const isPrivate = refused(
    'IMAGE_KEY_PRIVATE',
    'this is a private key; whoever has this contract can sign images with it',
    `revoke that key, and give the public one: ${make}`,
  );
  if (value.length > maximumBytes * 2) return invalid('the value is too long for one key');
  if (privateText.test(value)) return isPrivate;
  if (value.includes('-----BEGIN ')) return invalid('the value is not in base64');
  const bytes = decodeBase64(value.replace(/[\r\n]/g, ''));
  if (bytes === null || bytes.length > maximumBytes) return invalid('the value is no base64 of a key');
  const text = bytes.toString('latin1');
  if (privateText.test(text) || isSecretPacket(bytes)) return isPrivate;
  if (text.trimStart().startsWith(begins)) return { kind: 'text', text };
  if (isPublicPacket(bytes)) return invalid('the key is not ASCII-armoured');
  const again = decodeBase64(text.replace(/\s/g, ''))?.toString('latin1') ?? '';
  if (privateText.test(again)) return isPrivate;
  if (again.includes('-----BEGIN ')) return invalid('the key is in base64 twice');
  const label = /-----BEGIN ([A-Z ]{1,40})-----/.exec(text)?.[1];
  if (label !== undefined) return invalid(`the value holds a ${label.toLowerCase()}`);
  return invalid(
    /^(?:ssh-|ecdsa-)/.test(text) ? 'the value holds an SSH key' : 'the value is base64 of something else',
  );
};
