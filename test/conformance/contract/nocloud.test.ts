/** NoCloud disks: images made by genisoimage, images broken on purpose, and the order of sources. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { maximumContractBytes } from '../../../agent/contract/delivered.ts';
import { ImageError } from '../../../agent/contract/image.ts';
import { listImage, readLabel } from '../../../agent/contract/iso9660.ts';
import { readContract } from '../../../agent/contract/source.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { DiskEntry, Host } from '../../../agent/ports.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');
const image = readFileSync(join(fixtures, 'vectors/cidata.iso'));
const wanted = ['user-data', 'meta-data', 'vendor-data', 'network-config'];

const readFrom =
  (bytes: Buffer) =>
  async (offset: number, length: number): Promise<Buffer> => {
    if (offset < 0 || length < 0 || offset + length > bytes.length) throw new ImageError('read beyond the end');
    return bytes.subarray(offset, offset + length);
  };
const list = (bytes: Buffer) => listImage(readFrom(bytes), bytes.length, wanted);
const contentOf = async (bytes: Buffer, name: string): Promise<string | null> => {
  const file = (await list(bytes)).find((candidate) => candidate.name === name);
  return file === undefined ? null : bytes.toString('latin1', file.offset, file.offset + file.length);
};

const disk = (name: string, bytes: Buffer, partitions: DiskEntry['partitions'] = []): DiskEntry => ({
  name,
  path: `/dev/${name}`,
  sizeBytes: bytes.length,
  sectorBytes: 512,
  serial: null,
  readOnly: true,
  partitions,
  holders: [],
  mountPoints: [],
});
const hostWith = (devices: Readonly<Record<string, Buffer | 'broken'>>, entries?: readonly DiskEntry[]): Host => ({
  ...hostOnFiles(),
  disks: {
    list: async () =>
      entries ??
      Object.entries(devices).map(([name, bytes]) => disk(name, bytes === 'broken' ? Buffer.alloc(0) : bytes)),
    open: async (path) => {
      const bytes = devices[path.slice('/dev/'.length)];
      if (bytes === undefined || bytes === 'broken') throw new Error('no medium');
      const read = readFrom(bytes);
      const refuse = async (): Promise<void> => {
        throw new Error('opened for reading');
      };
      return { path, sizeBytes: bytes.length, read, write: refuse, flush: refuse, close: async () => {} };
    },
  },
});
const nocloud = [{ nocloud: 'cidata' }];
const idOf = async (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'good',
    (error: unknown) => (error instanceof AgentError ? `${error.id} ${error.message}` : String(error)),
  );

t.test('the checked-in image', async (t) => {
  t.equal(await readLabel(readFrom(image), image.length), 'cidata');
  const user = await contentOf(image, 'user-data');
  t.equal(user, readFileSync(join(fixtures, 'contracts/sealed/signed.yaml'), 'latin1'));
  t.equal(await contentOf(image, 'network-config'), null);
  const sealed = await readContract(hostWith({ vda: Buffer.alloc(65536), vdb: image }), nocloud, null);
  t.match(sealed, { kind: 'sealed', source: 'user-data on /dev/vdb', localHostname: 'orders-1' });
  t.equal(sealed.bytes.toString('latin1'), user);
});

const hasMaker = spawnSync('genisoimage', ['--version']).status === 0;

t.test('images by genisoimage', { skip: hasMaker ? false : 'genisoimage is not installed' }, async (t) => {
  const files: Readonly<Record<string, string>> = {
    'user-data': 'workload: a\n',
    'meta-data': 'local-hostname: h\n',
    'vendor-data': '',
    'network-config': 'x: 1\n',
  };
  const folder = t.testdir(files);
  const make = (name: string, ...options: string[]): Buffer => {
    const path = join(folder, `${name}.iso`);
    execFileSync(
      'genisoimage',
      ['-quiet', '-o', path, ...options, ...Object.keys(files).map((file) => join(folder, file))],
      { stdio: 'ignore' },
    );
    return readFileSync(path);
  };
  const table: Readonly<Record<string, readonly string[]>> = {
    'Rock Ridge and Joliet': ['-V', 'cidata', '-J', '-R'],
    'Rock Ridge only': ['-V', 'CIDATA', '-R'],
    'Joliet only': ['-V', 'cidata', '-J'],
    'Rock Ridge with plain owners': ['-V', 'cidata', '-r'],
    'no padding': ['-V', 'cidata', '-R', '-no-pad'],
  };
  for (const [name, options] of Object.entries(table)) {
    const bytes = make(name.replaceAll(' ', '-'), ...options);
    for (const [file, content] of Object.entries(files))
      t.equal(await contentOf(bytes, file), content, `${name}: ${file}`);
    const sealed = await readContract(hostWith({ vdb: bytes }), nocloud, null);
    t.equal(sealed.localHostname, 'h', name);
  }
  await t.rejects(list(make('short', '-V', 'cidata')), { message: /neither Rock Ridge nor Joliet/ });

  mkdirSync(join(folder, 'tree', 'user-data'), { recursive: true });
  const tree = join(folder, 'tree.iso');
  execFileSync('genisoimage', ['-quiet', '-V', 'cidata', '-R', '-o', tree, join(folder, 'tree')], { stdio: 'ignore' });
  await t.rejects(list(readFileSync(tree)), { message: 'user-data is a folder' });

  const many = join(folder, 'many');
  mkdirSync(many);
  for (let index = 0; index < 300; index += 1) writeFileSync(join(many, `a-rather-long-name-for-a-file-${index}`), '');
  writeFileSync(join(many, 'user-data'), 'found: me\n');
  const crowded = join(folder, 'crowded.iso');
  execFileSync('genisoimage', ['-quiet', '-V', 'cidata', '-R', '-o', crowded, many], { stdio: 'ignore' });
  t.equal(await contentOf(readFileSync(crowded), 'user-data'), 'found: me\n', 'a root folder over many sectors');
});

t.test('images broken on purpose', async (t) => {
  const root = image.readUInt32LE(16 * 2048 + 158) * 2048;
  /** Offset of the record whose Rock Ridge name is `name`. */
  const recordOf = (name: string): number => {
    for (let at = root; at < root + 2048; at += image.readUInt8(at)) {
      if (image.toString('latin1', at, at + image.readUInt8(at)).includes(name)) return at;
      if (image.readUInt8(at) === 0) break;
    }
    throw new Error(`no record of ${name}`);
  };
  const [user, meta] = [recordOf('user-data'), recordOf('meta-data')];
  const both = (bytes: Buffer, at: number, value: number): void => {
    bytes.writeUInt32LE(value, at);
    bytes.writeUInt32BE(value, at + 4);
  };
  const table: Readonly<Record<string, readonly [(bytes: Buffer) => void, RegExp]>> = {
    'byte orders disagree': [(b) => b.writeUInt32BE(1, user + 6), /two byte orders/],
    'file beyond the end': [(b) => both(b, user + 2, 1_000_000), /outside the image/],
    'file longer than the image': [(b) => both(b, user + 10, 0x7fffffff), /outside the image/],
    'file in the system area': [(b) => both(b, user + 2, 3), /outside the image/],
    'two files share bytes': [(b) => both(b, meta + 2, b.readUInt32LE(user + 2)), /overlap/],
    'a file lies on the folder': [(b) => both(b, meta + 2, root / 2048), /overlap/],
    'a file lies on the descriptors': [(b) => both(b, meta + 2, 16), /overlap/],
    'several extents': [(b) => b.writeUInt8(0x80, user + 25), /several extents/],
    interleaved: [(b) => b.writeUInt8(1, user + 26), /interleaved/],
    'extended attributes': [(b) => b.writeUInt8(1, user + 1), /extended attribute/],
    'name twice': [(b) => b.write('user', b.indexOf('meta-data', meta), 'latin1'), /user-data is there twice/],
    'name runs out of its record': [(b) => b.writeUInt8(200, user + 32), /cut off/],
    'record crosses its sector': [
      (b) => {
        // The smallest records, up to the end of the sector; the last one claims more than is left.
        const small = Buffer.alloc(34);
        small.writeUInt8(34, 0);
        small.writeUInt8(1, 32);
        small.write('X', 33);
        let at = user;
        for (; at + 34 <= root + 2048; at += 34) small.copy(b, at);
        b.writeUInt8(255, at - 34);
      },
      /crosses a sector/,
    ],
    'root is huge': [(b) => both(b, 16 * 2048 + 166, 1 << 20), /impossible length/],
    'root is empty': [(b) => both(b, 16 * 2048 + 166, 0), /impossible length/],
    'root is outside': [(b) => both(b, 16 * 2048 + 158, 999_999), /outside the image/],
    'block size': [(b) => b.fill(Buffer.from([0, 4, 4, 0]), 16 * 2048 + 128, 16 * 2048 + 132), /2048 bytes/],
    'descriptors do not end': [(b) => b.fill(0, 18 * 2048, 19 * 2048), /does not end/],
  };
  for (const [name, [change, expected]] of Object.entries(table)) {
    const bytes = Buffer.from(image);
    change(bytes);
    const result = await list(bytes).then(
      () => 'good',
      (error: unknown) => (error instanceof ImageError ? error.message : `unexpected ${error}`),
    );
    t.match(result, expected, name);
  }
});

