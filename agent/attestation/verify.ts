/**
 * Whether a record is what an image signed (IBM Cloud docs, "Attestation"): RSA PKCS#1 v1.5 with SHA-256 over the
 * plain record, by a key that was made when the image was built. Who certified that key is a question for
 * `contract certs check`.
 */
import { verify } from 'node:crypto';
import { type CertificateEntry, certificateFinding, dateFindings, isoSeconds } from '../contract/certificate.ts';
import type { DeliveredContract } from '../contract/delivered.ts';
import { findingOverall } from '../contract/finding.ts';
import type { FindingCode } from '../contract/finding-rules.ts';
import { modulusBytes } from '../contract/private-key.ts';
import { rsaFault } from '../contract/rsa-key.ts';
import type { Finding } from '../contract/types.ts';
import { compareSections, isSameUserData, type SectionComparison } from './compare.ts';
import { type AttestationRecord, expectedHashes } from './record.ts';

/** A raw signature, or base64 of one as text channels carry it. */
export const maximumSignatureBytes = 4096;

export interface AttestationRequest {
  /** The plain record, byte for byte as it was signed. */
  readonly bytes: Uint8Array;
  readonly record: AttestationRecord;
  readonly signature: Buffer;
  readonly certificate: CertificateEntry;
  /** The user data that was deployed, or null. */
  readonly contract: { readonly bytes: Uint8Array; readonly delivered: DeliveredContract } | null;
  readonly at: Date;
}

export interface Attestation {
  readonly isSigned: boolean;
  readonly sections: readonly SectionComparison[];
  /** null: no contract was given, or the record does not say. */
  readonly sameUserData: boolean | null;
  readonly findings: readonly Finding[];
}

const found = (code: FindingCode, line: number, message: string, hint: string): Finding => ({
  ...findingOverall(code, { message, hint }),
  line,
});

/** The bytes of a signature that may have come as base64 text. */
const rawSignature = (signature: Buffer, length: number): Buffer => {
  if (signature.length === length) return signature;
  const packed = signature.toString('latin1').replace(/\s+/g, '');
  const decoded = Buffer.from(packed, 'base64');
  return decoded.toString('base64') === packed ? decoded : signature;
};

const signatureFinding = (request: AttestationRequest): Finding | null => {
  const { bytes, record, signature, certificate } = request;
  const key = certificate.certificate.publicKey;
  const fault = rsaFault(key);
  const raw = rawSignature(signature, modulusBytes(key));
  if (fault === null && raw.length === modulusBytes(key) && verify('sha256', bytes, key, raw)) return null;
  const ofImage = record.version === null ? 'this very image' : `image ${record.version}`;
  const message =
    fault === null
      ? 'the signature was not made over this record with the key of this certificate'
      : `the key of the certificate is not usable: ${fault}`;
  const hint = `take the attestation certificate of ${ofImage}, and the record and signature byte for byte from one boot of the guest`;
  return certificateFinding('ATTESTATION_SIGNATURE_INVALID', 'signature', { line: 1 }, { message, hint });
};

const certificateFindings = ({ certificate, at }: AttestationRequest): readonly Finding[] =>
  dateFindings(certificate, 'certificate', at).map(({ message }) =>
    certificateFinding('ATTESTATION_CERTIFICATE_DATES', 'certificate', certificate, {
      message: `${message}; it is ${isoSeconds(at)} now`,
      hint: 'an image that old is no longer vouched for; move to a newer one',
    }),
  );

const recordFindings = ({ version, hashes, unreadableLines }: AttestationRecord): readonly Finding[] => {
  const findings: Finding[] = [];
  const add = (code: FindingCode, line: number, message: string, hint: string): void =>
    void findings.push(found(code, line, message, hint));
  const whole = 'export the whole file from the guest';
  if (version === null) add('ATTESTATION_LINE_MISSING', 1, 'the first line is no image version', whole);
  for (const name of expectedHashes) {
    if (!hashes.some((hash) => hash.name === name)) {
      add('ATTESTATION_LINE_MISSING', 1, `there is no line for ${name}`, whole);
    }
  }
  for (const line of unreadableLines) {
    add('ATTESTATION_LINE_UNREADABLE', line, 'the line is neither a label nor a hash with a name', whole);
  }
  for (const [index, { name, line }] of hashes.entries()) {
    if (hashes.findIndex((hash) => hash.name === name) === index) continue;
    add(
      'ATTESTATION_LINE_DUPLICATE',
      line,
      `there is a second line for ${name}`,
      'do not trust it: no image writes a name twice',
    );
  }
  return findings;
};

const comparisonFindings = (sections: readonly SectionComparison[]): readonly Finding[] =>
  sections.flatMap(({ section, result }) => {
    const message = {
      differs: `the guest had another value of ${section} than this contract`,
      notInContract: `the guest had ${section}, which this contract has not`,
      notInRecord: `this contract has ${section}, but the record has no line for it`,
      notComparable: `${section} is a mapping, which has no text that could be compared`,
      matches: null,
    }[result];
    if (message === null) return [];
    const code = result === 'notComparable' ? 'ATTESTATION_SECTION_NOT_COMPARED' : 'ATTESTATION_CONTRACT_DIFFERS';
    const hint =
      result === 'notComparable'
        ? `write "${section}: |" before deploying`
        : 'compare with the user data that was deployed; if that is this file, the guest was given another contract';
    return [found(code, 1, message, hint)];
  });

/** Checks signature, certificate dates, lines, and the contract when there is one. Nothing is thrown for what they say. */
export const verifyAttestation = (request: AttestationRequest): Attestation => {
  const { record, contract } = request;
  const sections = contract === null ? [] : compareSections(record.hashes, contract.delivered);
  const sameUserData = contract === null ? null : isSameUserData(record.hashes, contract.bytes);
  const invalid = signatureFinding(request);
  const findings = [
    ...(invalid === null ? [] : [invalid]),
    ...certificateFindings(request),
    ...recordFindings(record),
    ...comparisonFindings(sections),
  ];
  if (sameUserData === false) {
    const message = 'the file as a whole is not the user data that the guest read; only its sections were compared';
    const hint = 'harmless when comments, spacing or unsigned keys outside of the sections differ';
    findings.push(found('ATTESTATION_USER_DATA_DIFFERS', 1, message, hint));
  }
  return { isSigned: invalid === null, sections, sameUserData, findings };
};
