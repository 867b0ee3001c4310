/** A NoCloud disk (cloud-init docs, "NoCloud" data source): an ISO 9660 image whose root holds user-data and friends. */
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { ImageError } from './image.ts';
import { type ImageFile, listImage, readLabel } from './iso9660.ts';
import { parseGroundBytes } from './parse-ground.ts';
import { isMapping } from './strict-yaml.ts';

const maxSmallFileBytes = 256 * 1024;
/** RFC 1123 section 2.1 and RFC 1035 section 2.3.4. */
const hostName =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;

export interface NoCloud {
  readonly device: string;
  readonly userData: Buffer;
  readonly localHostname: string | null;
  /** The other files as read, for the attestation record; null when absent. */
  readonly metaData: Buffer | null;
  readonly vendorData: Buffer | null;
  readonly networkConfig: Buffer | null;
}

const withDevice = async <T>(host: Host, path: string, use: (device: BlockDevice) => Promise<T>): Promise<T> => {
  const device = await host.disks.open(path, 'read');
  try {
    return await use(device);
  } finally {
    await device.close();
  }
};

const pathsOf = (disk: DiskEntry): readonly string[] => [disk.path, ...disk.partitions.map(({ path }) => path)];

/** Devices carrying `label` (any case). A device that cannot be read does not carry it. */
const findLabelled = async (host: Host, label: string): Promise<readonly string[]> => {
  const found: string[] = [];
  for (const disk of await host.disks.list()) {
    for (const path of pathsOf(disk)) {
      const read = await withDevice(host, path, (device) =>
        readLabel((offset, length) => device.read(offset, length), device.sizeBytes),
      ).catch(() => null);
      if (read !== null && read.toLowerCase() === label.toLowerCase()) found.push(path);
    }
  }
  return found;
};

const localHostnameOf = (metaData: Buffer | null): string | null => {
  if (metaData === null) return null;
  const read = parseGroundBytes(metaData, null);
  if (read.kind === 'refused') throw new ImageError('meta-data is no strict YAML');
  const { value } = read.value.document;
  if (value === null) return null;
  if (!isMapping(value)) throw new ImageError('meta-data is no mapping');
  const name = value['local-hostname'];
  if (name === undefined || name === null) return null;
  if (typeof name !== 'string' || !hostName.test(name)) throw new ImageError('local-hostname is no host name');
  return name;
};

const readNoCloud = async (device: BlockDevice, maxUserDataBytes: number): Promise<NoCloud | null> => {
  const limits: Readonly<Record<string, number>> = {
    'user-data': maxUserDataBytes,
    'meta-data': maxSmallFileBytes,
    'vendor-data': maxSmallFileBytes,
    'network-config': maxSmallFileBytes,
  };
  const readAt = (offset: number, length: number): Promise<Buffer> => device.read(offset, length);
  const files = await listImage(readAt, device.sizeBytes, Object.keys(limits));
  const read = async ({ name, offset, length }: ImageFile): Promise<Buffer> => {
    const limitBytes = limits[name] ?? 0;
    if (length > limitBytes) {
      throw new AgentError('CONTRACT_TOO_LARGE', { source: `${name} on ${device.path}`, limitBytes });
    }
    return length === 0 ? Buffer.alloc(0) : device.read(offset, length);
  };
  const contentOf = async (name: string): Promise<Buffer | null> => {
    const file = files.find((candidate) => candidate.name === name);
    return file === undefined ? null : read(file);
  };
  const userData = await contentOf('user-data');
  if (userData === null) return null;
  const metaData = await contentOf('meta-data');
  return {
    device: device.path,
    userData,
    localHostname: localHostnameOf(metaData),
    metaData,
    vendorData: await contentOf('vendor-data'),
    networkConfig: await contentOf('network-config'),
  };
};

/**
 * Reads the one disk labelled `label`; null when there is none. Throws CONTRACT_DISK_AMBIGUOUS for several,
 * CONTRACT_DISK_UNUSABLE for a malformed one or one without user-data, CONTRACT_TOO_LARGE.
 */
export const findNoCloud = async (host: Host, label: string, maxUserDataBytes: number): Promise<NoCloud | null> => {
  const devices = await findLabelled(host, label);
  if (devices.length > 1) throw new AgentError('CONTRACT_DISK_AMBIGUOUS', { label, devices });
  const [path] = devices;
  if (path === undefined) return null;
  const unusable = (reason: string, cause?: unknown): AgentError =>
    new AgentError('CONTRACT_DISK_UNUSABLE', { device: path, reason }, { cause });
  try {
    const found = await withDevice(host, path, (device) => readNoCloud(device, maxUserDataBytes));
    if (found === null) throw unusable('there is no file user-data in its root folder');
    return found;
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw error instanceof ImageError ? unusable(error.message) : unusable('reading it failed', error);
  }
};
