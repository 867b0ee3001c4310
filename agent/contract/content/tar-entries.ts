/**
 * tar as hostile input: POSIX.1-2017 pax interchange format (with ustar), and the GNU extension for long names as
 * tar(5) of libarchive describes it. Everything that two readers could take differently is refused: unknown kinds of
 * members, wrong checksums, a missing end, data behind the end. Entries are told as they stand; members.ts judges them.
 */
import { decodeUtf8 } from '../strict-yaml.ts';
import { ContentRefusal } from './content-problem.ts';

export const blockBytes = 512;
/** Extended headers hold a name and dates. */
const maximumExtendedBytes = 64 * 1024;

/** The letter in the header, with its two spellings of a regular file made one. */
export type TarKind = 'file' | 'folder' | 'link' | 'symbolic link' | 'device' | 'fifo';

export interface TarEntry {
  readonly name: string;
  readonly kind: TarKind;
  /** Permission bits; set-user-id and its like are left out. */
  readonly mode: number;
  readonly body: Buffer;
}

const kinds: Readonly<Record<string, TarKind>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'link',
  '2': 'symbolic link',
  '3': 'device',
  '4': 'device',
  '5': 'folder',
  '6': 'fifo',
};

const packAgain = 'pack it again: triseed contract archive DIR, or tar czf - -C DIR . | base64 -w0';
const damaged = (reason: string): ContentRefusal =>
  new ContentRefusal('ARCHIVE_DAMAGED', `the tar archive is damaged: ${reason}`, packAgain);
const unsupported = (what: string): ContentRefusal =>
  new ContentRefusal('ARCHIVE_MEMBER_KIND', `the archive holds ${what}`, packAgain);

const isZero = (bytes: Buffer): boolean => {
  for (let index = 0; index < bytes.length; index += 1) if (bytes[index] !== 0) return false;
  return true;
};

/** A field of octal digits, with spaces before and NUL or spaces behind; null for anything else, base-256 as well. */
const octal = (block: Buffer, offset: number, length: number): number | null => {
  const digits = /^ *([0-7]{1,11})[ \0]*$/.exec(block.toString('latin1', offset, offset + length));
  return digits === null ? null : Number.parseInt(digits[1] ?? '', 8);
};

const hasChecksum = (block: Buffer): boolean => {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return octal(block, 148, 8) === sum;
};

const text = (bytes: Buffer): string => {
  const decoded = decodeUtf8(bytes);
  if (decoded !== null) return decoded;
  const hint = 'rename the file: names are read as UTF-8';
  throw new ContentRefusal('ARCHIVE_MEMBER_NAME', 'the name of a member is not UTF-8 text', hint);
};

/** A field that ends at its first NUL, or at its full length. */
const field = (block: Buffer, offset: number, length: number): string => {
  const bytes = block.subarray(offset, offset + length);
  const end = bytes.indexOf(0);
  return text(end === -1 ? bytes : bytes.subarray(0, end));
};

const headerName = (block: Buffer): string => {
  const magic = block.toString('latin1', 257, 265);
  const name = field(block, 0, 100);
  // GNU's own magic: the field of the prefix holds times there.
  if (magic === 'ustar  \0' || isZero(block.subarray(257, 265))) return name;
  if (magic !== 'ustar\x0000') throw damaged('a header is of an unknown kind');
  const prefix = field(block, 345, 155);
  return prefix === '' ? name : `${prefix}/${name}`;
};

