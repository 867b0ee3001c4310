/**
 * The one partition table the agent writes, HPCR's layout: `metadata` from 1 MiB to 100 MiB, `data` from there to the
 * end (IBM Cloud docs, "Validating data volume encryption", and the `parted` figures of the migration guide).
 */

import { crc32 } from './crc.ts';
import { type ByteRange, type DeviceWrite, mebibyte, type ReadAt } from './device-bytes.ts';
import {
  decodeGuid,
  encodeEntries,
  encodeHeader,
  encodeProtectiveMbr,
  entrySize,
  type GptEntry,
  type GptHeader,
  nilGuid,
} from './gpt.ts';

/** Linux filesystem data (UEFI type GUID registry; sgdisk code 8300). */
const linuxData = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const entryCount = 128;
const metadataStart = mebibyte;
const dataStart = 100 * mebibyte;

/** Below this the data partition could not hold a LUKS2 header of 16 MiB and a file system. */
export const minimumDiskBytes = 128 * mebibyte;

export interface TableGuids {
  readonly diskGuid: string;
  readonly metadataGuid: string;
  readonly dataGuid: string;
}

export interface TableRequest extends TableGuids {
  readonly sizeBytes: number;
  /** Logical sector size; 512 when absent. */
  readonly sectorSize?: 512 | 4096;
}

export type RenderedTable =
  | {
      readonly kind: 'table';
      /** In the order in which they must reach the disk; see renderOurTable. */
      readonly writes: readonly DeviceWrite[];
      readonly metadata: ByteRange;
      readonly data: ByteRange;
    }
  | { readonly kind: 'diskTooSmall'; readonly minimumBytes: number };

const geometry = (sizeBytes: number, sectorSize: number) => {
  const sectors = Math.floor(sizeBytes / sectorSize);
  const arraySectors = (entryCount * entrySize) / sectorSize;
  return { sectors, arraySectors, firstUsableLba: 2 + arraySectors, lastUsableLba: sectors - arraySectors - 2 };
};

/** The areas of MBR, headers and entries at both ends of the disk: all that renderOurTable ever writes. */
export const tableRanges = (sizeBytes: number, sectorSize: 512 | 4096 = 512): readonly ByteRange[] => {
  const { sectors, arraySectors } = geometry(sizeBytes, sectorSize);
  const tail = (arraySectors + 1) * sectorSize;
  return [
    { offset: 0, length: (2 + arraySectors) * sectorSize },
    { offset: sectors * sectorSize - tail, length: tail },
  ];
};

/**
 * The bytes of our table. `data` ends at the last whole MiB before the backup table, so sizes stay multiples of 1 MiB
 * and of 4096-byte sectors.
 *
 * Order, with a flush after each: backup entries, backup header, primary entries, primary header, protective MBR. The
 * kernel accepts a GPT only behind a protective MBR, so a disk cut before the last write has no partitions, and from
 * that write on it has both complete copies. What a cut leaves is recognised by isOurHalfWrittenTable.
 *
 * Throws TypeError for text that is no GUID (a bug of the caller).
 */
export const renderOurTable = ({ sizeBytes, sectorSize = 512, ...guids }: TableRequest): RenderedTable => {
  if (sizeBytes < minimumDiskBytes) return { kind: 'diskTooSmall', minimumBytes: minimumDiskBytes };
  const { sectors, arraySectors, firstUsableLba, lastUsableLba } = geometry(sizeBytes, sectorSize);
  const dataEnd = Math.floor(((lastUsableLba + 1) * sectorSize) / mebibyte) * mebibyte;
  const entry = (number: number, name: string, guid: string, start: number, end: number): GptEntry => ({
    number,
    name,
    guid,
    typeGuid: linuxData,
    firstLba: start / sectorSize,
    lastLba: end / sectorSize - 1,
    attributes: 0n,
  });
  const array = encodeEntries(
    [
      entry(1, 'metadata', guids.metadataGuid, metadataStart, dataStart),
      entry(2, 'data', guids.dataGuid, dataStart, dataEnd),
    ],
    entryCount,
  );
  const common = { firstUsableLba, lastUsableLba, diskGuid: guids.diskGuid, entryCount, entriesCrc: crc32(array) };
  const primary: GptHeader = { ...common, ownLba: 1, alternateLba: sectors - 1, entriesLba: 2 };
  const backup: GptHeader = { ...common, ownLba: sectors - 1, alternateLba: 1, entriesLba: sectors - 1 - arraySectors };
  const at = (lba: number, bytes: Buffer): DeviceWrite => ({ offset: lba * sectorSize, bytes, flushAfter: true });
  return {
    kind: 'table',
    writes: [
      at(backup.entriesLba, array),
      at(backup.ownLba, encodeHeader(backup, sectorSize)),
      at(primary.entriesLba, array),
      at(primary.ownLba, encodeHeader(primary, sectorSize)),
      at(0, encodeProtectiveMbr(sectors, sectorSize)),
    ],
    metadata: { offset: metadataStart, length: dataStart - metadataStart },
    data: { offset: dataStart, length: dataEnd - dataStart },
  };
};

