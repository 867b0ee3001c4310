/** mke2fs, debugfs and the real kernel make the file systems; e2fsck and debugfs say what is in them. */
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { mebibyte, type ReadAt } from '../../../agent/volumes/device-bytes.ts';
import { maximumFileBytes, type RootFileRead, readRootFile } from '../../../agent/volumes/ext4-reader.ts';
import { readerOf, sampleDevice, tool } from '../../fakes/sample-device.ts';

const wrapped = 'eyJjaXBoZXJ0ZXh0Ijoic29tZXRoaW5nIHdyYXBwZWQifQ==';
const work = t.testdir({ plain: { keyfile: wrapped } });
const plain = `${work}/plain`;

/** A file system made by mke2fs from a folder; `options` are its words. */
const made = async (name: string, options: string, size: string, source: string = plain): Promise<string> => {
  const path = `${work}/${name}.img`;
  const answer = await tool('mke2fs', ['-q', '-F', ...options.split(' '), '-d', source, path, size]);
  if (answer.exit !== 0) throw new Error(answer.text);
  return path;
};

/** A folder for mke2fs to copy. */
const folderWith = (name: string, fill: (path: string) => void): string => {
  mkdirSync(`${work}/${name}`);
  fill(`${work}/${name}`);
  return `${work}/${name}`;
};

/** debugfs commands, one a line, on the image; their output. */
const debugfs = async (path: string, ...commands: readonly string[]): Promise<string> => {
  writeFileSync(`${path}.commands`, `${commands.join('\n')}\n`);
  return (await tool('debugfs', ['-w', '-f', `${path}.commands`, path])).text;
};

const readImage = async (path: string, name = 'keyfile'): Promise<RootFileRead> => {
  const bytes = readFileSync(path);
  return readRootFile(readerOf(bytes), bytes.length, name);
};

const textOf = (found: RootFileRead): string => (found.kind === 'file' ? found.bytes.toString('latin1') : found.kind);

t.test('every usual kind of ext file system is read', async (t) => {
  const rows = [
    '-t ext4',
    '-t ext4 -b 4096',
    '-t ext4 -b 2048',
    '-t ext4 -I 1024',
    '-t ext4 -O ^has_journal',
    '-t ext4 -O ^metadata_csum',
    '-t ext4 -O ^64bit',
    '-t ext4 -O ^metadata_csum,uninit_bg',
    '-t ext4 -O metadata_csum_seed',
    '-t ext4 -O ^extent,^64bit',
    '-t ext4 -O orphan_file',
    '-t ext4 -O ^flex_bg,^resize_inode',
    '-t ext4 -g 1024',
    '-t ext4 -I 128',
    '-t ext3',
    '-t ext2',
    '-t ext2 -r 0',
  ];
  for (const [at, options] of rows.entries()) {
    const path = await made(`kind${at}`, options, '99M');
    const device = sampleDevice(path, 99 * mebibyte);
    t.equal(textOf(await readRootFile(device.read, device.sizeBytes, 'keyfile')), wrapped, options);
    t.same(await readRootFile(device.read, device.sizeBytes, 'keyfil'), { kind: 'absent' }, options);
    t.same(await readRootFile(device.read, device.sizeBytes, 'keyfile2'), { kind: 'absent' }, options);
    device.close();
    if (at > 3) truncateSync(path);
  }
});

