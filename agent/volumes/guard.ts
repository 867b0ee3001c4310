/**
 * The second look. Knows nothing of the scenario table: given a plan with destructive steps it probes the disk anew
 * and objects to anything it cannot prove to be empty, or to be our own interrupted formatting of this very volume.
 * Only a GuardedPlan can be applied.
 */
import type { LegacyProfile } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { probeBlank } from './blank.ts';
import type { ReadAt } from './device-bytes.ts';
import { markerBytes, parseMarker } from './formatting-marker.ts';
import { gateHeader } from './gate.ts';
import { roomToGrow } from './grow-table.ts';
import { withoutRanges } from './inspect.ts';
import { type HeaderRead, readLuksHeader } from './luks-header.ts';
import { gateLuks1 } from './luks1-gate.ts';
import { readLuks1Header } from './luks1-header.ts';
import { type MetadataState, readMetadataState } from './metadata-state.ts';
import { oneLook } from './one-look.ts';
import { foundAtOurPlaces } from './our-places.ts';
import { isOurHalfWrittenTable, tableRanges } from './partition-table.ts';
import { destructive, type Plan, type Step } from './plan.ts';
import { readSignatures } from './signatures.ts';

declare const guarded: unique symbol;
export type GuardedPlan = Plan & { readonly [guarded]: true };

/** What the guard saw with its own eyes. */
export interface Sight {
  readonly readOnly: boolean;
  readonly inUseBy: readonly string[];
  /** The bytes to be formatted are all zero as far as sampled, apart from a cut-off table of ours. */
  readonly blank: boolean;
  /** Our mark for exactly this volume and partition lies there, and no usable LUKS header. */
  readonly markedForThis: boolean;
  /** What libblkid recognises on it; not asked when the plan destroys nothing. */
  readonly signatures: readonly string[];
  /** The device carries a header that passes the gate of its version. */
  readonly opensSafely: boolean;
  /** It is one of LUKS1. */
  readonly luks1: boolean;
  /** What lies where our own table would put its partitions; not looked for when the plan destroys nothing. */
  readonly hidden: string | null;
  readonly sizeBytes: number;
  readonly serial: string | null;
  /** Where the last partition could end at most. */
  readonly growsTo: number | null;
  /** Null when the plan makes the partitions itself, or does not touch the metadata partition. */
  readonly metadata: MetadataState | null;
}

/** All that may happen to a LUKS1 volume: it is never changed. */
const leavesLuks1: ReadonlySet<Step['do']> = new Set(['grow-partition', 'open', 'mount']);

/** Why this plan must not run, or null. Pure. */
export const objection = (plan: Plan, sight: Sight): string | null => {
  const destroys = plan.steps.some((step) => destructive.has(step.do));
  if (sight.readOnly) return 'the disk is read-only';
  if (sight.inUseBy.length > 0) return `the disk is in use by ${sight.inUseBy.join(', ')}`;
  if (sight.serial !== plan.serial) return 'another disk has taken its place';
  const growth = plan.steps.find((step) => step.do === 'grow-partition');
  if (growth !== undefined && growth.endBytes !== sight.growsTo)
    return 'the disk has no such room behind its last partition';
  if (plan.kind === 'opens' && !sight.opensSafely) return 'the device has no LUKS header that passes the gate';
  if (sight.luks1 && plan.steps.some((step) => !leavesLuks1.has(step.do)))
    return 'the plan would change a LUKS1 volume';
  if (sight.metadata === 'foreign') return 'the metadata partition holds something that is not ours';
  if (!destroys) return null;
  if (plan.kind !== 'formats') return 'a plan that opens a volume holds a destructive step';
  if (sight.sizeBytes !== plan.target.sizeBytes) return 'the device changed its size since it was inspected';
  if (sight.metadata === 'scrap') return 'the metadata partition is not blank';
  if (sight.markedForThis) return null;
  if (sight.hidden !== null) return `where our partitions belong lies ${sight.hidden}`;
  if (!sight.blank) return 'the device is not blank';
  if (sight.signatures.length > 0) return `the device carries ${sight.signatures.join(', ')}`;
  return null;
};

