/** A wipe that is cut: cryptsetup made the volume, and what is durable decides what the next boot sees. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { BlockDevice, DiskEntry } from '../../../agent/ports.ts';
import { mebibyte } from '../../../agent/volumes/device-bytes.ts';
import { observe } from '../../../agent/volumes/inspect.ts';
import { decide } from '../../../agent/volumes/plan.ts';
import { zeroDevice } from '../../../agent/volumes/wipe.ts';
import { luksFormat } from '../../e2e/cases/luks-file.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';
import { inMemory } from '../volume-cli.ts';

t.setTimeout(120_000);
const sizeBytes = 128 * mebibyte;
const dataStart = 16 * mebibyte;
const host = hostOnFiles();

for (const metadata of ['16k', '4m'])
  t.test(`no volume without a table is opened once data is missing; headers of ${metadata}`, async (t) => {
    const path = join(inMemory(t), 'disk');
    writeFileSync(path, randomBytes(sizeBytes));
    const sizes = [`--luks2-metadata-size=${metadata}`, `--offset=${dataStart / 512}`];
    luksFormat(path, 'throw-away', ['--type=luks2', '--pbkdf=pbkdf2', '--pbkdf-force-iterations=1000', ...sizes]);
    const entry: DiskEntry = {
      ...{ name: 'vdb', path, sizeBytes, serial: 'data', readOnly: false, sectorBytes: 512 },
      ...{ partitions: [], holders: [], mountPoints: [] },
    };
    const seen = async () => observe(host, volumeWith(), entry);
    t.match(decide(volumeWith(), await seen()), { kind: 'opens' });

    const disk = await host.disks.open(path, 'write');
    let [pending, looks]: [{ offset: number; bytes: Uint8Array }[], number] = [[], 0];
    /** Keeps what is not flushed to itself, but for one write that takes data. */
    const cut: BlockDevice = {
      path,
      sizeBytes,
      read: async (offset, length) => {
        const bytes = await disk.read(offset, length);
        for (const write of pending.filter((one) => one.offset === offset)) bytes.set(write.bytes);
        return bytes;
      },
      write: async (offset, bytes) => {
        pending.push({ offset, bytes });
        if (offset < dataStart) return;
        const before = await disk.read(offset, bytes.length);
        await disk.write(offset, bytes);
        const observation = await seen();
        t.throws(() => decide(volumeWith(), observation), { code: 'VOLUME_FOREIGN_DATA' });
        looks += 1;
        await disk.write(offset, before);
      },
      flush: async () => {
        for (const { offset, bytes } of pending) await disk.write(offset, bytes);
        pending = [];
        await disk.flush();
      },
      close: () => disk.close(),
    };
    await zeroDevice(cut, () => {});
    await cut.close();
    t.equal(looks, (sizeBytes - dataStart) / (4 * mebibyte));
    t.match(decide(volumeWith(), await seen()), { kind: 'formats' });
  });