t.test('large, scattered and hashed', async (t) => {
  const largest = Buffer.alloc(maximumFileBytes, 'largest ');
  const source = folderWith('largest', (path) => writeFileSync(`${path}/keyfile`, largest));
  for (const [name, options] of [
    ['extents', '-t ext4'],
    ['map', '-t ext2'],
    ['blocks4k', '-t ext4 -b 4096'],
  ] as const) {
    const found = await readImage(await made(name, options, '8M', source));
    t.ok(found.kind === 'file' && found.bytes.equals(largest), `64 KiB, ${options}`);
  }
  const above = folderWith('above', (path) =>
    writeFileSync(`${path}/keyfile`, Buffer.alloc(maximumFileBytes + 1, 'a')),
  );
  t.match(await readImage(await made('above', '-t ext4', '8M', above)), { kind: 'unreadable', reason: /64 KiB/ });
  const empty = folderWith('empty', (path) => writeFileSync(`${path}/keyfile`, ''));
  t.equal(textOf(await readImage(await made('empty', '-t ext4', '8M', empty))), '');

  // Free blocks in every second place give an extent tree with a level below the inode.
  const many = folderWith('many', (path) => {
    for (let i = 0; i < 900; i++) writeFileSync(`${path}/filler${String(i).padStart(4, '0')}`, 'x'.repeat(1000));
  });
  const scattered = await made('scattered', '-t ext4 -O ^has_journal -N 2048 -m 0', '2M', many);
  const content = `${work}/scattered.txt`;
  writeFileSync(content, Buffer.alloc(60_000, 'scattered text '));
  const removals = Array.from({ length: 300 }, (_, i) => `rm filler${String(i * 2).padStart(4, '0')}`);
  await debugfs(scattered, ...removals, `write ${content} keyfile`);
  t.match(await debugfs(scattered, 'extents keyfile'), /1\/ 1/, 'the tree has two levels');
  t.equal(textOf(await readImage(scattered)), readFileSync(content, 'latin1'));
  const node = Number(/\(ETB0\):(\d+)/.exec(await debugfs(scattered, 'stat keyfile'))?.[1]) * 1024;
  const damaged = readFileSync(scattered);
  damaged.writeUInt8(damaged.readUInt8(node + 16) ^ 1, node + 16);
  const refused = await readRootFile(readerOf(damaged), damaged.length, 'keyfile');
  t.match(refused, { kind: 'unreadable', reason: /checksum of an extent block/ });

  for (const options of ['-t ext4', '-t ext4 -O ^metadata_csum']) {
    const hashed = await made('hashed', `${options} -N 2048`, '8M', many);
    await debugfs(hashed, `write ${content} keyfile`);
    await tool('e2fsck', ['-fyD', hashed]);
    t.match(await debugfs(hashed, 'htree_dump /'), /Root node dump/, `${options}: the root folder is hashed`);
    t.equal(textOf(await readImage(hashed)), readFileSync(content, 'latin1'));
    t.equal(textOf(await readImage(hashed, 'filler0899')), 'x'.repeat(1000));
    t.same(await readImage(hashed, 'filler0900'), { kind: 'absent' });
  }
});

