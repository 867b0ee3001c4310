/**
 * tar whose bytes depend on names and contents only: ustar headers (POSIX.1-2017 pax), no owner, no times, sorted
 * names. A name that ustar has no room for gets an extended header.
 */
import { blockBytes } from './tar-entries.ts';

export interface PlainMember {
  /** Path without `./` and trailing slash. */
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly bytes: Uint8Array;
  /** Somebody may run it. */
  readonly isExecutable: boolean;
}

const nameBytes = 100;
const prefixBytes = 155;

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

interface Header {
  readonly name: Buffer;
  readonly prefix: Buffer;
  readonly mode: number;
  readonly size: number;
  readonly letter: '0' | '5' | 'x';
}

const header = ({ name, prefix, mode, size, letter }: Header): Buffer => {
  const block = Buffer.alloc(blockBytes);
  name.copy(block, 0);
  block.write(octal(mode, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(0, 12), 100, 'latin1');
  block.fill(' ', 148, 156);
  block.write(letter, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(octal(0, 8) + octal(0, 8), 329, 'latin1');
  prefix.copy(block, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
};

const padded = (bytes: Uint8Array): readonly Uint8Array[] => {
  const rest = bytes.length % blockBytes;
  return rest === 0 ? [bytes] : [bytes, Buffer.alloc(blockBytes - rest)];
};

/** Where a long name is cut into prefix and name, at the last slash that fits; null when none does. */
const split = (path: Buffer): { readonly prefix: Buffer; readonly name: Buffer } | null => {
  if (path.length <= nameBytes) return { prefix: Buffer.alloc(0), name: path };
  // The slash at the end of a folder's name stays with the name.
  for (let slash = path.lastIndexOf(0x2f, path.length - 2); slash > 0; slash = path.lastIndexOf(0x2f, slash - 1)) {
    if (path.length - slash - 1 > nameBytes) return null;
    if (slash <= prefixBytes) return { prefix: path.subarray(0, slash), name: path.subarray(slash + 1) };
  }
  return null;
};

/** Its length counts itself. */
const paxRecord = (keyword: string, value: Buffer): Buffer => {
  const rest = Buffer.concat([Buffer.from(` ${keyword}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
};

const entry = ({ name, kind, bytes, isExecutable }: PlainMember): readonly Uint8Array[] => {
  const isFolder = kind === 'folder';
  const path = Buffer.from(isFolder ? `${name}/` : name, 'utf8');
  const fields = {
    mode: isFolder || isExecutable ? 0o755 : 0o644,
    size: bytes.length,
    letter: isFolder ? '5' : '0',
  } as const;
  const place = split(path);
  if (place !== null) return [header({ ...place, ...fields }), ...padded(bytes)];
  const records = paxRecord('path', path);
  const none = Buffer.alloc(0);
  const extended = {
    name: Buffer.from('PaxHeader'),
    prefix: none,
    mode: 0o644,
    size: records.length,
    letter: 'x',
  } as const;
  // Readers that know no extended headers see the beginning of the name.
  const short = { name: path.subarray(0, nameBytes), prefix: none };
  return [header(extended), ...padded(records), header({ ...short, ...fields }), ...padded(bytes)];
};

/** A tar archive of `members`, in the order of their names' bytes. */
export const writeTar = (members: readonly PlainMember[]): Buffer => {
  const sorted = members
    .map((member) => ({ member, key: Buffer.from(member.name, 'utf8') }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  return Buffer.concat([...sorted.flatMap(({ member }) => entry(member)), Buffer.alloc(2 * blockBytes)]);
};
