/** Partition tables on their way to the disk: our own on a blank one, and one that follows a disk that has grown. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { readPartitionsAgain, settleDevices } from './commands.ts';
import type { ByteRange } from './device-bytes.ts';
import { renderGrownTable } from './grow-table.ts';
import { writeInOrder } from './header-commit.ts';
import { renderOurTable } from './partition-table.ts';
import type { Plan, Step } from './plan.ts';

type Fail = (detail: string) => AgentError;
type Writes = Parameters<typeof writeInOrder>[1];

/** Writes to the device or partition at `path`, as writeInOrder does. */
export const writeTo = async (host: Host, path: string, writes: Writes): Promise<void> => {
  const device = await host.disks.open(path, 'write');
  try {
    await writeInOrder(device, writes);
  } finally {
    await device.close();
  }
};

const readTableAgain = async (host: Host, disk: string): Promise<void> => {
  await host.run(readPartitionsAgain(disk));
  await host.run(settleDevices());
};

/** Path of partition `number` when the kernel sees it where it was written. */
const seenAt = async (host: Host, disk: string, number: number, range: ByteRange, fail: Fail): Promise<string> => {
  const entry = (await host.disks.list(disk)).find(({ path }) => path === disk);
  const found = entry?.partitions.find((partition) => partition.number === number);
  if (found?.startBytes !== range.offset || found.sizeBytes !== range.length)
    throw fail(`the kernel does not see partition ${number} as written`);
  return found.path;
};

/** Paths of the two new partitions. Throws PARTITIONING_FAILED. */
export const makePartitions = async (
  host: Host,
  { volume, disk }: Plan,
  step: Extract<Step, { do: 'partition' }>,
): Promise<{ readonly metadata: string; readonly data: string }> => {
  const fail: Fail = (detail) => new AgentError('PARTITIONING_FAILED', { volume, detail });
  const table = renderOurTable(step);
  if (table.kind !== 'table') throw fail(`the disk has less than ${table.minimumBytes} bytes`);
  await writeTo(host, disk, table.writes);
  await readTableAgain(host, disk);
  return {
    metadata: await seenAt(host, disk, 1, table.metadata, fail),
    data: await seenAt(host, disk, 2, table.data, fail),
  };
};

/** Throws VOLUME_PARTITION_NOT_GROWN. */
export const growPartition = async (
  host: Host,
  { volume, disk }: Plan,
  step: Extract<Step, { do: 'grow-partition' }>,
  sectorBytes: 512 | 4096,
): Promise<void> => {
  const fail: Fail = (detail) => new AgentError('VOLUME_PARTITION_NOT_GROWN', { volume, detail });
  const device = await host.disks.open(disk, 'write');
  let data: ByteRange;
  try {
    const grown = await renderGrownTable(device.read, device.sizeBytes, sectorBytes);
    if (grown === null || grown.data.offset + grown.data.length !== step.endBytes)
      throw fail('the disk or its table changed since it was inspected');
    await writeInOrder(device, grown.writes);
    data = grown.data;
  } finally {
    await device.close();
  }
  await readTableAgain(host, disk);
  await seenAt(host, disk, 2, data, fail);
  host.journal.message('VOLUME_PARTITION_GROWN', { volume, bytes: data.length });
};
