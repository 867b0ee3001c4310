/**
 * The header of LUKS version 1 (phdr): bytes to facts, nothing judged; that is luks1-gate.ts. There is one copy and no
 * checksum. It is never written. Source: LUKS1 On-Disk Format Specification 1.2.3, chapter 2, figures 1 to 4; numbers are
 * big-endian, offsets count sectors of 512 bytes.
 */
import type { ReadAt } from './device-bytes.ts';

export const sectorBytes = 512;
export const phdrBytes = 592;
const magic = Buffer.from([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]);
const keyslotCount = 8;
const firstKeyslot = { offset: 208, length: 48 };

/** A keyslot as found; `state` is the number on the disk. */
export interface Luks1Keyslot {
  readonly id: string;
  readonly state: number;
  readonly iterations: number;
  readonly areaOffsetBytes: number;
  readonly stripes: number;
}

export interface Luks1Header {
  readonly cipherName: string;
  readonly cipherMode: string;
  readonly hash: string;
  /** Where the encrypted data starts. */
  readonly payloadOffsetBytes: number;
  readonly keyBytes: number;
  readonly digestIterations: number;
  readonly uuid: string;
  /** All eight of them. */
  readonly keyslots: readonly Luks1Keyslot[];
  /** The phdr as found. */
  readonly bytes: Buffer;
}

/** A text field: printable, ended by a zero and filled up with zeros. */
const paddedText = (bytes: Buffer): string | null => {
  const end = bytes.indexOf(0);
  if (end < 0 || bytes.subarray(end).some((byte) => byte !== 0)) return null;
  const text = bytes.subarray(0, end).toString('latin1');
  return /^[\x21-\x7e]+$/.test(text) ? text : null;
};

const keyslotAt = (bytes: Buffer, at: number): Luks1Keyslot => {
  const slot = bytes.subarray(firstKeyslot.offset + at * firstKeyslot.length);
  return {
    id: String(at),
    state: slot.readUInt32BE(0),
    iterations: slot.readUInt32BE(4),
    areaOffsetBytes: slot.readUInt32BE(40) * sectorBytes,
    stripes: slot.readUInt32BE(44),
  };
};

/** The facts of a phdr, or why its bytes are none. `bytes` holds at least the 592 bytes of a phdr. */
export const parseLuks1Header = (bytes: Buffer): Luks1Header | string => {
  if (!bytes.subarray(0, 6).equals(magic) || bytes.readUInt16BE(6) !== 1) return 'no LUKS1 magic';
  const cipherName = paddedText(bytes.subarray(8, 40));
  const cipherMode = paddedText(bytes.subarray(40, 72));
  const hash = paddedText(bytes.subarray(72, 104));
  const uuid = paddedText(bytes.subarray(168, 208));
  if (cipherName === null || cipherMode === null || hash === null || uuid === null)
    return 'a text field is not printable text';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return 'the UUID is malformed';
  return {
    cipherName,
    cipherMode,
    hash,
    payloadOffsetBytes: bytes.readUInt32BE(104) * sectorBytes,
    keyBytes: bytes.readUInt32BE(108),
    digestIterations: bytes.readUInt32BE(164),
    uuid,
    keyslots: Array.from({ length: keyslotCount }, (_, at) => keyslotAt(bytes, at)),
    bytes: Buffer.from(bytes.subarray(0, phdrBytes)),
  };
};

/** Reads the phdr of a device that carries LUKS1 magic. */
export const readLuks1Header = async (read: ReadAt, sizeBytes: number): Promise<Luks1Header | string> =>
  sizeBytes < phdrBytes ? 'the device is smaller than a header' : parseLuks1Header(await read(0, phdrBytes));
