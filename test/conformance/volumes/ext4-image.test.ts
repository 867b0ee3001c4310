/** e2fsck, dumpe2fs and debugfs judge the file system we make; every cut while writing it is replayed. */
import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { type DeviceWrite, mebibyte } from '../../../agent/volumes/device-bytes.ts';
import { type ImageRequest, maximumContentBytes, renderImage } from '../../../agent/volumes/ext4-image.ts';
import { readRootFile } from '../../../agent/volumes/ext4-reader.ts';
import { readerOf, sampleDevice, tool } from '../../fakes/sample-device.ts';

const request: ImageRequest = {
  sizeBytes: 99 * mebibyte,
  fileName: 'keyfile',
  content: Buffer.from('eyJjaXBoZXJ0ZXh0Ijoic29tZXRoaW5nIHdyYXBwZWQifQ=='),
  uuid: '9d0f1c34-5ab6-4b1f-8a1d-3f60f4b0e002',
  label: 'metadata',
  atSeconds: 1_790_000_000,
};

const writesOf = (change: Partial<ImageRequest> = {}): readonly DeviceWrite[] => {
  const image = renderImage({ ...request, ...change });
  if (image.kind !== 'image') throw new Error(image.kind);
  return image.writes;
};

const outcome = async (bytes: Buffer): Promise<string> => {
  const found = await readRootFile(readerOf(bytes), bytes.length, 'keyfile');
  return found.kind === 'file' ? found.bytes.toString('latin1') : found.kind;
};

t.test('stock tools find it clean, for all sizes of partition and content', async (t) => {
  const rows: readonly [number, number][] = [
    [99 * mebibyte, 48],
    [99 * mebibyte, 0],
    [99 * mebibyte, 4096],
    [99 * mebibyte, 4097],
    [99 * mebibyte, maximumContentBytes],
    [mebibyte, 300],
    [mebibyte + 4095, 300],
    [128 * mebibyte, 300],
    [128 * mebibyte - 4096, 300],
    [5000 * mebibyte, 300],
  ];
  for (const [at, [sizeBytes, length]] of rows.entries()) {
    const content = Buffer.alloc(length, 'wrapped seed ');
    const disk = sampleDevice(`${t.testdirName}-${at}.img`, sizeBytes);
    t.teardown(async () => void (await tool('rm', ['-f', disk.path, `${disk.path}.out`])));
    disk.apply(writesOf({ sizeBytes, content }));
    const check = await tool('e2fsck', ['-fn', disk.path]);
    t.equal(check.exit, 0, `e2fsck: ${sizeBytes} bytes with ${length}`);
    t.notMatch(check.text, /\?|fix|error|wrong/i);
    await tool('debugfs', ['-R', `dump keyfile ${disk.path}.out`, disk.path]);
    t.ok(readFileSync(`${disk.path}.out`).equals(content), 'debugfs reads the content');
    t.match(await readRootFile(disk.read, sizeBytes, 'keyfile'), { kind: 'file', bytes: content });
    disk.close();
  }
});

