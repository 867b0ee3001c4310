/**
 * The whole boot as one story:
 * source → decrypt → verify → validate → inspect → prove → plan → guard → apply → hand over to the key daemon.
 */
import type { AgentConfiguration } from './configuration.ts';
import { decryptContract } from './contract/decrypt.ts';
import { readContract } from './contract/source.ts';
import type { Contract, ContractVolume } from './contract/types.ts';
import { validateContract } from './contract/validate.ts';
import { verifyContract } from './contract/verify.ts';
import { AgentError } from './errors.ts';
import { type HandOver, handOverPath, renderHandOver } from './keyd/hand-over.ts';
import type { Host } from './ports.ts';
import { Secret } from './secret.ts';
import { type AppliedVolume, applyPlan } from './volumes/apply.ts';
import { type Plan, renderSteps } from './volumes/plan.ts';
import { type PreparedVolume, prepareVolume, rehearseVolume } from './volumes/prepare.ts';

const maxKeyFileBytes = 64 * 1024;
/** Longest time between a root key's answer and the end of preparing all volumes that is not a new wait. */
const keyAnswerAgeMs = 20_000;

export interface BootSurroundings {
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
}

export interface BootReport {
  readonly contract: Contract;
  readonly volumes: readonly AppliedVolume[];
}

const readContractKey = async (host: Host, path: string): Promise<Secret | null> => {
  const bytes = await host.files.read(path, maxKeyFileBytes);
  return bytes === null ? null : Secret.take(bytes);
};

/** The contract half of the line. Throws the first step's error; nothing has been touched then. */
export const obtainContract = async (
  host: Host,
  settings: AgentConfiguration,
  { credentialsFolder }: BootSurroundings,
): Promise<Contract> => {
  const { sources, key: keyPath, trustedSigners, profile, minimumSerial } = settings.contract;
  const at = host.clock.now();
  const sealed = await readContract(host, sources, credentialsFolder);
  host.journal.note('hpcr-contract', `contract read from ${sealed.source}`);
  const key = await readContractKey(host, keyPath);
  try {
    const verified = verifyContract(decryptContract(sealed, key), { trustedSigners, at });
    const { signer } = verified;
    host.journal.note('hpcr-signature', signer === null ? 'not signed' : `signed by key ${signer.fingerprint}`);
    const contract = validateContract(verified, { profile, minimumSerial });
    for (const { id, path, message } of contract.findings)
      host.journal.note('hpcr-contract', `${id}: ${path === '' ? '' : `${path}: `}${message}`);
    host.journal.note('hpcr-contract', `contract is valid: ${contract.volumes.length} volume(s)`);
    return contract;
  } finally {
    key?.wipe();
  }
};

/** A setting that this version cannot honour must not look honoured. */
const refuseUnbuiltSettings = ({ volumes }: AgentConfiguration): void => {
  const [profile] = volumes.legacyProfiles;
  if (profile !== undefined)
    throw new AgentError('SETTING_NOT_BUILT', { setting: `volumes.legacyProfiles: ${profile}` });
};

/** Secrets must not reach a disk: the run folder lives in memory and nothing swaps to an unencrypted device. */
const requirePrivateMemory = async (host: Host, run: string): Promise<void> => {
  await host.files.makeFolder(`${run}/headers`, 0o700);
  if (!(await host.files.isInMemory(run)))
    throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `${run} is not on a file system in memory` });
  const swaps = ((await host.files.read('/proc/swaps', 65_536)) ?? Buffer.alloc(0)).toString('utf8');
  const onDisk = swaps
    .split('\n')
    .slice(1)
    .filter((line) => line !== '' && !/^\/dev\/(dm-|mapper\/|zram)/.test(line));
  if (onDisk.length > 0)
    throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `swap is on ${onDisk[0]?.split(/\s/)[0]}` });
};

/** Runs all, waits for all, then throws the first failure: nothing keeps running behind an error. */
const all = async <In, Out>(inputs: readonly In[], work: (input: In) => Promise<Out>): Promise<readonly Out[]> => {
  const settled = await Promise.allSettled(inputs.map(work));
  const failed = settled.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason);
  if (failed.length === 1) throw failed[0];
  if (failed.length > 1) throw withOthers(failed);
  return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
};

/** The first failure as the error, all of them as its cause. */
const withOthers = ([first, ...others]: readonly unknown[]): unknown => {
  if (!(first instanceof AgentError)) return first;
  return new AgentError(first.code, first.facts, {
    cause: new AggregateError([first.cause, ...others].filter(Boolean)),
  });
};

const announce = (host: Host, { volume, scenario, steps, digest }: Plan): void =>
  host.journal.message('VOLUME_PLAN', { volume, scenario, steps: renderSteps(steps), digest });

const carryOut = async (host: Host, prepared: PreparedVolume, run: string): Promise<AppliedVolume> => {
  const { volume, plan, proof, observation } = prepared;
  try {
    return await applyPlan(host, { run, volume, plan, proof, observation });
  } finally {
    proof.wipe();
  }
};

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

/**
 * Boots: every volume is inspected, proven, planned and guarded before the first one is changed.
 * Throws the AgentError of the step that refused.
 */
export const boot = async (
  host: Host,
  settings: AgentConfiguration,
  surroundings: BootSurroundings,
): Promise<BootReport> => {
  const startedAtMs = host.clock.monotonicMs();
  const { run } = settings.paths;
  refuseUnbuiltSettings(settings);
  await requirePrivateMemory(host, run);
  const contract = await obtainContract(host, settings, surroundings);
  const prepared = await all(contract.volumes, (volume) => prepareVolume(host, volume, { settings, startedAtMs }));
  // The root keys were active a moment ago; the daemon's first deadline counts from no later than that.
  const provenAtMs = Math.max(startedAtMs, host.clock.monotonicMs() - keyAnswerAgeMs);
  for (const { plan } of prepared) announce(host, plan);
  const applied = await all(prepared, (volume) => carryOut(host, volume, run));
  const bootId = ((await host.files.read('/proc/sys/kernel/random/boot_id', 64)) ?? Buffer.alloc(0))
    .toString('latin1')
    .trim();
  const handOver = handOverOf(bootId, provenAtMs, settings, contract.volumes, applied);
  if (handOver !== null) await writeHandOver(host, handOverPath(run), handOver);
  host.journal.message('VOLUMES_DONE', { count: applied.length });
  return { contract, volumes: applied };
};

/** The plans of a boot, nothing carried out. */
export const rehearse = async (
  host: Host,
  settings: AgentConfiguration,
  surroundings: BootSurroundings,
): Promise<readonly Plan[]> => {
  const startedAtMs = host.clock.monotonicMs();
  refuseUnbuiltSettings(settings);
  await requirePrivateMemory(host, settings.paths.run);
  const contract = await obtainContract(host, settings, surroundings);
  return all(contract.volumes, (volume) => rehearseVolume(host, volume, { settings, startedAtMs }));
};
