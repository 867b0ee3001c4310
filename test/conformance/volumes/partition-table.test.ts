/** sgdisk and parted judge our table and write the tables that we must read the same way. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { crc32 } from '../../../agent/volumes/crc.ts';
import { mebibyte } from '../../../agent/volumes/device-bytes.ts';
import {
  isOurHalfWrittenTable,
  minimumDiskBytes,
  type PartitionTable,
  readPartitionTable,
  renderOurTable,
  tableRanges,
} from '../../../agent/volumes/partition-table.ts';
import { readerOf, sampleDevice, tool } from '../../fakes/sample-device.ts';

const guids = {
  diskGuid: '5b1c7e52-93d5-4c36-9c6e-0a3f4b8ad001',
  metadataGuid: '9d0f1c34-5ab6-4b1f-8a1d-3f60f4b0e002',
  dataGuid: 'c4b7a5e6-27d8-4e39-b8ea-6d8b25b7f003',
};
const linuxData = '0fc63daf-8483-4772-8e79-3d69d8477de4';

const rendered = (sizeBytes: number, sectorSize: 512 | 4096 = 512) => {
  const table = renderOurTable({ sizeBytes, sectorSize, ...guids });
  if (table.kind !== 'table') throw new Error('disk too small for the test');
  return table;
};

/** Our table on a disk in memory. */
const ourDisk = (sizeBytes = minimumDiskBytes, sectorSize: 512 | 4096 = 512): Buffer => {
  const disk = Buffer.alloc(sizeBytes);
  for (const { offset, bytes } of rendered(sizeBytes, sectorSize).writes) bytes.copy(disk, offset);
  return disk;
};

/** Zeroes what lies in the table areas; touching all of a large disk in memory would only take time. */
const clear = (disk: Buffer, from = 0, to = disk.length): void => {
  for (const { offset, length } of tableRanges(disk.length))
    disk.fill(0, Math.min(Math.max(from, offset), offset + length), Math.max(Math.min(to, offset + length), offset));
};

const gpt = (table: PartitionTable) => {
  if (table.kind !== 'gpt') throw new Error(`not a GPT: ${JSON.stringify(table)}`);
  return table;
};

/** Sets the header checksum anew after `change`, so that only the changed field can be what is refused. */
const resealed = (disk: Buffer, headerAt: number, change: (header: Buffer) => void): Buffer => {
  const header = disk.subarray(headerAt, headerAt + 92);
  change(header);
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header), 16);
  return disk;
};

t.test('stock tools find our table sound and read it as meant', async (t) => {
  const sizes = [128 * mebibyte, 10 * 1024 * mebibyte, 1024 * mebibyte + 512 * 7, 3 * 1024 * 1024 * mebibyte];
  for (const [at, sizeBytes] of sizes.entries()) {
    const disk = sampleDevice(`${t.testdir({})}/disk${at}.img`, sizeBytes);
    const table = rendered(sizeBytes);
    disk.apply(table.writes);
    const verdict = await tool('sgdisk', ['-v', disk.path]);
    t.match(verdict.text, /No problems found/, `sgdisk verifies ${sizeBytes}`);
    t.notMatch(verdict.text, /warning|caution|problem:/i);
    const first = (await tool('sgdisk', ['-i', '1', disk.path])).text;
    t.match(first, /Partition name: 'metadata'/);
    t.match(first, /First sector: 2048 \(at 1024\.0 KiB\)/);
    t.match(first, /Last sector: 204799 /);
    t.match(first, new RegExp(`unique GUID: ${guids.metadataGuid}`, 'i'));
    const parted = (await tool('parted', ['-s', '-m', disk.path, 'unit', 'B', 'print'])).text.trim().split('\n');
    t.match(parted[1], /:gpt:/);
    t.equal(parted.length, 4);
    t.equal(parted[2], `1:1048576B:104857599B:103809024B::metadata:;`);
    const { data } = table;
    t.equal(parted[3], `2:104857600B:${data.offset + data.length - 1}B:${data.length}B::data:;`);
    t.equal(data.length % mebibyte, 0);
    t.ok(sizeBytes - data.offset - data.length < 2 * mebibyte, 'less than 2 MiB are lost at the end');

    const read = gpt(await readPartitionTable(disk.read, sizeBytes));
    t.match(read, {
      diskGuid: guids.diskGuid,
      copies: 'both',
      backupAtEnd: true,
      partitions: [
        { number: 1, name: 'metadata', guid: guids.metadataGuid, typeGuid: linuxData, startBytes: mebibyte },
        { number: 2, name: 'data', guid: guids.dataGuid, startBytes: data.offset, sizeBytes: data.length },
      ],
    });
    disk.close();
  }
});

