/**
 * Carries a guarded plan out, step by step, deciding nothing. What a cut between any two steps leaves behind is a row
 * of the scenario table, so nothing is ever resumed: the next boot inspects and plans anew.
 */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError, reasonOf } from '../errors.ts';
import type { Host } from '../ports.ts';
import { changePassphrase } from './change-passphrase.ts';
import { closeMapping, dropHeader } from './close-volume.ts';
import * as commands from './commands.ts';
import type { DeviceWrite } from './device-bytes.ts';
import { tableObjection } from './dm-table.ts';
import { makeFilesystem, mountVolume, type OpenedVolume } from './file-system.ts';
import { markerBytes, renderMarker } from './formatting-marker.ts';
import type { GatedHeader } from './gate.ts';
import type { GuardedPlan } from './guard.ts';
import { insistUnchanged, planHeaderCommit, planHeaderMend, writeInOrder } from './header-commit.ts';
import { withVolumeLock } from './lock.ts';
import type { GatedLuks1 } from './luks1-gate.ts';
import { adoptHeader, formatHeader, type NewHeader } from './make-header.ts';
import { writeMirror } from './mirror.ts';
import type { Observation } from './observation.ts';
import type { Step } from './plan.ts';
import type { Proof } from './prove.ts';
import { growPartition, makePartitions, writeTo } from './write-table.ts';

/** What is true while a plan runs. */
interface Progress {
  readonly host: Host;
  readonly volume: ContractVolume;
  readonly plan: GuardedPlan;
  proof: Proof;
  header: GatedHeader | null;
  /** A header that is opened and never changed. */
  readonly luks1: GatedLuks1 | null;
  pending: NewHeader | null;
  readonly sectorBytes: 512 | 4096;
  targetPath: string;
  metadataPath: string | null;
  mapping: string | null;
}

export interface AppliedVolume {
  readonly volume: string;
  readonly scenario: string;
  readonly mount: string;
  readonly mapping: string;
  readonly device: string;
  readonly metadataDevice: string | null;
  readonly luksUuid: string;
  readonly stored: { readonly wrapped: string; readonly keyVersion: string } | null;
}

const failure = (name: 'LUKS_OPEN_FAILED' | 'VOLUME_TABLE_MISMATCH', progress: Progress, detail: string): AgentError =>
  new AgentError(name, { volume: progress.volume.key, detail });

const insist = <T>(value: T | null | undefined, what: string): T => {
  if (value === null || value === undefined) throw new TypeError(`the plan reached a step without ${what}`);
  return value;
};

const open = async (progress: Progress, step: Extract<Step, { do: 'open' }>): Promise<void> => {
  const { host, proof } = progress;
  const { segment } = insist(progress.header ?? progress.luks1, 'a gated header');
  const { keyslot } = proof;
  const command = commands.luksOpen(
    {
      header: proof.headerFile,
      device: progress.targetPath,
      name: step.mapping,
      keyslot,
      type: progress.luks1 === null ? 'luks2' : 'luks1',
    },
    proof.passphrase,
  );
  const result = await host.run(command);
  const meaning = commands.cryptsetupMeaning(result.exit);
  // Whoever was killed may have made the mapping by then.
  if (meaning === 'done' || result.exit === null) progress.mapping = step.mapping;
  if (meaning !== 'done') throw failure('LUKS_OPEN_FAILED', progress, `cryptsetup ${commands.complaintOf(result)}`);
  // cryptsetup returns when udev is done with the mapping (dm_udev_wait). Only mkfs wants nobody else to look at it any more.
  if (progress.plan.kind === 'formats') await host.run(commands.settleDevices());
  const table = await host.run(commands.dmTable(step.mapping));
  if (table.exit !== 0) throw failure('VOLUME_TABLE_MISMATCH', progress, `dmsetup ${commands.complaintOf(table)}`);
  const target = await host.disks.open(progress.targetPath, 'read');
  await target.close();
  const objection = tableObjection(table.stdout.toString('latin1'), segment, target.sizeBytes);
  if (objection !== null) throw failure('VOLUME_TABLE_MISMATCH', progress, objection);
};

const openedVolume = ({ volume, mapping }: Progress): OpenedVolume => ({
  volume: volume.key,
  path: `/dev/mapper/${insist(mapping, 'an open mapping')}`,
});

const commitFailed = (progress: Progress, cause: unknown): AgentError => {
  return new AgentError('VOLUME_COMMIT_FAILED', { volume: progress.volume.key, detail: reasonOf(cause) }, { cause });
};

/** Header writes happen under the volume's lock, and only while the device still holds what was proven. */
const writeHeader = async (progress: Progress, luksUuid: string, writes: readonly DeviceWrite[]): Promise<void> => {
  const { host, volume, proof } = progress;
  await withVolumeLock(host, luksUuid, volume.key, async () => {
    const device = await host.disks.open(progress.targetPath, 'write');
    try {
      if (proof.present !== null) await insistUnchanged(device, proof.present);
      await writeInOrder(device, writes);
    } catch (cause) {
      throw commitFailed(progress, cause);
    } finally {
      await device.close();
    }
  });
};

const commit = async (progress: Progress): Promise<void> => {
  const { image, gated } = insist(progress.pending, 'a header to commit');
  await writeHeader(progress, gated.copy.uuid, planHeaderCommit(progress.proof.present, image));
  progress.pending = null;
};