export type HalfWritten =
  | {
      readonly kind: 'ours';
      /** Present as soon as one header is; before that any new disk GUID fits. */
      readonly diskGuid: string | null;
      readonly metadataGuid: string;
      readonly dataGuid: string;
      /** How many of the five writes are there as a whole, 0 to 5; 5 is a finished table. */
      readonly writesPresent: number;
    }
  | { readonly kind: 'other'; readonly reason: 'blank' | 'foreignBytes' | 'tooSmall' };

/** How much of one write is on the disk, sector by sector: a sector is either as before (zero) or as written. */
const presence = (found: Buffer, expected: Buffer, sectorSize: number): 'none' | 'part' | 'whole' | 'foreign' => {
  if (found.equals(expected)) return 'whole';
  const zero = Buffer.alloc(sectorSize);
  let seen = false;
  for (let at = 0; at < expected.length; at += sectorSize) {
    const sector = found.subarray(at, at + sectorSize);
    if (sector.equals(zero)) continue;
    if (!sector.equals(expected.subarray(at, at + sectorSize))) return 'foreign';
    seen = true;
  }
  return seen ? 'part' : 'none';
};

/**
 * Recognises what a cut while writing our table leaves on a disk that was blank.
 *
 * What it proves: with the GUIDs found in the backup entries and header, every sector of both table areas is either
 * zero or exactly what renderOurTable writes there for this disk size, and the non-zero ones are a prefix of its writes
 * in order. So nothing that anybody else put into these areas is lost by finishing the table. It proves neither who
 * wrote it (there is no secret in it) nor that the rest of the disk is blank: ask probeBlank, leaving out tableRanges.
 *
 * Resume with the GUIDs found here. Other GUIDs would, after a second cut, leave a mixture that is nobody's prefix.
 */
export const isOurHalfWrittenTable = async (
  read: ReadAt,
  sizeBytes: number,
  sectorSize: 512 | 4096 = 512,
): Promise<HalfWritten> => {
  if (sizeBytes < minimumDiskBytes) return { kind: 'other', reason: 'tooSmall' };
  const [front, back] = tableRanges(sizeBytes, sectorSize) as readonly [ByteRange, ByteRange];
  const areas = [
    { ...front, bytes: await read(front.offset, front.length) },
    { ...back, bytes: await read(back.offset, back.length) },
  ] as const;
  if (areas.every(({ bytes }) => bytes.equals(Buffer.alloc(bytes.length)))) return { kind: 'other', reason: 'blank' };
  const backupBytes = areas[1].bytes;
  const diskGuid = decodeGuid(backupBytes, backupBytes.length - sectorSize + 56);
  const metadataGuid = decodeGuid(backupBytes, 16);
  const dataGuid = decodeGuid(backupBytes, entrySize + 16);
  const rendered = renderOurTable({ sizeBytes, sectorSize, diskGuid, metadataGuid, dataGuid });
  if (rendered.kind !== 'table' || metadataGuid === nilGuid || dataGuid === nilGuid || metadataGuid === dataGuid)
    return { kind: 'other', reason: 'foreignBytes' };
  const states = rendered.writes.map(({ offset, bytes }) => {
    const area = offset < back.offset ? areas[0] : areas[1];
    return presence(area.bytes.subarray(offset - area.offset, offset - area.offset + bytes.length), bytes, sectorSize);
  });
  const whole = states.findIndex((state) => state !== 'whole');
  const writesPresent = whole === -1 ? states.length : whole;
  const prefix = states.slice(writesPresent + 1).every((state) => state === 'none');
  const headerWithoutGuid = diskGuid === nilGuid && writesPresent > 1;
  if (!prefix || states.includes('foreign') || headerWithoutGuid) return { kind: 'other', reason: 'foreignBytes' };
  return { kind: 'ours', diskGuid: diskGuid === nilGuid ? null : diskGuid, metadataGuid, dataGuid, writesPresent };
};