t.test('a continuation that points at itself ends', async (t) => {
  const bytes = Buffer.from(image);
  const at = bytes.indexOf(Buffer.from('NM\x0e\x01\x00user-data', 'latin1'));
  t.ok(at > 0);
  const ce = Buffer.alloc(28);
  ce.write('CE\x1c\x01', 'latin1');
  const area = bytes.length - 2048;
  ce.writeUInt32LE(area / 2048, 4);
  ce.writeUInt32LE(28, 20);
  ce.copy(bytes, area);
  // The record's own system use is replaced by one continuation to an area that continues with itself.
  ce.copy(bytes, at);
  await t.rejects(list(bytes), { message: 'a name has too many continuations' });
});

t.test('no mutation makes the reader hang, throw anything else or hand out bytes twice', async () => {
  const head = 16 * 2048;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ at: fc.nat(image.length - head - 1), value: fc.nat(255) }), { minLength: 1, maxLength: 40 }),
      fc.option(fc.nat(image.length), { nil: null }),
      async (changes, cut) => {
        const bytes = Buffer.from(image.subarray(0, cut ?? image.length));
        for (const { at, value } of changes) if (head + at < bytes.length) bytes[head + at] = value;
        try {
          await readLabel(readFrom(bytes), bytes.length);
          const files = (await list(bytes)).filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
          return files.every(
            ({ offset, length }, i) =>
              offset + length <= bytes.length &&
              (files[i - 1] === undefined || (files[i - 1]?.offset ?? 0) + (files[i - 1]?.length ?? 0) <= offset),
          );
        } catch (error) {
          if (error instanceof ImageError) return true;
          throw error;
        }
      },
    ),
    { numRuns: 400, seed: 20261121 },
  );
});

