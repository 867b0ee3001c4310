/**
 * Before a disk without a usable partition table is called empty: does a volume lie where our own table puts it? A disk
 * of ours whose beginning was wiped looks like one whose partitioning was cut, and its LUKS header is at 100 MiB, which
 * sampling would likely miss. A real cut leaves nothing there: formatting begins only after the table is complete.
 */
import { mebibyte, type ReadAt } from './device-bytes.ts';
import { markerBytes, parseMarker } from './formatting-marker.ts';
import { readLuksHeader } from './luks-header.ts';
import { minimumDiskBytes } from './partition-table.ts';

const dataStart = 100 * mebibyte;

/** What lies there, for people, or null when all of it is empty. */
export const foundAtOurPlaces = async (read: ReadAt, sizeBytes: number): Promise<string | null> => {
  if (sizeBytes < minimumDiskBytes) return null;
  const header = await readLuksHeader((offset, length) => read(dataStart + offset, length), sizeBytes - dataStart);
  if (header.kind !== 'absent') return 'a LUKS header at 100 MiB: the partition table of a volume was lost';
  return parseMarker(await read(dataStart, markerBytes)) === null ? null : 'a formatting mark at 100 MiB';
};
