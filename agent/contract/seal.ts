/**
 * The authoring side: sections become tokens, the signature covers the tokens. A token is made of a passphrase
 * that every reader understands the same way, unlike one in five of those made by the documented commands.
 */
import { createCipheriv, createHash, type KeyObject, pbkdf2Sync } from 'node:crypto';
import { stringify } from 'yaml';
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { AgentError } from '../errors.ts';
import type { Entropy } from '../ports.ts';
import { Secret } from '../secret.ts';
import { checkContractContent } from './content/check-content.ts';
import { type DeliveredContract, sectionNames } from './delivered.ts';
import { isToken, isUnambiguous, iterations, renderToken, saltLength, type TokenPrefix } from './envelope.ts';
import { hasErrors, type ParsedGround } from './finding.ts';
import { outdent } from './outdent.ts';
import { fingerprintOf, parseCarriedKey } from './public-key.ts';
import { placeSigningKey } from './signing-key.ts';
import type { Finding, Profile, SectionName } from './types.ts';
import { signedText } from './verify.ts';
import { sign, wrapPassphrase } from './webcrypto.ts';

const passphraseLength = 32;

/** 32 random bytes without NUL, LF and CR: drawn again as a whole until there is none. */
export const drawPassphrase = (entropy: Entropy): Secret => {
  for (;;) {
    const drawn = Secret.take(entropy.bytes(passphraseLength));
    if (isUnambiguous(drawn)) return drawn;
    drawn.wipe();
  }
};

/** Encrypts `plaintext` to `recipient` (an RSA public key) as a token. */
export const sealToken = async (
  entropy: Entropy,
  plaintext: Uint8Array,
  recipient: KeyObject,
  prefix: TokenPrefix,
): Promise<string> => {
  const passphrase = drawPassphrase(entropy);
  const salt = entropy.bytes(saltLength);
  const derived = Secret.take(passphrase.expose((bytes) => pbkdf2Sync(bytes, salt, iterations, 48, 'sha256')));
  try {
    const ciphertext = derived.expose((bytes) => {
      const cipher = createCipheriv('aes-256-cbc', bytes.subarray(0, 32), bytes.subarray(32));
      return Buffer.concat([cipher.update(plaintext), cipher.final()]);
    });
    return renderToken({ prefix, wrappedPassphrase: await wrapPassphrase(passphrase, recipient), salt, ciphertext });
  } finally {
    derived.wipe();
    passphrase.wipe();
  }
};

export interface SealRequest {
  /** The plain contract; sections that are tokens already stay as they are. */
  readonly bytes: Uint8Array;
  readonly profile: Profile;
  /** The time that dates of signers' keys are compared with. */
  readonly at: Date;
  /** Public key of the guest. */
  readonly recipient: KeyObject;
  readonly signer: KeyObject;
  /** What goes into signingKey, in PEM: the signer's public key, or its certificate when the contract shall expire. */
  readonly signingKeyPem: string;
}

export type SealOutcome =
  | { readonly kind: 'invalid'; readonly findings: readonly Finding[] }
  | {
      readonly kind: 'sealed';
      readonly text: string;
      readonly findings: readonly Finding[];
      /** Names of the values that were encrypted now. */
      readonly encrypted: readonly string[];
      readonly fingerprint: string;
      readonly sha256: { readonly input: string; readonly output: string };
    };

const unsealable = (reason: string): AgentError => new AgentError('CONTRACT_NOT_SEALABLE', { reason });

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

/** A section's own text: the string as it is, or a nested mapping's lines without their indentation. */
const plainText = (delivered: DeliveredContract, ground: ParsedGround, name: SectionName): string => {
  const { form, text } = delivered.sections[name];
  if (form !== 'nested') return text;
  const lines = outdent(ground);
  if (lines === null) throw unsealable(`${name} is a mapping that cannot stand alone; write "${name}: |"`);
  return lines;
};

const withSigningKey = (ground: ParsedGround, text: string, pem: string): string => {
  const placed = placeSigningKey(ground, text, pem);
  if (placed.kind === 'refused') throw unsealable(placed.reason);
  return placed.text;
};

/** Values with long lines unfolded, tokens as plain scalars. Comments of the outer document are not carried over. */
const renderContract = (delivered: DeliveredContract, values: ReadonlyMap<string, string>): string => {
  const { workload: _w, env: _e, attestationPublicKey: _a, envWorkloadSignature: _s, ...others } = delivered.root;
  return stringify({ ...others, ...Object.fromEntries(values) }, { lineWidth: 0, version: '1.2' });
};

/**
 * Validates, adds signingKey, encrypts every plain section and signs what is delivered. Faults of the contract come
 * back as findings; CONTRACT_NOT_SEALABLE is thrown for what cannot be done with a valid one.
 */
export const sealContract = async (entropy: Entropy, request: SealRequest): Promise<SealOutcome> => {
  const { bytes, profile, at, recipient, signer, signingKeyPem } = request;
  const check = await checkContractContent(bytes, { profile, minimumSerial: 0, key: null, at });
  // Half a signature is what sealing completes.
  const findings = check.findings.filter(({ code }) => code !== 'SIGNATURE_INCOMPLETE');
  const { delivered, sections } = check;
  if (delivered === null || hasErrors(findings)) return { kind: 'invalid', findings };
  if (sections.env === null) {
    throw unsealable('env is a token already, so no signingKey can be added; seal the plain env');
  }
  const prefix = profiles[profile].tokenPrefix;
  const encrypted: string[] = [];
  const encrypt = async (name: string, text: string): Promise<string> => {
    encrypted.push(name);
    return sealToken(entropy, Buffer.from(text, 'utf8'), recipient, prefix);
  };
  const values = new Map<string, string>();
  for (const name of sectionNames) {
    const ground = sections[name];
    if (ground === null) {
      values.set(name, delivered.sections[name].text.trim());
      continue;
    }
    const text = plainText(delivered, ground, name);
    values.set(name, await encrypt(name, name === 'env' ? withSigningKey(ground, text, signingKeyPem) : text));
  }
  const attestation = delivered.attestationPublicKey;
  if (attestation !== null) {
    const name = 'attestationPublicKey';
    values.set(name, isToken(attestation) ? attestation.trim() : await encrypt(name, attestation));
  }
  const message = signedText({ workload: values.get('workload') ?? '', env: values.get('env') ?? '' });
  values.set('envWorkloadSignature', (await sign(Buffer.from(message, 'utf8'), signer)).toString('base64'));
  const text = renderContract(delivered, values);
  const key = parseCarriedKey(signingKeyPem);
  if (key.kind === 'unusable') throw unsealable(`the signing key is not usable, ${key.reason}`);
  return {
    kind: 'sealed',
    text,
    findings,
    encrypted,
    fingerprint: fingerprintOf(key.value.key),
    sha256: { input: sha256(bytes), output: sha256(text) },
  };
};