t.test('mutations of descriptors and folder, where it matters most', async () => {
  const root = image.readUInt32LE(16 * 2048 + 158) * 2048;
  const spots = fc.oneof(
    fc.nat(190).map((at) => 16 * 2048 + at),
    fc.nat(600).map((at) => root + at),
    fc.nat(190).map((at) => 17 * 2048 + at),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ at: spots, value: fc.nat(255) }), { minLength: 1, maxLength: 6 }),
      async (changes) => {
        const bytes = Buffer.from(image);
        for (const { at, value } of changes) bytes[at] = value;
        return list(bytes).then(
          () => true,
          (error: unknown) => {
            if (error instanceof ImageError) return true;
            throw error;
          },
        );
      },
    ),
    { numRuns: 600, seed: 20261121 },
  );
});

t.test('which disk, and what is said when there is none or more than one', async (t) => {
  const blank = Buffer.alloc(1 << 20);
  const withMeta = (content: string): Buffer => {
    const bytes = Buffer.from(image);
    const at = bytes.indexOf('instance-id: fixture');
    bytes.write(content.padEnd('instance-id: fixture\nlocal-hostname: orders-1\n'.length, ' '), at, 'latin1');
    return bytes;
  };
  const partition = { name: 'vda1', path: '/dev/vda1', number: 1, startBytes: 1 << 20, sizeBytes: image.length };
  const table: Readonly<Record<string, readonly [Host, RegExp]>> = {
    'no disk': [hostWith({}), /^HPL05002E .*a disk labelled cidata/],
    'no such label': [hostWith({ vda: blank }), /^HPL05002E/],
    'unreadable disks are passed over': [hostWith({ sr0: 'broken', vdb: image }), /^good/],
    'on a partition': [hostWith({ vda: blank, vda1: image }, [disk('vda', blank, [partition])]), /^good/],
    'two disks': [hostWith({ vdb: image, vdc: image }), /^TSD05006E .*\/dev\/vdb, \/dev\/vdc/],
    'disk and its partition': [hostWith({ vda: image, vda1: image }, [disk('vda', image, [partition])]), /^TSD05006E/],
    'image cut off': [hostWith({ vdb: image.subarray(0, 20 * 2048) }), /^TSD05007E/],
    'no user-data': [
      hostWith({ vdb: Buffer.from(image.toString('latin1').replaceAll('user-data', 'user-dada'), 'latin1') }),
      /^TSD05007E .*no file user-data/,
    ],
    'host name with a space': [hostWith({ vdb: withMeta('local-hostname: "a b"') }), /^TSD05007E .*host name/],
    'meta-data that is no YAML': [hostWith({ vdb: withMeta('a: [') }), /^TSD05007E .*meta-data/],
    'meta-data without a name': [hostWith({ vdb: withMeta('instance-id: x') }), /^good/],
  };
  for (const [name, [host, expected]] of Object.entries(table)) {
    t.match(await idOf(readContract(host, nocloud, null)), expected, name);
  }
});