t.test('4096-byte sectors: same ranges, aligned, read with that size only', async (t) => {
  const disk = ourDisk(256 * mebibyte, 4096);
  const read = gpt(await readPartitionTable(readerOf(disk), disk.length, 4096));
  t.equal(read.copies, 'both');
  t.same(
    read.partitions.map(({ startBytes, sizeBytes }) => [startBytes, sizeBytes]),
    [
      [mebibyte, 99 * mebibyte],
      [100 * mebibyte, 155 * mebibyte],
    ],
  );
  for (const { offset, bytes } of rendered(256 * mebibyte, 4096).writes) {
    t.equal(offset % 4096, 0);
    t.equal(bytes.length % 4096, 0);
  }
  t.match(await readPartitionTable(readerOf(disk), disk.length, 512), {
    kind: 'damaged',
    damage: 'protectiveMbrAlone',
  });
});

t.test('a disk below the minimum is refused by value', async (t) => {
  t.same(renderOurTable({ sizeBytes: minimumDiskBytes - 1, ...guids }), {
    kind: 'diskTooSmall',
    minimumBytes: minimumDiskBytes,
  });
});

t.test('tables that sgdisk wrote or changed are read the same', async (t) => {
  // sgdisk sleeps a second after each write, so the three changes run side by side.
  const made = sampleDevice(`${t.testdir({})}/made.img`, 300 * mebibyte);
  const hybrid = sampleDevice(`${t.testdirName}/hybrid.img`, 200 * mebibyte);
  const grown = sampleDevice(`${t.testdirName}/grown.img`, 400 * mebibyte);
  hybrid.apply(rendered(200 * mebibyte).writes);
  grown.apply(rendered(200 * mebibyte).writes);
  t.match(await readPartitionTable(grown.read, grown.sizeBytes), { kind: 'gpt', copies: 'both', backupAtEnd: false });

  const partitions = ['-n', '1:2048:+99M', '-c', '1:metadata', '-n', '5:0:0', '-c', '5:dätä €', '-t', '5:8309'];
  await Promise.all([
    tool('sgdisk', [...partitions, made.path]),
    tool('sgdisk', ['-h', '2', hybrid.path]),
    tool('sgdisk', ['-e', grown.path]),
  ]);

  const table = gpt(await readPartitionTable(made.read, made.sizeBytes));
  t.equal(table.copies, 'both');
  t.same(
    table.partitions.map(({ number, name }) => [number, name]),
    [
      [1, 'metadata'],
      [5, 'dätä €'],
    ],
  );
  for (const { number, guid, startBytes, sizeBytes } of table.partitions) {
    const info = (await tool('sgdisk', ['-i', String(number), made.path])).text;
    t.match(info, new RegExp(`unique GUID: ${guid}`, 'i'));
    t.match(info, new RegExp(`First sector: ${startBytes / 512} `));
    t.match(info, new RegExp(`Partition size: ${sizeBytes / 512} sectors`));
  }
  const listing = (await tool('sgdisk', ['-p', made.path])).text;
  t.match(listing, new RegExp(`identifier \\(GUID\\): ${table.diskGuid}`, 'i'));

  t.match(await readPartitionTable(hybrid.read, hybrid.sizeBytes), { kind: 'damaged', damage: 'hybridMbr' });
  t.match(await readPartitionTable(grown.read, grown.sizeBytes), { kind: 'gpt', copies: 'both', backupAtEnd: true });
  for (const disk of [made, hybrid, grown]) disk.close();
});

