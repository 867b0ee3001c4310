/**
 * Signing a contract as it stands: the signature covers the delivered sections, so a plain env gets its signingKey
 * first, and an encrypted one has to hold it already.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { checkContractContent } from './content/check-content.ts';
import { type DeliveredContract, readDelivered, sectionNames } from './delivered.ts';
import { insertInto, setValues, withByteOrderMark } from './edit-text.ts';
import { hasErrors, type ParsedGround } from './finding.ts';
import { fingerprintOf, parseCarriedKey } from './public-key.ts';
import { placeSigningKey } from './signing-key.ts';
import type { Finding, Profile } from './types.ts';
import { signedText } from './verify.ts';
import { sign } from './webcrypto.ts';

export interface SignRequest {
  readonly bytes: Uint8Array;
  readonly profile: Profile;
  /** The time that dates of signers' keys are compared with. */
  readonly at: Date;
  readonly signer: KeyObject;
  /** What goes into signingKey, in PEM, when env is plain and holds none. */
  readonly signingKeyPem: string;
  /** The guest's key, to look at the signingKey inside a token; null leaves that open. */
  readonly decryptKey: KeyObject | null;
}

/** What is known about env.signingKey: put in now, there and fitting, or inside a token that was not opened. */
export type SigningKeyState = 'added' | 'fits' | 'unknown';

export type SignOutcome =
  | { readonly kind: 'invalid'; readonly findings: readonly Finding[] }
  | {
      readonly kind: 'signed';
      readonly text: string;
      readonly findings: readonly Finding[];
      readonly signingKey: SigningKeyState;
      readonly fingerprint: string;
      /** A signature was there before and was replaced. */
      readonly replaced: boolean;
      /** Names of plain sections with line breaks: other tools may sign these without them. */
      readonly plainSections: readonly string[];
      /** A section is no token: who reads the contract reads its seeds. */
      readonly isOpen: boolean;
    };

const refusal = (reason: string): AgentError => new AgentError('CONTRACT_NOT_SIGNABLE', { reason });

const isSameKey = (carried: unknown, signer: KeyObject): boolean => {
  const read = typeof carried === 'string' ? parseCarriedKey(carried) : null;
  return read?.kind === 'key' && fingerprintOf(read.value.key) === fingerprintOf(createPublicKey(signer));
};

const assertKeyInside = (env: ParsedGround, signer: KeyObject): void => {
  const { signingKey } = env.document.value as { readonly signingKey?: unknown };
  if (signingKey === undefined) {
    throw refusal(
      'the env token holds no signingKey, and none can be added to a token; triseed contract seal puts it into the plain env',
    );
  }
  if (!isSameKey(signingKey, signer)) throw refusal('the signingKey inside the env token does not belong to this key');
};

interface WithKey {
  readonly delivered: DeliveredContract;
  readonly state: SigningKeyState;
}

const withSigningKey = (
  delivered: DeliveredContract,
  env: ParsedGround | null,
  { signer, signingKeyPem }: SignRequest,
): WithKey => {
  const { form, text } = delivered.sections.env;
  if (env === null) return { delivered, state: 'unknown' };
  if (form === 'token') {
    assertKeyInside(env, signer);
    return { delivered, state: 'fits' };
  }
  const placed = placeSigningKey(env, text, signingKeyPem);
  if (placed.kind === 'refused') throw refusal(placed.reason);
  if (placed.text === text) return { delivered, state: 'fits' };
  const edited = insertInto(delivered.ground.document, 'env', placed.text);
  const read = edited === null ? null : readDelivered(Buffer.from(edited, 'utf8'));
  if (read?.kind !== 'read') throw refusal('signingKey cannot be added to env as it is written; write "env: |"');
  return { delivered: read.value, state: 'added' };
};

/**
 * Adds signingKey where it is missing, and envWorkloadSignature over the sections as they then stand. Faults of the
 * contract come back as findings; CONTRACT_NOT_SIGNABLE is thrown for what cannot be signed with this key.
 */
export const signContract = async (request: SignRequest): Promise<SignOutcome> => {
  const { bytes, profile, at, signer, decryptKey } = request;
  const check = await checkContractContent(bytes, { profile, minimumSerial: 0, key: decryptKey, at });
  const findings = check.findings.filter(({ code }) => code !== 'SIGNATURE_INCOMPLETE');
  if (check.delivered === null || hasErrors(findings)) return { kind: 'invalid', findings };
  const nested = sectionNames.find((name) => check.delivered?.sections[name].form === 'nested');
  if (nested !== undefined)
    throw refusal(`a signature covers strings, but ${nested} is a mapping; write "${nested}: |"`);
  const { delivered, state } = withSigningKey(check.delivered, check.sections.env, request);
  const { workload, env } = delivered.sections;
  const message = signedText({ workload: workload.text, env: env.text });
  const signature = (await sign(Buffer.from(message, 'utf8'), signer)).toString('base64');
  const text = setValues(delivered.ground.document, new Map([['envWorkloadSignature', signature]]));
  if (text === null) throw refusal('envWorkloadSignature cannot be added as the contract is written');
  return {
    kind: 'signed',
    text: withByteOrderMark(bytes, text),
    findings,
    signingKey: state,
    fingerprint: fingerprintOf(createPublicKey(signer)),
    replaced: check.delivered.envWorkloadSignature !== null,
    plainSections: sectionNames.filter(
      (name) => delivered.sections[name].form === 'text' && /[\r\n]/.test(delivered.sections[name].text),
    ),
    isOpen: sectionNames.some((name) => delivered.sections[name].form !== 'token'),
  };
};
