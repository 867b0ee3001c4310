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
import type { AppliedVolume } from './volumes/apply.ts';
import { applyAll, prepareAll, rehearseAll } from './volumes/open-all.ts';
import type { Plan } from './volumes/plan.ts';

/** systemd/triseed-keyd.service, triseed-revoke.service. */
const unitsRunFolder = '/run/triseed';
const maxKeyFileBytes = 64 * 1024;

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
const refuseUnbuiltSettings = ({ volumes, paths, power }: AgentConfiguration): void => {
  // The units look for the hand-over there; elsewhere nobody would watch the root keys.
  if (power === 'systemd' && paths.run !== unitsRunFolder)
    throw new AgentError('SETTING_NOT_BUILT', { setting: `paths.run: ${paths.run} together with power: systemd` });
  const [profile] = volumes.legacyProfiles;
  if (profile !== undefined)
    throw new AgentError('SETTING_NOT_BUILT', { setting: `volumes.legacyProfiles: ${profile}` });
};

/** True for a device-mapper device that dm-crypt made: its UUID says so (libcryptsetup, `CRYPT-…`). */
const isEncrypted = async (host: Host, device: string): Promise<boolean> => {
  const node = (await host.files.resolve(device)) ?? device;
  const uuid = await host.files.read(`/sys/block/${node.slice('/dev/'.length)}/dm/uuid`, 512);
  return uuid?.toString('latin1').startsWith('CRYPT-') ?? false;
};

/** Secrets must not reach a disk: the run folder lives in memory and nothing swaps to an unencrypted device. */
const requirePrivateMemory = async (host: Host, run: string): Promise<void> => {
  await host.files.makeFolder(`${run}/headers`, 0o700);
  if (!(await host.files.isInMemory(run)))
    throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `${run} is not on a file system in memory` });
  const swaps = ((await host.files.read('/proc/swaps', 65_536)) ?? Buffer.alloc(0)).toString('utf8');
  for (const line of swaps.split('\n').slice(1)) {
    const [device = ''] = line.split(/\s/);
    if (device !== '' && !device.startsWith('/dev/zram') && !(await isEncrypted(host, device)))
      throw new AgentError('MEMORY_NOT_PRIVATE', { detail: `swap is on ${device}` });
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
  const preparation = { settings, startedAtMs };
  const prepared = await prepareAll(host, contract.volumes, preparation);
  const opened = await applyAll(host, prepared, preparation);
  const applied = opened.map((volume) => volume.applied);
  const asked = opened.flatMap(({ keyAskedAtMs }) => (keyAskedAtMs === null ? [] : [keyAskedAtMs]));
  const provenAtMs = Math.min(...asked);
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
  return rehearseAll(host, contract.volumes, { settings, startedAtMs });
};
