/** When the inspection of a volume waits for udev: whenever it is not certain that the disk has come long ago. */
import t, { type Test } from 'tap';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import type { DiskEntry, Files } from '../../../agent/ports.ts';
import { inspectVolume } from '../../../agent/volumes/prepare.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';

const settings = parseConfiguration('volumes: { deviceWaitSeconds: 0 }', 'agent.yaml');

const diskWith = (partitions: number): DiskEntry => ({
  name: 'vdb',
  // Read-only: the inspection ends with the disk itself.
  readOnly: true,
  path: '/nonexistent/vdb',
  sizeBytes: 2 ** 30,
  serial: 'data',
  sectorBytes: 512,
  partitions: Array.from({ length: partitions }, (_, at) => ({
    name: `vdb${at + 1}`,
    path: `/nonexistent/vdb${at + 1}`,
    number: at + 1,
    startBytes: (at + 1) * 2 ** 20,
    sizeBytes: 2 ** 20,
  })),
  holders: [],
  mountPoints: [],
});

/** Programs that were started, and how often the disks were listed. */
const inspected = async (t: Test, partitions: number, queue: () => Promise<Buffer | null>) => {
  const recorded = hostOnFiles();
  const programs: string[] = [];
  let listings = 0;
  const read: Files['read'] = (path, maxBytes) =>
    path === '/run/udev/queue' ? queue() : recorded.files.read(path, maxBytes);
  const host = {
    ...recorded,
    files: { ...recorded.files, read },
    disks: {
      ...recorded.disks,
      list: async () => {
        listings += 1;
        return [diskWith(partitions)];
      },
    },
    run: async ({ program, args }: { readonly program: string; readonly args: readonly string[] }) => {
      programs.push([program, ...args].join(' '));
      return { exit: 0, signal: null, timedOut: false, stdout: Buffer.alloc(0), stderr: '', elapsedMs: 0 };
    },
  };
  await t.rejects(inspectVolume(host, volumeWith(), settings), { code: 'VOLUME_DISK_READ_ONLY' });
  return { programs, listings };
};

const waited = { programs: ['/usr/bin/udevadm settle --timeout=30'], listings: 2 };
const noQueue = async () => null;

t.test('a disk with the partitions of a volume, and an udev that has nothing to do: no wait', async (t) => {
  t.strictSame(await inspected(t, 2, noQueue), { programs: [], listings: 1 });
});

t.test('otherwise it waits, and looks again', async (t) => {
  t.strictSame(await inspected(t, 2, async () => Buffer.alloc(0)), waited, 'udev has events');
  t.strictSame(await inspected(t, 1, noQueue), waited, 'the kernel may not have seen the whole table');
  t.strictSame(await inspected(t, 0, noQueue), waited, 'nor any of it');
  const unreadable = async () => {
    throw new Error('no such luck');
  };
  t.strictSame(await inspected(t, 2, unreadable), waited, 'whether it has any is not known');
});