t.test('the file is for root only, and the rest is as asked', async (t) => {
  const disk = sampleDevice(`${t.testdir({})}/disk.img`, request.sizeBytes);
  disk.apply(writesOf());
  const stat = (await tool('debugfs', ['-R', 'stat keyfile', disk.path])).text;
  t.match(stat, /Type: regular +Mode: +0600/);
  t.match(stat, /User: +0 +Group: +0 /);
  t.match(stat, /Links: 1 /);
  t.match(stat, /mtime: 0x[0-9a-f]+:0+ -- Mon Sep 21 14:13:20 2026/);
  t.match((await tool('debugfs', ['-R', 'stat /', disk.path])).text, /Type: directory +Mode: +0700/);
  t.match((await tool('debugfs', ['-R', 'ls -p /', disk.path])).text, /\/11\/040700\/0\/0\/lost\+found\//);
  const summary = (await tool('dumpe2fs', ['-h', disk.path])).text;
  t.match(summary, /volume name: +metadata\n/);
  t.match(summary, new RegExp(`UUID: +${request.uuid}\n`));
  t.match(summary, /state: +clean\n/);
  t.match(summary, /features: +filetype extent sparse_super large_file extra_isize metadata_csum\n/);
  t.match((await tool('blkid', ['-p', '-o', 'export', disk.path])).text, /^TYPE=ext4$/m);
  disk.close();
});

t.test('it lives on under stock tools: written to, grown, checked', async (t) => {
  const disk = sampleDevice(`${t.testdir({})}/disk.img`, request.sizeBytes);
  disk.apply(writesOf());
  const content = `${t.testdirName}/content`;
  writeFileSync(content, Buffer.alloc(9000, 'another file '));
  await tool('debugfs', ['-w', '-R', `write ${content} beside`, disk.path]);
  t.equal((await tool('e2fsck', ['-fn', disk.path])).exit, 0);
  disk.close();
  const larger = sampleDevice(disk.path, 300 * mebibyte);
  t.equal((await tool('resize2fs', [disk.path])).exit, 0);
  t.equal((await tool('e2fsck', ['-fn', disk.path])).exit, 0);
  t.match(await readRootFile(larger.read, larger.sizeBytes, 'keyfile'), { kind: 'file', bytes: request.content });
  larger.close();
});

t.test('times after 2038 are kept', async (t) => {
  for (const [atSeconds, expected] of [
    [2 ** 31 + 5, /mtime: .* Tue Jan 19 03:14:13 2038/],
    [2 ** 32 + 5, /mtime: .* Sun Feb +7 06:28:21 2106/],
  ] as const) {
    const disk = sampleDevice(`${t.testdir({})}/disk.img`, mebibyte);
    disk.apply(writesOf({ sizeBytes: mebibyte, atSeconds }));
    t.match((await tool('debugfs', ['-R', 'stat keyfile', disk.path])).text, expected);
    t.equal((await tool('e2fsck', ['-fn', disk.path])).exit, 0);
    disk.close();
  }
});

t.test('refusals are values, and the result depends on the request alone', async (t) => {
  t.match(renderImage({ ...request, sizeBytes: mebibyte - 1 }), { kind: 'partitionTooSmall', minimumBytes: mebibyte });
  t.match(renderImage({ ...request, content: Buffer.alloc(maximumContentBytes + 1) }), { kind: 'contentTooLong' });
  t.throws(() => renderImage({ ...request, uuid: 'no' }), TypeError);
  t.same(writesOf(), writesOf());
  t.notSame(writesOf(), writesOf({ uuid: '9d0f1c34-5ab6-4b1f-8a1d-3f60f4b0e003' }));
});

t.test('a cut leaves the old file system, none, or the new one', async (t) => {
  const old = `${t.testdir({ source: { keyfile: 'b2xkIHNlZWQ=' } })}/old.img`;
  const content = Buffer.from('bmV3IHNlZWQ=');
  const rows: readonly [string, 512 | 4096, string | null][] = [
    ['over zeros', 512, null],
    ['over zeros', 4096, null],
    ['over ext4', 512, '-t ext4'],
    ['over ext4', 4096, '-t ext4 -b 4096'],
    ['over ext2', 512, '-t ext2'],
    ['over its own kind', 512, 'ours'],
  ];
  for (const [name, sectorSize, options] of rows) {
    const sizeBytes = 4 * mebibyte;
    if (options !== null && options !== 'ours')
      await tool('mke2fs', ['-q', '-F', ...options.split(' '), '-d', `${t.testdirName}/source`, old, '4M']);
    const before = options === null || options === 'ours' ? Buffer.alloc(sizeBytes) : readFileSync(old);
    if (options === 'ours')
      for (const { offset, bytes } of writesOf({ sizeBytes, content: Buffer.from('b2xkIHNlZWQ=') }))
        bytes.copy(before, offset);
    const start = options === null ? 'noFilesystem' : 'b2xkIHNlZWQ=';
    t.equal(await outcome(before), start, name);

    const writes = writesOf({ sizeBytes, content, sectorSize });
    t.ok(
      writes.every(
        ({ offset, bytes, flushAfter }) => flushAfter && offset % sectorSize === 0 && bytes.length % sectorSize === 0,
      ),
    );
    const state = Buffer.from(before);
    const wrong: string[] = [];
    for (const [at, { offset, bytes }] of writes.entries()) {
      const last = at === writes.length - 1;
      // Sectors of one write reach the disk in any order and number: all ones first, all last ones, and every second.
      const sectors = bytes.length / sectorSize;
      for (const chosen of [
        (i: number) => i < sectors / 2,
        (i: number) => i >= sectors / 2,
        (i: number) => i % 2 === 1,
      ]) {
        const torn = Buffer.from(state);
        for (let i = 0; i < sectors; i++)
          if (chosen(i)) bytes.copy(torn, offset + i * sectorSize, i * sectorSize, (i + 1) * sectorSize);
        const seen = await outcome(torn);
        const allowed =
          at === 0 ? [start, 'noFilesystem'] : last ? ['noFilesystem', content.toString()] : ['noFilesystem'];
        if (!allowed.includes(seen)) wrong.push(`write ${at}: ${seen}`);
      }
      bytes.copy(state, offset);
      const seen = await outcome(state);
      if (seen !== (last ? content.toString() : 'noFilesystem')) wrong.push(`after write ${at}: ${seen}`);
    }
    t.same(wrong, [], `${name}, sectors of ${sectorSize}`);
  }
});

t.test('any content comes back', async (t) => {
  const base = Buffer.alloc(mebibyte);
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 9000 }),
      fc.uuid(),
      fc.nat(2 ** 31),
      async (content, uuid, atSeconds) => {
        base.fill(0xa5);
        const change = { sizeBytes: mebibyte, content: Buffer.from(content), uuid, atSeconds };
        for (const { offset, bytes } of writesOf(change)) bytes.copy(base, offset);
        const found = await readRootFile(readerOf(base), base.length, 'keyfile');
        return found.kind === 'file' && found.bytes.equals(content);
      },
    ),
    { seed: 20260904, numRuns: 60 },
  );
  t.pass('60 contents over a partition full of other bytes');
});
