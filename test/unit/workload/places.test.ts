/** Which places keep secrets off unencrypted disks: mount tables as the kernel writes them, and stacks of devices. */
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import type { Host } from '../../../agent/ports.ts';
import { deviceHolding, parentOf } from '../../../agent/workload/mount-table.ts';
import { requirePrivateMemory, requirePrivatePlace } from '../../../agent/workload/private-place.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';

const table = `\
1 1 0:2 / / rw - rootfs rootfs rw
22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:23 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw
25 22 253:0 / /srv rw - ext4 /dev/mapper/srv rw
26 25 252:2 / /srv/plain rw - ext4 /dev/vda2 rw
27 22 253:7 / /hidden/by/a/later/mount rw - ext4 /dev/mapper/x rw
28 22 252:3 / /hidden rw - ext4 /dev/vda3 rw
29 22 253:1 / /with\\040blank rw - xfs /dev/mapper/blank rw
30 22 253:2 / /twice rw - ext4 /dev/mapper/below rw
31 30 252:4 / /twice rw - ext4 /dev/vda4 rw
`;

t.test('the device that holds a path', async (t) => {
  const expected: Readonly<Record<string, string>> = {
    '/': '252:1',
    '/root/.docker': '252:1',
    '/runner': '252:1',
    '/run/triseed': '0:23',
    '/srv': '253:0',
    '/srv/data': '253:0',
    '/srv/plain/x': '252:2',
    '/srv/plainer': '253:0',
    '/hidden/by/a/later/mount/x': '252:3',
    '/with blank/x': '253:1',
    '/twice/x': '252:4',
  };
  for (const [path, device] of Object.entries(expected)) t.equal(deviceHolding(table, path), device, path);
  t.equal(deviceHolding('', '/srv'), null);
  t.equal(deviceHolding('garbage\n1 1\n', '/srv'), null);
  t.strictSame(['/a/b', '/a', '/'].map(parentOf), ['/a', '/', '/']);
});

const hostWith = (
  content: Readonly<Record<string, string>>,
  given: { readonly inMemory?: readonly string[]; readonly links?: Readonly<Record<string, string>> } = {},
): Host => {
  const host = hostOnFiles();
  const all: Readonly<Record<string, string>> = { '/proc/self/mountinfo': table, ...content };
  return {
    ...host,
    files: {
      ...host.files,
      read: async (path) => (all[path] === undefined ? null : Buffer.from(all[path])),
      list: async (path) =>
        Object.keys(all)
          .filter((name) => name.startsWith(`${path}/`))
          .map((name) => name.slice(path.length + 1).split('/')[0] ?? ''),
      resolve: async (path) => given.links?.[path] ?? (path.includes('absent') ? null : path),
      isInMemory: async (path) => given.inMemory?.includes(path) ?? false,
      makeFolder: async () => {},
    },
  };
};
const codeOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'private',
    (error: unknown) => (error instanceof AgentError ? error.code : String(error)),
  );

const srv = (uuid: string, more: Readonly<Record<string, string>> = {}): Host =>
  hostWith({ '/sys/dev/block/253:0/dm/uuid': `${uuid}\n`, ...more });

