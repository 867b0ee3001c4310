/**
 * Closing what was opened, when the machine is about to go down or on the way out of an error. Nothing here throws: the error that is
 * on its way counts, and each thing is tried although another cannot be closed.
 */
import type { Command, Host } from '../ports.ts';
import { dmRemove, unmountVolume } from './commands.ts';

const succeeds = async (host: Pick<Host, 'run'>, command: Command): Promise<boolean> => {
  try {
    return (await host.run(command)).exit === 0;
  } catch {
    return false;
  }
};

/**
 * Unmounts a volume and removes its mapping; says so when that cannot be done. `mounted` is the mount point or, when it is not known
 * whether the volume has been mounted, null: then whatever is mounted of the mapping is unmounted.
 */
export const closeMapping = async (
  host: Pick<Host, 'run' | 'journal'>,
  volume: { readonly volume: string; readonly mapping: string; readonly mounted: string | null },
): Promise<void> => {
  const { mapping, mounted } = volume;
  await succeeds(host, unmountVolume(mounted ?? `/dev/mapper/${mapping}`));
  if (!(await succeeds(host, dmRemove(mapping)))) host.journal.message('VOLUME_LEFT_OPEN', { volume: volume.volume });
};

/** Removes H. What a failure leaves behind is a copy of bytes of the disk, in memory, readable by root. */
export const dropHeader = async (host: Pick<Host, 'files'>, headerFile: string): Promise<void> => {
  await host.files.remove(headerFile).catch(() => {});
};
