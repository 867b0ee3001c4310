/** Which members an archive of a workload may have: regular files and folders, inside the folder it is unpacked in. */
import { quoted } from '../finding.ts';
import { type ContentProblem, type ContentReading, ContentRefusal } from './content-problem.ts';
import { type TarEntry, type TarKind, tarEntries } from './tar-entries.ts';

export const maximumMembers = 4096;
/** Bytes of a path; the kernel takes 4096 for the whole one, with the folder it is unpacked in (limits.h, PATH_MAX). */
export const maximumNameBytes = 1024;
/** Bytes of one part of a path (limits.h, NAME_MAX). */
export const maximumPartBytes = 255;
/** Folders in folders; nobody needs more. */
export const maximumParts = 64;
/** After so many the archive is hostile or of another kind, and the rest would only repeat it. */
const maximumProblems = 10;

export interface Member {
  /** Without `./` and trailing slash. */
  readonly name: string;
  readonly kind: 'file' | 'folder';
  /** Permission bits. */
  readonly mode: number;
  readonly bytes: Buffer;
}

const remedies: Readonly<Record<Exclude<TarKind, 'file' | 'folder'>, string>> = {
  link: 'pack copies instead: tar czf - --hard-dereference -C DIR . | base64 -w0',
  'symbolic link': 'pack what it leads to instead: tar czf - --dereference -C DIR . | base64 -w0',
  device: 'leave it out: only files and folders are unpacked',
  fifo: 'leave it out: only files and folders are unpacked',
};

export type NameOutcome =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'root' }
  | { readonly kind: 'bad'; readonly reason: string };

/** A member's path without `.` and empty parts, or why it must not be unpacked. */
export const memberName = (raw: string): NameOutcome => {
  const bad = (reason: string): NameOutcome => ({ kind: 'bad', reason });
  if (raw === '') return bad('it is empty');
  if (/\p{Cc}/u.test(raw)) return bad('it holds a control character');
  if (raw.startsWith('/')) return bad('it is absolute');
  if (Buffer.byteLength(raw) > maximumNameBytes) return bad(`it is longer than ${maximumNameBytes} bytes`);
  const parts = raw.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) return bad('it leads out of the archive with ..');
  if (parts.length > maximumParts) return bad(`it lies deeper than ${maximumParts} folders`);
  if (parts.some((part) => Buffer.byteLength(part) > maximumPartBytes)) {
    return bad(`a part of it is longer than ${maximumPartBytes} bytes`);
  }
  return parts.length === 0 ? { kind: 'root' } : { kind: 'name', name: parts.join('/') };
};

const nameProblem = (raw: string, reason: string): ContentProblem => ({
  code: 'ARCHIVE_MEMBER_NAME',
  message: `the member ${quoted(raw)} cannot be unpacked: ${reason}`,
  hint: 'pack from inside the folder: triseed contract archive DIR, or tar czf - -C DIR . | base64 -w0',
});

/** Takes entries one by one and keeps the members that may be unpacked. */
class Collector {
  readonly members = new Map<string, Member>();
  readonly problems: ContentProblem[] = [];

  take({ name: raw, kind, mode, body }: TarEntry): void {
    const outcome = memberName(raw);
    if (outcome.kind === 'bad') return void this.problems.push(nameProblem(raw, outcome.reason));
    if (kind !== 'file' && kind !== 'folder') {
      const message = `the member ${quoted(raw)} is a ${kind}`;
      return void this.problems.push({ code: 'ARCHIVE_MEMBER_KIND', message, hint: remedies[kind] });
    }
    if (outcome.kind === 'root') {
      if (kind === 'file') this.problems.push(nameProblem(raw, 'it names the folder itself'));
      return;
    }
    const { name } = outcome;
    const before = this.members.get(name);
    // A folder that is named again changes nothing; of two files it depends on the reader which one stays.
    if (before?.kind === 'folder' && kind === 'folder') return;
    if (before !== undefined || this.#isBelowFile(name)) {
      return void this.problems.push(nameProblem(raw, 'the archive has another member of this name'));
    }
    this.members.set(name, { name, kind, mode, bytes: body });
  }

  #isBelowFile(name: string): boolean {
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
      if (this.members.get(name.slice(0, slash))?.kind === 'file') return true;
    }
    return false;
  }

  /** A file that came after members below it. */
  closing(): void {
    for (const name of this.members.keys()) {
      if (this.#isBelowFile(name) && this.problems.length < maximumProblems) {
        this.problems.push(nameProblem(name, 'a file of the archive stands in its way'));
      }
    }
  }
}

/** Members of an unpacked archive, with everything that speaks against it. */
export const readMembers = (archive: Buffer): ContentReading<readonly Member[]> => {
  const collector = new Collector();
  const { problems } = collector;
  let count = 0;
  try {
    for (const entry of tarEntries(archive)) {
      count += 1;
      if (count > maximumMembers) {
        const message = `the archive has more than ${maximumMembers} members`;
        throw new ContentRefusal('ARCHIVE_TOO_LARGE', message, 'put files that never change into the image');
      }
      collector.take(entry);
      if (problems.length >= maximumProblems) return { kind: 'refused', problems };
    }
    collector.closing();
  } catch (error) {
    if (error instanceof ContentRefusal) return { kind: 'refused', problems: [...problems, error.problem] };
    throw error;
  }
  if (problems.length > 0) return { kind: 'refused', problems };
  return { kind: 'read', value: [...collector.members.values()], problems };
};
