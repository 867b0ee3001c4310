/**
 * Which passphrase opens a LUKS1 volume: tried on H, a copy that holds the gated header and the areas of its used keyslots
 * and nothing else. Two seeds only, and the present ones: nothing could be renewed, since LUKS1 is never changed.
 */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { dropHeader } from './close-volume.ts';
import type { ByteRange } from './device-bytes.ts';
import { findOpening } from './find-opening.ts';
import type { GatedLuks1 } from './luks1-gate.ts';
import type { Observation } from './observation.ts';
import { oneLook } from './one-look.ts';
import { derivePassphrase } from './passphrase.ts';
import type { Proof } from './prove.ts';

const copyHeader = (host: Host, headerFile: string, device: string, header: GatedLuks1): Promise<void> =>
  oneLook(host, device, async (opened) => {
    const areaOf = async ({ offset, length }: ByteRange) => ({ offset, bytes: await opened.read(offset, length) });
    const areas = await Promise.all(header.keyslots.map(({ area }) => areaOf(area)));
    await host.files.remove(headerFile);
    const pieces = [{ offset: 0, bytes: header.copy.bytes }, ...areas];
    await host.files.writeSparse(headerFile, header.segment.offsetBytes, pieces, 0o600);
  });

/**
 * Leaves H at `headerFile` for the plan to use, unless it throws: LUKS_OPEN_FAILED, and VOLUME_LUKS1_UNCHANGED
 * when only a previousSeed opens it.
 */
export const proveLuks1 = async (
  host: Host,
  volume: ContractVolume,
  header: GatedLuks1,
  { target }: Observation,
  headerFile: string,
): Promise<Proof> => {
  try {
    await copyHeader(host, headerFile, target.path, header);
    const tested = { file: headerFile, device: target.path, type: 'luks1' } as const;
    const { seeds, scheme, isCurrent } = await findOpening(host, volume, null, null, tested);
    if (!isCurrent)
      throw new AgentError('VOLUME_LUKS1_UNCHANGED', { volume: volume.key, detail: 'only a previousSeed opens it' });
    const passphrase = derivePassphrase(seeds, scheme);
    return {
      headerFile,
      passphrase,
      scheme,
      renewal: null,
      keyslot: null,
      obtained: null,
      present: null,
      wipe: () => passphrase.wipe(),
    };
  } catch (error) {
    await dropHeader(host, headerFile);
    throw error;
  }
};
