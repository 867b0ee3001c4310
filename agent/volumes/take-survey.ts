/** Looks at a volume's disk, and at seeds and key service as far as wanted; writes nothing to any disk. */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { type DiskView, viewDisk } from './disk-view.ts';
import { guardPlan } from './guard.ts';
import { awaitDisk } from './inspect.ts';
import type { Observation } from './observation.ts';
import { decide, mappingOf, type NewIdentities, type ProvenFacts, planVolume } from './plan.ts';
import {
  discard,
  impatient,
  impatiently,
  inspectVolume,
  isNewWrapping,
  newIdentities,
  nothingProven,
  type Preparation,
  seedSource,
} from './prepare.ts';
import { proveOpening } from './prove.ts';
import { type Finding, keptObservation, keptVolume, type Survey } from './survey.ts';

/** A person waits. */
const settingsFor = (preparation: Preparation, volume: string, path: string): Preparation['settings'] => {
  const { settings } = impatiently(preparation);
  return { ...settings, volumes: { ...settings.volumes, devices: { [volume]: path } } };
};

const prove = async (
  view: Host,
  volume: ContractVolume,
  observation: Observation,
  preparation: Preparation,
  identities: NewIdentities,
  offline: boolean,
): Promise<Finding> => {
  const outcome = decide(volume, observation);
  const { legacyProfiles } = preparation.settings.volumes;
  const guarded = (proven: ProvenFacts) =>
    guardPlan(view, planVolume(volume, observation, proven, identities), legacyProfiles);
  if (outcome.kind === 'formats' || (offline && volume.kms.length > 0)) {
    await guarded(nothingProven);
    return { kind: 'notAsked' };
  }
  const { settings } = preparation;
  const obtain = seedSource(view, volume, preparation);
  const proof = await proveOpening(view, volume, outcome, observation, settings.paths.run, obtain);
  try {
    const proven = {
      seedWasRewrapped: isNewWrapping(proof, observation),
      opensWithPrevious: proof.renewal !== null,
    };
    await guarded(proven);
    return { kind: 'proven', ...proven };
  } finally {
    await discard(view, proof);
  }
};

/**
 * What a boot would find and do, `view` being the volume's disk. Refusals of table, seeds, key service and guard are part
 * of the answer. Throws what cannot be found out at all: VOLUME_SEED_SOURCE_NOT_BUILT, FILE_UNREADABLE, SIGNATURES_UNKNOWN.
 */
export const takeSurvey = async (
  view: DiskView,
  given: ContractVolume,
  preparation: Preparation,
  how: { readonly offline: boolean; readonly isOpen: boolean },
): Promise<Survey> => {
  const volume = impatient(given);
  const settings = settingsFor(preparation, volume.key, view.disk.path);
  const observation = await inspectVolume(view.host, volume, settings);
  const identities = newIdentities(view.host);
  const survey = { volume: keptVolume(volume), observation: keptObservation(observation), identities };
  const { isOpen, offline } = how;
  try {
    const finding = await prove(view.host, volume, observation, { ...preparation, settings }, identities, offline);
    return { ...survey, isOpen, finding };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { ...survey, isOpen, finding: { kind: 'failed', id: error.id, text: error.message } };
  }
};

/** Whether every device on the disk is the opened volume itself. */
const isOwnMapping = async (host: Host, volume: string, holders: readonly string[]): Promise<boolean> => {
  for (const holder of holders) {
    const name = await host.files.read(`/sys/class/block/${holder}/dm/name`, 512);
    if (name?.toString('latin1').trim() !== mappingOf(volume)) return false;
  }
  return holders.length > 0;
};

/**
 * The disk of a volume as the next boot will find it: one that is open now counts as closed. Throws
 * VOLUME_DISK_MISSING, VOLUME_DISK_AMBIGUOUS, VOLUME_DISK_READ_ONLY, VOLUME_DISK_IN_USE.
 */
export const viewVolume = async (
  host: Host,
  volume: ContractVolume,
  { settings }: Preparation,
): Promise<DiskView & { readonly isOpen: boolean }> => {
  const entry = await awaitDisk(host, volume, { ...settings.volumes, deviceWaitSeconds: 0 });
  const { path, holders, mountPoints } = entry;
  if (entry.readOnly) throw new AgentError('VOLUME_DISK_READ_ONLY', { volume: volume.key, path });
  const isOpen = mountPoints.length === 0 && (await isOwnMapping(host, volume.key, holders));
  const by = [...holders, ...mountPoints].join(', ');
  if (by !== '' && !isOpen) throw new AgentError('VOLUME_DISK_IN_USE', { volume: volume.key, path, by });
  return { ...viewDisk(host, entry), isOpen };
};
