/**
 * OpenedContract → VerifiedContract (IBM Cloud docs, "About the contract", signature and expiry).
 *
 * The signature covers workload, then env, as they stand in the contract, with nothing between. The key lies inside
 * env, which the deployer writes: by itself it proves that the two sections belong together. Who signed is known
 * only when the image pins the signer.
 */
import { verify } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { assertOpened, groundOf } from './decrypt.ts';
import { finding } from './finding.ts';
import { modulusBytes } from './private-key.ts';
import { proofOf } from './proof.ts';
import { type CarriedKey, fingerprintOf, parseCarriedKey } from './public-key.ts';
import type { ContractSections, Finding, OpenedContract, Signer, VerifiedContract } from './types.ts';

const proof = proofOf<VerifiedContract>('verifyContract');
export const assertVerified = proof.check;

export interface VerificationRules {
  /** SPKI SHA-256 fingerprints, lower-case hex; empty accepts any signer and unsigned contracts. */
  readonly trustedSigners: readonly string[];
  /** The time to compare certificate dates with. */
  readonly at: Date;
}

/** What a signature covers. Order and absence of separators: "About the contract". */
export const signedText = ({ workload, env }: { readonly workload: string; readonly env: string }): string =>
  `${workload}${env}`;

const decodeSignature = (text: string): Buffer | null => {
  const packed = text.replace(/\s+/g, '');
  const bytes = Buffer.from(packed, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === packed ? bytes : null;
};

type Match = 'exact' | 'withoutLineBreaks';

const matchSignature = (
  sections: ContractSections,
  signature: Buffer,
  { key }: CarriedKey,
  isPinned: boolean,
): Match | null => {
  const text = signedText({ workload: sections.workload.delivered, env: sections.env.delivered });
  const holds = (message: string): boolean => verify('sha256', Buffer.from(message, 'utf8'), key, signature);
  if (holds(text)) return 'exact';
  // The documented shell recipe pipes the sections through `tr -d "\n\r"` before signing. Such a signature lets a host move line
  // breaks, which in plain YAML moves meaning (a line joined to the comment above it is gone): never when a signer is pinned.
  if (isPinned) return null;
  return holds(text.replace(/[\r\n]/g, '')) ? 'withoutLineBreaks' : null;
};

const invalid = (reason: string): AgentError => new AgentError('CONTRACT_SIGNATURE_INVALID', { reason });

const isoSeconds = (date: Date): string =>
  Number.isNaN(date.getTime()) ? 'an unreadable time' : `${date.toISOString().slice(0, 19)}Z`;

const assertDates = ({ certificate }: CarriedKey, at: Date): void => {
  if (certificate === null) return;
  const { notBefore, notAfter } = certificate;
  // Negated comparisons, so that an unreadable date (NaN) refuses.
  if (!(at.getTime() >= notBefore.getTime())) {
    throw new AgentError('CONTRACT_NOT_YET_VALID', { notBefore: isoSeconds(notBefore), at: isoSeconds(at) });
  }
  if (!(at.getTime() <= notAfter.getTime())) {
    throw new AgentError('CONTRACT_EXPIRED', { notAfter: isoSeconds(notAfter), at: isoSeconds(at) });
  }
};

interface Verification {
  readonly signer: Signer | null;
  readonly findings: readonly Finding[];
}

const verifyUnsigned = (opened: OpenedContract, { trustedSigners }: VerificationRules): Verification => {
  if (trustedSigners.length > 0) throw new AgentError('CONTRACT_UNSIGNED', {});
  const warning = finding('CONTRACT_UNSIGNED', groundOf(opened), [], {
    message: 'the contract is not signed: whoever can deliver it can change or mix its sections',
    hint: 'triseed contract seal signs; pin the signer with contract.trustedSigners in the image',
  });
  return { signer: null, findings: [warning] };
};

const verifySigned = (
  opened: OpenedContract,
  signingKey: string,
  signatureText: string,
  { trustedSigners, at }: VerificationRules,
): Verification => {
  const { sections } = opened;
  const carried = parseCarriedKey(signingKey);
  if (carried.kind === 'unusable') throw invalid(`env.signingKey is not usable, ${carried.reason}`);
  const key = carried.value;
  const nested = [sections.workload, sections.env].find(({ form }) => form === 'nested');
  if (nested !== undefined) {
    throw invalid(`a signature covers strings, but ${nested.name} is a mapping; write "${nested.name}: |"`);
  }
  const signature = decodeSignature(signatureText);
  if (signature === null) throw invalid('envWorkloadSignature is not base64');
  if (signature.length !== modulusBytes(key.key))
    throw invalid('envWorkloadSignature does not have the length of the key');
  const match = matchSignature(sections, signature, key, trustedSigners.length > 0);
  if (match === null) throw invalid('it was not made over these two sections with env.signingKey');
  const fingerprint = fingerprintOf(key.key);
  const trusted = trustedSigners.includes(fingerprint);
  if (trustedSigners.length > 0 && !trusted) throw new AgentError('CONTRACT_SIGNER_UNTRUSTED', { fingerprint });
  assertDates(key, at);
  const findings: Finding[] = [];
  if (!trusted) {
    const message = `signed by ${fingerprint}, whom this image does not pin`;
    const hint = 'add the fingerprint to contract.trustedSigners in the image';
    findings.push(finding('SIGNER_UNPINNED', groundOf(opened), ['envWorkloadSignature'], { message, hint }));
  }
  if (match === 'withoutLineBreaks') {
    const message = 'the signature covers the sections without their line breaks';
    const hint = 'triseed contract seal signs the text exactly as it is delivered';
    const at = ['envWorkloadSignature'];
    findings.push(finding('SIGNATURE_WITHOUT_LINE_BREAKS', groundOf(opened), at, { message, hint }));
  }
  return { signer: { fingerprint, certificateNotAfter: key.certificate?.notAfter ?? null, trusted }, findings };
};

const verification = (opened: OpenedContract, rules: VerificationRules): Verification => {
  const { signingKey } = opened.sections.env.value;
  const signature = opened.envWorkloadSignature;
  const hasKey = signingKey !== undefined;
  if (!hasKey && signature === null) return verifyUnsigned(opened, rules);
  if (!hasKey) throw new AgentError('CONTRACT_SIGNATURE_INCOMPLETE', { missing: 'env.signingKey' });
  if (signature === null) throw new AgentError('CONTRACT_SIGNATURE_INCOMPLETE', { missing: 'envWorkloadSignature' });
  if (typeof signingKey !== 'string') throw invalid('env.signingKey is no text');
  return verifySigned(opened, signingKey, signature, rules);
};

/**
 * Checks signature, signer and dates. Throws CONTRACT_SIGNATURE_INVALID (HPL12001E), CONTRACT_SIGNATURE_INCOMPLETE
 * (HPL12004E), CONTRACT_EXPIRED (HPL12007E), CONTRACT_NOT_YET_VALID, CONTRACT_SIGNER_UNTRUSTED, CONTRACT_UNSIGNED.
 */
export const verifyContract = (opened: OpenedContract, rules: VerificationRules): VerifiedContract => {
  assertOpened(opened);
  const { signer, findings } = verification(opened, rules);
  const verified = { kind: 'verified', opened, signer, findings: [...opened.findings, ...findings] } as const;
  return proof.mark(verified as typeof verified & VerifiedContract);
};
