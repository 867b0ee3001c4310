/**
 * The whole boot as one story:
 * source → decrypt → verify → validate → inspect → prove → plan → guard → apply → hand over to workload and key daemon.
 */
import { type BootRecord, bootReportPath, renderBootReport } from './boot-report.ts';
import type { AgentConfiguration } from './configuration.ts';
import { readContractKey } from './contract/contract-key.ts';
import { decryptContractAside } from './contract/decrypt.ts';
import { requireSameContract } from './contract/same-contract.ts';
import { readContract } from './contract/source.ts';
import type { Contract, SealedContract } from './contract/types.ts';
import { validateContract } from './contract/validate.ts';
import { verifyContract } from './contract/verify.ts';
import { AgentError, hasCode, reasonOf } from './errors.ts';
import { settleRestarts } from './keyd/restart-record.ts';
import { handOverToDaemon } from './keyd/write-hand-over.ts';
import { certificateEnd } from './notices/certificate-end.ts';
import { type Ends, expiryPath, renderExpiry } from './notices/expiry-file.ts';
import type { Host } from './ports.ts';
import { version } from './version.ts';
import { type AppliedVolume, closeVolumes } from './volumes/apply.ts';
import { withBootLock } from './volumes/lock.ts';
import { applyAll, type Opened, prepareAll, rehearseAll } from './volumes/open-all.ts';
import { openedPath, renderOpened } from './volumes/opened-record.ts';
import type { Plan } from './volumes/plan.ts';
import { contractHashes } from './workload/contract-record.ts';
import { type HandedWorkload, handedWorkload, wipeHanded } from './workload/handed.ts';
import { requirePrivateMemory } from './workload/private-place.ts';
import { requirePrivatePlaces, writeHanded } from './workload/write-handed.ts';

/** systemd/triseed-keyd.service, triseed-revoke.service. */
const unitsRunFolder = '/run/triseed';

export interface BootSurroundings {
  /** $CREDENTIALS_DIRECTORY of the unit, or null. */
  readonly credentialsFolder: string | null;
}

export interface BootReport {
  readonly contract: Contract;
  readonly volumes: readonly AppliedVolume[];
}

interface Obtained {
  readonly sealed: SealedContract;
  readonly contract: Contract;
}

const announceContract = (host: Host, contract: Contract): void => {
  const { journal } = host;
  for (const { id, path, message, severity } of contract.findings) {
    const priority = severity === 'warning' ? 'warning' : 'note';
    journal.note('hpcr-contract', `${id}: ${path === '' ? '' : `${path}: `}${message}`, priority);
  }
  // Of plain sections a hash would help whoever reads the log to guess what is in them.
  const { workload, env } = contract.sections;
  if (workload.form === 'token' && env.form === 'token')
    for (const line of contractHashes(contract)) journal.note('hpcr-contract', line);
  journal.note('hpcr-contract', `contract is valid: ${contract.volumes.length} volume(s)`);
};

/** The contract half of the line. Throws the first step's error; nothing has been touched then. */
const obtainContract = async (
  host: Host,
  settings: AgentConfiguration,
  { credentialsFolder }: BootSurroundings,
): Promise<Obtained> => {
  const { sources, key: keyPath, trustedSigners, profile, minimumSerial } = settings.contract;
  const at = host.clock.now();
  const sealed = await readContract(host, sources, credentialsFolder);
  await requireSameContract(host, settings.paths.run, sealed);
  host.journal.note('hpcr-contract', `contract read from ${sealed.source}`);
  const key = await readContractKey(host, keyPath);
  try {
    const [opened] = await Promise.all([decryptContractAside(sealed, key), host.preload?.()]);
    const verified = verifyContract(opened, { trustedSigners, at });
    const { signer } = verified;
    host.journal.note('hpcr-signature', signer === null ? 'not signed' : `signed by key ${signer.fingerprint}`);
    const contract = validateContract(verified, { profile, minimumSerial });
    announceContract(host, contract);
    return { sealed, contract };
  } finally {
    key?.wipe();
  }
};

/** A setting that this version cannot honour must not look honoured. */
const refuseUnbuiltSettings = ({ paths, power }: AgentConfiguration): void => {
  // The units look for the hand-over there; elsewhere nobody would watch the root keys.
  if (power === 'systemd' && paths.run !== unitsRunFolder)
    throw new AgentError('SETTING_NOT_BUILT', { setting: `paths.run: ${paths.run} together with power: systemd` });
};

/** When workload or key daemon cannot be given what they need, no volume stays open. */
const handOver = async (
  host: Host,
  settings: AgentConfiguration,
  { volumes }: Contract,
  handed: HandedWorkload,
  opened: readonly Opened[],
): Promise<readonly AppliedVolume[]> => {
  const applied = opened.map((volume) => volume.applied);
  try {
    await writeHanded(host, handed);
    const record = Buffer.from(renderOpened(applied));
    await host.files.writeAtomically(openedPath(settings.paths.run), record, 0o600);
    await handOverToDaemon(host, settings, volumes, opened);
    for (const { restarts } of opened)
      if (restarts?.known.pending === true) await settleRestarts(host, restarts.path, restarts.known);
    return applied;
  } catch (error) {
    await closeVolumes(host, applied);
    throw error;
  }
};

