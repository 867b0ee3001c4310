/**
 * One disk, or the image of one in a plain file, as a boot would find it, for rehearsals: nothing can be written through
 * it. Of the partitions of an image, programs such as wipefs(8) and cryptsetup(8) get a stand-in in the run folder: a
 * sparse file of the right size with the first 16 MiB and the last MiB, where every signature lies that they know. Our
 * own readers get all of the image.
 */
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { mebibyte } from './device-bytes.ts';
import { type PartitionTable, readPartitionTable } from './partition-table.ts';

export interface DiskView {
  readonly host: Host;
  readonly disk: DiskEntry;
  /** Takes the stand-ins away. */
  remove(): Promise<void>;
}

type Open = (path: string) => Promise<BlockDevice>;

const refuseWrite = async (path: string): Promise<never> => {
  throw new AgentError('READ_ONLY_VIEW', { path });
};

const readOnly = (device: BlockDevice): BlockDevice => ({
  ...device,
  write: () => refuseWrite(device.path),
  flush: () => refuseWrite(device.path),
});

const viewHost = (host: Host, disk: DiskEntry, open: Open): Host => ({
  ...host,
  disks: {
    list: async () => [disk],
    open: async (path, access) => (access === 'read' ? readOnly(await open(path)) : refuseWrite(path)),
  },
});

/** A disk of this machine as it looks when nothing uses it. `entry` comes from the host's own list. */
export const viewDisk = (host: Host, entry: DiskEntry): DiskView => {
  const disk = { ...entry, holders: [], mountPoints: [], readOnly: false };
  return { host: viewHost(host, disk, (path) => host.disks.open(path, 'read')), disk, remove: async () => {} };
};

const headBytes = 16 * mebibyte;
const tailBytes = mebibyte;

const windowOf = (image: BlockDevice, path: string, startBytes: number, sizeBytes: number): BlockDevice => ({
  ...image,
  path,
  sizeBytes,
  read: async (offset, length) => {
    if (offset < 0 || length < 0 || offset + length > sizeBytes)
      throw new AgentError('FILE_UNREADABLE', { path, reason: 'beyond the end' });
    return image.read(startBytes + offset, length);
  },
});

const writeStandIn = async (host: Host, { path, sizeBytes, read }: BlockDevice): Promise<void> => {
  const head = Math.min(headBytes, sizeBytes);
  const tail = Math.min(tailBytes, sizeBytes - head);
  const pieces = [
    { offset: 0, bytes: await read(0, head) },
    { offset: sizeBytes - tail, bytes: await read(sizeBytes - tail, tail) },
  ];
  await host.files.remove(path);
  await host.files.writeSparse(path, sizeBytes, pieces, 0o600);
};

/** The table of an image, which does not say how large the sectors of its disk were. */
const tableOf = async (image: BlockDevice): Promise<{ table: PartitionTable; sectorBytes: 512 | 4096 }> => {
  const table = await readPartitionTable(image.read, image.sizeBytes, 512);
  if (table.kind === 'gpt' || table.kind === 'none') return { table, sectorBytes: 512 };
  const other = await readPartitionTable(image.read, image.sizeBytes, 4096);
  return other.kind === 'gpt' ? { table: other, sectorBytes: 4096 } : { table, sectorBytes: 512 };
};

/**
 * The image of a disk in the plain file `path`, with the partitions that its table has. `folder` lies in memory; stand-ins
 * are made there. Throws FILE_UNREADABLE, FILE_UNWRITABLE.
 */
export const viewImage = async (host: Host, path: string, folder: string): Promise<DiskView> => {
  const open = async (): Promise<BlockDevice> => host.disks.open(path, 'read');
  const image = await open();
  const standIns: string[] = [];
  const remove = async (): Promise<void> => {
    for (const file of standIns) await host.files.remove(file);
  };
  try {
    const { table, sectorBytes } = await tableOf(image);
    const found = table.kind === 'gpt' ? table.partitions : [];
    await host.files.makeFolder(folder, 0o700);
    const partitions = found.slice(0, 2).map(({ number, startBytes, sizeBytes }) => {
      const name = `partition-${number}`;
      return { name, path: `${folder}/${name}`, number, startBytes, sizeBytes };
    });
    for (const { path: file, startBytes, sizeBytes } of partitions) {
      standIns.push(file);
      await writeStandIn(host, windowOf(image, file, startBytes, sizeBytes));
    }
    const { sizeBytes } = image;
    const disk: DiskEntry = {
      name: path,
      path,
      sizeBytes,
      serial: null,
      readOnly: false,
      sectorBytes,
      partitions,
      holders: [],
      mountPoints: [],
    };
    const openInside: Open = async (wanted) => {
      const partition = partitions.find((entry) => entry.path === wanted);
      if (partition === undefined) return host.disks.open(wanted, 'read');
      return windowOf(await open(), wanted, partition.startBytes, partition.sizeBytes);
    };
    return { host: viewHost(host, disk, openInside), disk, remove };
  } catch (error) {
    await remove();
    throw error;
  } finally {
    await image.close();
  }
};
