/** Whether a folder keeps secrets off unencrypted disks. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { deviceHolding, parentOf } from './mount-table.ts';

const maxMountTableBytes = 4 * 1024 * 1024;
/** Devices may be stacked: a logical volume on dm-crypt on a RAID. */
const maxStack = 8;

/** UUIDs that libcryptsetup gives to dm-crypt devices. Those of dm-verity and dm-integrity begin with CRYPT-, too. */
const encryptedUuid = /^CRYPT-(?:LUKS[12]|PLAIN)-/;

const text = async (host: Host, path: string, maxBytes: number): Promise<string> =>
  ((await host.files.read(path, maxBytes)) ?? Buffer.alloc(0)).toString('latin1');

/** True when everything written to the device goes through dm-crypt. `folder` is its folder in sysfs. */
export const isEncryptedDevice = async (host: Host, folder: string, depth = 0): Promise<boolean> => {
  if (depth > maxStack) return false;
  if (encryptedUuid.test(await text(host, `${folder}/dm/uuid`, 512))) return true;
  const below = await host.files.list(`${folder}/slaves`);
  for (const name of below) {
    if (!(await isEncryptedDevice(host, `/sys/class/block/${name}`, depth + 1))) return false;
  }
  return below.length > 0;
};

const isEncryptedNode = async (host: Host, device: string): Promise<boolean> => {
  const node = (await host.files.resolve(device)) ?? device;
  return isEncryptedDevice(host, `/sys/class/block/${node.slice('/dev/'.length)}`);
};

/** Secrets must not reach a disk: the run folder lives in memory and nothing swaps to an unencrypted device. */
export const requirePrivateMemory = async (host: Host, run: string): Promise<void> => {
  await host.files.makeFolder(`${run}/headers`, 0o700);
  if (!(await host.files.isInMemory(run)))
    throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `${run} is not on a file system in memory` });
  const swaps = ((await host.files.read('/proc/swaps', 65_536)) ?? Buffer.alloc(0)).toString('utf8');
  for (const line of swaps.split('\n').slice(1)) {
    const [device = ''] = line.split(/\s/);
    if (device !== '' && !device.startsWith('/dev/zram') && !(await isEncryptedNode(host, device)))
      throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `swap is on ${device}` });
  }
};

/** The nearest folder on the way up that exists, without symbolic links. */
const existing = async (host: Host, path: string): Promise<string> => {
  for (let current = path; ; current = parentOf(current)) {
    const resolved = await host.files.resolve(current);
    if (resolved !== null || current === '/') return resolved ?? '/';
  }
};

/**
 * Throws WORKLOAD_PLACE_NOT_PRIVATE unless `path` lies, or would lie once it is made, on a file system in memory or on an
 * encrypted device. What is in memory could still be swapped: boot refuses unencrypted swap before.
 */
export const requirePrivatePlace = async (host: Host, path: string): Promise<void> => {
  const folder = await existing(host, path);
  if (await host.files.isInMemory(folder)) return;
  const device = deviceHolding(await text(host, '/proc/self/mountinfo', maxMountTableBytes), folder);
  if (device !== null && (await isEncryptedDevice(host, `/sys/dev/block/${device}`))) return;
  throw new AgentError('WORKLOAD_PLACE_NOT_PRIVATE', { path });
};
