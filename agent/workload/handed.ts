/**
 * Everything that a boot hands to the workload, decided before a disk is touched: which files, with which bytes and modes.
 * Pure; write-handed.ts does it.
 */
import type { Workload } from '../../contract-schema/generated/types.ts';
import type { AgentConfiguration } from '../configuration.ts';
import type { YamlValue } from '../contract/strict-yaml.ts';
import type { Contract, SealedContract } from '../contract/types.ts';
import { assertValidated } from '../contract/validate.ts';
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { composeProject, playArchive } from './archive-files.ts';
import { blankedContract } from './blanked-contract.ts';
import { contractRecord } from './contract-record.ts';
import { mergedEnvironment } from './merged-environment.ts';
import { parentOf } from './mount-table.ts';
import { configMap, podDocuments } from './pods.ts';
import { registryAuth } from './registry-auth.ts';
import { TemplateError } from './template.ts';

export interface HandedFolder {
  readonly path: string;
  readonly mode: number;
}

export interface HandedFile {
  readonly path: string;
  readonly mode: number;
  /** null: an older file of this name is removed. */
  readonly bytes: Secret | null;
}

export interface HandedWorkload {
  /** Folders whose content must not reach an unencrypted disk. */
  readonly places: readonly string[];
  /** Folders that must be empty before, apart from mount points of the contract's volumes. */
  readonly fresh: readonly string[];
  readonly volumeMounts: readonly string[];
  /** Parents first. */
  readonly folders: readonly HandedFolder[];
  readonly files: readonly HandedFile[];
  readonly registries: number;
  readonly variables: number;
  /** Documents for podman; null when the workload is no set of pods. */
  readonly pods: number | null;
}

type Parts = Pick<HandedWorkload, 'folders' | 'files' | 'pods'>;

const secretText = (path: string, text: string): HandedFile => ({ path, mode: 0o600, bytes: Secret.fromText(text) });
/** What the host delivered in the clear anyway: readable for every user of a container. */
const openBytes = (path: string, bytes: Buffer | null | undefined): HandedFile => ({
  path,
  mode: 0o644,
  bytes: bytes == null ? null : Secret.build(bytes.length, (own) => own.set(bytes)),
});

/** Names below `paths.state`: those of HPCR, apart from the record, which is not an attestation. */
const stateFiles = (contract: Contract, sealed: SealedContract, state: string): Parts => ({
  folders: [state, `${state}/cidata`].map((path) => ({ path, mode: 0o755 })),
  files: [
    secretText(`${state}/user-data.decrypted`, blankedContract(contract)),
    openBytes(`${state}/cidata/meta-data`, sealed.cidata?.metaData),
    openBytes(`${state}/cidata/vendor-data`, sealed.cidata?.vendorData),
    openBytes(`${state}/unsigned-checksums.txt`, Buffer.from(contractRecord(contract, sealed))),
  ],
  pods: null,
});

const podFiles = (play: Workload['play'], env: ReadonlyMap<string, string>, folder: string): Parts => {
  const resources = (play?.resources ?? []) as unknown as readonly YamlValue[];
  const templates = (play?.templates ?? []) as unknown as readonly YamlValue[];
  const unpacked =
    play?.archive === undefined ? { folders: [], files: [] } : playArchive(play.archive, `${folder}/play`);
  // Files of pods lie at the top of the archive; others are unpacked for them to mount.
  const isPodFile = (path: string): boolean => parentOf(path) === `${folder}/play` && /\.ya?ml$/.test(path);
  try {
    const pods = podDocuments({ resources, templates }, env);
    return {
      folders: [...unpacked.folders, { path: `${folder}/pods`, mode: 0o700 }],
      files: [
        ...unpacked.files,
        secretText(`${folder}/pods/contract.config.map.yaml`, configMap(env)),
        ...(pods === '' ? [] : [secretText(`${folder}/pods/pods.yaml`, pods)]),
      ],
      pods: resources.length + templates.length + unpacked.files.filter(({ path }) => isPodFile(path)).length,
    };
  } catch (error) {
    if (error instanceof TemplateError) throw new AgentError('PODS_NOT_PROCESSED', { reason: error.message });
    throw error;
  }
};

const workloadFiles = (workload: Workload, env: ReadonlyMap<string, string>, folder: string): Parts => {
  const { compose, play } = workload;
  if (compose !== undefined) return { ...composeProject(compose.archive, env, `${folder}/compose`), pods: null };
  return play === undefined ? { folders: [], files: [], pods: null } : podFiles(play, env, folder);
};

/**
 * What `contract`, which came as `sealed`, hands to its workload. The caller wipes the files' bytes.
 * Throws REGISTRY_AUTH_UNUSABLE, COMPOSE_NOT_EXTRACTED (HPL08002E), ENVIRONMENT_NOT_EXTRACTED (HPL08003E),
 * COMPOSE_NOT_EXISTS (HPL08005E), PODS_NOT_PROCESSED (HPL15002E).
 */
export const handedWorkload = (
  contract: Contract,
  sealed: SealedContract,
  { paths, workload: { folder, registryAuth: authPath } }: Pick<AgentConfiguration, 'paths' | 'workload'>,
): HandedWorkload => {
  assertValidated(contract);
  const { env, auths } = mergedEnvironment(contract);
  try {
    const state = stateFiles(contract, sealed, paths.state);
    // The schema has said that the section has this type.
    const own = workloadFiles(contract.sections.workload.value as unknown as Workload, env, folder);
    const registry: HandedFile = { path: authPath, mode: 0o600, bytes: registryAuth(auths) };
    return {
      places: [paths.state, parentOf(authPath), ...(own.folders.length === 0 ? [] : [folder])],
      fresh: ['compose', 'play', 'pods'].map((name) => `${folder}/${name}`),
      volumeMounts: contract.volumes.map(({ mount }) => mount),
      folders: [{ path: parentOf(authPath), mode: 0o700 }, ...state.folders, ...own.folders],
      files: [registry, ...state.files, ...own.files],
      registries: auths.size,
      variables: env.size,
      pods: own.pods,
    };
  } finally {
    for (const { password } of auths.values()) password.wipe();
  }
};

export const wipeHanded = ({ files }: HandedWorkload): void => {
  for (const { bytes } of files) bytes?.wipe();
};
