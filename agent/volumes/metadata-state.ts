/** Whether the metadata partition may be rewritten: it holds nothing, or nothing but what we or HPCR put there. */
import type { BlockDevice, Host } from '../ports.ts';
import { probeBlank } from './blank.ts';
import { readRootNames } from './ext4-reader.ts';
import { keyfileName } from './keyfile.ts';
import { noteName } from './metadata.ts';
import { readSignatures } from './signatures.ts';

/**
 * `blank` all sampled bytes are zero · `ours` an ext file system with nothing but a keyfile or our note · `scrap` bytes that nothing
 * recognises, such as a mirror whose writing was cut · `foreign` anything else, which is never overwritten.
 */
export type MetadataState = 'blank' | 'ours' | 'scrap' | 'foreign';

const ownNames = new Set(['.', '..', 'lost+found', keyfileName, noteName]);

/** Reads only. Throws SIGNATURES_UNKNOWN and FILE_UNREADABLE. */
export const readMetadataState = async (
  host: Pick<Host, 'run' | 'entropy'>,
  device: BlockDevice,
): Promise<MetadataState> => {
  const found = await readRootNames(device.read, device.sizeBytes);
  if (found.kind === 'unreadable') return 'foreign';
  if (found.kind === 'names') return found.names.every((name) => ownNames.has(name)) ? 'ours' : 'foreign';
  if ((await readSignatures(host, device.path)).length > 0) return 'foreign';
  const blank = await probeBlank(device.read, device.sizeBytes, () => host.entropy.fraction());
  return blank.kind === 'blank' ? 'blank' : 'scrap';
};