/** Records of an extended header: "LENGTH KEYWORD=VALUE\n", POSIX.1-2017 pax, "pax Extended Header". */
const paxRecords = (body: Buffer): ReadonlyMap<string, string> => {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    if (!/^[1-9][0-9]{0,5}$/.test(digits) || end > body.length || end <= space + 1 || body[end - 1] !== 0x0a) {
      throw damaged('an extended header is malformed');
    }
    const record = body.subarray(space + 1, end - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 1) throw damaged('an extended header is malformed');
    const keyword = text(record.subarray(0, equals));
    if (keyword.startsWith('GNU.sparse.')) throw unsupported('a sparse file');
    // Values of other keywords, such as extended attributes, may hold any bytes.
    if (['path', 'size', 'linkpath', 'hdrcharset'].includes(keyword)) {
      if (records.has(keyword)) throw damaged('an extended header says one thing twice');
      records.set(keyword, text(record.subarray(equals + 1)));
    }
    at = end;
  }
  if (records.has('hdrcharset') && records.get('hdrcharset') !== 'ISO-IR 10646 2000 UTF-8') {
    throw damaged('names are not in UTF-8');
  }
  return records;
};

const paxSize = (value: string | undefined, header: number): number => {
  if (value === undefined) return header;
  if (!/^(?:0|[1-9][0-9]{0,11})$/.test(value)) throw damaged('an extended header has a size that is no number');
  return Number(value);
};

/**
 * Entries of an unpacked archive, one after the other. Throws ContentRefusal at what cannot be read in one way only.
 */
export function* tarEntries(archive: Buffer): Generator<TarEntry> {
  let at = 0;
  let pax: ReadonlyMap<string, string> | null = null;
  let longName: string | null = null;
  for (;;) {
    const block = archive.subarray(at, at + blockBytes);
    if (block.length < blockBytes) {
      throw at === 0
        ? new ContentRefusal('ARCHIVE_DAMAGED', 'the gzip data hold no tar archive', packAgain)
        : damaged('it is cut off');
    }
    if (isZero(block)) break;
    if (!hasChecksum(block)) {
      throw at === 0
        ? new ContentRefusal('ARCHIVE_DAMAGED', 'the gzip data hold no tar archive', packAgain)
        : damaged('the checksum of a header is wrong');
    }
    const letter = String.fromCharCode(block[156] ?? 0);
    const headerSize = octal(block, 124, 12);
    if (headerSize === null) throw damaged('the size of a member is no octal number');
    const size = letter === 'x' || letter === 'g' ? headerSize : paxSize(pax?.get('size'), headerSize);
    const body = archive.subarray(at + blockBytes, at + blockBytes + size);
    if (body.length < size) throw damaged('a member is cut off');
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    if ('xgLK'.includes(letter)) {
      if (size > maximumExtendedBytes) throw damaged('an extended header is too long');
      if (letter === 'x') {
        if (pax !== null) throw damaged('two extended headers belong to one member');
        pax = paxRecords(body);
      } else if (letter === 'g') {
        // Made by git archive with a comment only; anything else would change names that are far away.
        if (paxRecords(body).size > 0) throw unsupported('a global header that changes names or sizes');
      } else if (letter === 'L') {
        if (longName !== null) throw damaged('a member has two long names');
        longName = field(body, 0, body.length);
      }
      continue;
    }
    const kind = kinds[letter];
    if (kind === undefined) {
      throw unsupported(letter === 'S' ? 'a sparse file' : `a member of unknown kind ${JSON.stringify(letter)}`);
    }
    if (pax?.has('path') === true && longName !== null) throw damaged('a member has two long names');
    const name = pax?.get('path') ?? longName ?? headerName(block);
    // Before POSIX there was no letter for folders, only a slash at the end of the name.
    const isOldFolder = kind === 'file' && name.endsWith('/');
    if ((kind !== 'file' || isOldFolder) && size !== 0) throw damaged('a member that is no file has content');
    const mode = octal(block, 100, 8);
    if (mode === null) throw damaged('the mode of a member is no octal number');
    yield { name, kind: isOldFolder ? 'folder' : kind, mode: mode & 0o777, body };
    pax = null;
    longName = null;
  }
  if (pax !== null || longName !== null) throw damaged('an extended header belongs to no member');
  const rest = archive.subarray(at);
  if (rest.length < 2 * blockBytes) throw damaged('it is cut off');
  if (!isZero(rest)) throw damaged('data follow its end');
}
