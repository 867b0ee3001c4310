/**
 * The gate of LUKS version 1: which of its headers may be given to cryptsetup, when `volumes.legacyProfiles` names
 * `luks1`. The header carries neither checksum nor key, so that every value of it may be forged; all are compared with an
 * allow-list or bounded. What passes is opened and never changed: a GatedLuks1 is no GatedHeader, which is what every
 * function takes that writes. Field meanings: LUKS1 On-Disk Format Specification 1.2.3, chapter 2.
 */
import type { LegacyProfile } from '../configuration.ts';
import { type Cipher, ciphersWith, type DataSegment, keySizes } from './ciphers.ts';
import type { ByteRange } from './device-bytes.ts';
import { ceilings, maxSegmentOffset, stripes } from './gate.ts';
import { type Luks1Header, type Luks1Keyslot, phdrBytes, sectorBytes } from './luks1-header.ts';

declare const gated: unique symbol;
/** A LUKS1 header that passed its gate; only `gateLuks1` makes one. */
export interface GatedLuks1 {
  readonly [gated]: true;
  readonly profile: 'luks1';
  readonly copy: { readonly uuid: string; readonly bytes: Buffer };
  /** The keyslots in use, each with the bytes of the device that it reads. */
  readonly keyslots: readonly { readonly id: string; readonly area: ByteRange }[];
  readonly segment: DataSegment;
  /** There is no place for one. */
  readonly token: null;
}

export type Luks1GateResult =
  | { readonly kind: 'passed'; readonly header: GatedLuks1 }
  | { readonly kind: 'refused'; readonly reason: string };

/** LUKS_KEY_ENABLED and LUKS_KEY_DISABLED. */
const states = { active: 0x00ac71f3, inactive: 0x0000dead };
/** Of key derivation and splitter. SHA-1 was the default of cryptsetup before 1.7; HMAC does not need it to be collision-free. */
export const luks1Hashes: readonly string[] = ['sha1', 'sha256', 'sha512'];
const leastIterations = 1000;

class Refusal extends Error {}
const refuse = (reason: string): never => {
  throw new Refusal(reason);
};

const cipherOf = ({ cipherName, cipherMode }: Luks1Header, allowed: readonly Cipher[]): Cipher => {
  const named = `${cipherName}-${cipherMode}`;
  return allowed.find((cipher) => cipher === named) ?? refuse(`the cipher is ${JSON.stringify(named)}`);
};

const checkIterations = (iterations: number, what: string): void => {
  if (iterations < leastIterations || iterations > ceilings.pbkdf2Iterations)
    refuse(`${what} iterations are outside ${leastIterations} to ${ceilings.pbkdf2Iterations}`);
};

const checkKeyslot = ({ id, state, iterations, stripes: found }: Luks1Keyslot): void => {
  if (state !== states.active && state !== states.inactive) refuse(`keyslot ${id} is neither used nor unused`);
  if (found !== stripes) refuse(`keyslot ${id} has ${found} stripes`);
  if (state === states.active) checkIterations(iterations, `keyslot ${id}`);
};

/** Areas of all eight, used or not, since cryptsetup looks at them all: behind the header, apart, before the data. */
const checkAreas = ({ keyslots, payloadOffsetBytes }: Luks1Header, areaBytes: number): void => {
  let free = Math.ceil(phdrBytes / sectorBytes) * sectorBytes;
  for (const { id, areaOffsetBytes } of [...keyslots].sort((a, b) => a.areaOffsetBytes - b.areaOffsetBytes)) {
    if (areaOffsetBytes < free) refuse(`keyslot ${id} overlaps`);
    free = areaOffsetBytes + areaBytes;
  }
  if (free > payloadOffsetBytes) refuse('the keyslots reach into the data');
};

const judge = (header: Luks1Header, sizeBytes: number, ciphers: readonly Cipher[]): GatedLuks1 => {
  const { keyBytes, hash, payloadOffsetBytes, digestIterations, keyslots, uuid, bytes } = header;
  const cipher = cipherOf(header, ciphers);
  if (!keySizes[cipher].includes(keyBytes)) refuse(`the key has ${keyBytes} bytes`);
  if (!luks1Hashes.includes(hash)) refuse(`the hash is ${JSON.stringify(hash)}`);
  checkIterations(digestIterations, 'digest');
  for (const slot of keyslots) checkKeyslot(slot);
  const areaBytes = keyBytes * stripes;
  checkAreas(header, areaBytes);
  if (payloadOffsetBytes > maxSegmentOffset) refuse('the data starts out of reach');
  if (payloadOffsetBytes >= sizeBytes) refuse('the data would start beyond the end of the device');
  const used = keyslots.filter(({ state }) => state === states.active);
  if (used.length === 0) refuse('there is no keyslot in use');
  const segment: DataSegment = { offsetBytes: payloadOffsetBytes, sectorBytes, cipher, keyBytes };
  const areas = used.map(({ id, areaOffsetBytes }) => ({ id, area: { offset: areaOffsetBytes, length: areaBytes } }));
  return { profile: 'luks1', copy: { uuid, bytes }, keyslots: areas, segment, token: null } as unknown as GatedLuks1;
};

/**
 * Passes or refuses the LUKS1 header of a device of `sizeBytes`. `header` may be why there is none that can be read.
 * `legacy` is `volumes.legacyProfiles` of the agent configuration; aes-cbc-essiv needs `cbc-essiv` in it too. Pure;
 * `reason` never holds more than a field name and a short value.
 */
export const gateLuks1 = (
  header: Luks1Header | string,
  sizeBytes: number,
  legacy: readonly LegacyProfile[],
): Luks1GateResult => {
  if (!legacy.includes('luks1'))
    return { kind: 'refused', reason: 'LUKS1 is opened only when volumes.legacyProfiles names luks1' };
  if (typeof header === 'string') return { kind: 'refused', reason: header };
  try {
    return { kind: 'passed', header: judge(header, sizeBytes, ciphersWith(legacy)) };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', reason: error.message.slice(0, 200) };
    throw error;
  }
};
