/**
 * What a contract says and what a guest will make of it, for a person who has to answer for it. Names, places and
 * numbers; never a value that could be secret.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { checkContractContent } from './content/check-content.ts';
import { type ListedImage, listedImages } from './content/listed-images.ts';
import { decryptContract } from './decrypt.ts';
import { type DeliveredContract, sectionNames } from './delivered.ts';
import { isToken, parseToken } from './envelope.ts';
import type { ParsedGround } from './finding.ts';
import { type Boot, bootsOf } from './inspect-boots.ts';
import { fingerprintOf, parseCarriedKey } from './public-key.ts';
import type { SectionForm } from './section.ts';
import { printable } from './shown-name.ts';
import { isMapping, type YamlValue } from './strict-yaml.ts';
import type { Finding, Intent, Profile, SectionName, Signer } from './types.ts';
import { verifyContract } from './verify.ts';
import { defaultMount, mappingAt, volumesOf } from './volume-rules.ts';

export interface InspectedSection {
  readonly form: SectionForm;
  /** False for a token without its key: nothing below is known of this section then. */
  readonly isOpen: boolean;
  /** SHA-256 of the value as delivered: the line `contract:NAME` of an attestation record. */
  readonly sha256: string;
  readonly token: { readonly prefix: string; readonly recipientBits: number } | null;
}

export interface InspectedKey {
  readonly crn: string;
  readonly service: string;
  readonly region: string;
  readonly type: 'public' | 'private';
}

export interface InspectedVolume {
  readonly key: string;
  /** Which sections name it; a closed section is unknown. */
  readonly env: boolean | null;
  readonly workload: boolean | null;
  readonly mount: string | null;
  readonly filesystem: string | null;
  /** What the disk's serial number must be. null while env is closed. */
  readonly disk: string | null;
  readonly intent: Intent;
  readonly rolls: readonly SectionName[];
  readonly kms: readonly InspectedKey[];
  readonly kmsTimeoutMinutes: number | null;
  /** Empty while a section is closed. */
  readonly boots: readonly Boot[];
}

export type SignatureState =
  | { readonly state: 'none' }
  /** It is there and cannot be checked without the guest's key. */
  | { readonly state: 'unknown' }
  | { readonly state: 'good'; readonly signer: Signer }
  | { readonly state: 'bad'; readonly id: string; readonly reason: string };

export interface Inspection {
  readonly profile: Profile;
  readonly sections: Readonly<Record<SectionName, InspectedSection>>;
  readonly attestationPublicKey: { readonly form: 'token' | 'text'; readonly fingerprint: string | null } | null;
  readonly signature: SignatureState;
  readonly serial: number | null;
  readonly workload: {
    readonly kind: string | null;
    readonly images: readonly ListedImage[];
    readonly variables: readonly string[];
    readonly registries: readonly string[];
    /** Images or registries whose signatures are checked. */
    readonly trusted: readonly string[];
  } | null;
  readonly env: {
    readonly logging: { readonly service: string; readonly hostname: string; readonly port: number } | null;
    readonly variables: readonly string[];
    readonly registries: readonly string[];
    readonly caCertificates: number;
    readonly hostAttestation: readonly string[];
  } | null;
  readonly volumes: readonly InspectedVolume[];
  /** Warnings and notes first made by validation; errors, too, when the contract is not valid. */
  readonly findings: readonly Finding[];
}

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

const sectionOf = (delivered: DeliveredContract, name: SectionName, isOpen: boolean): InspectedSection => {
  const { form, text } = delivered.sections[name];
  const token = form === 'token' ? parseToken(text) : null;
  return {
    form,
    isOpen,
    // A token in a block scalar has a line end that is not part of it.
    sha256: sha256(form === 'token' ? text.trim() : text),
    token: token === null ? null : { prefix: token.prefix, recipientBits: token.wrappedPassphrase.length * 8 },
  };
};

const textAt = (value: YamlValue | undefined, name: string): string | null => {
  const text = mappingAt(value)[name];
  return typeof text === 'string' ? printable(text) : null;
};

const namesAt = (ground: ParsedGround, ...path: readonly string[]): readonly string[] =>
  Object.keys(mappingAt(ground.document.value, ...path)).map(printable);

const keysOf = (volume: YamlValue | undefined): readonly InspectedKey[] => {
  const { kms } = mappingAt(volume);
  return (Array.isArray(kms) ? (kms as readonly YamlValue[]) : []).map((entry) => {
    const crn = textAt(entry, 'crn') ?? '';
    const [, , , , service = '', region = ''] = crn.split(':');
    return { crn, service, region, type: textAt(entry, 'type') === 'private' ? 'private' : 'public' };
  });
};

const intentOf = (grounds: readonly ParsedGround[], key: string): Intent => {
  const intents = grounds.map(({ document }) => mappingAt(document.value, 'triseed', 'volumes', key).intent);
  return intents.find((intent): intent is Intent => intent === 'open' || intent === 'create') ?? 'auto';
};

/** Minutes (IBM Cloud docs, "About the contract", kmsTimeout). */
const defaultKmsTimeout = 10;

