/**
 * The atomic header write. Pure: from the header area as it is on the device and as it shall be, the ordered writes
 * with their flushes. At every instant the device holds the old header or the new one:
 *
 *   new keyslot areas · flush · secondary copy · flush · primary copy · flush · old keyslot areas wiped · flush
 *
 * The secondary copy goes first because readers take the newest valid copy: until it is whole the old primary wins,
 * and while the primary is being written the new secondary does. When the primary is not current already (an earlier
 * cut), it is rewritten from the secondary first, so that the only good copy is never the one being overwritten.
 */
import { AgentError } from '../errors.ts';
import type { BlockDevice } from '../ports.ts';
import type { DeviceWrite } from './device-bytes.ts';
import type { Keyslot } from './gate.ts';

/** One header as bytes: both copies, and the keyslot areas it refers to. */
export interface HeaderImage {
  readonly primary: Buffer;
  readonly secondary: Buffer;
  readonly areas: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

export interface HeaderOnDevice {
  readonly image: HeaderImage;
  /** False when the primary place does not hold the current copy. */
  readonly primaryIsCurrent: boolean;
  /** The same of the secondary place. */
  readonly secondaryIsCurrent: boolean;
}

const overlaps = (a: { offset: number; bytes: Uint8Array }, b: { offset: number; bytes: Uint8Array }): boolean =>
  a.offset < b.offset + b.bytes.length && b.offset < a.offset + a.bytes.length;

/**
 * `before` is null when no header is there (formatting). Throws TypeError when a new keyslot area would overwrite one
 * that the old header still refers to: such a commit could not be undone by a power cut.
 */
export const planHeaderCommit = (before: HeaderOnDevice | null, after: HeaderImage): readonly DeviceWrite[] => {
  const oldAreas = before?.image.areas ?? [];
  const unchanged = (area: HeaderImage['areas'][number]): boolean =>
    oldAreas.some((old) => old.offset === area.offset && old.bytes.equals(area.bytes));
  const newAreas = after.areas.filter((area) => !unchanged(area));
  const clash = newAreas.find((area) => oldAreas.some((old) => overlaps(old, area)));
  if (clash !== undefined) throw new TypeError('a new keyslot area overlaps one the present header refers to');
  const obsolete = oldAreas.filter((old) => !after.areas.some((area) => overlaps(old, area)));
  const repair: DeviceWrite[] =
    before !== null && !before.primaryIsCurrent ? [{ offset: 0, bytes: before.image.primary, flushAfter: true }] : [];
  return [
    ...repair,
    ...newAreas.map((area, at) => ({ ...area, flushAfter: at === newAreas.length - 1 })),
    { offset: after.secondary.length, bytes: after.secondary, flushAfter: true },
    { offset: 0, bytes: after.primary, flushAfter: true },
    ...obsolete.map((area, at) => ({
      offset: area.offset,
      bytes: Buffer.alloc(area.bytes.length),
      flushAfter: at === obsolete.length - 1,
    })),
  ];
};

/**
 * Writes in order, flushing where told and at the end, then reads every span back that no later write replaced.
 * Nothing is decided here. Throws FILE_UNWRITABLE.
 */
export const writeInOrder = async (device: BlockDevice, writes: readonly DeviceWrite[]): Promise<void> => {
  for (const { offset, bytes, flushAfter } of writes) {
    await device.write(offset, bytes);
    if (flushAfter) await device.flush();
  }
  await device.flush();
  for (const [at, { offset, bytes }] of writes.entries()) {
    const replaced = writes.slice(at + 1).some((later) => overlaps({ offset, bytes }, later));
    if (!replaced && !(await device.read(offset, bytes.length)).equals(bytes))
      throw new AgentError('FILE_UNWRITABLE', { path: device.path, reason: 'read back differently' });
  }
};

/** The writes that make both places hold the current header; nothing when they do. One place is always left alone. */
export const planHeaderMend = (
  image: HeaderImage,
  current: { readonly primary: boolean; readonly secondary: boolean },
): readonly DeviceWrite[] => {
  if (current.primary && current.secondary) return [];
  if (current.primary) return [{ offset: image.secondary.length, bytes: image.secondary, flushAfter: true }];
  return [{ offset: 0, bytes: image.primary, flushAfter: true }];
};

/**
 * Throws VOLUME_HEADER_CHANGED unless the header that was proven is still there: between proof and write a disk may have
 * been exchanged.
 */
export const insistUnchanged = async (device: BlockDevice, proven: HeaderOnDevice): Promise<void> => {
  const { image, primaryIsCurrent } = proven;
  // The copy that was read; the other place may carry another salt.
  const [offset, bytes] = primaryIsCurrent ? [0, image.primary] : [image.secondary.length, image.secondary];
  if (!(await device.read(offset, bytes.length)).equals(bytes))
    throw new AgentError('VOLUME_HEADER_CHANGED', { path: device.path });
};

/** Reads the keyslot areas a header refers to. */
export const readAreas = async (
  read: BlockDevice['read'],
  keyslots: readonly Keyslot[],
): Promise<HeaderImage['areas']> =>
  Promise.all(
    keyslots.map(async ({ areaOffsetBytes, areaSizeBytes }) => ({
      offset: areaOffsetBytes,
      bytes: await read(areaOffsetBytes, areaSizeBytes),
    })),
  );
