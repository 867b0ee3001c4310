import type { BlockDevice, Disks } from '../ports.ts';

/**
 * `use` of the device at `path`, opened to be read, and closed afterwards. One look: what begins the device is the same
 * throughout `use`, so whoever has waited for something looks anew. Throws FILE_UNREADABLE and what `use` throws.
 */
export const oneLook = async <T>(
  { disks }: { readonly disks: Pick<Disks, 'open'> },
  path: string,
  use: (device: BlockDevice) => Promise<T>,
): Promise<T> => {
  const device = await disks.open(path, 'read');
  try {
    return await use(device);
  } finally {
    await device.close();
  }
};
