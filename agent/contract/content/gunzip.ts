/**
 * gzip (RFC 1952) as hostile input. zlib does the decompression and stops at the limit; the frame around it is read
 * here, because zlib takes whatever follows the last member for garbage and says nothing about it.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { ContentRefusal } from './content-problem.ts';

/** What an archive may unpack to, in bytes. */
export const maximumUnpackedBytes = 16 * 1024 * 1024;
/** RFC 1952 section 2.2 allows members one after the other; each one costs a decompressor. */
const maximumMembers = 16;

const flagHeaderCrc = 0x02;
const flagExtra = 0x04;
const flagName = 0x08;
const flagComment = 0x10;
const flagsReserved = 0xe0;

const packAgain = 'pack it again: triseed contract archive DIR, or tar czf - -C DIR . | base64 -w0';
const damaged = (reason: string): ContentRefusal =>
  new ContentRefusal('ARCHIVE_NOT_GZIP', `the gzip data is damaged: ${reason}`, packAgain);

const signatures: readonly (readonly [string, string])[] = [
  ['504b0304', 'a zip archive'],
  ['fd377a585a00', 'compressed with xz'],
  ['425a68', 'compressed with bzip2'],
  ['28b52ffd', 'compressed with zstd'],
  ['1f9d', 'compressed with compress'],
  ['2d2d2d2d2d424547494e', 'PEM text'],
];

/** What data that are no gzip look like. */
const guess = (bytes: Buffer): string => {
  const hex = bytes.subarray(0, 16).toString('hex');
  const known = signatures.find(([magic]) => hex.startsWith(magic));
  if (known !== undefined) return known[1];
  if (bytes.subarray(257, 262).toString('latin1') === 'ustar') return 'a tar archive that is not compressed';
  if (/^H4sI[A-Za-z0-9+/]{8,}/.test(bytes.subarray(0, 64).toString('latin1'))) return 'base64 once more';
  return /^[\t\n\r -~]{4,}$/.test(bytes.subarray(0, 256).toString('latin1')) ? 'plain text' : 'something else';
};

/** Length of the member header at `start`; RFC 1952 section 2.3. */
const headerLength = (bytes: Buffer, start: number): number => {
  const flags = bytes[start + 3] ?? 0;
  if (bytes[start + 2] !== 8 || (flags & flagsReserved) !== 0) throw damaged('its header is of an unknown kind');
  let at = start + 10;
  if ((flags & flagExtra) !== 0) {
    if (at + 2 > bytes.length) throw damaged('it is cut off');
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const flag of [flagName, flagComment]) {
    if ((flags & flag) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) throw damaged('it is cut off');
    at = end + 1;
  }
  if ((flags & flagHeaderCrc) !== 0) at += 2;
  if (at > bytes.length) throw damaged('it is cut off');
  return at - start;
};

interface Inflated {
  readonly data: Buffer;
  /** Compressed bytes that were used. */
  readonly used: number;
}

const inflate = (compressed: Buffer, limit: number): Inflated => {
  try {
    // With `info` the answer also says how much of the input belonged to the stream.
    const answer = inflateRawSync(compressed, { maxOutputLength: limit, chunkSize: 65_536, info: true });
    const { buffer, engine } = answer as unknown as { buffer: Buffer; engine: { readonly bytesWritten: number } };
    return { data: buffer, used: engine.bytesWritten };
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      const message = `the archive unpacks to more than ${maximumUnpackedBytes / 1024 / 1024} MiB`;
      const hint = 'keep data out of the archive: put them into the image, or onto a volume';
      throw new ContentRefusal('ARCHIVE_TOO_LARGE', message, hint);
    }
    throw damaged(code === 'Z_BUF_ERROR' ? 'it is cut off' : 'it does not decompress');
  }
};

/** Decompresses `bytes`, never to more than `maximumUnpackedBytes`. Throws ContentRefusal. */
export const gunzip = (bytes: Buffer): Buffer => {
  const members: Buffer[] = [];
  let total = 0;
  let at = 0;
  while (at < bytes.length || members.length === 0) {
    if (bytes[at] !== 0x1f || bytes[at + 1] !== 0x8b) {
      if (members.length > 0) throw damaged(`${bytes.length - at} bytes follow its end`);
      throw new ContentRefusal('ARCHIVE_NOT_GZIP', `this is no gzip data but ${guess(bytes)}`, packAgain);
    }
    if (members.length === maximumMembers) throw damaged(`it has more than ${maximumMembers} members`);
    at += headerLength(bytes, at);
    // zlib refuses a limit of zero.
    const { data, used } = inflate(bytes.subarray(at), Math.max(1, maximumUnpackedBytes - total));
    at += used;
    total += data.length;
    if (at + 8 > bytes.length) throw damaged('it is cut off');
    if (bytes.readUInt32LE(at) !== crc32(data)) throw damaged('its checksum is wrong');
    if (bytes.readUInt32LE(at + 4) !== data.length) throw damaged('its length is wrong');
    at += 8;
    members.push(data);
  }
  return members.length === 1 && members[0] !== undefined ? members[0] : Buffer.concat(members);
};
