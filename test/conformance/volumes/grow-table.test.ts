/** Grown disks: sgdisk makes and judges the tables; every state that a power cut can leave is a whole table. */
import { truncateSync } from 'node:fs';
import t from 'tap';
import { type DeviceWrite, mebibyte, type ReadAt } from '../../../agent/volumes/device-bytes.ts';
import { renderGrownTable, roomToGrow } from '../../../agent/volumes/grow-table.ts';
import { type PartitionTable, readPartitionTable, renderOurTable } from '../../../agent/volumes/partition-table.ts';
import { sampleDevice, tool } from '../../fakes/sample-device.ts';

const guids = {
  diskGuid: '11111111-1111-4111-8111-111111111111',
  metadataGuid: '22222222-2222-4222-8222-222222222222',
  dataGuid: '33333333-3333-4333-8333-333333333333',
};
const folder = t.testdir({});
const before = 200 * mebibyte;

/** A disk of 200 MiB with a table by us, or by sgdisk, that has grown to `sizeBytes`. */
const grown = async (name: string, sizeBytes: number, by: 'us' | 'sgdisk', sectorSize: 512 | 4096 = 512) => {
  const path = `${folder}/${name}.img`;
  const small = sampleDevice(path, before);
  if (by === 'us') {
    const table = renderOurTable({ ...guids, sizeBytes: before, sectorSize });
    if (table.kind !== 'table') throw new Error(table.kind);
    small.apply(table.writes);
  }
  small.close();
  if (by === 'sgdisk')
    await tool('sgdisk', ['-n', '1:2048:+99M', '-c', '1:metadata', '-n', '2:0:0', '-c', '2:data', path]);
  truncateSync(path, sizeBytes);
  return sampleDevice(path, sizeBytes);
};

const partitionsOf = (table: PartitionTable) =>
  table.kind === 'gpt'
    ? table.partitions.map(({ name, guid, startBytes, sizeBytes }) => ({ name, guid, startBytes, sizeBytes }))
    : null;

/** The disk with `writes` on top of it, in memory. */
const over =
  (read: ReadAt, writes: readonly Pick<DeviceWrite, 'offset' | 'bytes'>[]): ReadAt =>
  async (offset, length) => {
    const bytes = await read(offset, length);
    for (const write of writes) {
      const start = Math.max(offset, write.offset);
      const end = Math.min(offset + length, write.offset + write.bytes.length);
      if (start < end) Buffer.from(write.bytes).copy(bytes, start - offset, start - write.offset, end - write.offset);
    }
    return bytes;
  };

for (const by of ['us', 'sgdisk'] as const) {
  t.test(`a table made by ${by} reaches the new end, twice`, async (t) => {
    const device = await grown(`by-${by}`, 300 * mebibyte, by);
    const old = partitionsOf(await readPartitionTable(device.read, device.sizeBytes));
    const table = await renderGrownTable(device.read, device.sizeBytes, 512);
    if (table === null) throw new Error('did not grow');
    device.apply(table.writes);
    const found = await readPartitionTable(device.read, device.sizeBytes);
    t.match(found, { kind: 'gpt', copies: 'both', backupAtEnd: true });
    const now = partitionsOf(found);
    t.strictSame(now?.[0], old?.[0], 'the metadata partition is as before');
    t.match(now?.[1], {
      name: 'data',
      guid: old?.[1]?.guid,
      startBytes: old?.[1]?.startBytes,
      sizeBytes: table.data.length,
    });
    t.ok(device.sizeBytes - (table.data.offset + table.data.length) <= 2 * mebibyte);
    const verdict = await tool('sgdisk', ['--verify', device.path]);
    t.match(verdict.text, /No problems found/);
    // The first usable sector stays behind the second place, a gap that sgdisk remarks on and fdisk leaves as well.
    t.notMatch(verdict.text, /Caution|Problem:/);
    t.equal(await roomToGrow(device.read, device.sizeBytes, 512), null, 'nothing is left to do');
    device.close();

    truncateSync(device.path, 400 * mebibyte);
    const again = sampleDevice(device.path, 400 * mebibyte);
    const more = await renderGrownTable(again.read, again.sizeBytes, 512);
    again.apply(more?.writes ?? []);
    t.match(await readPartitionTable(again.read, again.sizeBytes), { copies: 'both', backupAtEnd: true });
    t.match((await tool('sgdisk', ['--verify', device.path])).text, /No problems found/);
    again.close();
  });
}