t.test('tables that parted wrote are read the same', async (t) => {
  const disk = sampleDevice(`${t.testdir({})}/parted.img`, 300 * mebibyte);
  const gptScript = 'mklabel gpt mkpart metadata ext4 1MiB 100MiB mkpart data 100MiB 100%'.split(' ');
  t.equal((await tool('parted', ['-s', disk.path, ...gptScript])).exit, 0);
  const table = gpt(await readPartitionTable(disk.read, disk.sizeBytes));
  t.equal(table.copies, 'both');
  t.same(
    table.partitions.map(({ name, startBytes, sizeBytes }) => [name, startBytes, sizeBytes]),
    [
      ['metadata', mebibyte, 99 * mebibyte],
      ['data', 100 * mebibyte, 199 * mebibyte],
    ],
  );
  const mbrScript = 'mklabel msdos mkpart primary 1MiB 50MiB mkpart primary 50MiB 90MiB'.split(' ');
  t.equal((await tool('parted', ['-s', disk.path, ...mbrScript])).exit, 0);
  t.same(await readPartitionTable(disk.read, disk.sizeBytes), { kind: 'mbr', count: 2 });
  disk.close();
});

t.test('losses and contradictions', async (t) => {
  const last = minimumDiskBytes - 512;
  const other = { ...guids, dataGuid: '11111111-2222-4333-8444-555555555555' };
  const otherTable = renderOurTable({ sizeBytes: minimumDiskBytes, ...other });
  const rows: readonly [string, (disk: Buffer) => void, object][] = [
    ['nothing changed', () => {}, { kind: 'gpt', copies: 'both' }],
    ['all zero', (disk) => clear(disk), { kind: 'none' }],
    ['primary header zeroed', (disk) => clear(disk, 512, 1024), { kind: 'gpt', copies: 'backupOnly' }],
    ['primary entries changed', (disk) => disk.fill(1, 1100, 1110), { kind: 'gpt', copies: 'backupOnly' }],
    ['backup header zeroed', (disk) => clear(disk, last), { kind: 'gpt', copies: 'primaryOnly' }],
    ['both zeroed, MBR left', (disk) => clear(disk, 512), { kind: 'damaged', damage: 'protectiveMbrAlone' }],
    ['MBR zeroed', (disk) => clear(disk, 0, 512), { kind: 'damaged', damage: 'noProtectiveMbr' }],
    ['start zeroed', (disk) => clear(disk, 0, mebibyte), { kind: 'damaged', damage: 'strayBackup' }],
    [
      'both headers damaged',
      (disk) => disk.fill(9, 540, 541) && disk.fill(9, last + 28, last + 29),
      { kind: 'damaged', damage: 'noValidCopy' },
    ],
    ['protective type replaced', (disk) => disk.fill(0x83, 450, 451), { kind: 'damaged', damage: 'mbrAndGpt' }],
    [
      'copies of two tables',
      (disk) => {
        if (otherTable.kind === 'table')
          for (const { offset, bytes } of otherTable.writes.slice(0, 2)) bytes.copy(disk, offset);
      },
      { kind: 'gpt', copies: 'differ' },
    ],
    [
      'boot sector of a file system',
      (disk) => {
        clear(disk);
        disk.fill(0x41, 400, 510);
        disk.writeUInt16LE(0xaa55, 510);
      },
      { kind: 'none' },
    ],
    [
      'empty MBR',
      (disk) => {
        clear(disk);
        disk.writeUInt16LE(0xaa55, 510);
      },
      { kind: 'mbr', count: 0 },
    ],
  ];
  for (const [name, change, expected] of rows) {
    const disk = ourDisk();
    change(disk);
    t.match(await readPartitionTable(readerOf(disk), disk.length), expected, name);
  }
  t.same(await readPartitionTable(readerOf(Buffer.alloc(2560)), 2560), { kind: 'none' }, 'a disk of five sectors');
  t.same(await readPartitionTable(readerOf(Buffer.alloc(0)), 0), { kind: 'none' }, 'a disk of no bytes');
});

