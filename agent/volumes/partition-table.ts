/**
 * What the partition table of a disk says, read by the agent itself: the kernel's and udev's view of a disk that a host
 * wrote is not evidence. Strict and bounded: at most two headers and two entry arrays of 32 KiB are read, nothing
 * beyond the disk, and every answer is a value. Only the read function's own rejections pass through.
 */

import { crc32 } from './crc.ts';
import type { ReadAt } from './device-bytes.ts';
import {
  decodeEntries,
  decodeHeader,
  decodeMbr,
  entrySize,
  type GptEntry,
  type GptHeader,
  headerSignature,
  type Mbr,
  nilGuid,
} from './gpt.ts';

export interface Partition {
  readonly number: number;
  /** Lower case. */
  readonly typeGuid: string;
  /** The partition's own unique GUID, lower case. */
  readonly guid: string;
  readonly name: string;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

export type TableDamage =
  /** The MBR announces a GPT, but neither place has one. */
  | 'protectiveMbrAlone'
  /** The MBR lists partitions beside the protective one: two truths on one disk. */
  | 'hybridMbr'
  /** Ordinary MBR partitions and remains of a GPT. */
  | 'mbrAndGpt'
  /** GPT signatures, but no copy that passes. */
  | 'noValidCopy'
  /** A valid copy without the protective MBR: the kernel sees no partitions. So does a cut while writing ours look. */
  | 'noProtectiveMbr'
  /** No MBR and no primary copy, but a valid backup: what zeroing the start of a disk leaves behind. */
  | 'strayBackup';

export type PartitionTable =
  /** No MBR signature and no GPT signature in either place. */
  | { readonly kind: 'none' }
  | {
      readonly kind: 'gpt';
      readonly diskGuid: string;
      /** In the order of their numbers. */
      readonly partitions: readonly Partition[];
      /** `differ`: both copies pass but say different things; `partitions` are then the primary's, as the kernel has it. */
      readonly copies: 'both' | 'primaryOnly' | 'backupOnly' | 'differ';
      /** False when the disk has grown since the table was written. */
      readonly backupAtEnd: boolean;
      /** Range in which partitions may lie. */
      readonly usable: { readonly startBytes: number; readonly endBytes: number };
    }
  /** An MBR with `count` primary or extended partitions; 0 also for boot sectors of file systems. */
  | { readonly kind: 'mbr'; readonly count: number }
  | { readonly kind: 'damaged'; readonly damage: TableDamage; readonly reason: string };

interface Copy {
  readonly header: GptHeader;
  readonly array: Buffer;
  readonly entries: readonly GptEntry[];
}

type CopyRead =
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'valid'; readonly copy: Copy };

interface Disk {
  readonly read: ReadAt;
  readonly sectors: number;
  readonly sectorSize: number;
}

/** Why the places named in `header` cannot be right on this disk (UEFI specification §5.3.1 and §5.3.2), or null. */
const misplaced = (header: GptHeader, lba: number, { sectors, sectorSize }: Disk): string | null => {
  const arraySectors = Math.ceil((header.entryCount * entrySize) / sectorSize);
  const primary = lba === 1;
  if (header.ownLba !== lba) return 'the header names another place as its own';
  if (header.firstUsableLba > header.lastUsableLba) return 'the usable range is empty';
  if (header.firstUsableLba < 2 + arraySectors) return 'the usable range covers the table';
  if (!(header.lastUsableLba < sectors - 1)) return 'the usable range ends beyond the disk';
  if (primary) {
    if (!(header.alternateLba < sectors)) return 'the backup lies beyond the disk';
    if (header.alternateLba <= header.lastUsableLba) return 'the backup lies in the usable range';
    if (header.entriesLba < 2 || header.entriesLba + arraySectors > header.firstUsableLba)
      return 'the entries lie outside their place';
    return null;
  }
  if (header.alternateLba !== 1) return 'the backup names another primary';
  if (header.entriesLba <= header.lastUsableLba || header.entriesLba + arraySectors > lba)
    return 'the entries lie outside their place';
  return null;
};

/** Why the partitions contradict the header or each other, or null. */
const inconsistent = (header: GptHeader, entries: readonly GptEntry[]): string | null => {
  for (const { number, firstLba, lastLba, guid } of entries) {
    if (firstLba > lastLba) return `partition ${number} ends before it starts`;
    if (firstLba < header.firstUsableLba || lastLba > header.lastUsableLba)
      return `partition ${number} leaves the usable range`;
    if (guid === nilGuid) return `partition ${number} has no GUID`;
  }
  if (new Set(entries.map(({ guid }) => guid)).size !== entries.length) return 'two partitions share one GUID';
  const byPlace = entries.toSorted((a, b) => a.firstLba - b.firstLba);
  for (const [at, entry] of byPlace.entries()) {
    const next = byPlace[at + 1];
    if (next && next.firstLba <= entry.lastLba) return `partitions ${entry.number} and ${next.number} overlap`;
  }
  return null;
};