t.test('at every instant the disk has the old table or the new one, whole', async (t) => {
  for (const sectorSize of [512, 4096] as const) {
    const device = await grown(`cut-${sectorSize}`, 300 * mebibyte, 'us', sectorSize);
    const table = await renderGrownTable(device.read, device.sizeBytes, sectorSize);
    if (table === null) throw new Error('did not grow');
    const old = partitionsOf(await readPartitionTable(device.read, device.sizeBytes, sectorSize));
    let states = 0;
    const check = async (read: ReadAt, what: string): Promise<void> => {
      const found = await readPartitionTable(read, device.sizeBytes, sectorSize);
      const seen = partitionsOf(found);
      const isNew = seen?.[1]?.sizeBytes === table.data.length;
      if (!isNew) t.strictSame(seen, old, what);
      if (found.kind !== 'gpt' || found.copies !== 'both') t.fail(`${what}: ${JSON.stringify(found)}`);
      // From here the next boot goes on, or has nothing to do.
      if (!isNew && (await renderGrownTable(read, device.sizeBytes, sectorSize)) === null) t.fail(`${what}: stuck`);
      states += 1;
    };
    let done: DeviceWrite[] = [];
    let group: DeviceWrite[] = [];
    for (const write of table.writes) {
      group.push(write);
      if (!write.flushAfter) continue;
      for (let chosen = 1; chosen < 1 << group.length; chosen += 1) {
        const subset = group.filter((_, at) => (chosen >> at) & 1);
        await check(over(device.read, [...done, ...subset]), `after ${done.length} and ${chosen}`);
        for (const torn of subset) {
          const whole = subset.filter((other) => other !== torn);
          for (let cut = sectorSize; cut < torn.bytes.length; cut += sectorSize) {
            const front = { offset: torn.offset, bytes: torn.bytes.subarray(0, cut) };
            const back = { offset: torn.offset + cut, bytes: torn.bytes.subarray(cut) };
            await check(over(device.read, [...done, ...whole, front]), `torn front ${cut}`);
            await check(over(device.read, [...done, ...whole, back]), `torn back ${cut}`);
          }
        }
      }
      done = [...done, ...group];
      group = [];
    }
    t.ok(states > 8, `${states} states`);
    device.close();
  }
});

t.test('wherever it starts, its new length is a whole number of 4096 bytes', async (t) => {
  for (let start = 204_800; start < 204_809; start += 1) {
    const path = `${folder}/start-${start}.img`;
    sampleDevice(path, before).close();
    const data = ['-a', '1', '-n', `2:${start}:${start + 65_535}`, '-c', '2:data'];
    await tool('sgdisk', ['-n', '1:2048:+98M', '-c', '1:metadata', ...data, path]);
    truncateSync(path, 300 * mebibyte);
    const device = sampleDevice(path, 300 * mebibyte);
    const table = await renderGrownTable(device.read, device.sizeBytes, 512);
    if (table === null) throw new Error('did not grow');
    t.equal(table.data.offset, start * 512);
    t.equal(table.data.length % 4096, 0, `from sector ${start}`);
    t.equal(await roomToGrow(device.read, device.sizeBytes, 512), table.data.offset + table.data.length);
    device.apply(table.writes);
    t.equal(await roomToGrow(device.read, device.sizeBytes, 512), null, 'nothing is left to do');
    device.close();
  }
});

t.test('what is not ours to grow is left alone', async (t) => {
  const same = await grown('same', before, 'us');
  t.equal(await roomToGrow(same.read, same.sizeBytes, 512), null, 'the disk is as large as its table');
  const little = await grown('little', before + 16 * 1024, 'us');
  t.equal(await roomToGrow(little.read, little.sizeBytes, 512), null, 'less than a MiB to gain');
  const torn = await grown('torn', 300 * mebibyte, 'us');
  torn.write(before - 512, Buffer.alloc(512));
  t.equal(await roomToGrow(torn.read, torn.sizeBytes, 512), null, 'without its backup');
  const blank = sampleDevice(`${folder}/blank.img`, before);
  t.equal(await roomToGrow(blank.read, blank.sizeBytes, 512), null, 'blank');
  for (const device of [same, little, torn, blank]) device.close();
});