const volumeOf = (key: string, env: ParsedGround | null, workload: ParsedGround | null): InspectedVolume => {
  const [here, there] = [env, workload].map((ground) => (ground === null ? null : (volumesOf(ground)[key] ?? null)));
  const open = [env, workload].filter((ground) => ground !== null);
  const rolls = open
    .filter((ground) => textAt(volumesOf(ground)[key], 'previousSeed') !== null)
    .map(({ section }) => section)
    .filter((section) => section !== null);
  const kms = keysOf(here ?? undefined);
  const { kmsTimeout = defaultKmsTimeout } = mappingAt(here ?? undefined);
  const mount = there === null || there === undefined ? null : (textAt(there, 'mount') ?? defaultMount);
  const filesystem = there === null || there === undefined ? null : (textAt(there, 'filesystem') ?? 'ext4');
  const intent = intentOf(open, key);
  const isWhole = isMapping(here ?? undefined) && isMapping(there ?? undefined);
  const sources = mappingAt(here ?? undefined);
  return {
    key: printable(key),
    env: env === null ? null : key in volumesOf(env),
    workload: workload === null ? null : key in volumesOf(workload),
    mount,
    filesystem,
    disk: env === null ? null : (textAt(sources, 'volumeID') ?? textAt(sources, 'volumeName') ?? printable(key)),
    intent,
    rolls,
    kms,
    kmsTimeoutMinutes: kms.length === 0 || typeof kmsTimeout !== 'number' ? null : kmsTimeout,
    boots: isWhole
      ? bootsOf({
          kmsEntries: kms.length,
          intent,
          rolls: rolls.length > 0,
          hasOtherSeedSource: 'uv-secret-id' in sources || 'grep11' in sources,
          filesystem: filesystem ?? 'ext4',
          mount: mount ?? defaultMount,
        })
      : [],
  };
};

const loggingOf = (env: ParsedGround) => {
  const logging = mappingAt(env.document.value, 'logging');
  const service = ['logRouter', 'syslog'].find((name) => name in logging);
  if (service === undefined) return null;
  const { port = service === 'syslog' ? 6514 : 443 } = mappingAt(logging[service]);
  return {
    service,
    hostname: textAt(logging[service], 'hostname') ?? '',
    port: typeof port === 'number' ? port : 0,
  };
};

const envOf = (env: ParsedGround): Inspection['env'] => {
  const { cacerts } = mappingAt(env.document.value);
  return {
    logging: loggingOf(env),
    variables: namesAt(env, 'env'),
    registries: namesAt(env, 'auths'),
    caCertificates: Array.isArray(cacerts) ? cacerts.length : 0,
    hostAttestation: namesAt(env, 'host-attestation'),
  };
};

const workloadOf = (workload: ParsedGround): Inspection['workload'] => ({
  kind:
    ['compose', 'play', 'confidential-containers'].find((name) => name in mappingAt(workload.document.value)) ?? null,
  images: listedImages(workload).map(({ reference, isFixed }) => ({ reference: printable(reference), isFixed })),
  variables: namesAt(workload, 'env'),
  registries: namesAt(workload, 'auths'),
  trusted: [...namesAt(workload, 'images', 'dct'), ...namesAt(workload, 'images', 'rhs')],
});

interface SignatureQuestion {
  readonly bytes: Uint8Array;
  readonly delivered: DeliveredContract;
  readonly env: ParsedGround | null;
  readonly key: KeyObject | null;
  readonly at: Date;
}

const signatureOf = ({ bytes, delivered, env, key, at }: SignatureQuestion): SignatureState => {
  const hasKey = env !== null && 'signingKey' in mappingAt(env.document.value);
  if (delivered.envWorkloadSignature === null && !hasKey) return { state: 'none' };
  const isClosed = sectionNames.some((name) => delivered.sections[name].form === 'token') && key === null;
  if (isClosed) return { state: 'unknown' };
  try {
    const sealed = { kind: 'sealed', bytes: Buffer.from(bytes), source: '', localHostname: null } as const;
    const { signer } = verifyContract(decryptContract(sealed, key), { trustedSigners: [], at });
    return signer === null ? { state: 'none' } : { state: 'good', signer };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { state: 'bad', id: error.id, reason: error.message };
  }
};

const attestationOf = (delivered: DeliveredContract): Inspection['attestationPublicKey'] => {
  const text = delivered.attestationPublicKey;
  if (text === null) return null;
  const carried = isToken(text) ? null : parseCarriedKey(text);
  return {
    form: isToken(text) ? 'token' : 'text',
    fingerprint: carried?.kind === 'key' ? fingerprintOf(carried.value.key) : null,
  };
};

export interface InspectionRules {
  readonly profile: Profile;
  /** null: tokens stay closed. */
  readonly key: KeyObject | null;
  readonly at: Date;
}

export type InspectionOutcome =
  | { readonly kind: 'unreadable'; readonly findings: readonly Finding[] }
  | { readonly kind: 'inspected'; readonly value: Inspection };

/** Looks at `bytes` as a contract. One that is not valid is told as far as it can be read. */
export const inspectContract = async (
  bytes: Uint8Array,
  { profile, key, at }: InspectionRules,
): Promise<InspectionOutcome> => {
  const { findings, delivered, sections } = await checkContractContent(bytes, { profile, minimumSerial: 0, key, at });
  if (delivered === null) return { kind: 'unreadable', findings };
  const { env, workload } = sections;
  const keys = [env, workload].flatMap((ground) => (ground === null ? [] : Object.keys(volumesOf(ground))));
  const serials = [env, workload].map((ground) => mappingAt(ground?.document.value, 'triseed').serial);
  const isOpen = (name: SectionName): boolean => sections[name] !== null;
  const value: Inspection = {
    profile,
    sections: {
      workload: sectionOf(delivered, 'workload', isOpen('workload')),
      env: sectionOf(delivered, 'env', isOpen('env')),
    },
    attestationPublicKey: attestationOf(delivered),
    signature: signatureOf({ bytes, delivered, env, key, at }),
    serial: serials.find((serial) => typeof serial === 'number') ?? null,
    workload: workload === null ? null : workloadOf(workload),
    env: env === null ? null : envOf(env),
    volumes: [...new Set(keys)].map((name) => volumeOf(name, env, workload)),
    findings,
  };
  return { kind: 'inspected', value };
};