t.test('places', async (t) => {
  const lvm = 'LVM-abc';
  const slave = (name: string, uuid: string) => ({
    [`/sys/dev/block/253:0/slaves/${name}/dev`]: '1:1\n',
    [`/sys/class/block/${name}/dm/uuid`]: `${uuid}\n`,
  });
  const endless = { '/sys/dev/block/253:0/slaves/dm-1/dev': '', '/sys/class/block/dm-1/slaves/dm-1/dev': '' };
  const cases: Readonly<Record<string, readonly [Host, string, string]>> = {
    LUKS2: [srv('CRYPT-LUKS2-0011-data'), '/srv/x', 'private'],
    LUKS1: [srv('CRYPT-LUKS1-0011-data'), '/srv', 'private'],
    'plain dm-crypt': [srv('CRYPT-PLAIN-root'), '/srv', 'private'],
    'dm-verity is no encryption': [srv('CRYPT-VERITY-0011-root'), '/srv', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'dm-integrity is no encryption': [srv('CRYPT-INTEGRITY-x'), '/srv', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'a linear mapping': [srv(lvm), '/srv', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'a logical volume on dm-crypt': [srv(lvm, slave('dm-5', 'CRYPT-LUKS2-0011-pv')), '/srv', 'private'],
    'half of it on dm-crypt': [
      srv(lvm, { ...slave('dm-5', 'CRYPT-LUKS2-0011-pv'), ...slave('vdc', '') }),
      '/srv',
      'WORKLOAD_PLACE_NOT_PRIVATE',
    ],
    'a stack without end': [srv(lvm, endless), '/srv', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'a plain disk': [hostWith({}), '/root/.docker', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'no mount table': [hostWith({ '/proc/self/mountinfo': '' }), '/srv', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'in memory': [hostWith({}, { inMemory: ['/run'] }), '/run', 'private'],
    'absent below memory': [hostWith({}, { inMemory: ['/run'] }), '/run/absent/absent-too', 'private'],
    'absent below a plain disk': [hostWith({}, { inMemory: ['/run'] }), '/absent', 'WORKLOAD_PLACE_NOT_PRIVATE'],
    'a link out of memory': [
      hostWith({}, { inMemory: ['/run/state'], links: { '/run/state': '/var/state' } }),
      '/run/state',
      'WORKLOAD_PLACE_NOT_PRIVATE',
    ],
    'a link into an encrypted device': [
      hostWith({ '/sys/dev/block/253:0/dm/uuid': 'CRYPT-LUKS2-1' }, { links: { '/data1': '/srv/data1' } }),
      '/data1',
      'private',
    ],
  };
  for (const [name, [host, path, expected]] of Object.entries(cases))
    t.equal(await codeOf(requirePrivatePlace(host, path)), expected, name);
});

t.test('memory that is swapped', async (t) => {
  const swaps = (...devices: readonly string[]) => ({
    '/proc/swaps': `Filename\t\t\t\tType\n${devices.map((device) => `${device}    partition\t1\t0\t-2\n`).join('')}`,
  });
  const at = (content: Readonly<Record<string, string>>, links = {}) =>
    hostWith(content, { inMemory: ['/run/triseed'], links });
  const cases: Readonly<Record<string, readonly [Host, string]>> = {
    'no swap': [at({}), 'private'],
    'compressed memory': [at(swaps('/dev/zram0')), 'private'],
    'a partition': [at(swaps('/dev/vda3')), 'MEMORY_NOT_PRIVATE'],
    'a file': [at(swaps('/swapfile')), 'MEMORY_NOT_PRIVATE'],
    'dm-crypt': [at({ ...swaps('/dev/dm-3'), '/sys/class/block/dm-3/dm/uuid': 'CRYPT-PLAIN-swap\n' }), 'private'],
    'by its name': [
      at(
        { ...swaps('/dev/mapper/swap'), '/sys/class/block/dm-3/dm/uuid': 'CRYPT-LUKS2-1-swap\n' },
        { '/dev/mapper/swap': '/dev/dm-3' },
      ),
      'private',
    ],
    'dm-verity': [
      at({ ...swaps('/dev/dm-3'), '/sys/class/block/dm-3/dm/uuid': 'CRYPT-VERITY-1\n' }),
      'MEMORY_NOT_PRIVATE',
    ],
    'the second of two': [
      at({ ...swaps('/dev/dm-3', '/dev/vdb'), '/sys/class/block/dm-3/dm/uuid': 'CRYPT-PLAIN-swap\n' }),
      'MEMORY_NOT_PRIVATE',
    ],
    'a run folder on a disk': [hostWith({}), 'MEMORY_NOT_PRIVATE'],
  };
  for (const [name, [host, expected]] of Object.entries(cases))
    t.equal(await codeOf(requirePrivateMemory(host, '/run/triseed')), expected, name);
});