t.test('well-summed headers with wrong contents do not count', async (t) => {
  const rows: readonly [string, (header: Buffer) => void][] = [
    ['revision', (header) => header.writeUInt32LE(0x00020000, 8)],
    ['header size', (header) => header.writeUInt32LE(96, 12)],
    ['reserved', (header) => header.writeUInt32LE(1, 20)],
    ['own place', (header) => header.writeBigUInt64LE(2n, 24)],
    ['backup beyond the disk', (header) => header.writeBigUInt64LE(1n << 40n, 32)],
    ['backup beyond all numbers', (header) => header.writeBigUInt64LE(0xffffffffffffffffn, 32)],
    ['backup in the usable range', (header) => header.writeBigUInt64LE(4096n, 32)],
    ['usable range covers the table', (header) => header.writeBigUInt64LE(33n, 40)],
    ['usable range empty', (header) => header.writeBigUInt64LE(40n, 48)],
    ['usable range beyond the disk', (header) => header.writeBigUInt64LE(1n << 60n, 48)],
    ['entries on the header', (header) => header.writeBigUInt64LE(1n, 72)],
    ['entries in the usable range', (header) => header.writeBigUInt64LE(34n, 72)],
    ['entries beyond the disk', (header) => header.writeBigUInt64LE(1n << 50n, 72)],
    ['no entries', (header) => header.writeUInt32LE(0, 80)],
    ['four thousand million entries', (header) => header.writeUInt32LE(0xffffffff, 80)],
    ['entry size 0', (header) => header.writeUInt32LE(0, 84)],
    ['entry size 64', (header) => header.writeUInt32LE(64, 84)],
    ['checksum of the entries', (header) => header.writeUInt32LE(1, 88)],
  ];
  for (const [name, change] of rows) {
    const disk = resealed(ourDisk(), 512, change);
    t.match(await readPartitionTable(readerOf(disk), disk.length), { kind: 'gpt', copies: 'backupOnly' }, name);
  }
});

t.test('well-summed entries with wrong contents do not count', async (t) => {
  const second = 1024 + 128;
  const rows: readonly [string, (disk: Buffer) => void, RegExp][] = [
    ['overlap', (disk) => disk.writeBigUInt64LE(204799n, second + 32), /overlap/],
    ['same place', (disk) => disk.copy(disk, second + 32, 1024 + 32, 1024 + 48), /overlap/],
    ['backwards', (disk) => disk.writeBigUInt64LE(200000n, second + 40), /ends before/],
    ['over the table', (disk) => disk.writeBigUInt64LE(3n, 1024 + 32), /usable range/],
    ['beyond the disk', (disk) => disk.writeBigUInt64LE(1n << 55n, second + 40), /usable range/],
    ['one GUID twice', (disk) => disk.copy(disk, second + 16, 1024 + 16, 1024 + 32), /share one GUID/],
    ['no GUID', (disk) => disk.fill(0, second + 16, second + 32), /no GUID/],
    ['half a surrogate pair', (disk) => disk.writeUInt16LE(0xd800, second + 56), /not text/],
    ['terminal escape', (disk) => disk.writeUInt16LE(0x1b, second + 56), /not text/],
  ];
  for (const [name, change, reason] of rows) {
    const disk = ourDisk();
    change(disk);
    resealed(disk, 512, (header) => header.writeUInt32LE(crc32(disk.subarray(1024, 1024 + 16384)), 88));
    disk.fill(0, disk.length - 512);
    t.match(await readPartitionTable(readerOf(disk), disk.length), { kind: 'damaged', reason }, name);
  }
});

t.test('every single wrong byte of the primary copy is noticed or without meaning', async (t) => {
  const disk = ourDisk();
  const sound = gpt(await readPartitionTable(readerOf(disk), disk.length));
  const wrong: number[] = [];
  for (let at = 512; at < 1024 + 256; at++) {
    const before = disk[at] as number;
    disk[at] = before ^ (1 << (at % 8));
    const table = await readPartitionTable(readerOf(disk), disk.length);
    disk[at] = before;
    const meaningless = at >= 512 + 92 && at < 1024;
    const expected = meaningless ? sound : { ...sound, copies: 'backupOnly' };
    if (!isDeepStrictEqual(table, expected)) wrong.push(at);
  }
  t.same(wrong, []);
});

