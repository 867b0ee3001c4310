/** One volume from its disk to a guarded plan: inspect → prove → plan → guard. Nothing on any disk is changed. */
import type { AgentConfiguration } from '../configuration.ts';
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import { followsNoRestart, readRestarts } from '../keyd/restart-record.ts';
import type { Restarts } from '../keyd/restarts.ts';
import type { KeyBackend } from '../kms/backend.ts';
import { backendFor } from '../kms/backends.ts';
import { obtainSeed } from '../kms/obtain-seed.ts';
import type { DiskEntry, Host } from '../ports.ts';
import { dropHeader } from './close-volume.ts';
import { settleDevices } from './commands.ts';
import { type GuardedPlan, guardPlan } from './guard.ts';
import { newHeaderPath } from './header-file.ts';
import { awaitDisk, observe } from './inspect.ts';
import type { Observation } from './observation.ts';
import { decide, type NewIdentities, type Plan, planVolume, refuseUnusableSeedSource } from './plan.ts';
import { type ObtainSeed, type Proof, proveNew, proveOpening } from './prove.ts';

export interface PreparedVolume {
  readonly volume: ContractVolume;
  readonly observation: Observation;
  readonly plan: GuardedPlan;
  readonly proof: Proof;
  /** When the root key was last known to be active; null for volumes without one. */
  readonly keyAskedAtMs: number | null;
  /** How often the key daemon ended a boot with this volume; null where that is not counted. */
  readonly restarts: { readonly path: string; readonly known: Restarts } | null;
}

export interface Preparation {
  readonly settings: AgentConfiguration;
  /** Monotonic time from which kmsTimeout counts. */
  readonly startedAtMs: number;
  /** Uniform in [0, 1): how long the first question to a key service waits after a restart by the key daemon. Absent: it does not. */
  readonly stagger?: number;
}

/** Longest wait before the first question of a boot that follows a restart by the daemon: a fleet must not ask at once. */
const longestDelayMs = 30_000;

/** Spread over one interval between polls, a fleet that starts asks no more often than it does every day. */
const spreadMs = ({ kms }: AgentConfiguration): number => Math.min(longestDelayMs, kms.pollSeconds * 1000);

const restartsOf = async (
  host: Host,
  { kms }: ContractVolume,
  { metadata, partitions }: Observation,
): Promise<PreparedVolume['restarts']> => {
  if (kms.length === 0 || metadata !== 'ours' || partitions === null) return null;
  const { path } = partitions.metadata;
  return { path, known: await readRestarts(host, path) };
};

/** Volumes that the daemon's restart has closed wait until the same moment; never for more than half of the time that they have for their keys. */
const delayFirstQuestion = async (
  host: Host,
  { key: volume, kmsTimeoutMinutes }: ContractVolume,
  { settings, startedAtMs, stagger }: Preparation,
): Promise<void> => {
  const halfMs = kmsTimeoutMinutes === 0 ? longestDelayMs : (kmsTimeoutMinutes * 60_000) / 2;
  const dueMs = startedAtMs + Math.floor((stagger ?? 0) * Math.min(spreadMs(settings), halfMs));
  const delayMs = dueMs - host.clock.monotonicMs();
  if (delayMs <= 0) return;
  host.journal.message('FIRST_QUESTION_DELAYED', { volume, delayMs });
  await host.clock.sleep(delayMs);
};

/** The volume as one whose key service is asked once. */
export const impatient = (volume: ContractVolume): ContractVolume => ({ ...volume, kmsTimeoutMinutes: 0 });
/** The preparation for a disk that is there or not. */
export const impatiently = <Given extends Preparation>(preparation: Given): Given => {
  const { settings } = preparation;
  return { ...preparation, settings: { ...settings, volumes: { ...settings.volumes, deviceWaitSeconds: 0 } } };
};

export const newIdentities = ({ entropy }: Host): NewIdentities => ({
  diskGuid: entropy.uuid(),
  metadataGuid: entropy.uuid(),
  dataGuid: entropy.uuid(),
  luksUuid: entropy.uuid(),
});

/** One for each kms entry of the volume. Contacts nothing. Throws KMS_REFERENCE_INVALID. */
const backendsOf = (host: Host, { kms }: ContractVolume, settings: AgentConfiguration): readonly KeyBackend[] =>
  kms.map((entry) => backendFor(host, entry, settings.kms));

export const seedSource = (
  host: Host,
  volume: ContractVolume,
  { settings, startedAtMs }: Preparation,
  backends = backendsOf(host, volume, settings),
): ObtainSeed => {
  const { key, kmsTimeoutMinutes } = volume;
  const crns = volume.kms.map(({ crn }) => crn);
  return (stored, hasAlternative = false) =>
    obtainSeed(host, backends, { volume: key, stored, hasAlternative, kmsTimeoutMinutes, startedAtMs, crns });
};

/** There as long as udev has events to work on (systemd, src/libudev/libudev-queue.c). */
const udevQueue = '/run/udev/queue';

