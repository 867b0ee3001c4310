/** Disks as sysfs shows them, and positioned reads and writes on them or on plain files. */
import { constants, fstatSync, readdirSync, readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Disks } from '../ports.ts';
import { privateBuffer } from '../secret.ts';
import { readingBeginningOnce } from './beginning.ts';

/** sysfs counts in units of 512 bytes whatever the logical sector size (Documentation/ABI/stable/sysfs-block). */
const sysfsSectorBytes = 512;
/** Not disks a volume can live on: stacked, memory-backed or removable-media devices. */
const notADisk = /^(loop|ram|zram|dm-|md|sr|fd|nbd)/;

const readText = async (path: string): Promise<string | null> => {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return null;
  }
};

/**
 * What the kernel answers from its memory: a read takes microseconds, and a tenth of what handing it to another thread and
 * back does. A listing has twenty such reads a disk. Whatever asks the device itself must not stop this process.
 */
const textInMemory = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
};

const namesInMemory = (path: string): readonly string[] => {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
};

const mountPointsOf = (mountInfo: string, numbers: ReadonlySet<string>): readonly string[] =>
  mountInfo
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields[2] !== undefined && numbers.has(fields[2]))
    .map((fields) => fields[4] ?? '');

/** virtio-blk asks the device each time (VIRTIO 1.2 §5.2.6, VIRTIO_BLK_T_GET_ID), which may take long to answer. */
const serialOf = async (folder: string): Promise<string | null> => {
  const serial = (await readText(`${folder}/serial`)) ?? (await readText(`${folder}/device/serial`));
  return serial === null || serial === '' || serial === '(null)' ? null : serial;
};

const diskEntry = async (name: string, mountInfo: string): Promise<DiskEntry> => {
  const folder = `/sys/block/${name}`;
  const partitionNames = namesInMemory(folder).filter((entry) => entry.startsWith(name));
  const bytesOf = (path: string): number => Number(textInMemory(path) ?? '0') * sysfsSectorBytes;
  const partitions = partitionNames.map((partition) => ({
    name: partition,
    path: `/dev/${partition}`,
    number: Number(textInMemory(`${folder}/${partition}/partition`) ?? '0'),
    startBytes: bytesOf(`${folder}/${partition}/start`),
    sizeBytes: bytesOf(`${folder}/${partition}/size`),
  }));
  const folders = [folder, ...partitionNames.map((partition) => `${folder}/${partition}`)];
  const numbers = folders.map((path) => textInMemory(`${path}/dev`));
  return {
    name,
    path: `/dev/${name}`,
    sizeBytes: bytesOf(`${folder}/size`),
    serial: await serialOf(folder),
    sectorBytes: textInMemory(`${folder}/queue/logical_block_size`) === '4096' ? 4096 : 512,
    readOnly: textInMemory(`${folder}/ro`) === '1',
    partitions: partitions.sort((a, b) => a.number - b.number),
    holders: folders.flatMap((path) => namesInMemory(`${path}/holders`)),
    mountPoints: mountPointsOf(mountInfo, new Set(numbers.filter((number) => number !== null))),
  };
};

const list: Disks['list'] = async (path) => {
  const mountInfo = textInMemory('/proc/self/mountinfo') ?? '';
  const isAsked = (name: string): boolean => path === undefined || path === `/dev/${name}`;
  const found = namesInMemory('/sys/block').filter((name) => !notADisk.test(name) && isAsked(name));
  return (await Promise.all(found.map((name) => diskEntry(name, mountInfo)))).filter((disk) => disk.sizeBytes > 0);
};

const failed = (what: 'read' | 'write', path: string, cause: unknown): AgentError => {
  const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new AgentError(what === 'read' ? 'FILE_UNREADABLE' : 'FILE_UNWRITABLE', { path, reason }, { cause });
};

const openDevice: Disks['open'] = async (path, access) => {
  const mode = { read: constants.O_RDONLY, write: constants.O_RDWR, exclusive: constants.O_RDWR | constants.O_EXCL }[
    access
  ];
  const handle = await open(path, mode).catch((cause: unknown) => {
    throw failed('read', path, cause);
  });
  // A block device reports size 0 to stat; sysfs, keyed by its device number, knows it.
  const stat = fstatSync(handle.fd);
  const number = `${(stat.rdev >> 8) & 0xfff}:${(stat.rdev & 0xff) | ((stat.rdev >> 12) & 0xfff00)}`;
  const sectors = stat.isBlockDevice() ? textInMemory(`/sys/dev/block/${number}/size`) : null;
  const sizeBytes = stat.isBlockDevice() ? Number(sectors ?? '0') * sysfsSectorBytes : stat.size;
  const readAt: BlockDevice['read'] = async (offset, length) => {
    if (offset < 0 || length < 0 || offset + length > sizeBytes) throw failed('read', path, 'beyond the end');
    const bytes = privateBuffer(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done).catch((cause: unknown) => {
        throw failed('read', path, cause);
      });
      if (bytesRead === 0) throw failed('read', path, 'ended early');
      done += bytesRead;
    }
    return bytes;
  };
  const device: BlockDevice = {
    path,
    sizeBytes,
    read: access === 'read' ? readingBeginningOnce(readAt, sizeBytes) : readAt,
    write: async (offset, bytes) => {
      if (offset < 0 || offset + bytes.length > sizeBytes) throw failed('write', path, 'beyond the end');
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await handle
          .write(bytes, done, bytes.length - done, offset + done)
          .catch((cause: unknown) => {
            throw failed('write', path, cause);
          });
        if (bytesWritten === 0) throw failed('write', path, 'nothing was written');
        done += bytesWritten;
      }
    },
    flush: async () => {
      await handle.sync().catch((cause: unknown) => {
        throw failed('write', path, cause);
      });
    },
    close: () =>
      handle.close().catch((cause: unknown) => {
        throw failed(access === 'read' ? 'read' : 'write', path, cause);
      }),
  };
  return device;
};

export const disks: Disks = { list, open: openDevice };
