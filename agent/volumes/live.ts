/**
 * Is a mounted volume encrypted as its header says? Pure: compares what boot recorded with what mount table, device-mapper
 * and disk say now. The live table is the evidence; the disk belongs to the host.
 */
import { tableObjection } from './dm-table.ts';
import type { GatedHeader } from './gate.ts';
import type { GatedLuks1 } from './luks1-gate.ts';
import type { OpenedRecord } from './opened-record.ts';

/** What is there now. */
export interface Live {
  /** The file system mounted last on the mount point. */
  readonly mounted: { readonly device: string; readonly filesystem: string; readonly source: string } | null;
  /** `major:minor` of the block device that its source names. */
  readonly sourceDevice: string | null;
  /** `major:minor` of the mapping; null when device-mapper has none of that name. */
  readonly mappingDevice: string | null;
  /** Output of `dmsetup table`. */
  readonly table: string;
  /** `major:minor` of the device that the contract's disk is. */
  readonly backingDevice: string | null;
  readonly backingBytes: number;
  /** The header on the device, or why it cannot be trusted. */
  readonly header: GatedHeader | GatedLuks1 | { readonly refused: string };
}

/** Blanks, tabs, line feeds and backslashes of a path are written as three octal digits, proc_pid_mountinfo(5). */
const unescaped = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The file system that was mounted last on exactly `point`, from the text of /proc/self/mountinfo. */
export const mountedAt = (mountInfo: string, point: string): Live['mounted'] => {
  const found = mountInfo.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device = '', , path = ''] = before.split(' ');
    const [filesystem = '', source = ''] = after.split(' ');
    return unescaped(path) === point ? [{ device, filesystem, source: unescaped(source) }] : [];
  });
  return found.at(-1) ?? null;
};

/** Fields of a crypt line, dm-crypt.rst: start, length, `crypt`, cipher, key, iv offset, device, offset. */
const fieldsOf = (table: string): readonly string[] => table.trim().split(' ');

/** What the kernel encrypts with, such as `aes-xts-plain64`; null when the table is not of dm-crypt. */
export const liveCipher = (table: string): string | null => {
  const [, , kind, cipher] = fieldsOf(table);
  return kind === 'crypt' ? (cipher ?? null) : null;
};

/** btrfs shows a device number of its own, so there the device counts that its source names. */
const isMounted = ({ mounted, sourceDevice, mappingDevice }: Live): boolean =>
  mappingDevice !== null && (mounted?.filesystem === 'btrfs' ? sourceDevice : mounted?.device) === mappingDevice;

/** Null when the volume is encrypted as it should be, else what is not so. */
export const encryptionObjection = (record: OpenedRecord, live: Live): string | null => {
  const { mounted, mappingDevice, table, header } = live;
  if (mounted === null) return 'nothing is mounted there';
  if (mappingDevice === null) return `there is no mapping ${record.mapping}`;
  if (!isMounted(live)) return `${mounted.source} is mounted there, not ${record.mapping}`;
  if (liveCipher(table) === null) return `${record.mapping} is not an encrypted mapping`;
  if (fieldsOf(table)[6] !== live.backingDevice) return `${record.mapping} does not lie on ${record.device}`;
  if ('refused' in header) return `the header on ${record.device} cannot be trusted: ${header.refused}`;
  if (header.copy.uuid !== record.luksUuid) return `${record.device} carries the header of another volume`;
  return tableObjection(table, header.segment, live.backingBytes);
};