t.test('the first source that exists wins; one that cannot be read is an error', async (t) => {
  const folder = t.testdir({
    credentials: { 'triseed.contract': 'from: credential\n' },
    file: 'from: file\n',
    largest: 'x'.repeat(maximumContractBytes),
    large: 'x'.repeat(maximumContractBytes + 1),
    larger: 'x'.repeat(2 * maximumContractBytes),
  });
  const host = hostWith({ vdb: image });
  const empty = hostWith({});
  const credentials = join(folder, 'credentials');
  const sources = [{ nocloud: 'cidata' }, { credential: 'triseed.contract' }, { file: join(folder, 'file') }];
  t.equal((await readContract(host, sources, credentials)).source, 'user-data on /dev/vdb');
  t.equal((await readContract(empty, sources, credentials)).source, 'credential triseed.contract');
  t.equal((await readContract(empty, sources, null)).bytes.toString(), 'from: file\n');
  t.match(
    await idOf(readContract(empty, [{ file: '/does/not/exist' }, { credential: 'c' }], null)),
    /^HPL05002E .*\/does\/not\/exist, credential c/,
  );
  t.match(
    await idOf(readContract(empty, [{ file: folder }, ...sources], credentials)),
    /^TSD00004E/,
    'a folder is no file',
  );
  t.equal(maximumContractBytes, 4 * 1024 * 1024);
  for (const [name, expected] of [
    ['largest', /^good/],
    ['large', /^TSD05005E .* 4194304 bytes/],
    ['larger', /^TSD05005E/],
  ] as const) {
    t.match(await idOf(readContract(empty, [{ file: join(folder, name) }], null)), expected, `${name}: file`);
    t.match(await idOf(readContract(empty, [{ credential: name }], folder)), expected, `${name}: credential`);
  }
});

t.test('the limit on a disk', { skip: hasMaker ? false : 'genisoimage is not installed' }, async (t) => {
  const diskOf = (length: number): Host => {
    const folder = t.testdir({ 'user-data': 'x'.repeat(length), 'meta-data': '' });
    const names = ['user-data', 'meta-data'].map((name) => join(folder, name));
    const iso = join(folder, 'x.iso');
    execFileSync('genisoimage', ['-quiet', '-V', 'cidata', '-R', '-o', iso, ...names], { stdio: 'ignore' });
    return hostWith({ vdb: readFileSync(iso) });
  };
  const largest = await readContract(diskOf(maximumContractBytes), nocloud, null);
  t.equal(largest.bytes.length, maximumContractBytes);
  t.equal(largest.cidata?.metaData?.length, 0, 'with the files beside it');
  t.equal(largest.cidata?.vendorData, null);
  t.match(await idOf(readContract(diskOf(maximumContractBytes + 1), nocloud, null)), /^TSD05005E .*user-data/);
});