const readCopy = async (disk: Disk, lba: number): Promise<CopyRead> => {
  const { read, sectorSize } = disk;
  const sector = await read(lba * sectorSize, sectorSize);
  if (!sector.subarray(0, headerSignature.length).equals(headerSignature)) return { kind: 'absent' };
  const header = decodeHeader(sector);
  if (typeof header === 'string') return { kind: 'invalid', reason: header };
  const wrongPlace = misplaced(header, lba, disk);
  if (wrongPlace) return { kind: 'invalid', reason: wrongPlace };
  const array = await read(header.entriesLba * sectorSize, header.entryCount * entrySize);
  if (crc32(array) !== header.entriesCrc) return { kind: 'invalid', reason: 'wrong checksum of the entries' };
  const entries = decodeEntries(array);
  if (typeof entries === 'string') return { kind: 'invalid', reason: entries };
  const contradiction = inconsistent(header, entries);
  return contradiction
    ? { kind: 'invalid', reason: contradiction }
    : { kind: 'valid', copy: { header, array, entries } };
};

/** Where the backup is looked for: where a valid primary says, else in the last sector. */
const readBackup = (disk: Disk, primary: CopyRead): Promise<CopyRead> =>
  readCopy(disk, primary.kind === 'valid' ? primary.copy.header.alternateLba : disk.sectors - 1);

const same = (a: Copy, b: Copy): boolean =>
  a.header.diskGuid === b.header.diskGuid &&
  a.header.firstUsableLba === b.header.firstUsableLba &&
  a.header.lastUsableLba === b.header.lastUsableLba &&
  a.array.equals(b.array);

const describe = (copy: CopyRead): string => (copy.kind === 'invalid' ? copy.reason : copy.kind);

/** Pure: two readings of the copies and the MBR become one judgement. */
const judge = (mbr: Mbr, primary: CopyRead, backup: CopyRead, { sectors, sectorSize }: Disk): PartitionTable => {
  const damaged = (damage: TableDamage, reason: string): PartitionTable => ({ kind: 'damaged', damage, reason });
  if (primary.kind === 'absent' && backup.kind === 'absent') {
    if (mbr.kind === 'absent') return { kind: 'none' };
    if (mbr.kind === 'partitions') return { kind: 'mbr', count: mbr.count };
    return damaged('protectiveMbrAlone', 'the MBR announces a GPT that is not there');
  }
  if (mbr.kind === 'partitions') return damaged('mbrAndGpt', 'MBR partitions and a GPT on one disk');
  if (mbr.kind === 'hybrid') return damaged('hybridMbr', 'the MBR lists partitions beside the protective one');
  const chosen = primary.kind === 'valid' ? primary.copy : backup.kind === 'valid' ? backup.copy : null;
  if (!chosen) return damaged('noValidCopy', `primary: ${describe(primary)}; backup: ${describe(backup)}`);
  if (mbr.kind === 'absent')
    return primary.kind === 'absent'
      ? damaged('strayBackup', 'only the backup at the end of the disk is left')
      : damaged('noProtectiveMbr', 'the protective MBR is missing');
  const { header, entries } = chosen;
  const copies =
    primary.kind === 'valid' && backup.kind === 'valid'
      ? same(primary.copy, backup.copy)
        ? 'both'
        : 'differ'
      : primary.kind === 'valid'
        ? 'primaryOnly'
        : 'backupOnly';
  return {
    kind: 'gpt',
    diskGuid: header.diskGuid,
    partitions: entries.map(({ number, typeGuid, guid, name, firstLba, lastLba }) => ({
      number,
      typeGuid,
      guid,
      name,
      startBytes: firstLba * sectorSize,
      sizeBytes: (lastLba - firstLba + 1) * sectorSize,
    })),
    copies,
    backupAtEnd: (header.ownLba === 1 ? header.alternateLba : header.ownLba) === sectors - 1,
    usable: { startBytes: header.firstUsableLba * sectorSize, endBytes: (header.lastUsableLba + 1) * sectorSize },
  };
};

/**
 * Reads the table of a disk of `sizeBytes`. `sectorSize` is the logical sector size of the disk, 512 or 4096: a table
 * written for the other size is not found. Rejects only when `read` does.
 */
export const readPartitionTable = async (
  read: ReadAt,
  sizeBytes: number,
  sectorSize: 512 | 4096 = 512,
): Promise<PartitionTable> => {
  const disk: Disk = { read, sectors: Math.floor(sizeBytes / sectorSize), sectorSize };
  // Smaller than MBR, one header and one sector of entries on both sides: nothing can be here.
  if (disk.sectors < 6) return { kind: 'none' };
  const mbr = decodeMbr(await read(0, sectorSize));
  const primary = await readCopy(disk, 1);
  const backup = await readBackup(disk, primary);
  return judge(mbr, primary, backup, disk);
};

export { isOurHalfWrittenTable, minimumDiskBytes, renderOurTable, tableRanges } from './our-table.ts';
