/** Archives of compose that are made to harm whoever unpacks them. Headers: POSIX.1-1988 ustar, pax(1). */
import { deflateRawSync, gzipSync } from 'node:zlib';
import { contract, type Hostile } from './documents.ts';

const blockLength = 512;
const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

interface Header {
  readonly name: string;
  /** `0` file, `1` link, `2` symbolic link, `3` `4` devices, `5` folder, `6` fifo. */
  readonly type?: string;
  readonly target?: string;
  /** What the header says; the body's own length otherwise. */
  readonly size?: number;
  readonly prefix?: string;
}

const member = ({ name, type = '0', target = '', size, prefix = '' }: Header, body = ''): Buffer => {
  const header = Buffer.alloc(blockLength);
  const put = (text: string, at: number): void => void header.write(text, at, 'utf8');
  put(name, 0);
  put(octal(0o644, 8) + octal(0, 8) + octal(0, 8), 100);
  put(octal(size ?? Buffer.byteLength(body), 12) + octal(0, 12), 124);
  put(' '.repeat(8), 148);
  put(type + target, 156);
  put('ustar\x0000', 257);
  put(prefix, 345);
  put(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
  );
  const content = Buffer.from(body);
  return Buffer.concat([header, content, Buffer.alloc((blockLength - (content.length % blockLength)) % blockLength)]);
};

const digest = `sha256:${'0'.repeat(64)}`;
const compose = member({ name: 'docker-compose.yaml' }, `services:\n  a:\n    image: example.com/a/b@${digest}\n`);
const end = Buffer.alloc(2 * blockLength);
const tar = (...members: readonly Buffer[]): Buffer => Buffer.concat([compose, ...members, end]);

/** A pax header for the member after it; each record counts its own length. */
const pax = (key: string, value: string): Buffer => {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return member({ name: 'pax', type: 'x' }, `${length}${rest}`);
};

/** A contract around gzipped bytes. */
export const archiveContract = (packed: Buffer): Buffer =>
  Buffer.from(contract('').replace('play: {}', `compose: {archive: ${packed.toString('base64')}}`));

/** A deflate stream of `count` mebibytes of zeros: one block of the stream, again and again. */
const zeros = (count: number): Buffer => {
  const mebibyte = deflateRawSync(Buffer.alloc(1024 * 1024), { finishFlush: 2 });
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  return Buffer.concat([header, ...Array<Buffer>(count).fill(mebibyte), deflateRawSync(''), Buffer.alloc(8)]);
};

const packed = (name: string, make: () => Buffer, code: string): Hostile => ({
  name: `an archive with ${name}`,
  bytes: () => archiveContract(make()),
  code,
});
const holding = (name: string, code: string, ...members: readonly Buffer[]): Hostile =>
  packed(name, () => gzipSync(tar(...members)), code);

export const harmlessArchive = (): Buffer => archiveContract(gzipSync(tar()));

export const hostileArchives: readonly Hostile[] = [
  holding('a path that climbs out', 'ARCHIVE_MEMBER_NAME', member({ name: '../../etc/passwd' }, 'x')),
  holding('a path that climbs out in its middle', 'ARCHIVE_MEMBER_NAME', member({ name: 'a/../../b' }, 'x')),
  holding('a path that climbs out in its prefix', 'ARCHIVE_MEMBER_NAME', member({ name: 'b', prefix: '../a' }, 'x')),
  holding('a path that climbs out by pax', 'ARCHIVE_MEMBER_NAME', pax('path', '../b'), member({ name: 'b' }, 'x')),
  holding('an absolute path', 'ARCHIVE_MEMBER_NAME', member({ name: '/etc/passwd' }, 'x')),
  holding('a link to /etc/passwd', 'ARCHIVE_MEMBER_KIND', member({ name: 'a', type: '1', target: '/etc/passwd' })),
  holding('a symbolic link to /', 'ARCHIVE_MEMBER_KIND', member({ name: 'a', type: '2', target: '/' })),
  holding('a harmless symbolic link', 'ARCHIVE_MEMBER_KIND', member({ name: 'a', type: '2', target: 'b' })),
  holding('a device', 'ARCHIVE_MEMBER_KIND', member({ name: 'a', type: '3' })),
  holding('a fifo', 'ARCHIVE_MEMBER_KIND', member({ name: 'a', type: '6' })),
  holding('the compose file twice', 'ARCHIVE_MEMBER_NAME', compose),
  holding('a member that says 8 GiB', 'ARCHIVE_DAMAGED', member({ name: 'a', size: 8 * 1024 ** 3 - 1 }, 'x')),
  holding(
    'a wrong checksum',
    'ARCHIVE_DAMAGED',
    Buffer.from(member({ name: 'a' }).map((byte, at) => (at === 0 ? byte + 1 : byte))),
  ),
  packed(
    '5,000 members',
    () => gzipSync(tar(...Array.from({ length: 5000 }, (_, at) => member({ name: `${at}` })))),
    'ARCHIVE_TOO_LARGE',
  ),
  packed('2 GiB of zeros', () => zeros(2048), 'ARCHIVE_TOO_LARGE'),
  packed(
    '17 MiB in one file',
    () => gzipSync(tar(member({ name: 'a' }, '\0'.repeat(17 * 1024 * 1024)))),
    'ARCHIVE_TOO_LARGE',
  ),
  packed('a cut end', () => gzipSync(tar()).subarray(0, -9), 'ARCHIVE_NOT_GZIP'),
  packed(
    'something after its end',
    () => Buffer.concat([gzipSync(tar()), Buffer.from('#!/bin/sh')]),
    'ARCHIVE_NOT_GZIP',
  ),
  packed(
    '100,000 empty gzip members',
    () => Buffer.concat(Array<Buffer>(100_000).fill(gzipSync(''))),
    'ARCHIVE_NOT_GZIP',
  ),
  packed('random bytes', () => Buffer.from('not gzip at all, not even close'), 'ARCHIVE_NOT_GZIP'),
  packed(
    'an alias bomb for a compose file',
    () => {
      const laughs = Array.from({ length: 9 }, (_, at) => `a${at + 1}: &a${at + 1} [${Array(10).fill(`*a${at}`)}]`);
      return gzipSync(
        Buffer.concat([member({ name: 'docker-compose.yaml' }, ['a0: &a0 x', ...laughs].join('\n')), end]),
      );
    },
    'COMPOSE_FILE_INVALID',
  ),
];
