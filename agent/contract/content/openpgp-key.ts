/**
 * Public keys of `images.rhs`: base64 of an ASCII-armoured OpenPGP key (IBM Cloud docs, "About the contract", section
 * "images"). For authors: openpgp is loaded when there is a key to read.
 */
import type { Config, Key } from 'openpgp';
import { AgentError } from '../../errors.ts';
import { printable } from '../shown-name.ts';
import { carriedText } from './carried-image-key.ts';
import type { ContentProblem } from './content-problem.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** Long enough for a new contract to be rolled out. */
const soonDays = 90;
const maximumKeys = 20;
/** NIST SP 800-131A: shorter RSA keys are disallowed for signatures. */
const minimumRsaBits = 2048;
/** RFC 9580 section 9.5: MD5, SHA-1, RIPEMD-160. */
const brokenHashes: ReadonlySet<number> = new Set([1, 2, 3]);

const wanted = {
  begins: '-----BEGIN PGP PUBLIC KEY BLOCK-----',
  what: 'base64 of an ASCII-armoured OpenPGP public key',
  make: 'make it with: gpg -a --export KEYID | base64 -w0',
};

/** Weak keys are told from damaged ones: what the library would refuse is judged here. */
const lenient = (config: Config): Config => ({
  ...config,
  minRSABits: 0,
  rejectPublicKeyAlgorithms: new Set(),
  rejectHashAlgorithms: new Set(),
  rejectCurves: new Set(),
});

const nameOf = (key: Key): string => {
  const [user] = key.getUserIDs();
  const fingerprint = key.getFingerprint().toUpperCase();
  return user === undefined ? fingerprint : `${fingerprint} (${printable(user.slice(0, 80))})`;
};

const weaknesses = (key: Key): readonly string[] => {
  const parts = [key, ...key.getSubkeys()].map((part) => part.getAlgorithmInfo());
  const algorithms = parts.flatMap(({ algorithm, bits }) => {
    if (algorithm.startsWith('rsa'))
      return (bits ?? 0) < minimumRsaBits ? [`it has an RSA key of ${bits ?? 0} bits`] : [];
    return algorithm === 'dsa' || algorithm === 'elgamal' ? [`it has a ${algorithm.toUpperCase()} key`] : [];
  });
  const newest = key.users.map(({ selfCertifications }) =>
    [...selfCertifications].sort((a, b) => (b.created?.getTime() ?? 0) - (a.created?.getTime() ?? 0)).at(0),
  );
  const isBroken = newest.some((signature) => brokenHashes.has(signature?.hashAlgorithm ?? 0));
  return [...new Set(algorithms), ...(isBroken ? ['it is bound to its name with SHA-1 or older'] : [])];
};

const canSign = async (key: Key, at: Date, config: Config): Promise<boolean> => {
  try {
    await key.getSigningKey(undefined, at, undefined, config);
    return true;
  } catch {
    return false;
  }
};

/** Why signatures of the key are not to be relied on at all, or null. */
const unusable = async (key: Key, at: Date, config: Config): Promise<string | null> => {
  if (await key.isRevoked(undefined, undefined, at, config)) return 'is revoked';
  const until = await key.getExpirationTime(undefined, config);
  if (until === null) return 'has no valid signature of its own';
  if (until instanceof Date && until <= at) return `expired on ${until.toISOString().slice(0, 10)}`;
  if (key.getCreationTime() > at) return `begins on ${key.getCreationTime().toISOString().slice(0, 10)}`;
  return (await canSign(key, at, config)) ? null : 'has no part that can sign now';
};

const weaknessProblems = async (key: Key, at: Date, config: Config): Promise<readonly ContentProblem[]> => {
  const name = nameOf(key);
  const found: ContentProblem[] = weaknesses(key).map((weakness) => ({
    code: 'IMAGE_KEY_WEAK',
    message: `the key ${name} is weak: ${weakness}`,
    hint: 'sign with a key of today: gpg --quick-gen-key NAME ed25519 sign',
  }));
  if (await canSign(key, new Date(at.getTime() + soonDays * dayMs), config)) return found;
  const message = `the key ${name} cannot sign any more within ${soonDays} days: it, or its part for signing, expires`;
  return [
    ...found,
    { code: 'IMAGE_KEY_WEAK', message, hint: 'renew it before: gpg --quick-set-expire FINGERPRINT 2y' },
  ];
};

/** Of several keys one that signs is enough, so that the others are only worth a warning. */
const judge = async (keys: readonly Key[], at: Date, config: Config): Promise<readonly ContentProblem[]> => {
  const judged = await Promise.all(keys.map(async (key) => ({ key, reason: await unusable(key, at, config) })));
  const usable = judged.filter(({ reason }) => reason === null).map(({ key }) => key);
  const found: ContentProblem[] = judged.flatMap(({ key, reason }) => {
    if (reason === null) return [];
    const hint = 'export the key again after renewing it, or sign the image with another one';
    const code = usable.length === 0 ? 'IMAGE_KEY_UNUSABLE' : 'IMAGE_KEY_WEAK';
    return [{ code, message: `the key ${nameOf(key)} ${reason}`, hint }];
  });
  for (const key of usable) found.push(...(await weaknessProblems(key, at, config)));
  if (usable.length === 0) return found;
  const message = `images are trusted when signed by ${usable.map(nameOf).join(', ')}`;
  const hint = 'compare it with what the signer says: gpg --fingerprint NAME';
  return [...found, { code: 'IMAGE_KEY_KNOWN', message, hint }];
};

/** It is shipped as a file of its own, which may be missing, or be another one. */
const loadOpenpgp = async () => {
  try {
    return await import('openpgp');
  } catch (cause) {
    throw new AgentError('OPENPGP_NOT_LOADED', { file: 'openpgp.mjs' }, { cause });
  }
};

/**
 * Everything there is to say about the value of a `publicKey` of images.rhs; nothing of it is printed but names. Throws
 * OPENPGP_NOT_LOADED.
 */
export const openpgpKeyProblems = async (value: string, at: Date): Promise<readonly ContentProblem[]> => {
  const carried = carriedText(value, wanted);
  if (carried.kind === 'refused') return [carried.problem];
  const openpgp = await loadOpenpgp();
  const config = lenient(openpgp.config);
  let keys: readonly Key[];
  try {
    keys = await openpgp.readKeys({ armoredKeys: carried.text, config });
  } catch {
    return [{ code: 'IMAGE_KEY_INVALID', message: `the key is damaged; ${wanted.what} is wanted`, hint: wanted.make }];
  }
  if (keys.some((key) => key.isPrivate())) {
    const hint = `revoke that key, and give the public one: ${wanted.make}`;
    return [{ code: 'IMAGE_KEY_PRIVATE', message: 'the value holds a private key', hint }];
  }
  const [first] = keys;
  if (first === undefined || keys.length > maximumKeys) {
    const message = first === undefined ? 'the value holds no key' : `the value holds more than ${maximumKeys} keys`;
    return [{ code: 'IMAGE_KEY_INVALID', message, hint: wanted.make }];
  }
  const found: ContentProblem[] = [];
  if (keys.length > 1) {
    const message = `the value holds ${keys.length} keys, and a signature of any of them is enough`;
    found.push({
      code: 'IMAGE_KEY_WEAK',
      message,
      hint: 'export the one that signs: gpg -a --export FINGERPRINT | base64 -w0',
    });
  }
  return [...found, ...(await judge(keys, at, config))];
};