t.test('what is no plain file of a plain file system is refused', async (t) => {
  const link = folderWith('link', (path) => symlinkSync('/etc/passwd', `${path}/keyfile`));
  const nested = folderWith('nested', (path) => mkdirSync(`${path}/keyfile`));
  const sparse = folderWith('sparse', (path) => {
    writeFileSync(`${path}/keyfile`, 'start');
    truncateSync(`${path}/keyfile`, 9000);
  });
  const rows: readonly [string, string, string | null, readonly string[], RegExp][] = [
    ['symbolic link', '-t ext4', link, [], /not a regular file/],
    ['symbolic link, types not in entries', '-t ext4 -O ^filetype', link, [], /not a regular file/],
    ['folder', '-t ext4', nested, [], /not a regular file/],
    ['pipe', '-t ext4', null, ['rm keyfile', 'mknod keyfile p'], /not a regular file/],
    ['device', '-t ext4', null, ['rm keyfile', 'mknod keyfile b 8 0'], /not a regular file/],
    ['hard link', '-t ext4', null, ['ln keyfile second', 'sif keyfile links_count 2'], /hard link/],
    ['deleted', '-t ext4', null, ['sif keyfile dtime 1'], /deleted/],
    ['holes', '-t ext4', sparse, [], /holes/],
    ['holes in a block map', '-t ext2', sparse, [], /holes/],
    [
      'never written',
      '-t ext4',
      null,
      ['rm keyfile', `write ${plain}/keyfile keyfile`, 'fallocate keyfile 0 4', 'sif keyfile size 4096'],
      /without written content/,
    ],
    ['reserved inode', '-t ext4', null, ['rm keyfile', 'ln <8> keyfile'], /reserved inode/],
    ['encrypted file', '-t ext4', null, ['sif keyfile flags 0x80800'], /not read/],
    ['file protected by verity', '-t ext4', null, ['sif keyfile flags 0x180000'], /not read/],
    ['content in the inode', '-t ext4', null, ['sif keyfile flags 0x10000000'], /not read/],
    ['folder with folded case', '-t ext4', null, ['sif / flags 0x40080000'], /not read/],
    ['inline data', '-t ext4 -O inline_data', null, [], /incompat 0x8000/],
    ['case folding', '-t ext4 -O casefold', null, [], /incompat 0x20000/],
    ['encryption', '-t ext4 -O encrypt', null, [], /incompat 0x10000/],
    ['meta groups', '-t ext4 -O meta_bg,^resize_inode', null, [], /incompat 0x10/],
    ['multiple mount protection', '-t ext4 -O mmp', null, [], /incompat 0x100/],
    ['clusters', '-t ext4 -O bigalloc', null, [], /ro_compat 0x200/],
    ['verity', '-t ext4 -O verity', null, [], /ro_compat 0x8000/],
    ['unknown feature', '-t ext4', null, ['ssv feature_incompat 0x800002c2'], /incompat 0x80000000/],
    ['recorded errors', '-t ext4', null, ['ssv state 3'], /errors/],
    ['mounted without journal', '-t ext4 -O ^has_journal', null, ['ssv state 0'], /cleanly/],
    ['recovery without journal', '-t ext4 -O ^has_journal', null, ['ssv feature_incompat 0x2c6'], /no journal/],
    ['no inodes', '-t ext4', null, ['ssv inodes_per_group 0'], /inodes per group/],
    ['odd inode size', '-t ext4', null, ['ssv inode_size 257'], /size of an inode/],
    ['huge blocks', '-t ext4', null, ['ssv log_block_size 30'], /block size/],
    ['odd descriptor size', '-t ext4', null, ['ssv desc_size 65'], /group descriptor/],
    [
      'inode table outside',
      '-t ext4',
      null,
      ['set_bg 0 inode_table 0xfffffff0', 'set_bg 0 checksum calc'],
      /outside the file system/,
    ],
    ['wrong magic in the extent tree', '-t ext4', null, ['sif keyfile block[0] 0x10000'], /not an extent node/],
    ['content outside', '-t ext4', null, ['sif keyfile block[5] 0x7fffffff'], /outside the file system/],
    ['content outside a block map', '-t ext2', null, ['sif keyfile block[0] 0x7fffffff'], /outside the file system/],
    ['root is a file', '-t ext4', null, ['sif / mode 0100644'], /root is not a folder/],
    ['root too large', '-t ext4', null, ['sif / size 0x100000'], /root folder/],
  ];
  for (const [name, options, source, commands, reason] of rows) {
    const path = await made('refused', options, '8M', source ?? plain);
    if (commands.length > 0) await debugfs(path, ...commands);
    t.match(await readImage(path), { kind: 'unreadable', reason }, name);
  }
});

t.test('one name twice, and a device that ends early', async (t) => {
  const pair = folderWith('pair', (path) => {
    writeFileSync(`${path}/keyfile`, 'first');
    writeFileSync(`${path}/keyfilf`, 'second');
  });
  const bytes = readFileSync(await made('pair', '-t ext2', '8M', pair));
  bytes.write('keyfile', bytes.indexOf('keyfilf'));
  t.match(await readRootFile(readerOf(bytes), bytes.length, 'keyfile'), { kind: 'unreadable', reason: /twice/ });

  const whole = readFileSync(await made('whole', '-t ext4', '8M'));
  for (const length of [whole.length - 1024, 4096, 2048])
    t.match(await readRootFile(readerOf(whole.subarray(0, length)), length, 'keyfile'), {
      kind: 'unreadable',
      reason: /larger/,
    });
  t.same(await readRootFile(readerOf(whole), 2047, 'keyfile'), { kind: 'noFilesystem' });
});