const mend = async (progress: Progress): Promise<void> => {
  const {
    image,
    primaryIsCurrent: primary,
    secondaryIsCurrent: secondary,
  } = insist(progress.proof.present, 'a header');
  const { uuid } = insist(progress.header, 'a header').copy;
  await writeHeader(progress, uuid, planHeaderMend(image, { primary, secondary }));
  progress.proof = { ...progress.proof, present: { image, primaryIsCurrent: true, secondaryIsCurrent: true } };
};

const renewPassphrase = async (progress: Progress, step: Extract<Step, { do: 'change-passphrase' }>): Promise<void> => {
  const { host, plan, proof, volume } = progress;
  const present = insist(proof.present, 'a header');
  const gated = insist(progress.header, 'a header');
  const device = progress.targetPath;
  const changed = await changePassphrase(host, { plan, proof, step, present, gated, device });
  progress.pending = changed;
  progress.header = changed.gated;
  await commit(progress);
  const { passphrase, scheme } = insist(proof.renewal, 'a new passphrase');
  progress.proof = { ...proof, passphrase, scheme, keyslot: changed.keyslot };
  const facts = { volume: volume.key, why: step.why, removed: changed.removed.join(', ') };
  host.journal.message('VOLUME_PASSPHRASE_CHANGED', facts);
};

const perform = async (progress: Progress, step: Step): Promise<void> => {
  const { host, volume, plan, proof } = progress;
  switch (step.do) {
    case 'partition': {
      const made = await makePartitions(host, plan, step);
      progress.metadataPath = made.metadata;
      progress.targetPath = made.data;
      return undefined;
    }
    case 'grow-partition':
      return growPartition(host, plan, step, progress.sectorBytes);
    case 'mark-formatting': {
      const bytes = renderMarker({ volume: volume.key, partitionGuid: step.partitionGuid });
      return writeTo(host, progress.targetPath, [
        { offset: 0, bytes: bytes.subarray(0, markerBytes), flushAfter: true },
      ]);
    }
    case 'format': {
      const device = progress.targetPath;
      progress.pending = await formatHeader(host, { plan, proof, step, device });
      progress.header = progress.pending.gated;
      return undefined;
    }
    case 'commit-token':
      progress.pending = await adoptHeader(host, {
        plan,
        proof,
        present: insist(progress.proof.present, 'a header'),
        gated: insist(progress.header, 'a header'),
      });
      progress.header = progress.pending.gated;
      return commit(progress);
    case 'change-passphrase':
      return renewPassphrase(progress, step);
    case 'open':
      return open(progress, step);
    case 'make-filesystem':
      return makeFilesystem(host, openedVolume(progress), step);
    case 'commit-header':
      return commit(progress);
    case 'mend-header':
      return mend(progress);
    case 'make-metadata': {
      const path = insist(progress.metadataPath, 'a metadata partition');
      return writeMirror(host, volume.key, path, proof.obtained?.wrapped ?? null);
    }
    case 'mount':
      return mountVolume(host, openedVolume(progress), step);
  }
};

/** Unmounts and closes volumes that were opened, as far as possible: the machine is about to go down. */
export const closeVolumes = async (host: Host, volumes: readonly AppliedVolume[]): Promise<void> => {
  // A volume mounted inside another one has the longer path and must go first.
  for (const { volume, mapping, mount } of volumes.toSorted((a, b) => b.mount.length - a.mount.length))
    await closeMapping(host, { volume, mapping, mounted: mount });
};

/** Applies the plan. On failure the volume is unmounted and closed again before the error leaves. */
export const applyPlan = async (
  host: Host,
  given: {
    readonly volume: ContractVolume;
    readonly plan: GuardedPlan;
    readonly proof: Proof;
    readonly observation: Observation;
  },
): Promise<AppliedVolume> => {
  const { plan, proof, volume, observation } = given;
  const progress: Progress = {
    host,
    volume,
    plan,
    proof,
    header: observation.header?.gated ?? null,
    luks1: observation.luks1,
    pending: null,
    sectorBytes: observation.disk.sectorBytes,
    targetPath: plan.target.path,
    metadataPath: observation.partitions?.metadata.path ?? null,
    mapping: null,
  };
  try {
    for (const step of plan.steps) await perform(progress, step);
  } catch (error) {
    const { mapping } = progress;
    if (mapping !== null) await closeMapping(host, { volume: volume.key, mapping, mounted: null });
    throw error;
  } finally {
    await dropHeader(host, proof.headerFile);
  }
  const header = insist(progress.header ?? progress.luks1, 'a header');
  host.journal.message(plan.seeds === 3 ? 'VOLUME_ENCRYPTED_WITH_KMS' : 'VOLUME_ENCRYPTED', { volume: volume.key });
  return {
    volume: volume.key,
    scenario: plan.scenario,
    mount: volume.mount,
    mapping: insist(progress.mapping, 'an open mapping'),
    device: progress.targetPath,
    metadataDevice: progress.metadataPath,
    luksUuid: header.copy.uuid,
    stored: proof.obtained && { wrapped: proof.obtained.wrapped, keyVersion: proof.obtained.keyVersion },
  };
};
