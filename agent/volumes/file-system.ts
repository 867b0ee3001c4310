/** The file system inside an opened volume: made, mounted, and grown when the volume has become larger. */
import { AgentError, reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import * as commands from './commands.ts';
import { hasRoomToGrow } from './filesystem-size.ts';
import type { Step } from './plan.ts';

/** An opened volume: its volume key and the path of its mapping. */
export interface OpenedVolume {
  readonly volume: string;
  readonly path: string;
}

/** What mkfs wrote is on the disk when this returns. Throws CREATE_FILESYSTEM_FAILED. */
export const makeFilesystem = async (
  host: Host,
  { volume, path }: OpenedVolume,
  { filesystem }: Extract<Step, { do: 'make-filesystem' }>,
): Promise<void> => {
  const result = await host.run(commands.makeFilesystem(filesystem, path));
  if (result.exit !== 0) {
    const detail = `mkfs.${filesystem} ${commands.complaintOf(result)}`;
    throw new AgentError('CREATE_FILESYSTEM_FAILED', { volume, detail });
  }
  const device = await host.disks.open(path, 'write');
  try {
    await device.flush();
  } finally {
    await device.close();
  }
};

/** A file system that stays smaller is no reason to keep the data away from the workload: what hinders is journalled. */
const growWhenSmaller = async (
  host: Host,
  { volume, path }: OpenedVolume,
  { filesystem, mount }: Extract<Step, { do: 'mount' }>,
): Promise<void> => {
  const notGrown = (detail: string): void => host.journal.message('VOLUME_FILESYSTEM_NOT_GROWN', { volume, detail });
  try {
    const device = await host.disks.open(path, 'read');
    const { sizeBytes: bytes } = device;
    const hasRoom = await hasRoomToGrow(device.read, bytes, filesystem).finally(() => device.close());
    if (!hasRoom) return;
    const result = await host.run(commands.growFilesystem(filesystem, path, mount));
    if (result.exit === 0) host.journal.message('VOLUME_FILESYSTEM_GROWN', { volume, bytes });
    else notGrown(commands.complaintOf(result));
  } catch (error) {
    notGrown(reasonOf(error));
  }
};

/** Throws MOUNT_NOT_A_FOLDER, MOUNT_FAILED. */
export const mountVolume = async (
  host: Host,
  opened: OpenedVolume,
  step: Extract<Step, { do: 'mount' }>,
): Promise<void> => {
  const { volume, path } = opened;
  const { filesystem, mount } = step;
  await host.files.makeFolder(mount, 0o755);
  // A link on the way would put the data somewhere the contract does not name.
  if ((await host.files.resolve(mount)) !== mount || (await host.files.kind(mount)) !== 'folder')
    throw new AgentError('MOUNT_NOT_A_FOLDER', { volume, mount });
  const result = await host.run(commands.mountVolume(filesystem, path, mount));
  if (result.exit !== 0)
    throw new AgentError('MOUNT_FAILED', { volume, detail: `mount ${commands.complaintOf(result)}` });
  host.journal.message('VOLUME_MOUNTED', { volume, mount });
  await growWhenSmaller(host, opened, step);
};