t.test('no ext file system', async (t) => {
  t.same(await readRootFile(readerOf(Buffer.alloc(mebibyte)), mebibyte, 'keyfile'), { kind: 'noFilesystem' });
  t.same(await readRootFile(readerOf(Buffer.alloc(0)), 0, 'keyfile'), { kind: 'noFilesystem' });
  const swap = sampleDevice(`${work}/swap.img`, mebibyte);
  await tool('mkswap', [swap.path]);
  t.same(await readRootFile(swap.read, mebibyte, 'keyfile'), { kind: 'noFilesystem' });
  swap.close();
});

t.test('file systems cut off by the kernel are read as after recovery', async (t) => {
  for (const name of ['rename', 'rename-without-checksums', 'escaped']) {
    const fixture = new URL(`../../../fixtures/observations/ext4-interrupted-${name}.img.gz`, import.meta.url);
    const path = `${work}/interrupted-${name}.img`;
    writeFileSync(path, gunzipSync(readFileSync(fixture)));
    const ours = textOf(await readImage(path));
    t.match(await debugfs(path, 'cat keyfile'), /b2xkIHNlZWQ=/, `${name}: without the journal it would be the old one`);
    t.match((await tool('e2fsck', ['-fy', path])).text, /recovering journal/);
    await debugfs(path, `dump keyfile ${path}.out`);
    t.equal(ours, readFileSync(`${path}.out`, 'latin1'), `${name}: as e2fsck recovers it`);
    t.equal(textOf(await readImage(path)), ours, `${name}: the same after recovery`);
  }
});

t.test('journals written with debugfs: commits, revocations, cuts, damage', async (t) => {
  const clean = readFileSync(await made('journal', '-t ext4', '8M'));
  const base = `${work}/journal.img`;
  const block = Number((await debugfs(base, 'blocks keyfile')).split('\n').find((line) => /^\d+ *$/.test(line)));
  const other = `${work}/other.bin`;
  writeFileSync(other, Buffer.alloc(1024, 'other '));
  const changed = 'other '.repeat(9).slice(0, wrapped.length);
  const places = (await debugfs(base, ...[0, 1, 2, 3].map((at) => `bmap <8> ${at}`))).split('\n');
  const journal = places.filter((line) => /^\d+ *$/.test(line)).map((line) => Number(line) * 1024);
  const journalAt = journal[0] as number;
  t.ok(block > 0 && journal.length === 4);
  /** Changes one bit of a block of the journal. */
  const corrupt = (logBlock: number, offset: number) => (bytes: Buffer) => {
    const at = (journal[logBlock] as number) + offset;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  };
  const write = `jw -b ${block} ${other}`;
  const rows: readonly [string, readonly string[], ((bytes: Buffer) => void) | null, string | RegExp][] = [
    ['recovery flag, empty journal', ['feature needs_recovery'], null, wrapped],
    ['one transaction', ['jo -c', write, 'jc'], null, changed],
    ['one transaction without checksums', ['jo', write, 'jc'], null, changed],
    ['no commit block', ['jo -c', `jw -c -b ${block} ${other}`, 'jc', 'feature needs_recovery'], null, wrapped],
    ['later revoked', ['jo -c', write, 'jc', 'jo', `jw -r ${block}`, 'jc'], null, wrapped],
    ['revoked before', ['jo -c', `jw -r ${block}`, 'jc', 'jo', write, 'jc'], null, changed],
    ['damaged superblock of the journal', ['jo -c', write, 'jc'], corrupt(0, 70), /journal superblock/],
    ['damaged descriptor', ['jo -c', write, 'jc'], corrupt(1, 500), /journal block/],
    ['damaged content', ['jo -c', write, 'jc'], corrupt(2, 5), /block in the journal/],
    ['torn commit', ['jo -c', write, 'jc'], corrupt(3, 100), wrapped],
    ['unknown feature', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(0x20, journalAt + 40), /journal feature/],
    ['recorded error', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(5, journalAt + 32), /recorded an error/],
    ['start outside', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(5000, journalAt + 28), /starts outside/],
    ['longer than its file', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(5000, journalAt + 16), /longer/],
    ['other block size', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(4096, journalAt + 12), /another size/],
    ['no journal in its inode', ['jo', write, 'jc'], (bytes) => bytes.writeUInt32BE(0, journalAt), /no superblock/],
  ];
  for (const [name, commands, change, expected] of rows) {
    const path = `${work}/journal-row.img`;
    writeFileSync(path, clean);
    await debugfs(path, ...commands);
    const bytes = readFileSync(path);
    change?.(bytes);
    const found = await readRootFile(readerOf(bytes), bytes.length, 'keyfile');
    if (expected instanceof RegExp) t.match(found, { kind: 'unreadable', reason: expected }, name);
    else t.equal(textOf(found), expected, name);
    if (typeof expected !== 'string' || change !== null || name === 'no commit block') continue;
    await tool('e2fsck', ['-y', '-E', 'journal_only', path]);
    await debugfs(path, `dump keyfile ${path}.out`);
    t.equal(readFileSync(`${path}.out`, 'latin1'), expected, `${name}: e2fsck agrees`);
  }
});

