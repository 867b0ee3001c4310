/** Tar archives as a hostile or odd writer would make them: every field can be set, nothing is checked. */
import { gzipSync } from 'node:zlib';

export interface Odd {
  readonly name?: string | Buffer;
  readonly prefix?: string;
  readonly letter?: string;
  readonly body?: string | Buffer;
  /** As written into the field; the length of the body when absent. */
  readonly size?: string;
  readonly link?: string;
  readonly magic?: string;
  /** Left as it is, right or wrong. */
  readonly checksum?: string;
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

export const member = (odd: Odd): Buffer => {
  const { name = 'file', prefix = '', letter = '0', body = '', link = '', magic = 'ustar\x0000' } = odd;
  const content = Buffer.from(body as string);
  const block = Buffer.alloc(512);
  Buffer.from(name as string).copy(block, 0, 0, 100);
  block.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8), 100, 'latin1');
  block.write(odd.size ?? octal(content.length, 12), 124, 12, 'latin1');
  block.write(octal(0, 12), 136, 'latin1');
  block.write(letter, 156, 'latin1');
  block.write(link, 157, 'latin1');
  block.write(magic, 257, 'latin1');
  block.write(prefix, 345, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(odd.checksum ?? `${octal(sum, 7)} `, 148, 'latin1');
  return Buffer.concat([block, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
};

export const pax = (records: Readonly<Record<string, string>>, letter = 'x'): Buffer => {
  const body = Object.entries(records).map(([keyword, value]) => {
    const rest = ` ${keyword}=${value}\n`;
    const bytes = Buffer.byteLength(rest);
    const length = [1, 2, 3, 4, 5].map((digits) => bytes + digits).find((all) => String(all).length === all - bytes);
    return `${length}${rest}`;
  });
  return member({ name: 'PaxHeader', letter, body: body.join('') });
};

export const end = Buffer.alloc(1024);
export const tar = (...parts: readonly Buffer[]): Buffer => Buffer.concat([...parts, end]);
/** The value of an archive key. */
export const packed = (archive: Buffer): string => gzipSync(archive).toString('base64');
export const archiveOf = (files: Readonly<Record<string, string>>): string =>
  packed(tar(...Object.entries(files).map(([name, body]) => member({ name, body }))));
