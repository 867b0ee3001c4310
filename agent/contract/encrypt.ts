/**
 * Encrypting without signing: the plain sections of a contract become tokens where they stand, or one document
 * becomes one token, which a workload owner hands to the deployer.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import type { Entropy } from '../ports.ts';
import { checkContractContent, checkSectionContent } from './content/check-content.ts';
import { type DeliveredContract, readDelivered, sectionNames } from './delivered.ts';
import { setValues, withByteOrderMark } from './edit-text.ts';
import { isToken, type TokenPrefix } from './envelope.ts';
import { findingOverall, hasErrors, type ParsedGround } from './finding.ts';
import { openComments } from './open-comments.ts';
import { outdent } from './outdent.ts';
import { parseCarriedKey } from './public-key.ts';
import { sealToken } from './seal.ts';
import type { Finding, Profile, SectionName } from './types.ts';

export type EncryptedName = SectionName | 'attestationPublicKey';
/** What one document is checked as before it becomes a token; `raw` is not checked at all. */
export type DocumentKind = EncryptedName | 'raw';

export interface EncryptRequest {
  readonly bytes: Uint8Array;
  readonly profile: Profile;
  /** The time that dates of signers' keys are compared with. */
  readonly at: Date;
  readonly recipient: KeyObject;
  readonly prefix: TokenPrefix;
}

export interface Encrypted {
  readonly kind: 'encrypted';
  /** The edited contract, or the token. */
  readonly text: string;
  readonly findings: readonly Finding[];
  /** What was encrypted now; empty when everything was a token already. */
  readonly encrypted: readonly (EncryptedName | 'document')[];
  /** Lines of comments of the contract itself: they stay readable. */
  readonly openComments: number;
  readonly sha256: { readonly input: string; readonly output: string };
}

export type EncryptOutcome = Encrypted | { readonly kind: 'invalid'; readonly findings: readonly Finding[] };

const refusal = (reason: string): AgentError => new AgentError('CONTRACT_NOT_ENCRYPTABLE', { reason });
const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

const assertUnsigned = ({ envWorkloadSignature }: DeliveredContract): void => {
  if (envWorkloadSignature === null) return;
  throw refusal(
    'it is signed, and the signature covers the plain sections; triseed contract seal encrypts and signs in one step',
  );
};

const plainText = (delivered: DeliveredContract, ground: ParsedGround, name: SectionName): string => {
  const { form, text } = delivered.sections[name];
  const own = form === 'nested' ? outdent(ground) : text;
  if (own === null) throw refusal(`${name} is a mapping that cannot stand alone; write "${name}: |"`);
  return own;
};

/**
 * Encrypts every plain section of a contract in place. Faults of the contract come back as findings;
 * CONTRACT_NOT_ENCRYPTABLE is thrown for a signed one, and for one that cannot be edited as it is written.
 */
export const encryptContract = async (entropy: Entropy, request: EncryptRequest): Promise<EncryptOutcome> => {
  const { bytes, profile, at, recipient, prefix } = request;
  const check = await checkContractContent(bytes, { profile, minimumSerial: 0, key: null, at });
  // A signingKey without signature is a contract on its way: contract sign comes next.
  const findings = check.findings.filter(({ code }) => code !== 'SIGNATURE_INCOMPLETE');
  const { delivered, sections } = check;
  if (delivered !== null) assertUnsigned(delivered);
  if (delivered === null || hasErrors(findings)) return { kind: 'invalid', findings };
  const plain = new Map<EncryptedName, string>();
  for (const name of sectionNames) {
    const ground = sections[name];
    if (ground !== null) plain.set(name, plainText(delivered, ground, name));
  }
  const attestation = delivered.attestationPublicKey;
  if (attestation !== null && !isToken(attestation)) plain.set('attestationPublicKey', attestation);
  const tokens = new Map<string, string>();
  for (const [name, text] of plain) {
    tokens.set(name, await sealToken(entropy, Buffer.from(text, 'utf8'), recipient, prefix));
  }
  const edited = setValues(delivered.ground.document, tokens);
  if (edited === null) {
    throw refusal('its sections cannot be replaced where they stand; write each as "workload: |" without anchors');
  }
  const text = withByteOrderMark(bytes, edited);
  const after = readDelivered(Buffer.from(text, 'utf8'));
  return {
    kind: 'encrypted',
    text,
    findings,
    encrypted: [...plain.keys()],
    openComments: after.kind === 'read' ? openComments(after.value.ground.document) : 0,
    sha256: { input: sha256(bytes), output: sha256(text) },
  };
};

const documentFindings = async (
  { bytes, profile, at }: EncryptRequest,
  kind: DocumentKind,
): Promise<readonly Finding[]> => {
  if (kind === 'raw') return [];
  if (kind === 'attestationPublicKey') {
    const carried = parseCarriedKey(Buffer.from(bytes).toString('latin1'));
    if (carried.kind === 'key') return [];
    const hint = 'give a PEM public key or certificate, or base64 of it; --section raw encrypts anything';
    return [findingOverall('ATTESTATION_KEY_INVALID', { message: `the key is not usable: ${carried.reason}`, hint })];
  }
  return checkSectionContent(bytes, kind, { profile, minimumSerial: 0, at });
};

/** A contract given where one section is meant would become a section that no guest accepts. */
const assertNoContract = (bytes: Uint8Array): void => {
  const read = readDelivered(bytes);
  if (read.kind === 'refused') return;
  throw refusal('it is a whole contract, not one section; without --section its plain sections are encrypted in place');
};

/** Encrypts `bytes` as they are into one token, after checking them as `kind`. Throws CONTRACT_NOT_ENCRYPTABLE. */
export const encryptDocument = async (
  entropy: Entropy,
  request: EncryptRequest,
  kind: DocumentKind,
): Promise<EncryptOutcome> => {
  const { bytes, recipient, prefix } = request;
  if (kind !== 'raw' && isToken(Buffer.from(bytes).toString('latin1'))) throw refusal('it is a token already');
  if (kind === 'workload' || kind === 'env') assertNoContract(bytes);
  const findings = await documentFindings(request, kind);
  if (hasErrors(findings)) return { kind: 'invalid', findings };
  const token = await sealToken(entropy, bytes, recipient, prefix);
  return {
    kind: 'encrypted',
    text: `${token}\n`,
    findings,
    encrypted: [kind === 'raw' ? 'document' : kind],
    openComments: 0,
    sha256: { input: sha256(bytes), output: sha256(`${token}\n`) },
  };
};
