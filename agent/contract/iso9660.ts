/**
 * A reader for the root folder of an ISO 9660 image (ECMA-119) with Rock Ridge (IEEE P1282) or Joliet names, over
 * bytes that the host controls. The guest kernel never mounts such a disk. Everything is bounded, both byte orders
 * must agree, and no two things may share a byte.
 */
import { ImageError, type ReadAt } from './image.ts';
import { rockRidgeName, susSkipOf } from './rock-ridge.ts';

export const sectorBytes = 2048;
const firstDescriptor = 16;
const maxDescriptors = 16;
const maxRootBytes = 64 * 1024;
const maxEntries = 512;
const standardId = Buffer.from('CD001', 'latin1');

export interface ImageFile {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

interface Extent {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

interface Descriptor {
  readonly kind: 'primary' | 'joliet';
  readonly sector: number;
  readonly label: string;
  readonly sizeBytes: number;
  readonly rootStart: number;
  readonly rootLength: number;
}

const bothEndian32 = (bytes: Buffer, at: number, what: string): number => {
  const value = bytes.readUInt32LE(at);
  if (bytes.readUInt32BE(at + 4) !== value) throw new ImageError(`the two byte orders of ${what} disagree`);
  return value;
};

const bothEndian16 = (bytes: Buffer, at: number, what: string): number => {
  const value = bytes.readUInt16LE(at);
  if (bytes.readUInt16BE(at + 2) !== value) throw new ImageError(`the two byte orders of ${what} disagree`);
  return value;
};

const ucs2 = (bytes: Buffer): string =>
  Buffer.from(bytes.subarray(0, bytes.length & ~1))
    .swap16()
    .toString('utf16le');

/** Joliet levels 1 to 3 by their escape sequence (ECMA-35 registrations %/@, %/C, %/E). */
const isJoliet = (bytes: Buffer): boolean => /^%\/[@CE]/.test(bytes.toString('latin1', 88, 91));

const isDescriptor = (bytes: Buffer): boolean => bytes.subarray(1, 6).equals(standardId);

const parseDescriptor = (bytes: Buffer, kind: Descriptor['kind'], sector: number): Descriptor => {
  if (bothEndian16(bytes, 128, 'the block size') !== sectorBytes)
    throw new ImageError('blocks are not 2048 bytes long');
  const label = kind === 'joliet' ? ucs2(bytes.subarray(40, 72)) : bytes.toString('latin1', 40, 72);
  return {
    kind,
    sector,
    label: label.replace(/[\0 ]+$/, ''),
    sizeBytes: bothEndian32(bytes, 80, 'the volume size') * sectorBytes,
    rootStart: bothEndian32(bytes, 156 + 2, 'the root folder') * sectorBytes,
    rootLength: bothEndian32(bytes, 156 + 10, 'the root folder'),
  };
};

const readDescriptors = async (read: ReadAt): Promise<readonly Descriptor[]> => {
  const found: Descriptor[] = [];
  for (let index = 0; index < maxDescriptors; index += 1) {
    const sector = firstDescriptor + index;
    const bytes = await read(sector * sectorBytes, sectorBytes);
    if (!isDescriptor(bytes)) throw new ImageError('the list of volume descriptors does not end');
    const type = bytes.readUInt8(0);
    if (type === 255) return found;
    if (type === 1) found.push(parseDescriptor(bytes, 'primary', sector));
    if (type === 2 && isJoliet(bytes)) found.push(parseDescriptor(bytes, 'joliet', sector));
  }
  throw new ImageError(`there are more than ${maxDescriptors} volume descriptors`);
};

/** The volume label, or null when the device holds no ISO 9660 image. Reads one sector. */
export const readLabel = async (read: ReadAt, sizeBytes: number): Promise<string | null> => {
  if (sizeBytes < (firstDescriptor + 2) * sectorBytes) return null;
  const bytes = await read(firstDescriptor * sectorBytes, sectorBytes);
  if (!isDescriptor(bytes) || bytes.readUInt8(0) !== 1) return null;
  return bytes.toString('latin1', 40, 72).replace(/[\0 ]+$/, '');
};

interface FolderRecord {
  readonly name: Buffer;
  readonly systemUse: Buffer;
  readonly start: number;
  readonly length: number;
  readonly flags: number;
}

const flagFolder = 0x02;
const flagAssociated = 0x04;
const flagMoreExtents = 0x80;

const parseRecord = (bytes: Buffer): FolderRecord => {
  const nameLength = bytes.length > 33 ? bytes.readUInt8(32) : 0;
  if (nameLength === 0 || 33 + nameLength > bytes.length) throw new ImageError('a folder entry is cut off');
  if (bytes.readUInt8(1) !== 0) throw new ImageError('extended attribute records are not supported');
  if (bytes.readUInt8(26) !== 0 || bytes.readUInt8(27) !== 0)
    throw new ImageError('interleaved files are not supported');
  // ECMA-119 9.1.12: a padding byte follows a name of even length.
  const systemUse = 33 + nameLength + (nameLength % 2 === 0 ? 1 : 0);
  return {
    name: bytes.subarray(33, 33 + nameLength),
    systemUse: bytes.subarray(Math.min(systemUse, bytes.length)),
    start: bothEndian32(bytes, 2, 'a file position') * sectorBytes,
    length: bothEndian32(bytes, 10, 'a file length'),
    flags: bytes.readUInt8(25),
  };
};

/** Records never cross a sector; a zero length skips to the next one (ECMA-119 6.8.1.1). */
const parseFolder = (bytes: Buffer): readonly FolderRecord[] => {
  const records: FolderRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt8(at);
    const left = sectorBytes - (at % sectorBytes);
    if (length === 0) {
      at += left;
      continue;
    }
    if (length > left) throw new ImageError('a folder entry crosses a sector');
    records.push(parseRecord(bytes.subarray(at, at + length)));
    if (records.length > maxEntries) throw new ImageError(`the root folder has more than ${maxEntries} entries`);
    at += length;
  }
  return records;
};

const isDot = ({ name }: FolderRecord): boolean => name.length === 1 && (name[0] === 0 || name[0] === 1);

const assertApart = (extents: readonly Extent[]): void => {
  const sorted = [...extents].sort((a, b) => a.start - b.start);
  for (const [index, extent] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next !== undefined && next.start < extent.end) throw new ImageError(`${extent.what} and ${next.what} overlap`);
  }
};