t.test('hostile bytes: a value every time, nothing read beyond the disk, few reads', async (t) => {
  const disk = ourDisk();
  const places = [0, 446, 512, 1024, disk.length - 512, disk.length - 33 * 512];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...places), fc.nat(127), fc.uint8Array({ minLength: 1, maxLength: 16 })), {
        maxLength: 8,
      }),
      fc.boolean(),
      async (changes, reseal) => {
        const copy = [tableRanges(disk.length)[0], tableRanges(disk.length)[1]].map((range) =>
          range ? Buffer.from(disk.subarray(range.offset, range.offset + range.length)) : Buffer.alloc(0),
        );
        const [front, back] = copy as [Buffer, Buffer];
        const backAt = disk.length - back.length;
        for (const [place, offset, bytes] of changes) {
          const at = place + offset;
          const [area, start] = at < backAt ? [front, 0] : [back, backAt];
          area.set(bytes.subarray(0, Math.max(0, Math.min(bytes.length, area.length - (at - start)))), at - start);
        }
        if (reseal) resealed(front, 512, () => {});
        let reads = 0;
        const read = async (offset: number, length: number): Promise<Buffer> => {
          reads++;
          if (offset < 0 || offset + length > disk.length) throw new Error('beyond the disk');
          if (length > 32768) throw new Error('too much at once');
          const bytes = Buffer.alloc(length);
          if (offset < front.length) front.copy(bytes, 0, offset, offset + length);
          else if (offset >= backAt) back.copy(bytes, 0, offset - backAt, offset - backAt + length);
          return bytes;
        };
        const table = await readPartitionTable(read, disk.length);
        if (reads > 5) throw new Error('too many reads');
        return ['none', 'gpt', 'mbr', 'damaged'].includes(table.kind);
      },
    ),
    { seed: 20260901, numRuns: 800 },
  );
  t.pass('800 disks');
});

t.test('a cut at any write leaves no table, our resumable beginning, or the whole table', async (t) => {
  for (const sectorSize of [512, 4096] as const) {
    const { writes } = rendered(minimumDiskBytes, sectorSize);
    const disk = Buffer.alloc(minimumDiskBytes);
    t.same(await isOurHalfWrittenTable(readerOf(disk), disk.length, sectorSize), { kind: 'other', reason: 'blank' });
    for (const [at, { offset, bytes, flushAfter }] of writes.entries()) {
      t.ok(flushAfter);
      bytes.copy(disk, offset);
      const table = await readPartitionTable(readerOf(disk), disk.length, sectorSize);
      const half = await isOurHalfWrittenTable(readerOf(disk), disk.length, sectorSize);
      t.equal(table.kind, ['none', 'damaged', 'damaged', 'damaged', 'gpt'][at], `table after write ${at + 1}`);
      t.same(half, {
        kind: 'ours',
        metadataGuid: guids.metadataGuid,
        dataGuid: guids.dataGuid,
        diskGuid: at === 0 ? null : guids.diskGuid,
        writesPresent: at + 1,
      });
    }
  }
});

t.test('one foreign byte anywhere in the table areas ends the recognition', async (t) => {
  const { writes } = rendered(minimumDiskBytes);
  const wrong: number[][] = [];
  for (const count of [1, 2, 3, 4, 5]) {
    const disk = Buffer.alloc(minimumDiskBytes);
    for (const { offset, bytes } of writes.slice(0, count)) bytes.copy(disk, offset);
    for (const range of tableRanges(disk.length)) {
      for (let at = range.offset; at < range.offset + range.length; at += 97) {
        const before = disk[at] as number;
        disk[at] = before ^ 0x40;
        const half = await isOurHalfWrittenTable(readerOf(disk), disk.length);
        // A changed GUID in the backup entries alone is simply another table of ours.
        const inEntries = at - (disk.length - 33 * 512);
        const guid = count === 1 && [16, 144].some((start) => inEntries >= start && inEntries < start + 16);
        const refused = half.kind === 'other' && half.reason === 'foreignBytes';
        if (refused === guid) wrong.push([count, at]);
        disk[at] = before;
      }
    }
  }
  t.same(wrong, []);
});

t.test('writes out of order are not ours', async (t) => {
  const { writes } = rendered(minimumDiskBytes);
  const rows = [[0, 2], [0, 1, 3], [1], [4], [0, 1, 2, 4], [2, 3]];
  for (const row of rows) {
    const disk = Buffer.alloc(minimumDiskBytes);
    for (const at of row) writes[at]?.bytes.copy(disk, writes[at].offset);
    t.match(await isOurHalfWrittenTable(readerOf(disk), disk.length), { kind: 'other' }, `writes ${row}`);
  }
});

t.test('a table without a disk GUID is not ours', async (t) => {
  const table = renderOurTable({
    sizeBytes: minimumDiskBytes,
    ...guids,
    diskGuid: '00000000-0000-0000-0000-000000000000',
  });
  const disk = Buffer.alloc(minimumDiskBytes);
  if (table.kind === 'table') for (const { offset, bytes } of table.writes) bytes.copy(disk, offset);
  t.same(await isOurHalfWrittenTable(readerOf(disk), disk.length), { kind: 'other', reason: 'foreignBytes' });
});
