/**
 * Makes a whole disk blank: the one way in which the agent destroys what it cannot prove to be its own, and only for a
 * person who names it. Every byte becomes zero, because inspection samples the whole disk and a later format must not
 * find remains. What is zero already is only read, so that a thin disk stays thin.
 *
 * A mark at the start and zeros over both LUKS2 headers go first, and the mark is zeroed last: from the instant at which data can be
 * missing until the very end the disk counts as foreign, whatever is cut.
 */
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { probeBlank } from './blank.ts';
import { readPartitionsAgain, settleDevices } from './commands.ts';
import { mebibyte, type ReadAt } from './device-bytes.ts';
import { markerBytes, parseMarker } from './formatting-marker.ts';
import { gateHeader } from './gate.ts';
import { readLuksHeader } from './luks-header.ts';
import { readPartitionTable } from './partition-table.ts';
import { readSignatures } from './signatures.ts';

const pieceBytes = 4 * mebibyte;
const zeros = Buffer.alloc(pieceBytes);
const markBytes = 4096;
const mark = Buffer.alloc(markBytes);
mark.write('TRISEED WIPE NOT FINISHED\n', 'latin1');
/** Both headers of a LUKS2 volume without a table, of the largest size (LUKS2 On-Disk Format 1.1.3, §2.1). */
const headersBytes = 8 * mebibyte;

export interface Wiped {
  readonly sizeBytes: number;
  /** How much of it was not zero. */
  readonly writtenBytes: number;
}

/** Zeros from `from` to `to` where there are none yet. Answers how many bytes were written. */
const zeroSpan = async (
  device: BlockDevice,
  from: number,
  to: number,
  done: (bytes: number) => void,
): Promise<number> => {
  let written = 0;
  for (let at = from; at < to; at += pieceBytes) {
    const length = Math.min(pieceBytes, to - at);
    const piece = zeros.subarray(0, length);
    if (!(await device.read(at, length)).equals(piece)) {
      await device.write(at, piece);
      written += length;
    }
    done(at + length);
  }
  return written;
};

/** Zeros the device. `progress` gets the bytes that are done. Throws FILE_UNREADABLE, FILE_UNWRITABLE. */
export const zeroDevice = async (device: BlockDevice, progress: (bytes: number) => void): Promise<Wiped> => {
  const { sizeBytes } = device;
  const head = Math.min(markBytes, sizeBytes);
  const headers = Math.min(headersBytes, sizeBytes);
  await device.write(0, mark.subarray(0, head));
  const before = await zeroSpan(device, head, headers, progress);
  await device.flush();
  const written = await zeroSpan(device, headers, sizeBytes, progress);
  await device.flush();
  await device.write(0, zeros.subarray(0, head));
  await device.flush();
  return { sizeBytes, writtenBytes: head + before + written };
};

/** The volume that a LUKS header or formatting mark at `read` names, or null. A header that fails the gate names none. */
const nameAt = async (read: ReadAt, sizeBytes: number): Promise<string | null> => {
  const header = await readLuksHeader(read, sizeBytes);
  if (header.kind === 'luks2') {
    // Only its name is asked for: no setting decides whether it has one.
    const gate = gateHeader(header.current, ['cbc-essiv']);
    return gate.kind === 'passed' ? (gate.header.token?.volume ?? null) : null;
  }
  return sizeBytes < markerBytes ? null : (parseMarker(await read(0, markerBytes))?.volume ?? null);
};

/** Where our own table puts the data partition. */
const ourData = 100 * mebibyte;

/** The volume of ours that lies on the disk, in a partition or without a table; null when there is none. */
export const volumeOn = async ({ read, sizeBytes }: BlockDevice, sectorBytes: 512 | 4096): Promise<string | null> => {
  const table = await readPartitionTable(read, sizeBytes, sectorBytes);
  const starts = table.kind === 'gpt' ? table.partitions.map(({ startBytes }) => startBytes) : [];
  for (const start of new Set([0, ourData, ...starts])) {
    if (start >= sizeBytes) continue;
    const name = await nameAt((offset, length) => read(start + offset, length), sizeBytes - start);
    if (name !== null) return name;
  }
  return null;
};

/** What a person must type: the volume on the disk, else its serial number, else its path. */
export const nameToType = (volume: string | null, disk: Pick<DiskEntry, 'serial' | 'path'>): string =>
  volume ?? disk.serial ?? disk.path;

/** Why a disk cannot be wiped now, or null. Whether something else holds it the kernel says when it is opened. */
export const wipeObjection = ({ holders, mountPoints, readOnly }: DiskEntry): string | null => {
  const by = [...holders, ...mountPoints];
  if (by.length > 0) return `it is in use by ${by.join(', ')}`;
  return readOnly ? 'it is read-only' : null;
};

/** Reads the disk back as an inspection would. Throws DISK_NOT_BLANK. */
export const insistBlank = async (host: Host, device: BlockDevice): Promise<void> => {
  const { path } = device;
  const blank = await probeBlank(device.read, device.sizeBytes, () => host.entropy.fraction());
  if (blank.kind !== 'blank')
    throw new AgentError('DISK_NOT_BLANK', { path, detail: `data at byte ${blank.firstNonZeroOffset}` });
  const signatures = await readSignatures(host, path);
  if (signatures.length > 0) throw new AgentError('DISK_NOT_BLANK', { path, detail: signatures.join(', ') });
};

/** Lets the kernel forget partitions that are no more. */
export const forgetPartitions = async (host: Host, path: string): Promise<void> => {
  await host.run(readPartitionsAgain(path));
  await host.run(settleDevices());
};
