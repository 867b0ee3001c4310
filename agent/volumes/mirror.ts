/** Writing the metadata partition: the mirror of what the header's token says. */
import { AgentError, reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import { writeInOrder } from './header-commit.ts';
import { metadataWrites } from './metadata.ts';
import { readMetadataState } from './metadata-state.ts';

/**
 * Rewrites the metadata partition at `path`. Whatever goes wrong is journalled (METADATA_WRITE_FAILED) and nothing more:
 * the token in the header is the authority, and the next boot tries again. Never overwrites what is not ours.
 */
export const writeMirror = async (host: Host, volume: string, path: string, wrapped: string | null): Promise<void> => {
  try {
    const device = await host.disks.open(path, 'write');
    try {
      if ((await readMetadataState(host, device)) === 'foreign')
        throw new AgentError('METADATA_FOREIGN', { volume, path });
      const { sizeBytes } = device;
      await writeInOrder(
        device,
        metadataWrites({ sizeBytes, wrapped, uuid: host.entropy.uuid(), at: host.clock.now() }),
      );
    } finally {
      await device.close();
    }
  } catch (error) {
    host.journal.message('METADATA_WRITE_FAILED', { volume, detail: reasonOf(error) });
  }
};
