/**
 * Which disk is which volume. Pure. Disks are matched by serial number against volumeID, else volumeName, else the
 * volume key (IBM Cloud docs "About the contract", volumes), never by partition label, which any disk can claim.
 */
import type { ContractVolume } from '../contract/types.ts';
import type { DiskEntry } from '../ports.ts';

export type DiskMatch =
  | { readonly kind: 'found'; readonly disk: DiskEntry }
  | { readonly kind: 'missing'; readonly wanted: string; readonly seen: string }
  | { readonly kind: 'ambiguous'; readonly seen: string };

/** virtio-blk passes 20 bytes of a serial number (VIRTIO 1.2 §5.2.6, VIRTIO_BLK_T_GET_ID). */
const virtioSerialLength = 20;

const describe = (disks: readonly DiskEntry[]): string =>
  disks.length === 0
    ? 'none'
    : disks.map(({ path, serial, sizeBytes }) => `${path} (${serial ?? 'no serial'}, ${sizeBytes} bytes)`).join(', ');

/** `device` is the path from the agent configuration's volumes.devices, or null. */
export const findDisk = (
  disks: readonly DiskEntry[],
  volume: Pick<ContractVolume, 'key' | 'volumeID' | 'volumeName'>,
  device: string | null,
): DiskMatch => {
  const identity = volume.volumeID ?? volume.volumeName ?? volume.key;
  const fits = ({ path, serial }: DiskEntry): boolean =>
    device === null
      ? serial !== null && (serial === identity || serial === identity.slice(0, virtioSerialLength))
      : path === device;
  const found = disks.filter(fits);
  const [disk] = found;
  if (disk === undefined) {
    const wanted = device === null ? `a disk with serial number ${identity.slice(0, virtioSerialLength)}` : device;
    return { kind: 'missing', wanted, seen: describe(disks) };
  }
  return found.length > 1 ? { kind: 'ambiguous', seen: describe(found) } : { kind: 'found', disk };
};
