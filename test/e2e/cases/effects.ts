/**
 * What the agent does to the disk of a volume, named by what it is. Pure: the driver names the moments of a power cut by these names,
 * the guest (cut-in-guest.ts) finds them, both speak through the kernel's command line and the console.
 */

/** Of LUKS2 headers that the agent or cryptsetup makes (LUKS2 on-disk format specification, 2.1). */
const headerCopyBytes = 16_384;

/** Writes whose content takes several sectors: power may fail in the middle. */
export type LongWrite = 'keyslot area' | 'secondary header' | 'primary header' | 'metadata image';
/** Writes of one sector, or of one and zeros: disks write a sector as a whole. */
export type ShortWrite =
  | 'backup entries'
  | 'backup table'
  | 'primary entries'
  | 'primary table'
  | 'protective MBR'
  /** A partition table that grows: its entries at their second place, the header that names it, the end of the old backup. */
  | 'second entries'
  | 'table at second entries'
  | 'old backup cleared'
  | 'formatting mark'
  /** A keyslot area that nothing refers to any more. */
  | 'keyslot wiped'
  | 'metadata cleared'
  | 'metadata magic';
export type ProgramName = 'mkfs' | 'mount' | 'resize2fs';
export type EffectName = LongWrite | ShortWrite | ProgramName;

/**
 * When the power fails. `torn`: half of what is written is on the disk. `unsynced`: all of it is written and maybe nothing on the disk.
 * `after`: it is on the disk, or the program has ended, and nothing has happened since. `during`: the program has been started.
 */
export type Moment =
  | `torn ${LongWrite}`
  | `${'unsynced' | 'after'} ${LongWrite | ShortWrite}`
  | `${'during' | 'after'} ${ProgramName}`;

/** One write as the kernel gets it. */
export interface WriteSeen {
  /** Partition number, 0 for the disk itself. */
  readonly partition: number;
  /** Offset in the partition or disk. */
  readonly offset: number;
  readonly bytes: Buffer;
  readonly diskBytes: number;
}

const sectorBytes = 512;
/** Where the entries of a table are, in sectors: UEFI specification §5.3.2. */
const entriesLbaAt = 72;
const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

const tableEffects = ({ offset, bytes, diskBytes }: WriteSeen): EffectName => {
  if (offset === sectorBytes && bytes.readBigUInt64LE(entriesLbaAt) !== 2n) return 'table at second entries';
  const front = {
    0: 'protective MBR',
    512: 'primary table',
    1024: 'primary entries',
    17408: 'second entries',
  } as const;
  const named = front[offset as keyof typeof front];
  if (named !== undefined) return named;
  if (offset === diskBytes - sectorBytes) return 'backup table';
  return bytes.length === sectorBytes && isZero(bytes) ? 'old backup cleared' : 'backup entries';
};

const metadataEffects = ({ offset, bytes }: WriteSeen): EffectName => {
  if (offset === 0) return 'metadata image';
  return bytes.readUInt16LE(56) === 0xef53 ? 'metadata magic' : 'metadata cleared';
};

const dataEffects = ({ offset, bytes }: WriteSeen): EffectName => {
  if (offset === 0) return bytes.toString('latin1', 0, 4) === 'LUKS' ? 'primary header' : 'formatting mark';
  if (offset === headerCopyBytes) return 'secondary header';
  return isZero(bytes) ? 'keyslot wiped' : 'keyslot area';
};

/** The name of a write in the layout that the agent gives a disk, whose logical sectors have 512 bytes. */
export const nameOfWrite = (write: WriteSeen): EffectName | null =>
  [tableEffects, metadataEffects, dataEffects][write.partition]?.(write) ?? null;

/** The volume and the name of a program that changes its disk, or null. `args` begin with the program's own name. */
export const nameOfProgram = (args: readonly string[]): { volume: string; effect: EffectName } | null => {
  const [, name] = /(?:^|\/)(mkfs|mount|resize2fs)(?:\.\w+)?$/.exec(args[0] ?? '') ?? [];
  const volume = args.map((arg) => /^\/dev\/mapper\/triseed-(.+)$/.exec(arg)?.[1]).find((key) => key !== undefined);
  return name === undefined || volume === undefined ? null : { volume, effect: name as EffectName };
};

/** Volume key → the moment at which it is held. The power fails when every volume named here is. */
export type Moments = Readonly<Record<string, Moment>>;

const parameter = 'triseed.cut=';

/** Moments as a word of the kernel's command line. */
export const cutArgument = (moments: Moments): string =>
  parameter +
  Object.entries(moments)
    .map(([volume, moment]) => `${volume}:${moment.replaceAll(' ', '_')}`)
    .join(',');

/** The moments that a kernel's command line names; none without that word. */
export const momentsIn = (commandLine: string): Moments => {
  const word = commandLine.split(/\s+/).find((found) => found.startsWith(parameter));
  const pairs = (word?.slice(parameter.length).split(',') ?? []).map((pair) => pair.split(':'));
  return Object.fromEntries(pairs.map(([volume = '', moment = '']) => [volume, moment.replaceAll('_', ' ') as Moment]));
};

/** What the guest says about a volume that is held. */
export interface Held {
  readonly volume: string;
  readonly moment: Moment;
  /** What the disk must hold, in bytes from its start; null when that is left open. */
  readonly onDisk: { readonly offset: number; readonly length: number; readonly sha256: string } | null;
}

const heldMark = 'triseed-cut held ';
/** The line that asks for the cut: all volumes are held and the agent is stopped for ever. */
export const cutMark = 'triseed-cut now';

export const heldLine = (held: Held): string => `${heldMark}${JSON.stringify(held)}`;

/** All that a console says about held volumes. */
export const heldIn = (console: string): readonly Held[] =>
  console
    .split('\n')
    .flatMap((line) => (line.includes(heldMark) ? [JSON.parse(line.split(heldMark)[1] ?? '') as Held] : []));

/** How many bytes of a torn write reach the disk: half of the sectors before the zeros at its end. */
export const tornBytes = (bytes: Buffer): number => {
  const content = bytes.findLastIndex((byte) => byte !== 0) + 1;
  return Math.floor(Math.ceil(content / 512) / 2) * 512;
};
