/**
 * Puts a rewrapped seed into a volume's header: a token-only commit. The MAC does not cover the wrapped seed, so
 * seed3 is not needed and never in memory here. The keyfile of the metadata partition stays as the latest boot has proven it.
 */
import type { LegacyProfile } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { gateHeader, legacyOf } from './gate.ts';
import { planHeaderCommit, writeInOrder } from './header-commit.ts';
import { onDevice, withToken } from './header-file.ts';
import { withVolumeLock } from './lock.ts';
import { readLuksHeader } from './luks-header.ts';
import type { ProtectedVolume } from './stored-seed.ts';

const commitToken = async (
  host: Host,
  volume: Pick<ProtectedVolume, 'key' | 'device' | 'luksUuid'>,
  wrapped: string,
  keyVersion: string,
  legacy: readonly LegacyProfile[],
): Promise<void> => {
  const fail = (detail: string, cause?: unknown): AgentError =>
    new AgentError('VOLUME_COMMIT_FAILED', { volume: volume.key, detail }, { cause });
  const device = await host.disks.open(volume.device, 'write');
  try {
    const found = await readLuksHeader(device.read, device.sizeBytes);
    if (found.kind !== 'luks2') throw fail(`the header on the disk is ${found.kind}`);
    const gate = gateHeader(found.current, legacy);
    if (gate.kind === 'refused') throw fail(gate.reason);
    const { token, copy } = gate.header;
    if (copy.uuid !== volume.luksUuid || token === null || token.stored === null || token.volume !== volume.key)
      throw fail('the header on the disk is not the one that was opened');
    const primaryIsCurrent = found.primary === 'current';
    const secondaryIsCurrent = found.secondary === 'current';
    const present = await onDevice(device.read, { gated: gate.header, primaryIsCurrent, secondaryIsCurrent });
    const renewed = { ...token, stored: { ...token.stored, wrapped, keyVersion } };
    const image = withToken(present.image, copy, renewed, [host.entropy.bytes(64), host.entropy.bytes(64)]);
    if (image === null) throw fail('the wrapped seed does not fit into the header');
    await writeInOrder(device, planHeaderCommit(present, image));
    const after = await readLuksHeader(device.read, device.sizeBytes);
    const same = after.kind === 'luks2' && after.current.sequence === copy.sequence + 1n;
    const again = same ? gateHeader(after.current, legacyOf(gate.header)) : null;
    if (again?.kind !== 'passed' || again.header.token?.stored?.wrapped !== wrapped)
      throw fail('the new header does not read back as written');
  } finally {
    await device.close();
  }
};

/**
 * Stores `wrapped` in the header of `volume`. `legacy` is `volumes.legacyProfiles`. Throws VOLUME_COMMIT_FAILED, VOLUME_LOCKED.
 */
export const storeSeed = async (
  host: Host,
  volume: Pick<ProtectedVolume, 'key' | 'device' | 'luksUuid'>,
  wrapped: string,
  keyVersion: string,
  legacy: readonly LegacyProfile[] = [],
): Promise<void> =>
  withVolumeLock(host, volume.luksUuid, volume.key, () => commitToken(host, volume, wrapped, keyVersion, legacy));