/**
 * A disk that has just come shows its partitions only when the kernel and udev are done with it. One with both partitions of a
 * volume, while udev has nothing to do, has come before; whoever writes a table waits for udev once more.
 */
const isSettled = async ({ files }: Host, { partitions }: DiskEntry): Promise<boolean> =>
  partitions.length >= 2 && (await files.read(udevQueue, 64).catch(() => 'unknown')) === null;

/**
 * While disks settle and are looked at, the service of the first key may make itself ready, unless a restart by the daemon goes
 * before, after which nothing is asked until its moment has come, or that cannot be seen yet.
 */
const readyService = async (host: Host, { partitions }: DiskEntry, first: KeyBackend | undefined): Promise<void> => {
  const metadata = partitions.find(({ number }) => number === 1);
  if (first?.prepare === undefined || metadata === undefined || partitions.length !== 2) return;
  if (await followsNoRestart(host, metadata.path)) await first.prepare();
};

const settledDisk = async (
  host: Host,
  volume: ContractVolume,
  settings: AgentConfiguration,
  first: KeyBackend | undefined,
): Promise<DiskEntry> => {
  const disk = await awaitDisk(host, volume, settings.volumes);
  // Whatever breaks there, the first question meets it again, and tells.
  void readyService(host, disk, first).catch(() => {});
  if (await isSettled(host, disk)) return disk;
  await host.run(settleDevices());
  return awaitDisk(host, volume, settings.volumes);
};

const usableDisk = async (
  host: Host,
  volume: ContractVolume,
  settings: AgentConfiguration,
  first: KeyBackend | undefined,
): Promise<DiskEntry> => {
  const disk = await settledDisk(host, volume, settings, first);
  const { path, holders, mountPoints } = disk;
  if (disk.readOnly) throw new AgentError('VOLUME_DISK_READ_ONLY', { volume: volume.key, path });
  const by = [...holders, ...mountPoints].join(', ');
  if (by !== '') throw new AgentError('VOLUME_DISK_IN_USE', { volume: volume.key, path, by });
  return disk;
};

/**
 * The disk and what is on it. A seed source that is not built refuses before any disk is looked for. `first` is the backend of the
 * first key, when it is about to be asked.
 */
export const inspectVolume = async (
  host: Host,
  volume: ContractVolume,
  settings: AgentConfiguration,
  first?: KeyBackend,
): Promise<Observation> => {
  refuseUnusableSeedSource(volume);
  const disk = await usableDisk(host, volume, settings, first);
  return observe(host, volume, disk, settings.volumes.legacyProfiles);
};

/** Throws the table's refusal, what the key service said, or the guard's objection. The caller wipes the proof. */
export const prepareVolume = async (
  host: Host,
  volume: ContractVolume,
  preparation: Preparation,
): Promise<PreparedVolume> => {
  const { settings } = preparation;
  const backends = backendsOf(host, volume, settings);
  const obtain = seedSource(host, volume, preparation, backends);
  const observation = await inspectVolume(host, volume, settings, backends[0]);
  const outcome = decide(volume, observation);
  const restarts = await restartsOf(host, volume, observation);
  if (restarts?.known.pending === true) await delayFirstQuestion(host, volume, preparation);
  const proof =
    outcome.kind === 'formats'
      ? await proveNew(volume, outcome, observation, newHeaderPath(host, settings.paths.run, volume.key), obtain)
      : await proveOpening(host, volume, outcome, observation, settings.paths.run, obtain);
  try {
    const proven = {
      seedWasRewrapped: outcome.kind === 'opens' && isNewWrapping(proof, observation),
      opensWithPrevious: proof.renewal !== null,
    };
    const plan = await guardPlan(
      host,
      planVolume(volume, observation, proven, newIdentities(host)),
      settings.volumes.legacyProfiles,
    );
    return { volume, observation, plan, proof, keyAskedAtMs: proof.obtained?.askedAtMs ?? null, restarts };
  } catch (error) {
    await discard(host, proof);
    throw error;
  }
};

export const nothingProven = { seedWasRewrapped: false, opensWithPrevious: false } as const;

/** The wrapping that opened the volume is not the one its token holds: newer, or from the keyfile. */
export const isNewWrapping = ({ obtained }: Proof, { header }: Observation): boolean => {
  const stored = header?.gated.token?.stored ?? null;
  return obtained !== null && (stored === null ? obtained.rewrapped : obtained.wrapped !== stored.wrapped);
};

/** Forgets what a proof left in memory. */
export const discard = async (host: Host, proof: Proof): Promise<void> => {
  proof.wipe();
  await dropHeader(host, proof.headerFile);
};

/** The plan without carrying it out: for volumes that would be formatted the key service is not asked for a seed. */
export const rehearseVolume = async (host: Host, volume: ContractVolume, preparation: Preparation): Promise<Plan> => {
  const observation = await inspectVolume(host, volume, preparation.settings);
  if (decide(volume, observation).kind === 'formats')
    return guardPlan(host, planVolume(volume, observation, nothingProven, newIdentities(host)));
  const { plan, proof } = await prepareVolume(host, volume, preparation);
  await discard(host, proof);
  return plan;
};
