/**
 * LUKS2 binary header and JSON area, both copies: bytes to facts and back. No judgement about ciphers or keyslots is
 * made here; that is gate.ts. Source: LUKS2 On-Disk Format Specification 1.1.2, chapters 2 and 3.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ReadAt } from './device-bytes.ts';
import { type Json, parseStrictJson } from './strict-json.ts';

const binaryHeaderBytes = 4096;
const primaryMagic = Buffer.from([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]);
const secondaryMagic = Buffer.from([0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]);
const checksum = { offset: 448, length: 64 };
const salt = { offset: 104, length: 64 };

/** Table 2 of the specification: the only header sizes, and therefore the only places of the secondary copy. */
const headerSizes = [0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000] as const;

/** One valid copy: its binary fields as far as they carry meaning, and its JSON. */
export interface HeaderCopy {
  /** Size of one copy (binary header and JSON area) in bytes. */
  readonly headerSizeBytes: number;
  readonly sequence: bigint;
  readonly uuid: string;
  readonly label: string;
  readonly subsystem: string;
  readonly json: { readonly [key: string]: Json };
  /** The copy's bytes as found. */
  readonly bytes: Buffer;
}

export type HeaderRead =
  | { readonly kind: 'absent' }
  | { readonly kind: 'luks1' }
  | { readonly kind: 'damaged'; readonly reason: string }
  | {
      readonly kind: 'luks2';
      /** The newest valid copy: what cryptsetup would use. */
      readonly current: HeaderCopy;
      /** Whether each place holds a valid copy, and whether it is the current one. */
      readonly primary: 'current' | 'older' | 'invalid';
      readonly secondary: 'current' | 'older' | 'invalid';
    };

const paddedText = (bytes: Buffer): string | null => {
  const end = bytes.indexOf(0);
  if (end < 0 || bytes.subarray(end).some((byte) => byte !== 0)) return null;
  const text = bytes.subarray(0, end).toString('latin1');
  return /^[\x20-\x7e]*$/.test(text) ? text : null;
};

const digestOf = (copy: Buffer): Buffer => {
  const blanked = Buffer.from(copy);
  blanked.fill(0, checksum.offset, checksum.offset + checksum.length);
  return createHash('sha256').update(blanked).digest();
};

const jsonOf = (area: Buffer): { readonly [key: string]: Json } | null => {
  const end = area.indexOf(0);
  if (end < 0 || area.subarray(end).some((byte) => byte !== 0)) return null;
  const text = area.subarray(0, end);
  if (text.some((byte) => byte > 0x7e)) return null;
  const parsed = parseStrictJson(text.toString('latin1'));
  if (parsed === null || parsed.value === null || typeof parsed.value !== 'object') return null;
  return Array.isArray(parsed.value) ? null : (parsed.value as { readonly [key: string]: Json });
};

/** A valid copy, or why it is none. `expected` is where the copy was read from and which magic belongs there. */
const parseCopy = (
  bytes: Buffer,
  expected: { readonly magic: Buffer; readonly offset: number },
): HeaderCopy | string => {
  if (!bytes.subarray(0, 6).equals(expected.magic)) return 'no LUKS2 magic';
  if (bytes.readUInt16BE(6) !== 2) return 'version is not 2';
  if (bytes.readBigUInt64BE(8) !== BigInt(bytes.length)) return 'header size does not match';
  if (bytes.readBigUInt64BE(256) !== BigInt(expected.offset)) return 'header offset does not match';
  if (paddedText(bytes.subarray(72, 104)) !== 'sha256') return 'checksum algorithm is not sha256';
  const stored = bytes.subarray(checksum.offset, checksum.offset + 32);
  if (!timingSafeEqual(stored, digestOf(bytes))) return 'checksum does not match';
  if (bytes.subarray(checksum.offset + 32, checksum.offset + checksum.length).some((byte) => byte !== 0))
    return 'checksum padding is not zero';
  if (
    bytes.subarray(264, 448).some((byte) => byte !== 0) ||
    bytes.subarray(512, binaryHeaderBytes).some((byte) => byte !== 0)
  )
    return 'padding is not zero';
  const uuid = paddedText(bytes.subarray(168, 208));
  const label = paddedText(bytes.subarray(24, 72));
  const subsystem = paddedText(bytes.subarray(208, 256));
  if (uuid === null || label === null || subsystem === null) return 'a text field is not printable text';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return 'the UUID is malformed';
  const json = jsonOf(bytes.subarray(binaryHeaderBytes));
  if (json === null) return 'the JSON area is not strict JSON padded with zeros';
  return { headerSizeBytes: bytes.length, sequence: bytes.readBigUInt64BE(16), uuid, label, subsystem, json, bytes };
};

/**
 * Reads both header copies of a device or file of `sizeBytes`. Bounded: at most two copies of 4 MiB. The newest valid
 * copy wins, as in cryptsetup (specification §2.3); LUKS magic without any valid copy is `damaged`.
 */