/** Byte ranges that decide: superblock, first descriptor, inodes of root and file, block of the root folder. */
const decisive = async (path: string): Promise<readonly (readonly [offset: number, length: number])[]> => {
  const text = await debugfs(path, 'imap /', 'imap keyfile', 'blocks /', 'stats -h');
  const inodes = [...text.matchAll(/located at block (\d+), offset 0x([0-9a-f]+)/g)];
  const root = Number(text.split('\n').find((line) => /^\d+ *$/.test(line)));
  const places = inodes.map(
    ([, block, offset]) => [Number(block) * 1024 + Number.parseInt(offset ?? '', 16), 256] as const,
  );
  if (places.length !== 2 || !root) throw new Error(text);
  return [[1024, 1024], [2048, 64], ...places, [root * 1024, 1024]];
};

t.test('with checksums no single wrong byte passes', async (t) => {
  const path = await made('bytes', '-t ext4', '8M');
  const bytes = readFileSync(path);
  const wrong: string[] = [];
  for (const [offset, length] of await decisive(path)) {
    for (let at = offset; at < offset + length; at++) {
      const before = bytes.readUInt8(at);
      bytes.writeUInt8(before ^ (1 << (at % 8)), at);
      const { kind } = await readRootFile(readerOf(bytes), bytes.length, 'keyfile');
      bytes.writeUInt8(before, at);
      const magic = at === 1024 + 56 || at === 1024 + 57;
      if (kind !== (magic ? 'noFilesystem' : 'unreadable')) wrong.push(`${at}: ${kind}`);
    }
  }
  t.same(wrong, []);
});

/** Counts and checks reads; fails the test through its rejection. */
const counted = (bytes: Buffer, limit: number): ReadAt => {
  let reads = 0;
  const read = readerOf(bytes);
  return async (offset, length) => {
    if (++reads > limit) throw new Error('more reads than allowed');
    if (length > 4096) throw new Error('more bytes at once than allowed');
    return read(offset, length);
  };
};

