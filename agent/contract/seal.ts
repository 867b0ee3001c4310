/**
 * The authoring side: sections become tokens, the signature covers the tokens. A token is made of a passphrase
 * that every reader understands the same way, unlike one in five of those made by the documented commands.
 */
import { createCipheriv, createHash, createPublicKey, type KeyObject, pbkdf2Sync } from 'node:crypto';
import { stringify } from 'yaml';
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { AgentError } from '../errors.ts';
import type { Entropy } from '../ports.ts';
import { Secret } from '../secret.ts';
import { checkContractContent } from './content/check-content.ts';
import { type DeliveredContract, sectionNames } from './delivered.ts';
import { setValues } from './edit-text.ts';
import {
  isToken,
  isUnambiguous,
  iterations,
  parseToken,
  renderToken,
  saltLength,
  type TokenPrefix,
} from './envelope.ts';
import { hasErrors, type ParsedGround } from './finding.ts';
import { digestOf, type KeepRecord, type KeptCertificate, openRecord, recordLine, renderRecord } from './keep.ts';
import { openComments } from './open-comments.ts';
import { openToken } from './open-token.ts';
import { outdent } from './outdent.ts';
import { fingerprintOf, parseCarriedKey } from './public-key.ts';
import { isSameData } from './same-data.ts';
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
  /** Keeps comments of the contract itself: they are delivered as they are, readable for the host. */
  readonly withComments?: boolean;
  /** The guest's key, to check sections that are tokens already, and to compare tokens of `keep`; usually unknown. */
  readonly decryptKey?: KeyObject | null;
  /** Present when a record for the next sealing is wanted. */
  readonly keep?: KeepRequest;
}

export interface KeepRequest {
  /** What was sealed before; null the first time. */
  readonly old: { readonly text: string; readonly delivered: DeliveredContract } | null;
  /** The certificate in signingKeyPem, when it was made for this contract. */
  readonly certificate: KeptCertificate | null;
}

export type SealOutcome =
  | { readonly kind: 'invalid'; readonly findings: readonly Finding[] }
  | {
      readonly kind: 'sealed';
      readonly text: string;
      readonly findings: readonly Finding[];
      /** Names of the values that were encrypted now. */
      readonly encrypted: readonly string[];
      /** Names of the values whose tokens were taken from the sealing before. */
      readonly kept: readonly string[];
      /** Comment lines of the contract itself. */
      readonly comments: number;
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

/** In the order of the contract; what is new comes last. Long lines unfolded, tokens as plain scalars. */
const renderContract = (
  delivered: DeliveredContract,
  values: ReadonlyMap<string, string>,
  comments: boolean,
): string => {
  if (comments) {
    const edited = setValues(delivered.ground.document, values);
    if (edited === null) throw unsealable('its sections cannot be replaced where they stand; seal without --comments');
    return edited.endsWith('\n') ? edited : `${edited}\n`;
  }
  const inOrder = Object.entries(delivered.root).map(([key, value]) => [key, values.get(key) ?? value] as const);
  return stringify({ ...Object.fromEntries([...inOrder, ...values]) }, { lineWidth: 0, version: '1.2' });
};

/** A passphrase below this many bytes is never used again: see PASSPHRASE_WEAK. */
const soundPassphraseBytes = 16;

/** Whether an old token opens to `text`; a weak one is made anew. */
const opensTo = (token: string, text: string, key: KeyObject): boolean => {
  const opened = openToken(token, key);
  const same = opened?.plaintext.expose((bytes) => Buffer.from(text, 'utf8').equals(bytes)) ?? false;
  opened?.plaintext.wipe();
  return same && (opened?.passphraseLength ?? 0) >= soundPassphraseBytes;
};

/** Finds tokens of the sealing before that may be delivered again. */
const keeper = ({ keep, recipient, signer, decryptKey = null }: SealRequest, prefix: TokenPrefix) => {
  const oldLine = keep?.old == null ? null : recordLine(keep.old.text);
  const record = openRecord(oldLine, signer);
  const recipientName = fingerprintOf(recipient);
  const isForGuest = decryptKey !== null && fingerprintOf(createPublicKey(decryptKey)) === recipientName;
  const tokenOf = (name: string): string | null => {
    const value = keep?.old?.delivered.root[name];
    return typeof value === 'string' && parseToken(value)?.prefix === prefix ? value.trim() : null;
  };
  return {
    token: (name: string, text: string): string | null => {
      const token = tokenOf(name);
      if (token === null) return null;
      const kept = record?.recipient === recipientName ? record.values[name] : undefined;
      if (kept?.plaintext === digestOf(text) && kept.token === digestOf(token)) return token;
      return isForGuest && opensTo(token, text, decryptKey) ? token : null;
    },
    /** The old line when it says the same, so that an unchanged contract is the same bytes. */
    line: (values: KeepRecord['values'], nonce: () => Buffer): string => {
      const next: KeepRecord = { recipient: recipientName, values, certificate: keep?.certificate ?? null };
      if (oldLine !== null && record !== null && isSameData({ ...record } as never, { ...next } as never))
        return oldLine;
      return renderRecord(next, signer, nonce());
    },
  };
};

/**
 * Validates, adds signingKey, encrypts every plain section and signs what is delivered. Faults of the contract come
 * back as findings; CONTRACT_NOT_SEALABLE is thrown for what cannot be done with a valid one.
 */
export const sealContract = async (entropy: Entropy, request: SealRequest): Promise<SealOutcome> => {
  const { bytes, profile, at, recipient, signer, signingKeyPem, keep, decryptKey = null } = request;
  const check = await checkContractContent(bytes, { profile, minimumSerial: 0, key: decryptKey, at });
  // Half a signature is what sealing completes.
  const findings = check.findings.filter(({ code }) => code !== 'SIGNATURE_INCOMPLETE');
  const { delivered, sections } = check;
  if (delivered === null || hasErrors(findings)) return { kind: 'invalid', findings };
  if (delivered.sections.env.form === 'token') {
    throw unsealable('env is a token already, so no signingKey can be added; triseed contract sign signs it as it is');
  }
  const prefix = profiles[profile].tokenPrefix;
  const old = keeper(request, prefix);
  const encrypted: string[] = [];
  const kept: string[] = [];
  const made: Record<string, { readonly plaintext: string; readonly token: string }> = {};
  const encrypt = async (name: string, text: string): Promise<string> => {
    const again = old.token(name, text);
    (again === null ? encrypted : kept).push(name);
    const token = again ?? (await sealToken(entropy, Buffer.from(text, 'utf8'), recipient, prefix));
    made[name] = { plaintext: digestOf(text), token: digestOf(token) };
    return token;
  };
  const values = new Map<string, string>();
  for (const name of sectionNames) {
    const { form, text: asDelivered } = delivered.sections[name];
    const ground = sections[name];
    if (form === 'token' || ground === null) {
      values.set(name, asDelivered.trim());
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
  const rendered = renderContract(delivered, values, request.withComments === true);
  const text = keep === undefined ? rendered : `${rendered}${old.line(made, () => entropy.bytes(12))}\n`;
  const key = parseCarriedKey(signingKeyPem);
  if (key.kind === 'unusable') throw unsealable(`the signing key is not usable, ${key.reason}`);
  return {
    kind: 'sealed',
    text,
    findings,
    encrypted,
    kept,
    comments: openComments(delivered.ground.document),
    fingerprint: fingerprintOf(key.value.key),
    sha256: { input: sha256(bytes), output: sha256(text) },
  };
};
