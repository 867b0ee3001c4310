/** The boot's end of the hand-over to the key daemon. */
import type { AgentConfiguration } from '../configuration.ts';
import type { ContractVolume } from '../contract/types.ts';
import type { Host } from '../ports.ts';
import type { AppliedVolume } from '../volumes/apply.ts';
import type { Opened } from '../volumes/open-all.ts';
import { type HandOver, handOverPath, renderHandOver } from './hand-over.ts';

/** What the key daemon needs, for volumes whose third seed hangs on a root key; null when there are none. */
const handOverOf = (
  bootId: string,
  provenAtMs: number,
  settings: AgentConfiguration,
  volumes: readonly ContractVolume[],
  applied: readonly AppliedVolume[],
): HandOver | null => {
  const watched = applied.flatMap((opened) => {
    const volume = volumes.find(({ key }) => key === opened.volume);
    const entry = volume?.kms[0];
    if (volume === undefined || entry === undefined || opened.stored === null) return [];
    const { mount, device, metadataDevice, mapping, luksUuid, stored } = opened;
    const { kmsTimeoutMinutes } = volume;
    const { crn, type, apiKey } = entry;
    return [
      {
        key: volume.key,
        mount,
        device,
        metadataDevice,
        mapping,
        luksUuid,
        ...stored,
        kmsTimeoutMinutes,
        crn,
        type,
        apiKey,
      },
    ];
  });
  const { kms, paths, power } = settings;
  return watched.length === 0
    ? null
    : { version: 1, bootId, provenAtMs, volumes: watched, settings: { kms, paths, power } };
};

const writeHandOver = async (host: Host, path: string, handOver: HandOver): Promise<void> => {
  const document = renderHandOver(handOver);
  try {
    await document.expose((bytes) => host.files.writeAtomically(path, bytes, 0o600));
  } finally {
    document.wipe();
  }
};

/** Writes what the daemon needs for every volume that hangs on a root key; nothing when none does. Throws FILE_UNWRITABLE. */
export const handOverToDaemon = async (
  host: Host,
  settings: AgentConfiguration,
  volumes: readonly ContractVolume[],
  opened: readonly Opened[],
): Promise<void> => {
  const asked = opened.flatMap(({ keyAskedAtMs }) => (keyAskedAtMs === null ? [] : [keyAskedAtMs]));
  const applied = opened.map((volume) => volume.applied);
  const bootId = ((await host.files.read('/proc/sys/kernel/random/boot_id', 64)) ?? Buffer.alloc(0))
    .toString('latin1')
    .trim();
  const handOver = handOverOf(bootId, Math.min(...asked), settings, volumes, applied);
  if (handOver !== null) await writeHandOver(host, handOverPath(settings.paths.run), handOver);
};
