/**
 * Before a disk without a usable partition table is called empty: does anything lie where our own table puts its
 * partitions? A disk of ours whose beginning was wiped looks like one whose partitioning was cut, and its data starts
 * at 100 MiB. A real cut leaves nothing there, because formatting begins only after the table is complete.
 */
import { firstNonZero } from './blank.ts';
import { mebibyte, type ReadAt } from './device-bytes.ts';
import { markerBytes, parseMarker } from './formatting-marker.ts';
import { readLuksHeader } from './luks-header.ts';
import { minimumDiskBytes } from './partition-table.ts';

const metadataStart = mebibyte;
const dataStart = 100 * mebibyte;

/** What lies there, for people, or null when all of it is empty. */
export const foundAtOurPlaces = async (read: ReadAt, sizeBytes: number): Promise<string | null> => {
  if (sizeBytes < minimumDiskBytes) return null;
  const header = await readLuksHeader((offset, length) => read(dataStart + offset, length), sizeBytes - dataStart);
  if (header.kind !== 'absent') return 'a LUKS header at 100 MiB: the partition table of a volume was lost';
  if (parseMarker(await read(dataStart, markerBytes)) !== null) return 'a formatting mark at 100 MiB';
  const offset = await firstNonZero(read, metadataStart, dataStart - metadataStart);
  return offset === null ? null : `data at byte ${offset}`;
};
