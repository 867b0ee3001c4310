/**
 * What is on the disk of a volume. Reads only; decides nothing. Every byte comes from the host and is hostile: the
 * partition table, the LUKS header and the metadata file system are read by bounded parsers of our own, no file
 * system of the disk is mounted.
 */
import type { AgentConfiguration, LegacyProfile } from '../configuration.ts';
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { probeBlank } from './blank.ts';
import type { ByteRange, ReadAt } from './device-bytes.ts';
import { readRootFile } from './ext4-reader.ts';
import { findDisk } from './find-disk.ts';
import { markerBytes, parseMarker } from './formatting-marker.ts';
import { gateHeader } from './gate.ts';
import { roomToGrow } from './grow-table.ts';
import { keyfileName, seedFactOf } from './keyfile.ts';
import { readLuksHeader } from './luks-header.ts';
import { gateLuks1 } from './luks1-gate.ts';
import { readLuks1Header } from './luks1-header.ts';
import { readMetadataState } from './metadata-state.ts';
import type { Observation } from './observation.ts';
import { oneLook } from './one-look.ts';
import { foundAtOurPlaces } from './our-places.ts';
import { isOurHalfWrittenTable, type PartitionTable, readPartitionTable, tableRanges } from './partition-table.ts';
import { readSignatures } from './signatures.ts';

const pollMs = 500;
const progressMs = 30_000;

/** Waits for the disk of `volume`, at most deviceWaitSeconds. Throws VOLUME_DISK_MISSING, VOLUME_DISK_AMBIGUOUS. */
export const awaitDisk = async (
  host: Host,
  volume: ContractVolume,
  settings: AgentConfiguration['volumes'],
): Promise<DiskEntry> => {
  const device = settings.devices[volume.key] ?? null;
  const deadline = host.clock.monotonicMs() + settings.deviceWaitSeconds * 1000;
  let nextProgress = host.clock.monotonicMs() + pollMs;
  for (;;) {
    const match = findDisk(await host.disks.list(), volume, device);
    if (match.kind === 'found') return match.disk;
    if (match.kind === 'ambiguous')
      throw new AgentError('VOLUME_DISK_AMBIGUOUS', { volume: volume.key, seen: match.seen });
    const now = host.clock.monotonicMs();
    if (now >= deadline)
      throw new AgentError('VOLUME_DISK_MISSING', { volume: volume.key, wanted: match.wanted, seen: match.seen });
    if (now >= nextProgress) {
      host.journal.message('VOLUME_WAITING', {
        volume: volume.key,
        secondsLeft: Math.ceil((deadline - now) / 1000),
      });
      nextProgress = now + progressMs;
    }
    await host.clock.sleep(pollMs);
  }
};

/** The same device with `ranges` seen as zeros: how a disk looks apart from our cut-off partition table. */
export const withoutRanges =
  (read: ReadAt, ranges: readonly ByteRange[]): ReadAt =>
  async (offset, length) => {
    const bytes = await read(offset, length);
    for (const range of ranges) {
      const start = Math.max(offset, range.offset);
      const end = Math.min(offset + length, range.offset + range.length);
      if (start < end) bytes.fill(0, start - offset, end - offset);
    }
    return bytes;
  };

type Judged = Pick<Observation, 'target' | 'header' | 'luks1'>;

const unproven = (fact: Observation['target']['fact'], device: BlockDevice, detail: string): Judged => ({
  target: { fact, path: device.path, sizeBytes: device.sizeBytes, detail },
  header: null,
  luks1: null,
});

const judgeLuks1 = async (device: BlockDevice, read: ReadAt, legacy: readonly LegacyProfile[]): Promise<Judged> => {
  const { sizeBytes } = device;
  const gate = gateLuks1(await readLuks1Header(read, sizeBytes), sizeBytes, legacy);
  if (gate.kind === 'refused') return unproven('luks-damaged', device, gate.reason);
  return { ...unproven('luks1', device, `LUKS1 ${gate.header.segment.cipher}`), luks1: gate.header };
};