const ownTableSignatures = new Set(['gpt', 'PMBR']);

const lookAtMetadata = async (host: Host, plan: Plan, disk: DiskEntry): Promise<MetadataState | null> => {
  const writes = plan.steps.some((step) => step.do === 'make-metadata');
  if (!writes || plan.steps.some((step) => step.do === 'partition')) return null;
  const partition = disk.partitions.find(({ number }) => number === 1);
  if (partition === undefined) return 'foreign';
  return oneLook(host, partition.path, (device) => readMetadataState(host, device));
};

const roomOf = async (host: Host, plan: Plan, disk: DiskEntry): Promise<number | null> => {
  if (!plan.steps.some((step) => step.do === 'grow-partition')) return null;
  return oneLook(host, disk.path, (whole) => roomToGrow(whole.read, whole.sizeBytes, disk.sectorBytes));
};

const opensSafely = async (
  found: HeaderRead,
  { read, sizeBytes }: Pick<BlockDevice, 'read' | 'sizeBytes'>,
  legacy: readonly LegacyProfile[],
): Promise<boolean> => {
  if (found.kind === 'luks1')
    return gateLuks1(await readLuks1Header(read, sizeBytes), sizeBytes, legacy).kind === 'passed';
  return found.kind === 'luks2' && gateHeader(found.current, legacy).kind === 'passed';
};

const look = async (
  host: Host,
  plan: Plan,
  disk: DiskEntry,
  target: BlockDevice,
  legacy: readonly LegacyProfile[],
): Promise<Sight> => {
  const wholeDisk = target.path === disk.path;
  const half = wholeDisk ? await isOurHalfWrittenTable(target.read, target.sizeBytes, disk.sectorBytes) : null;
  const resumes = half?.kind === 'ours' && half.writesPresent < 5;
  const read: ReadAt = resumes
    ? withoutRanges(target.read, tableRanges(target.sizeBytes, disk.sectorBytes))
    : target.read;
  const marker = target.sizeBytes < markerBytes ? null : parseMarker(await target.read(0, markerBytes));
  const header = await readLuksHeader(read, target.sizeBytes);
  const destroys = plan.steps.some((step) => destructive.has(step.do));
  const signatures = destroys ? await readSignatures(host, target.path) : [];
  const markStep = plan.steps.find((step) => step.do === 'mark-formatting');
  return {
    readOnly: disk.readOnly,
    inUseBy: [...disk.holders, ...disk.mountPoints],
    blank: destroys && (await probeBlank(read, target.sizeBytes, () => host.entropy.fraction())).kind === 'blank',
    markedForThis:
      !wholeDisk &&
      marker?.volume === plan.volume &&
      marker.partitionGuid === markStep?.partitionGuid &&
      header.kind !== 'luks2',
    growsTo: await roomOf(host, plan, disk),
    opensSafely: await opensSafely(header, { read, sizeBytes: target.sizeBytes }, legacy),
    luks1: header.kind === 'luks1',
    hidden: destroys ? await foundAtOurPlaces(read, target.sizeBytes) : null,
    serial: disk.serial,
    metadata: await lookAtMetadata(host, plan, disk),
    signatures: resumes ? signatures.filter((name) => !ownTableSignatures.has(name)) : signatures,
    sizeBytes: target.sizeBytes,
  };
};

/**
 * Passes the plan or throws VOLUME_GUARD_OBJECTS; `legacy` is `volumes.legacyProfiles` of the agent configuration. Reads
 * only.
 */
export const guardPlan = async (
  host: Host,
  plan: Plan,
  legacy: readonly LegacyProfile[] = [],
): Promise<GuardedPlan> => {
  const refuse = (detail: string): never => {
    throw new AgentError('VOLUME_GUARD_OBJECTS', { volume: plan.volume, detail });
  };
  const disk = (await host.disks.list(plan.disk)).find(({ path }) => path === plan.disk) ?? refuse('the disk is gone');
  return oneLook(host, plan.target.path, async (target) => {
    const reason = objection(plan, await look(host, plan, disk, target, legacy));
    if (reason !== null) refuse(reason);
    return plan as GuardedPlan;
  });
};
