/** Accidents and cuts at the beginning of a disk, on plain files: what is there is recognised, and nothing formats over it. */
import { randomUUID } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { DiskEntry, Host } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { luksFormat } from '../../../agent/volumes/commands.ts';
import { mebibyte } from '../../../agent/volumes/device-bytes.ts';
import { renderMarker } from '../../../agent/volumes/formatting-marker.ts';
import { guardPlan } from '../../../agent/volumes/guard.ts';
import { observe } from '../../../agent/volumes/inspect.ts';
import { renderOurTable } from '../../../agent/volumes/partition-table.ts';
import { planVolume } from '../../../agent/volumes/plan.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';

const sizeBytes = 512 * mebibyte;
const dataStart = 100 * mebibyte;
const guids = { diskGuid: randomUUID(), metadataGuid: randomUUID(), dataGuid: randomUUID() };
const passphrase = Secret.fromText('throw-away passphrase');
const same = { seedWasRewrapped: false, opensWithPrevious: false };
const fresh = { ...guids, luksUuid: randomUUID() };

const volume = volumeWith();

/** A disk of ours as a plain file: table, and a LUKS header where the data partition begins. */
const makeDisk = async (t: Test, withVolume: boolean) => {
  const path = join(t.testdir({}), 'disk');
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  const host = hostOnFiles();
  const device = await host.disks.open(path, 'write');
  const table = renderOurTable({ sizeBytes, ...guids });
  if (table.kind !== 'table') throw new Error('too small');
  for (const { offset, bytes } of table.writes) await device.write(offset, bytes);
  if (withVolume) {
    const header = `${path}.header`;
    await host.run(
      luksFormat({ header, device: path, luksUuid: randomUUID(), sectorBytes: 4096, kdf: 'pbkdf2' }, passphrase),
    );
    const made = await host.disks.open(header, 'read');
    await device.write(dataStart, await made.read(0, 512 * 1024));
    await made.close();
  }
  t.teardown(() => device.close());
  const entry: DiskEntry = {
    name: 'disk',
    path,
    sizeBytes,
    serial: 'data',
    readOnly: false,
    sectorBytes: 512,
    partitions: [],
    holders: [],
    mountPoints: [],
  };
  const withDisk: Host = { ...host, disks: { ...host.disks, list: async () => [entry] } };
  return { device, entry, host: withDisk };
};

const wipes = [
  ['the first 512 bytes', 0, 512],
  ['the first MiB', 0, mebibyte],
  ['the first 16 MiB', 0, 16 * mebibyte],
  ['everything before the data', 0, dataStart],
] as const;

for (const [what, offset, length] of wipes)
  t.test(`a volume of ours whose disk lost ${what} is never called empty`, async (t) => {
    const { device, entry, host } = await makeDisk(t, true);
    await device.write(offset, Buffer.alloc(length));
    const seen = await observe(host, volume, entry);
    t.equal(seen.target.fact, 'foreign', seen.target.detail);
    t.throws(() => planVolume(volume, seen, same, fresh), { code: 'VOLUME_FOREIGN_DATA' });
    const target = { ...seen.target, fact: 'blank' } as const;
    const forged = planVolume(volume, { ...seen, partitioning: 'none', resume: null, target }, same, fresh);
    await t.rejects(guardPlan(host, forged), { code: 'VOLUME_GUARD_OBJECTS' }, 'the guard sees it by itself');
  });

t.test('a formatting mark of ours at 100 MiB is no empty disk either', async (t) => {
  const { device, entry, host } = await makeDisk(t, false);
  await device.write(dataStart, renderMarker({ volume: 'data', partitionGuid: guids.dataGuid }));
  await device.write(0, Buffer.alloc(mebibyte));
  t.equal((await observe(host, volume, entry)).target.fact, 'foreign');
});

t.test('a table of ours that was cut while being written is finished', async (t) => {
  const { device, entry, host } = await makeDisk(t, false);
  await device.write(0, Buffer.alloc(mebibyte));
  const seen = await observe(host, volume, entry);
  t.match(seen, { partitioning: 'halfWritten', target: { fact: 'blank' }, resume: { dataGuid: guids.dataGuid } });
  const plan = planVolume(volume, seen, same, { ...fresh, dataGuid: randomUUID() });
  t.match(plan.steps[0], { do: 'partition', dataGuid: guids.dataGuid });
  await t.resolves(guardPlan(host, plan));
});