/**
 * blank, formatting, luks, luks1, luks-damaged or foreign. `read` may hide our own cut-off partition table; `marked` is null for
 * a whole disk.
 */
const judgeTarget = async (
  host: Host,
  device: BlockDevice,
  read: ReadAt,
  marked: { readonly volume: string; readonly partitionGuid: string } | null,
  legacy: readonly LegacyProfile[],
): Promise<Judged> => {
  const found = await readLuksHeader(read, device.sizeBytes);
  if (found.kind === 'luks2') {
    const gate = gateHeader(found.current, legacy);
    if (gate.kind === 'refused') return unproven('luks-damaged', device, gate.reason);
    if (gate.header.segment.offsetBytes >= device.sizeBytes)
      return unproven('luks-damaged', device, 'the data would start beyond the end of the device');
    return {
      target: { fact: 'luks', path: device.path, sizeBytes: device.sizeBytes, detail: `LUKS2 ${gate.header.profile}` },
      header: {
        gated: gate.header,
        primaryIsCurrent: found.primary === 'current',
        secondaryIsCurrent: found.secondary === 'current',
      },
      luks1: null,
    };
  }
  if (found.kind === 'luks1') return judgeLuks1(device, read, legacy);
  const marker = device.sizeBytes < markerBytes ? null : parseMarker(await read(0, markerBytes));
  if (marker !== null && marked !== null) {
    if (marker.volume === marked.volume && marker.partitionGuid === marked.partitionGuid)
      return unproven('formatting', device, 'an interrupted format of this volume');
    return unproven('foreign', device, `an interrupted format of volume ${marker.volume}`);
  }
  if (found.kind === 'damaged') return unproven('luks-damaged', device, found.reason);
  const blank = await probeBlank(read, device.sizeBytes, () => host.entropy.fraction());
  if (blank.kind !== 'blank') return unproven('foreign', device, `data at byte ${blank.firstNonZeroOffset}`);
  const signatures = await readSignatures(host, device.path);
  const ownTable = read === device.read ? [] : ['gpt', 'PMBR'];
  const foreign = signatures.filter((signature) => !ownTable.includes(signature));
  if (foreign.length > 0) return unproven('foreign', device, `signature ${foreign.join(', ')}`);
  const hidden = marked === null ? await foundAtOurPlaces(read, device.sizeBytes) : null;
  if (hidden !== null) return unproven('foreign', device, hidden);
  return unproven('blank', device, 'all sampled bytes are zero');
};

type Partitioned = Extract<PartitionTable, { kind: 'gpt' }>;

/** The two partitions as both our reader and the kernel see them; null when they are not ours or disagree. */
const ownPartitions = (table: Partitioned, disk: DiskEntry): Observation['partitions'] => {
  const [first, second] = table.partitions;
  if (table.partitions.length !== 2 || first?.name !== 'metadata' || second?.name !== 'data') return null;
  if (first.number !== 1 || second.number !== 2 || first.startBytes > second.startBytes) return null;
  const seen = [first, second].map(({ number, guid, startBytes, sizeBytes }) => {
    const kernel = disk.partitions.find((partition) => partition.number === number);
    const same = kernel?.startBytes === startBytes && kernel.sizeBytes === sizeBytes;
    return kernel !== undefined && same ? { path: kernel.path, guid, startBytes, sizeBytes } : null;
  });
  const [metadata, data] = seen;
  return metadata && data ? { diskGuid: table.diskGuid, metadata, data } : null;
};

