/**
 * The partition table of a disk that has grown, so that its last partition reaches the new end. The disk holds a complete
 * table at every instant: the new entries go to a place that the present header does not name (UEFI specification
 * §5.3.2 leaves it to the header where they are), and the header is one sector.
 *
 *   new backup entries · new backup header · flush · new entries at a second place · flush · header that names it · flush ·
 *   new entries at the usual place · flush · header that names it · flush · protective MBR · old backup header wiped · flush
 */
import { crc32 } from './crc.ts';
import { type ByteRange, type DeviceWrite, mebibyte, type ReadAt } from './device-bytes.ts';
import {
  decodeEntries,
  decodeHeader,
  encodeEntries,
  encodeHeader,
  encodeProtectiveMbr,
  entrySize,
  type GptEntry,
  type GptHeader,
} from './gpt.ts';
import { readPartitionTable } from './partition-table.ts';

export interface GrownTable {
  /** In the order in which they must reach the disk. */
  readonly writes: readonly DeviceWrite[];
  /** The last partition afterwards. */
  readonly data: ByteRange;
}

const usualPlace = 2;
/** The places through which new entries get to the usual one: never the place that the present header names. */
const placesFor = ({ entriesLba }: GptHeader, arraySectors: number): readonly number[] =>
  entriesLba < usualPlace + arraySectors ? [usualPlace + arraySectors, usualPlace] : [usualPlace];

const lastOf = (entries: readonly GptEntry[]): GptEntry | undefined =>
  entries.toSorted((a, b) => a.firstLba - b.firstLba).at(-1);

/** dm-crypt refuses a device that is no whole number of its sectors, of which the largest has this many bytes. */
const longestSector = 4096;

/** End of the last partition on a grown disk: whole MiBs, before the backup table, or a little less for its length to be whole sectors. */
const newEndLba = (firstLba: number, sectors: number, arraySectors: number, sectorSize: number): number => {
  const end = (Math.floor(((sectors - arraySectors - 1) * sectorSize) / mebibyte) * mebibyte) / sectorSize;
  return end - ((end - firstLba) % (longestSector / sectorSize)) - 1;
};

/**
 * The end in bytes up to which the last partition could reach, or null when the table already ends where the disk does,
 * is not complete and valid, or leaves no room to gain a MiB.
 */
export const roomToGrow = async (read: ReadAt, sizeBytes: number, sectorSize: 512 | 4096): Promise<number | null> => {
  const grown = await renderGrownTable(read, sizeBytes, sectorSize);
  return grown === null ? null : grown.data.offset + grown.data.length;
};

/** The writes for the table that `read` finds; null as in roomToGrow. Rejects only when `read` does. */
export const renderGrownTable = async (
  read: ReadAt,
  sizeBytes: number,
  sectorSize: 512 | 4096,
): Promise<GrownTable | null> => {
  const table = await readPartitionTable(read, sizeBytes, sectorSize);
  if (table.kind !== 'gpt' || table.copies !== 'both' || table.backupAtEnd) return null;
  const sectors = Math.floor(sizeBytes / sectorSize);
  const old = decodeHeader(await read(sectorSize, sectorSize));
  if (typeof old === 'string') return null;
  const entries = decodeEntries(await read(old.entriesLba * sectorSize, old.entryCount * entrySize));
  const last = typeof entries === 'string' ? undefined : lastOf(entries);
  if (typeof entries === 'string' || last === undefined) return null;
  const arraySectors = Math.ceil((old.entryCount * entrySize) / sectorSize);
  const backupArrayLba = sectors - 1 - arraySectors;
  const endLba = newEndLba(last.firstLba, sectors, arraySectors, sectorSize);
  // The new backup must not touch the old one, which is valid until the header changes.
  if (backupArrayLba <= old.alternateLba || (endLba - last.lastLba) * sectorSize < mebibyte) return null;
  const places = placesFor(old, arraySectors);
  const firstLba = Math.min(...entries.map((entry) => entry.firstLba));
  if (places.some((place) => place + arraySectors > firstLba)) return null;

  const array = encodeEntries(
    entries.map((entry) => (entry === last ? { ...entry, lastLba: endLba } : entry)),
    old.entryCount,
  );
  const common = {
    diskGuid: old.diskGuid,
    entryCount: old.entryCount,
    entriesCrc: crc32(array),
    firstUsableLba: Math.max(old.firstUsableLba, 2 + 2 * arraySectors),
    lastUsableLba: backupArrayLba - 1,
  };
  const primary = (entriesLba: number): GptHeader => ({ ...common, ownLba: 1, alternateLba: sectors - 1, entriesLba });
  const backup: GptHeader = { ...common, ownLba: sectors - 1, alternateLba: 1, entriesLba: backupArrayLba };
  const at = (lba: number, bytes: Buffer, flushAfter: boolean): DeviceWrite => ({
    offset: lba * sectorSize,
    bytes,
    flushAfter,
  });
  return {
    writes: [
      at(backupArrayLba, array, false),
      at(sectors - 1, encodeHeader(backup, sectorSize), true),
      ...places.flatMap((place) => [at(place, array, true), at(1, encodeHeader(primary(place), sectorSize), true)]),
      at(0, encodeProtectiveMbr(sectors, sectorSize), false),
      at(old.alternateLba, Buffer.alloc(sectorSize), true),
    ],
    data: { offset: last.firstLba * sectorSize, length: (endLba - last.firstLba + 1) * sectorSize },
  };
};
