/** SealedContract → OpenedContract. */
import type { KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { type DeliveredContract, readDelivered, sectionGround } from './delivered.ts';
import { isToken } from './envelope.ts';
import { finding, type ParsedGround } from './finding.ts';
import { assertImplicitRejection, openToken } from './open-token.ts';
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

const keyOf = (key: ContractKey): KeyObject | null => {
  const object = key instanceof Secret ? parsePrivateKey(key, 'the contract key') : key;
  if (object !== null) assertImplicitRejection(object);
  return object;
};

const weakness = (ground: ParsedGround, name: string, length: number): Finding =>
  finding('PASSPHRASE_WEAK', ground, [name], {
    message: `the token is protected by a passphrase of ${length} bytes only`,
    hint: 'seal the section again with triseed contract seal, which never makes such a token',
  });

export interface OpenedText {
  readonly text: string;
  readonly findings: readonly Finding[];
}

/** The text of one value of the contract. A token without a key, or that does not open, is a finding. */
export const openText = (
  { ground }: DeliveredContract,
  name: SectionName | 'attestationPublicKey',
  delivered: string,
  isEncrypted: boolean,
  key: KeyObject | null,
): Reading<OpenedText> => {
  if (!isEncrypted) return { kind: 'read', value: { text: delivered, findings: [] } };
  const opened = key === null ? null : openToken(delivered, key);
  const text = opened?.plaintext.expose(decodeUtf8) ?? null;
  opened?.plaintext.wipe();
  if (opened === null || text === null) {
    const detail = {
      message: key === null ? 'the value is encrypted and there is no key' : 'the token does not open with this key',
      hint: 'encrypt it for the certificate that belongs to this key',
    };
    return { kind: 'refused', findings: [finding('TOKEN_NOT_OPENED', ground, [name], detail)] };
  }
  const { passphraseLength } = opened;
  const findings = passphraseLength < weakBelowBytes ? [weakness(ground, name, passphraseLength)] : [];
  return { kind: 'read', value: { text, findings } };
};

export interface SectionReading {
  readonly ground: ParsedGround;
  readonly findings: readonly Finding[];
}

/** Opens and parses one section. */
export const openSection = (
  delivered: DeliveredContract,
  name: SectionName,
  key: KeyObject | null,
): Reading<SectionReading> => {
  const { form, text } = delivered.sections[name];
  const opened = openText(delivered, name, text, form === 'token', key);
  if (opened.kind === 'refused') return opened;
  const ground = sectionGround(delivered, name, opened.value.text);
  if (ground.kind === 'refused') return ground;
  return { kind: 'read', value: { ground: ground.value, findings: opened.value.findings } };
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

/**
 * Opens every token of the contract and parses its sections. Throws CONTRACT_NOT_OPENED (HPL11001E),
 * CONTRACT_INVALID (HPL05001E) for a document that is no contract, KEY_UNUSABLE, CRYPTOGRAPHY_UNSUITABLE.
 */
export const decryptContract = (sealed: SealedContract, contractKey: ContractKey): OpenedContract => {
  const key = keyOf(contractKey);
  const delivered = required(readDelivered(sealed.bytes), 'the document is no contract');
  const findings: Finding[] = [...delivered.findings];
  const open = (name: SectionName): OpenedSection => {
    const { form, text } = delivered.sections[name];
    const section = required(openSection(delivered, name, key), `the section ${name} cannot be read`);
    findings.push(...section.findings);
    return new OpenedSection(name, form, text, section.ground);
  };
  const workload = open('workload');
  const env = open('env');
  const attestation = attestationOf(delivered, key);
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
};

const attestationOf = (delivered: DeliveredContract, key: KeyObject | null): OpenedText | null => {
  const text = delivered.attestationPublicKey;
  if (text === null) return null;
  const opened = openText(delivered, 'attestationPublicKey', text, isToken(text), key);
  return required(opened, 'attestationPublicKey cannot be read');
};