/** Whole sectors of `length` bytes at `start`, inside the image and the device. */
const extentOf = (what: string, start: number, length: number, limit: number): Extent => {
  const end = start + Math.ceil(length / sectorBytes) * sectorBytes;
  if (start < firstDescriptor * sectorBytes || end > limit) throw new ImageError(`${what} lies outside the image`);
  return { what, start, end };
};

interface Folder {
  readonly records: readonly FolderRecord[];
  readonly extent: Extent;
}

const readFolder = async (read: ReadAt, { rootStart, rootLength }: Descriptor, limit: number): Promise<Folder> => {
  if (rootLength === 0 || rootLength > maxRootBytes || rootLength % sectorBytes !== 0) {
    throw new ImageError('the root folder has an impossible length');
  }
  const extent = extentOf('the root folder', rootStart, rootLength, limit);
  return { records: parseFolder(await read(rootStart, rootLength)), extent };
};

type NameOf = (record: FolderRecord) => Promise<string | null>;

/** Rock Ridge names win over Joliet names, as on Linux; without either an image has no long names. */
const chooseNames = async (
  read: ReadAt,
  descriptors: readonly Descriptor[],
  limit: number,
): Promise<{ readonly folder: Folder; readonly nameOf: NameOf }> => {
  const primary = descriptors.find(({ kind }) => kind === 'primary');
  if (primary === undefined) throw new ImageError('there is no primary volume descriptor');
  const folder = await readFolder(read, primary, limit);
  const self = folder.records[0];
  const skip = self === undefined || !isDot(self) ? null : susSkipOf(self.systemUse);
  if (skip !== null) {
    return { folder, nameOf: ({ systemUse }) => rockRidgeName(systemUse.subarray(skip), read, limit) };
  }
  const joliet = descriptors.find(({ kind }) => kind === 'joliet');
  if (joliet === undefined) throw new ImageError('it has neither Rock Ridge nor Joliet names');
  const nameOf: NameOf = async ({ name }) => ucs2(name).replace(/;[0-9]+$/, '');
  return { folder: await readFolder(read, joliet, limit), nameOf };
};

/**
 * The regular files in the root folder whose names are in `wanted`. Throws ImageError for a malformed image, for a
 * wanted name that is there twice, is no regular file or is kept in several extents, and for overlapping extents.
 */
export const listImage = async (
  read: ReadAt,
  sizeBytes: number,
  wanted: readonly string[],
): Promise<readonly ImageFile[]> => {
  const descriptors = await readDescriptors(read);
  const limit = Math.min(sizeBytes, ...descriptors.map((descriptor) => descriptor.sizeBytes));
  const { folder, nameOf } = await chooseNames(read, descriptors, limit);
  const descriptorsEnd = (firstDescriptor + descriptors.length + 1) * sectorBytes;
  const extents: Extent[] = [
    { what: 'the volume descriptors', start: firstDescriptor * sectorBytes, end: descriptorsEnd },
    folder.extent,
  ];
  const files: ImageFile[] = [];
  for (const record of folder.records) {
    if (isDot(record) || (record.flags & flagAssociated) !== 0) continue;
    const name = await nameOf(record);
    if (name === null || !wanted.includes(name)) continue;
    if (files.some((file) => file.name === name)) throw new ImageError(`${name} is there twice`);
    if ((record.flags & flagFolder) !== 0) throw new ImageError(`${name} is a folder`);
    if ((record.flags & flagMoreExtents) !== 0) throw new ImageError(`${name} is kept in several extents`);
    // An empty file may point anywhere; it has no bytes.
    if (record.length > 0) extents.push(extentOf(name, record.start, record.length, limit));
    files.push({ name, offset: record.start, length: record.length });
  }
  assertApart(extents);
  return files;
};