t.test('hostile bytes: a value every time, within the device, with few reads', async (t) => {
  const images: { readonly bytes: Buffer; readonly places: readonly (readonly [number, number])[] }[] = [];
  for (const [at, options] of [
    '-t ext4 -O ^metadata_csum,^has_journal',
    '-t ext2',
    '-t ext4 -O ^metadata_csum',
  ].entries()) {
    const path = await made(`fuzz${at}`, options, '4M');
    const places = [...(await decisive(path))];
    if (at === 2) {
      const blocks = readFileSync(path);
      const copies = [1, 2, 70].map((block) => blocks.subarray(block * 1024, (block + 1) * 1024));
      writeFileSync(`${work}/three.bin`, Buffer.concat(copies));
      await debugfs(path, 'jo', `jw -b 1,2,70 ${work}/three.bin`, 'jc', 'jo', 'jw -r 9', 'jc');
      t.match(await debugfs(path, 'logdump -a'), /FS block 70 logged.*Revoke FS block 9/s, 'the journal is in use');
      const log = (await debugfs(path, ...[0, 1, 5, 6, 7].map((block) => `bmap <8> ${block}`))).split('\n');
      for (const line of log.filter((text) => /^\d+ *$/.test(text))) places.push([Number(line) * 1024, 64]);
    }
    images.push({ bytes: readFileSync(path), places });
  }
  const change = fc.record({
    place: fc.nat(),
    offset: fc.nat(),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 4 }),
      fc.constantFrom(
        Uint8Array.of(0),
        Uint8Array.of(255),
        Uint8Array.of(255, 255, 255, 255),
        Uint8Array.of(0, 0, 0, 0),
      ),
    ),
  });
  const kinds = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...images),
      fc.array(change, { minLength: 1, maxLength: 6 }),
      async (image, changes) => {
        const undo: [number, Buffer][] = [];
        for (const { place, offset, bytes } of changes) {
          const [start, length] = image.places[place % image.places.length] as readonly [number, number];
          const at = start + (offset % length);
          undo.push([at, Buffer.from(image.bytes.subarray(at, at + bytes.length))]);
          image.bytes.set(bytes, at);
        }
        const found = await readRootFile(counted(image.bytes, 1500), image.bytes.length, 'keyfile');
        for (const [at, bytes] of undo.reverse()) image.bytes.set(bytes, at);
        kinds.set(found.kind, (kinds.get(found.kind) ?? 0) + 1);
        return found.kind !== 'file' || found.bytes.length <= maximumFileBytes;
      },
    ),
    { seed: 20260902, numRuns: 1500 },
  );
  t.same([...kinds.keys()].sort(), ['absent', 'file', 'noFilesystem', 'unreadable'], 'the changes reach every answer');
});

t.test('an extent tree that fans out is cut off', async (t) => {
  const path = await made('fan', '-t ext4 -O ^metadata_csum,^has_journal', '4M');
  await debugfs(path, 'sif keyfile size 65536');
  const bytes = readFileSync(path);
  const [, , , inode] = await decisive(path);
  const map = (inode as readonly [number, number])[0] + 40;
  const node = (at: number, depth: number, entries: number, child: number): void => {
    for (const [offset, value] of [
      [0, 0xf30a],
      [2, entries],
      [4, at === map ? 4 : 84],
      [6, depth],
    ] as const)
      bytes.writeUInt16LE(value, at + offset);
    for (let i = 0; i < entries; i++) {
      bytes.writeUInt32LE(i, at + 12 + i * 12);
      bytes.writeUInt32LE(child, at + 16 + i * 12);
      bytes.writeUInt32LE(0, at + 20 + i * 12);
    }
  };
  node(map, 5, 4, 3004);
  for (const depth of [4, 3, 2, 1]) node((3000 + depth) * 1024, depth, 64, 3000 + depth - 1);
  node(3000 * 1024, 0, 0, 0);
  const found = await readRootFile(counted(bytes, 400), bytes.length, 'keyfile');
  t.match(found, { kind: 'unreadable', reason: /more blocks/ });
});