export const readLuksHeader = async (read: ReadAt, sizeBytes: number): Promise<HeaderRead> => {
  const readWithin = async (offset: number, length: number): Promise<Buffer | null> =>
    offset + length <= sizeBytes ? read(offset, length) : null;
  const first = await readWithin(0, 512);
  if (first === null) return { kind: 'absent' };
  let sawMagic = first.subarray(0, 6).equals(primaryMagic);
  if (sawMagic && first.readUInt16BE(6) === 1) return { kind: 'luks1' };
  let primary: HeaderCopy | string = 'no LUKS2 magic';
  const claimed = sawMagic ? headerSizes.find((size) => first.readBigUInt64BE(8) === BigInt(size)) : undefined;
  if (claimed !== undefined) {
    const bytes = await readWithin(0, claimed);
    if (bytes !== null) primary = parseCopy(bytes, { magic: primaryMagic, offset: 0 });
  }
  let secondary: HeaderCopy | string = 'no LUKS2 magic';
  for (const size of typeof primary === 'string' ? headerSizes : [primary.headerSizeBytes]) {
    const start = await readWithin(size, 512);
    if (start === null || !start.subarray(0, 6).equals(secondaryMagic)) continue;
    sawMagic = true;
    const bytes = await readWithin(size, size);
    if (bytes !== null) secondary = parseCopy(bytes, { magic: secondaryMagic, offset: size });
    if (typeof secondary !== 'string') break;
  }
  return judgeCopies(primary, secondary, sawMagic);
};

const judgeCopies = (primary: HeaderCopy | string, secondary: HeaderCopy | string, sawMagic: boolean): HeaderRead => {
  if (typeof primary === 'string' && typeof secondary === 'string') {
    if (!sawMagic) return { kind: 'absent' };
    return { kind: 'damaged', reason: `primary copy: ${primary}; secondary copy: ${secondary}` };
  }
  if (typeof primary === 'string')
    return { kind: 'luks2', current: secondary as HeaderCopy, primary: 'invalid', secondary: 'current' };
  if (typeof secondary === 'string')
    return { kind: 'luks2', current: primary, primary: 'current', secondary: 'invalid' };
  if (primary.uuid !== secondary.uuid) return { kind: 'damaged', reason: 'the two copies belong to different volumes' };
  if (primary.sequence === secondary.sequence) {
    const same = primary.bytes.subarray(binaryHeaderBytes).equals(secondary.bytes.subarray(binaryHeaderBytes));
    if (!same) return { kind: 'damaged', reason: 'the two copies carry one sequence number and differ' };
    return { kind: 'luks2', current: primary, primary: 'current', secondary: 'current' };
  }
  return primary.sequence > secondary.sequence
    ? { kind: 'luks2', current: primary, primary: 'current', secondary: 'older' }
    : { kind: 'luks2', current: secondary, primary: 'older', secondary: 'current' };
};

/**
 * Both copies of `copy` with new JSON and sequence number, ready to be written at 0 and at headerSizeBytes.
 * `salts` are two times 64 random bytes (specification §2.1: each copy has its own). Null when the JSON does not fit.
 */
export const renderLuksHeader = (
  copy: Pick<HeaderCopy, 'headerSizeBytes' | 'uuid' | 'label' | 'subsystem'>,
  json: Json,
  sequence: bigint,
  salts: readonly [Buffer, Buffer],
): { readonly primary: Buffer; readonly secondary: Buffer } | null => {
  const text = Buffer.from(JSON.stringify(json), 'utf8');
  if (text.length >= copy.headerSizeBytes - binaryHeaderBytes) return null;
  const render = (magic: Buffer, offset: number, ownSalt: Buffer): Buffer => {
    const bytes = Buffer.alloc(copy.headerSizeBytes);
    magic.copy(bytes, 0);
    bytes.writeUInt16BE(2, 6);
    bytes.writeBigUInt64BE(BigInt(copy.headerSizeBytes), 8);
    bytes.writeBigUInt64BE(sequence, 16);
    bytes.write(copy.label, 24, 'latin1');
    bytes.write('sha256', 72, 'latin1');
    ownSalt.copy(bytes, salt.offset, 0, salt.length);
    bytes.write(copy.uuid, 168, 'latin1');
    bytes.write(copy.subsystem, 208, 'latin1');
    bytes.writeBigUInt64BE(BigInt(offset), 256);
    text.copy(bytes, binaryHeaderBytes);
    digestOf(bytes).copy(bytes, checksum.offset);
    return bytes;
  };
  return {
    primary: render(primaryMagic, 0, salts[0]),
    secondary: render(secondaryMagic, copy.headerSizeBytes, salts[1]),
  };
};

/**
 * The same copy for the other place: magic, offset and checksum changed, JSON kept to the byte. Used to mend a place
 * that a cut left torn, so that both copies stay equal apart from what the specification wants different.
 */
export const copyFor = (place: 'primary' | 'secondary', copy: HeaderCopy): Buffer => {
  const bytes = Buffer.from(copy.bytes);
  (place === 'primary' ? primaryMagic : secondaryMagic).copy(bytes, 0);
  bytes.writeBigUInt64BE(place === 'primary' ? 0n : BigInt(copy.headerSizeBytes), 256);
  bytes.fill(0, checksum.offset, checksum.offset + checksum.length);
  digestOf(bytes).copy(bytes, checksum.offset);
  return bytes;
};