/** Notices of expiry are no reason not to boot. */
const leaveExpiry = async (host: Host, path: string, ends: Ends): Promise<void> => {
  try {
    await host.files.writeAtomically(path, Buffer.from(renderExpiry(ends)), 0o600);
  } catch (error) {
    host.journal.message('EXPIRY_NOT_LEFT', { path, reason: reasonOf(error) });
  }
};

/** What is known by the time a boot ends, however it ends. */
interface Known {
  contract: Contract | null;
  certificateNotAfter: Date | null;
  volumes: readonly AppliedVolume[];
}

/** A report that cannot be written changes nothing of how the boot has ended. */
const leaveReport = async (
  host: Host,
  { paths: { run } }: AgentConfiguration,
  known: Known,
  {
    startedAt,
    startedAtMs,
    error,
  }: { readonly startedAt: Date; readonly startedAtMs: number; readonly error: unknown },
): Promise<void> => {
  try {
    const { files, clock } = host;
    const bootId = (await files.read('/proc/sys/kernel/random/boot_id', 64))?.toString('latin1').trim() ?? '';
    const elapsedMs = clock.monotonicMs() - startedAtMs;
    const record: BootRecord = {
      agent: version,
      bootId,
      startedAt,
      finishedAt: clock.now(),
      elapsedMs,
      ...known,
      error,
    };
    await files.makeFolder(run, 0o700);
    await files.writeAtomically(bootReportPath(run), Buffer.from(renderBootReport(record)), 0o600);
  } catch (cause) {
    host.journal.message('BOOT_REPORT_NOT_WRITTEN', { path: bootReportPath(run), reason: reasonOf(cause) });
  }
};

/**
 * Boots: what the workload gets is decided, and every volume is inspected, proven, planned and guarded, before the first
 * disk is changed. The workload's files are written when its volumes are mounted, because one may lie inside its project.
 * Throws the AgentError of the step that refused.
 */
const carryOut = async (
  host: Host,
  settings: AgentConfiguration,
  surroundings: BootSurroundings,
  { startedAtMs, known }: { readonly startedAtMs: number; readonly known: Known },
): Promise<BootReport> => {
  const preparation = { settings, startedAtMs, stagger: host.entropy.fraction() };
  refuseUnbuiltSettings(settings);
  await requirePrivateMemory(host, settings.paths.run);
  const { sealed, contract } = await obtainContract(host, settings, surroundings);
  known.contract = contract;
  known.certificateNotAfter = await certificateEnd(host, settings.contract.certificate);
  const handed = handedWorkload(contract, sealed, settings);
  try {
    await requirePrivatePlaces(host, handed);
    known.volumes = await withBootLock(host, async () => {
      const prepared = await prepareAll(host, contract.volumes, preparation);
      const opened = await applyAll(host, prepared, preparation);
      host.journal.message('VOLUMES_DONE', { count: opened.length });
      return handOver(host, settings, contract, handed, opened);
    });
    const ends = { contract: contract.signer?.certificateNotAfter ?? null, certificate: known.certificateNotAfter };
    await leaveExpiry(host, expiryPath(settings.paths.run), ends);
    return { contract, volumes: known.volumes };
  } finally {
    wipeHanded(handed);
  }
};

/** `carryOut`, with a report of how it ended. Throws what it throws. */
export const boot = async (
  host: Host,
  settings: AgentConfiguration,
  surroundings: BootSurroundings,
): Promise<BootReport> => {
  const started = { startedAt: host.clock.now(), startedAtMs: host.clock.monotonicMs() };
  const known: Known = { contract: null, certificateNotAfter: null, volumes: [] };
  try {
    const report = await carryOut(host, settings, surroundings, { startedAtMs: started.startedAtMs, known });
    await leaveReport(host, settings, known, { ...started, error: null });
    return report;
  } catch (error) {
    // Otherwise the report is that of the boot that is at work.
    if (!hasCode(error, 'BOOT_UNDERWAY')) await leaveReport(host, settings, known, { ...started, error });
    throw error;
  }
};

/** The contract as a boot would accept it, for commands that look at its volumes. Throws what a boot would refuse it with. */
export const readVolumes = async (
  host: Host,
  settings: AgentConfiguration,
  surroundings: BootSurroundings,
): Promise<Contract['volumes']> => {
  refuseUnbuiltSettings(settings);
  await requirePrivateMemory(host, settings.paths.run);
  return (await obtainContract(host, settings, surroundings)).contract.volumes;
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
  const { sealed, contract } = await obtainContract(host, settings, surroundings);
  wipeHanded(handedWorkload(contract, sealed, settings));
  return rehearseAll(host, contract.volumes, { settings, startedAtMs });
};
