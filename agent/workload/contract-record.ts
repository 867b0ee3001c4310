/**
 * Hashes of what was delivered, in the line format of HPCR's attestation record (IBM Cloud docs, "Attestation"): a hash,
 * a blank, a name. Sections are hashed as they stand in the contract, before anything is decrypted.
 *
 * This record is not signed: a platform without a key of its own has nobody who could vouch for it. It tells the workload
 * which contract it was started from, and proves nothing to anybody else.
 */
import { createHash } from 'node:crypto';
import type { Contract, SealedContract } from '../contract/types.ts';
import { assertValidated } from '../contract/validate.ts';

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Tokens hold no line breaks. For plain text HPCR's documented recipe removes them before hashing and other tools do
 * not: then there are two lines.
 */
const sectionLines = (name: string, text: string | null): readonly string[] => {
  if (text === null) return [];
  const packed = text.replace(/[\r\n]/g, '');
  const lines = [`${sha256(text)} contract:${name}`];
  return packed === text ? lines : [...lines, `${sha256(packed)} contract:${name} (line breaks removed)`];
};

/** Hashes of the contract's sections. */
export const contractHashes = (contract: Contract): readonly string[] => {
  assertValidated(contract);
  const { sections, deliveredAttestationPublicKey, envWorkloadSignature } = contract;
  return [
    ...sectionLines('workload', sections.workload.delivered),
    ...sectionLines('env', sections.env.delivered),
    ...sectionLines('attestationPublicKey', deliveredAttestationPublicKey),
    ...sectionLines('envWorkloadSignature', envWorkloadSignature),
  ];
};

/** The record's text: what it is, the files of the contract's disk, the sections. */
export const contractRecord = (contract: Contract, { bytes, cidata }: SealedContract): string => {
  const files = [
    ['cidata/meta-data', cidata?.metaData],
    [cidata === undefined ? 'user-data' : 'cidata/user-data', bytes],
    ['cidata/vendor-data', cidata?.vendorData],
  ] as const;
  return [
    'Triseed: not signed',
    ...files.flatMap(([name, content]) => (content == null ? [] : [`${sha256(content)} ${name}`])),
    ...contractHashes(contract),
    '',
  ].join('\n');
};