const observeMetadata = async (
  host: Host,
  metadataPath: string,
  judged: Judged,
): Promise<Pick<Observation, 'metadata' | 'seed'>> =>
  oneLook(host, metadataPath, async (device) => {
    const metadata = await readMetadataState(host, device);
    const mirror = seedFactOf(await readRootFile(device.read, device.sizeBytes, keyfileName));
    const kept = mirror.fact === 'present' ? [mirror.wrapped] : [];
    const token = judged.header?.gated.token ?? null;
    if (token === null) return { metadata, seed: { fact: mirror.fact, wrapped: kept, mirrorIsCurrent: true } };
    if (token.stored === null)
      return { metadata, seed: { fact: 'none', wrapped: [], mirrorIsCurrent: mirror.fact === 'none' } };
    const { wrapped } = token.stored;
    const all = [...new Set([wrapped, ...kept])];
    return { metadata, seed: { fact: 'present', wrapped: all, mirrorIsCurrent: kept[0] === wrapped } };
  });

/**
 * Everything table and plan may know of one disk; `legacy` is `volumes.legacyProfiles`. Throws only when it cannot be read
 * (FILE_UNREADABLE).
 */
export const observe = async (
  host: Host,
  volume: ContractVolume,
  disk: DiskEntry,
  legacy: readonly LegacyProfile[] = [],
): Promise<Observation> =>
  oneLook(host, disk.path, async (whole) => {
    const base = {
      volume: volume.key,
      disk: {
        path: disk.path,
        sizeBytes: disk.sizeBytes,
        serial: disk.serial,
        readOnly: disk.readOnly,
        sectorBytes: disk.sectorBytes,
        inUseBy: [...disk.holders, ...disk.mountPoints],
      },
      partitions: null,
      metadata: null,
      resume: null,
      growsTo: null,
      seed: { fact: 'none', wrapped: [], mirrorIsCurrent: true },
    } as const;
    const other = (partitioning: Observation['partitioning'], detail: string): Observation => ({
      ...base,
      partitioning,
      ...unproven('foreign', whole, detail),
    });
    const half = await isOurHalfWrittenTable(whole.read, whole.sizeBytes, disk.sectorBytes);
    if (half.kind === 'ours' && half.writesPresent < 5) {
      const { diskGuid, metadataGuid, dataGuid } = half;
      const read = withoutRanges(whole.read, tableRanges(whole.sizeBytes, disk.sectorBytes));
      const judged = await judgeTarget(host, whole, read, null, legacy);
      return { ...base, partitioning: 'halfWritten', resume: { diskGuid, metadataGuid, dataGuid }, ...judged };
    }
    const table = await readPartitionTable(whole.read, whole.sizeBytes, disk.sectorBytes);
    if (table.kind === 'none')
      return { ...base, partitioning: 'none', ...(await judgeTarget(host, whole, whole.read, null, legacy)) };
    if (table.kind === 'damaged') return other('damaged', table.reason);
    const count = table.kind === 'mbr' ? table.count : table.partitions.length;
    if (count !== 2) return other(count === 1 ? 'one' : 'more', `${count} partition${count === 1 ? '' : 's'}`);
    if (table.kind === 'mbr') return other('twoOther', 'an MBR partition table');
    if (table.copies === 'differ' || table.copies === 'backupOnly')
      return other('damaged', `GPT copies: ${table.copies}`);
    const partitions = ownPartitions(table, disk);
    if (partitions === null)
      return other('twoOther', table.partitions.map(({ name }) => JSON.stringify(name)).join(' and '));
    const marked = { volume: volume.key, partitionGuid: partitions.data.guid };
    const judged = await oneLook(host, partitions.data.path, (data) =>
      judgeTarget(host, data, data.read, marked, legacy),
    );
    return {
      ...base,
      partitioning: 'two',
      partitions,
      // A table that ends where the disk does, as at nearly every boot, leaves no room: it need not be read again.
      growsTo: table.backupAtEnd ? null : await roomToGrow(whole.read, whole.sizeBytes, disk.sectorBytes),
      ...judged,
      ...(await observeMetadata(host, partitions.metadata.path, judged)),
    };
  });
