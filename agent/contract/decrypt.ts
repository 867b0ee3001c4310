/** SealedContract → OpenedContract. */
import type { KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { type DeliveredContract, readDelivered, sectionGround } from './delivered.ts';
import { isToken } from './envelope.ts';
import { finding, type ParsedGround } from './finding.ts';
import { assertImplicitRejection, type OpenedToken, openToken, openTokenAside } from './open-token.ts';
import type { Reading } from './parse-ground.ts';
import { parsePrivateKey } from './private-key.ts';
import { proofOf } from './proof.ts';
import { OpenedSection } from './section.ts';
import { decodeUtf8 } from './strict-yaml.ts';
import type { Finding, OpenedContract, SealedContract, SectionName } from './types.ts';

const proof = proofOf<OpenedContract>('decryptContract');
export const assertOpened = proof.check;

/** The whole document of an opened contract, kept apart so that printing a contract does not print it. */
const grounds = new WeakMap<OpenedContract, ParsedGround>();
export const groundOf = (opened: OpenedContract): ParsedGround => {
  const ground = grounds.get(opened);
  if (ground === undefined) throw new TypeError('this contract did not come out of decryptContract');
  return ground;
};

/** Below this many bytes a passphrase is reported: the documented recipe loses bytes in one token of five. */
const weakBelowBytes = 16;

/** The contract key as it is, or its PEM text; null opens contracts without tokens only. */
export type ContractKey = KeyObject | Secret | null;

const keyOf = (key: ContractKey): KeyObject | null =>
  key instanceof Secret ? parsePrivateKey(key, 'the contract key') : key;

const weakness = (ground: ParsedGround, name: string, length: number): Finding =>
  finding('PASSPHRASE_WEAK', ground, [name], {
    message: `the token is protected by a passphrase of ${length} bytes only`,
    hint: 'seal the section again with triseed contract seal, which never makes such a token',
  });

export interface OpenedText {
  readonly text: string;
  readonly findings: readonly Finding[];
}

/** How a value of the contract was delivered, and what came of opening it; null where it is no token. */
type Attempt = { readonly opened: OpenedToken | null; readonly hasKey: boolean } | null;

const textOf = (
  { ground }: DeliveredContract,
  name: SectionName | 'attestationPublicKey',
  delivered: string,
  attempt: Attempt,
): Reading<OpenedText> => {
  if (attempt === null) return { kind: 'read', value: { text: delivered, findings: [] } };
  const { opened, hasKey } = attempt;
  const text = opened?.plaintext.expose(decodeUtf8) ?? null;
  opened?.plaintext.wipe();
  if (opened === null || text === null) {
    const detail = {
      message: hasKey ? 'the token does not open with this key' : 'the value is encrypted and there is no key',
      hint: 'encrypt it for the certificate that belongs to this key',
    };
    return { kind: 'refused', findings: [finding('TOKEN_NOT_OPENED', ground, [name], detail)] };
  }
  const { passphraseLength } = opened;
  const findings = passphraseLength < weakBelowBytes ? [weakness(ground, name, passphraseLength)] : [];
  return { kind: 'read', value: { text, findings } };
};

/** The text of one value of the contract. A token without a key, or that does not open, is a finding. */
export const openText = (
  contract: DeliveredContract,
  name: SectionName | 'attestationPublicKey',
  delivered: string,
  isEncrypted: boolean,
  key: KeyObject | null,
): Reading<OpenedText> => {
  const opened = isEncrypted && key !== null ? openToken(delivered, key) : null;
  return textOf(contract, name, delivered, isEncrypted ? { opened, hasKey: key !== null } : null);
};

/** Why a contract is refused: HPCR's bootloader cannot open it, or its outer form breaks the schema. */
const refusal = (reason: string, findings: readonly Finding[]): AgentError =>
  findings.some(({ id }) => id === 'HPL11001E')
    ? new AgentError('CONTRACT_NOT_OPENED', { reason, findings })
    : new AgentError('CONTRACT_INVALID', { findings });

const required = <T>(reading: Reading<T>, reason: string): T => {
  if (reading.kind === 'refused') throw refusal(reason, reading.findings);
  return reading.value;
};

interface Attempts {
  readonly workload: Attempt;
  readonly env: Attempt;
  readonly attestationPublicKey: Attempt;
}

/** What there is to open; null for a value that is not there or no token. */
const tokensOf = ({ sections: { workload, env }, attestationPublicKey }: DeliveredContract) => ({
  workload: workload.form === 'token' ? workload.text : null,
  env: env.form === 'token' ? env.text : null,
  attestationPublicKey: attestationPublicKey !== null && isToken(attestationPublicKey) ? attestationPublicKey : null,
});

const assemble = (sealed: SealedContract, delivered: DeliveredContract, attempts: Attempts): OpenedContract => {
  const findings: Finding[] = [...delivered.findings];
  const open = (name: SectionName): OpenedSection => {
    const { form, text } = delivered.sections[name];
    const what = `the section ${name} cannot be read`;
    const opened = required(textOf(delivered, name, text, attempts[name]), what);
    const ground = required(sectionGround(delivered, name, opened.text), what);
    findings.push(...opened.findings);
    return new OpenedSection(name, form, text, ground);
  };
  try {
    const workload = open('workload');
    const env = open('env');
    const attestation = attestationOf(delivered, attempts.attestationPublicKey);
    if (attestation !== null) findings.push(...attestation.findings);
    const opened = {
      kind: 'opened',
      sealed,
      sections: Object.freeze({ workload, env }),
      envWorkloadSignature: delivered.envWorkloadSignature,
      attestationPublicKey: attestation?.text ?? null,
      deliveredAttestationPublicKey: delivered.attestationPublicKey,
      findings,
    } as const;
    const marked = proof.mark(opened as typeof opened & OpenedContract);
    grounds.set(marked, delivered.ground);
    return marked;
  } finally {
    // Behind a value that is refused others stay unread.
    for (const attempt of Object.values(attempts)) attempt?.opened?.plaintext.wipe();
  }
};

const attestationOf = (delivered: DeliveredContract, attempt: Attempt): OpenedText | null => {
  const text = delivered.attestationPublicKey;
  if (text === null) return null;
  const opened = textOf(delivered, 'attestationPublicKey', text, attempt);
  return required(opened, 'attestationPublicKey cannot be read');
};

/**
 * Opens every token of the contract and parses its sections. Throws CONTRACT_NOT_OPENED (HPL11001E),
 * CONTRACT_INVALID (HPL05001E) for a document that is no contract, KEY_UNUSABLE, CRYPTOGRAPHY_UNSUITABLE.
 */
export const decryptContract = (sealed: SealedContract, contractKey: ContractKey): OpenedContract => {
  const key = keyOf(contractKey);
  if (key !== null) assertImplicitRejection(key);
  const delivered = required(readDelivered(sealed.bytes), 'the document is no contract');
  const { workload, env, attestationPublicKey } = tokensOf(delivered);
  const attempt = (token: string | null): Attempt =>
    token === null ? null : { opened: key === null ? null : openToken(token, key), hasKey: key !== null };
  return assemble(sealed, delivered, {
    workload: attempt(workload),
    env: attempt(env),
    attestationPublicKey: attempt(attestationPublicKey),
  });
};

/** While keys are derived. Where padding could be told from other errors, what came of the attempts is neither used nor told. */
const requireImplicitRejection = async (
  key: KeyObject | null,
  attempts: readonly Promise<Attempt>[],
): Promise<void> => {
  try {
    if (key !== null) assertImplicitRejection(key);
  } catch (error) {
    for (const attempt of await Promise.allSettled(attempts))
      if (attempt.status === 'fulfilled') attempt.value?.opened?.plaintext.wipe();
    throw error;
  }
};

/** `decryptContract` for a start of the guest: keys are derived in other threads, beside each other and beside what else is done. */
export const decryptContractAside = async (
  sealed: SealedContract,
  contractKey: ContractKey,
): Promise<OpenedContract> => {
  const key = keyOf(contractKey);
  const delivered = required(readDelivered(sealed.bytes), 'the document is no contract');
  const tokens = tokensOf(delivered);
  const attempt = async (token: string | null): Promise<Attempt> =>
    token === null ? null : { opened: key === null ? null : await openTokenAside(token, key), hasKey: key !== null };
  const attempts = [attempt(tokens.workload), attempt(tokens.env), attempt(tokens.attestationPublicKey)] as const;
  await requireImplicitRejection(key, attempts);
  const [workload, env, attestationPublicKey] = await Promise.all(attempts);
  return assemble(sealed, delivered, { workload, env, attestationPublicKey });
};
