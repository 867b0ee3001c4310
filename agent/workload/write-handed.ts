/** Puts in place what handed.ts has decided. The workload starts only after the boot has ended well. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { HandedFile, HandedWorkload } from './handed.ts';
import { requirePrivatePlace } from './private-place.ts';

/** Throws WORKLOAD_PLACE_NOT_PRIVATE for a folder from which secrets would reach an unencrypted disk. */
export const requirePrivatePlaces = async (host: Host, { places }: HandedWorkload): Promise<void> => {
  for (const place of places) await requirePrivatePlace(host, place);
};

/** A folder that is left from another contract is never emptied: a volume may be mounted in it. */
const requireFresh = async (host: Host, folder: string, mounts: readonly string[]): Promise<void> => {
  for (const name of await host.files.list(folder)) {
    const path = `${folder}/${name}`;
    if (!mounts.some((mount) => mount === path || mount.startsWith(`${path}/`)))
      throw new AgentError('WORKLOAD_FOLDER_IN_USE', { path: folder, name: JSON.stringify(name) });
  }
};

/** Folders of the image may be links; one on a volume that is mounted below them could lead anywhere. */
const makeFolder = async (host: Host, path: string, mode: number, ofImage: boolean): Promise<void> => {
  const kind = await host.files.kind(path);
  if (kind === 'absent' || ofImage) await host.files.makeFolder(path, mode);
  else if (kind !== 'folder') throw new AgentError('WORKLOAD_PATH_OBSTRUCTED', { path, kind });
};

const write = async (host: Host, { path, mode, bytes }: HandedFile): Promise<void> => {
  if (bytes === null) await host.files.remove(path);
  else await bytes.expose((content) => host.files.writeAtomically(path, content, mode));
};

const announce = (host: Host, { registries, variables, pods, files }: HandedWorkload): void => {
  const { journal } = host;
  journal.note('hpcr-registry-auth', `credentials of ${registries} registries are in place`);
  journal.note('hpcr-container', `${files.length} files and ${variables} variables are handed to the workload`);
  if (pods === 0) journal.message('PODS_NOTHING_TO_DO', {});
  else if (pods !== null) journal.message('PODS_PROCESSED', { count: pods });
};

/**
 * Writes every file, each atomically. Throws WORKLOAD_PLACE_NOT_PRIVATE, WORKLOAD_FOLDER_IN_USE, WORKLOAD_PATH_OBSTRUCTED,
 * FILE_UNWRITABLE.
 */
export const writeHanded = async (host: Host, handed: HandedWorkload): Promise<void> => {
  // Again: volumes have been mounted since the first look.
  await requirePrivatePlaces(host, handed);
  for (const folder of handed.fresh) await requireFresh(host, folder, handed.volumeMounts);
  for (const { path, mode } of handed.folders) await makeFolder(host, path, mode, handed.places.includes(path));
  for (const file of handed.files) await write(host, file);
  announce(host, handed);
};
