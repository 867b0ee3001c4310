/**
 * Public keys of `images.dct`: base64 of the PEM certificate in the root.json of an image's trust data (IBM Cloud docs,
 * "About the contract", section "images").
 */
import { X509Certificate } from 'node:crypto';
import { carriedText } from './carried-image-key.ts';
import type { ContentProblem } from './content-problem.ts';

const wanted = {
  begins: '-----BEGIN CERTIFICATE-----',
  what: 'base64 of a PEM certificate',
  make: 'take it from the root.json of the image’s trust data, where it is in base64 already',
};

/** Everything that is wrong with the value of a `publicKey` of images.dct. */
export const contentTrustKeyProblems = (value: string, at: Date): readonly ContentProblem[] => {
  const carried = carriedText(value, wanted);
  if (carried.kind === 'refused') return [carried.problem];
  try {
    const { validToDate } = new X509Certificate(carried.text);
    if (validToDate > at) return [];
    const message = `the certificate expired on ${validToDate.toISOString().slice(0, 10)}`;
    return [
      { code: 'IMAGE_KEY_UNUSABLE', message, hint: 'take the current one from root.json, or name the image by digest' },
    ];
  } catch {
    return [{ code: 'IMAGE_KEY_INVALID', message: 'the certificate is damaged', hint: wanted.make }];
  }
};
