/** Alternate names of the System Use Sharing Protocol (IEEE P1281) and Rock Ridge (IEEE P1282): SP, NM, CE entries. */
import { ImageError, type ReadAt } from './image.ts';

const maxAreas = 8;
const maxAreaBytes = 2048;
const maxNameBytes = 255;

interface Entry {
  readonly signature: string;
  readonly data: Buffer;
}

/** Entries of one area. Fewer than four bytes at the end are padding (P1281 section 4). */
const entriesOf = (area: Buffer): readonly Entry[] => {
  const entries: Entry[] = [];
  for (let at = 0; at + 4 <= area.length; ) {
    const length = area.readUInt8(at + 2);
    if (length === 0) break;
    if (length < 4 || at + length > area.length) throw new ImageError('a system use entry is cut off');
    entries.push({ signature: area.toString('latin1', at, at + 2), data: area.subarray(at + 4, at + length) });
    at += length;
  }
  return entries;
};

/** Bytes to skip in every system use field, when the root's own record announces the protocol; otherwise null. */
export const susSkipOf = (systemUse: Buffer): number | null => {
  const isAnnounced =
    systemUse.length >= 7 &&
    systemUse.toString('latin1', 0, 2) === 'SP' &&
    systemUse.readUInt8(2) === 7 &&
    systemUse.readUInt16BE(4) === 0xbeef;
  return isAnnounced ? systemUse.readUInt8(6) : null;
};

interface Continuation {
  readonly offset: number;
  readonly length: number;
}

const continuationOf = (data: Buffer, limit: number): Continuation => {
  if (data.length < 24) throw new ImageError('a continuation entry is cut off');
  const offset = data.readUInt32LE(0) * 2048 + data.readUInt32LE(8);
  const length = data.readUInt32LE(16);
  if (length > maxAreaBytes || offset + length > limit) throw new ImageError('a continuation lies outside the image');
  return { offset, length };
};

const flagContinue = 0x01;
const flagsCurrentOrParent = 0x06;

/** The Rock Ridge name of a record, joined over its NM entries; null when it has none. `limit` in bytes. */
export const rockRidgeName = async (systemUse: Buffer, read: ReadAt, limit: number): Promise<string | null> => {
  const parts: Buffer[] = [];
  let isOpen = true;
  let area = systemUse;
  for (let areas = 1; ; areas += 1) {
    let next: Continuation | null = null;
    for (const { signature, data } of entriesOf(area)) {
      if (signature === 'CE') next = continuationOf(data, limit);
      if (signature === 'ST') break;
      if (signature !== 'NM' || !isOpen) continue;
      const flags = data.length === 0 ? 0 : data.readUInt8(0);
      if ((flags & flagsCurrentOrParent) !== 0) return null;
      parts.push(data.subarray(1));
      isOpen = (flags & flagContinue) !== 0;
    }
    if (next === null) break;
    // A continuation may point back at itself: the number of areas is bounded instead of remembering them.
    if (areas === maxAreas) throw new ImageError('a name has too many continuations');
    area = await read(next.offset, next.length);
  }
  const name = Buffer.concat(parts);
  if (name.length > maxNameBytes) throw new ImageError('a name is too long');
  return name.length === 0 ? null : name.toString('latin1');
};
