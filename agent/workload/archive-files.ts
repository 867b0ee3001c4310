/** Members of the contract's archives as files to write. */
import { readArchive } from '../contract/content/archive-read.ts';
import type { Member } from '../contract/content/members.ts';
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { objectionTo, renderDotenv } from './dotenv.ts';
import type { HandedFile, HandedFolder } from './handed.ts';

export interface Unpacked {
  readonly folders: readonly HandedFolder[];
  readonly files: readonly HandedFile[];
}

/** Members are bounded by their reader, but each may imply hundreds of folders. */
const maximumFolders = 4096;

type Refusal = 'COMPOSE_NOT_EXTRACTED' | 'PODS_NOT_PROCESSED';

const members = (archive: string, refusal: Refusal): readonly Member[] => {
  const read = readArchive(archive);
  if (read.kind === 'read') return read.value;
  const [first] = read.problems;
  throw new AgentError(refusal, { reason: first?.message ?? 'the archive cannot be read' });
};

/** Folders that members imply, parents first. */
const foldersOf = (found: readonly Member[], refusal: Refusal): readonly string[] => {
  const names = new Set<string>();
  for (const { name, kind } of found) {
    for (let end = name.indexOf('/'); end >= 0; end = name.indexOf('/', end + 1)) names.add(name.slice(0, end));
    if (kind === 'folder') names.add(name);
    if (names.size > maximumFolders)
      throw new AgentError(refusal, { reason: `it has more than ${maximumFolders} folders` });
  }
  return [...names].sort();
};

/** Root-only folders; files keep their permission bits, because containers see them through bind mounts. */
const unpacked = (found: readonly Member[], folder: string, refusal: Refusal): Unpacked => ({
  folders: [folder, ...foldersOf(found, refusal).map((name) => `${folder}/${name}`)].map((path) => ({
    path,
    mode: 0o700,
  })),
  files: found
    .filter(({ kind }) => kind === 'file')
    .map(({ name, mode, bytes }) => ({
      path: `${folder}/${name}`,
      mode,
      bytes: Secret.build(bytes.length, (own) => own.set(bytes)),
    })),
});

const composeFiles: readonly string[] = ['docker-compose.yaml', 'docker-compose.yml'];
const dotenv = '.env';

const textOf = (bytes: Buffer): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new AgentError('ENVIRONMENT_NOT_EXTRACTED', { reason: 'it is not UTF-8' });
  }
};

/**
 * The compose project: members below `folder`, and `.env` with the merged variables behind what the archive's own `.env`
 * says. Throws COMPOSE_NOT_EXTRACTED (HPL08002E), COMPOSE_NOT_EXISTS (HPL08005E), ENVIRONMENT_NOT_EXTRACTED (HPL08003E).
 */
export const composeProject = (archive: string, env: ReadonlyMap<string, string>, folder: string): Unpacked => {
  const found = members(archive, 'COMPOSE_NOT_EXTRACTED');
  if (!found.some(({ name, kind }) => kind === 'file' && composeFiles.includes(name)))
    throw new AgentError('COMPOSE_NOT_EXISTS', {});
  const own = found.find(({ name }) => name === dotenv);
  if (own?.kind === 'folder') throw new AgentError('ENVIRONMENT_NOT_EXTRACTED', { reason: 'it is a folder' });
  const existing = own === undefined ? '' : textOf(own.bytes);
  const reason = objectionTo(existing);
  if (reason !== null) throw new AgentError('ENVIRONMENT_NOT_EXTRACTED', { reason });
  const { folders, files } = unpacked(
    found.filter((member) => member !== own),
    folder,
    'COMPOSE_NOT_EXTRACTED',
  );
  const bytes = Secret.fromText(renderDotenv(existing, env));
  return { folders, files: [...files, { path: `${folder}/${dotenv}`, mode: 0o600, bytes }] };
};

/** The archive of a play subsection below `folder`. Throws PODS_NOT_PROCESSED (HPL15002E). */
export const playArchive = (archive: string, folder: string): Unpacked =>
  unpacked(members(archive, 'PODS_NOT_PROCESSED'), folder, 'PODS_NOT_PROCESSED');
