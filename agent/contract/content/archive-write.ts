/** Makes the archive of a workload: the same members give the same text, on every machine and with every version. */
import { crc32 } from 'node:zlib';
import { AgentError } from '../../errors.ts';
import { readArchive } from './archive-read.ts';
import { deflate } from './deflate.ts';
import { type PlainMember, writeTar } from './tar-write.ts';

/** RFC 1952 section 2.3.1: no name, no time, no extra flags, unknown operating system. */
const gzipHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

const gzip = (data: Buffer): Buffer => {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(data), 0);
  trailer.writeUInt32LE(data.length, 4);
  return Buffer.concat([gzipHeader, deflate(data), trailer]);
};

export interface WrittenArchive {
  /** The value of an `archive` key. */
  readonly text: string;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
}

/**
 * Packs `members` and reads the result back. Throws ARCHIVE_NOT_WRITTEN when what comes back is not what went in: an
 * archive goes into contracts that nobody can look into any more.
 */
export const writeArchive = (members: readonly PlainMember[]): WrittenArchive => {
  const tar = writeTar(members);
  const packed = gzip(tar);
  const text = packed.toString('base64');
  const read = readArchive(text);
  if (read.kind === 'refused') throw new AgentError('ARCHIVE_NOT_WRITTEN', { reason: read.problems[0]?.message ?? '' });
  const back = new Map(read.value.map((member) => [member.name, member]));
  const isSame = members.every(({ name, kind, bytes }) => {
    const member = back.get(name);
    return member !== undefined && member.kind === kind && Buffer.compare(member.bytes, bytes) === 0;
  });
  if (!isSame || back.size !== members.length) {
    throw new AgentError('ARCHIVE_NOT_WRITTEN', { reason: 'a member came back changed' });
  }
  return { text, packedBytes: packed.length, unpackedBytes: tar.length };
};
