/** A folder of the author, read for an archive: every file and folder below it, or why it cannot be packed. */
import type { Files } from '../../ports.ts';
import { quoted } from '../finding.ts';
import type { ContentProblem } from './content-problem.ts';
import { maximumUnpackedBytes } from './gunzip.ts';
import { maximumMembers, memberName } from './members.ts';
import { blockBytes } from './tar-entries.ts';
import type { PlainMember } from './tar-write.ts';

const maximumDepth = 64;
const maximumProblems = 10;

/** What tools leave behind; it differs from machine to machine and is nothing to a guest. */
const isLeftOut = (name: string): boolean => name === '.git' || name === '.DS_Store' || name.startsWith('._');

export type FolderOutcome =
  | {
      readonly kind: 'read';
      readonly members: readonly PlainMember[];
      /** Names that were passed over. */
      readonly leftOut: readonly string[];
    }
  | { readonly kind: 'refused'; readonly problems: readonly ContentProblem[] };

class TooMuch extends Error {}

class Walk {
  readonly members: PlainMember[] = [];
  readonly leftOut: string[] = [];
  readonly problems: ContentProblem[] = [];
  readonly #files: Files;
  #bytes = 2 * blockBytes;

  constructor(files: Files) {
    this.#files = files;
  }

  async folder(path: string, inside: string, depth: number): Promise<void> {
    if (depth > maximumDepth)
      this.#refuse('ARCHIVE_MEMBER_NAME', `${quoted(inside)} lies too deep`, 'use fewer folders');
    for (const name of await this.#files.list(path)) {
      const below = inside === '' ? name : `${inside}/${name}`;
      if (isLeftOut(name)) this.leftOut.push(below);
      else await this.#one(`${path}/${name}`, below, depth);
    }
  }

  async #one(path: string, name: string, depth: number): Promise<void> {
    const outcome = memberName(name);
    if (outcome.kind === 'bad') {
      return this.#refuse('ARCHIVE_MEMBER_NAME', `${quoted(name)} cannot be packed: ${outcome.reason}`, 'rename it');
    }
    const kind = await this.#files.kind(path);
    switch (kind) {
      case 'folder':
        this.#count(0);
        this.members.push({ name, kind, bytes: new Uint8Array(0), isExecutable: true });
        return this.folder(path, name, depth + 1);
      case 'file': {
        const bytes = await this.#files.read(path, maximumUnpackedBytes);
        if (bytes === null) return this.#vanished(name);
        this.#count(bytes.length);
        this.members.push({ name, kind, bytes, isExecutable: await this.#files.isExecutable(path) });
        return;
      }
      case 'link': {
        const message = `${quoted(name)} is a symbolic link, which a guest does not unpack`;
        return this.#refuse('ARCHIVE_MEMBER_KIND', message, 'put the file itself in its place');
      }
      case 'absent':
        return this.#vanished(name);
      case 'other': {
        const message = `${quoted(name)} is neither a file nor a folder`;
        return this.#refuse('ARCHIVE_MEMBER_KIND', message, 'remove it: only files and folders are unpacked');
      }
    }
  }

  /** Names that are not UTF-8 cannot be found again either. */
  #vanished(name: string): void {
    this.#refuse(
      'ARCHIVE_MEMBER_NAME',
      `${quoted(name)} cannot be found`,
      'rename it when its name is not UTF-8; try again',
    );
  }

  #count(size: number): void {
    this.#bytes += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    if (this.members.length >= maximumMembers) {
      this.#refuse(
        'ARCHIVE_TOO_LARGE',
        `the folder has more than ${maximumMembers} files and folders`,
        'put files that never change into the image',
      );
      throw new TooMuch();
    }
    if (this.#bytes > maximumUnpackedBytes) {
      const message = `the folder has more than ${maximumUnpackedBytes / 1024 / 1024} MiB`;
      this.#refuse(
        'ARCHIVE_TOO_LARGE',
        message,
        'keep data out of the archive: put them into the image, or onto a volume',
      );
      throw new TooMuch();
    }
  }

  #refuse(code: ContentProblem['code'], message: string, hint: string): void {
    this.problems.push({ code, message, hint });
    if (this.problems.length >= maximumProblems) throw new TooMuch();
  }
}

/** Reads the folder at `path`, which must be one. Throws FILE_UNREADABLE, also for a file larger than an archive. */
export const readFolder = async (files: Files, path: string): Promise<FolderOutcome> => {
  const walk = new Walk(files);
  try {
    await walk.folder(path, '', 0);
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
  }
  const { problems, members, leftOut } = walk;
  return problems.length > 0 ? { kind: 'refused', problems } : { kind: 'read', members, leftOut };
};
