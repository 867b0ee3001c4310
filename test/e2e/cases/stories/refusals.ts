/** What is refused: each with its message, the guest powered off, and the disk unchanged byte for byte. */
import type { Test } from 'tap';
import { absent, content, copies, headers, keys, partitioning, shared } from '../refusals.ts';
import { refuseAll } from '../refuse.ts';
import type { Stage } from '../stage.ts';

const inUse = {
  files: {
    '/usr/lib/systemd/system/squatter.service': `\
[Unit]
Before=triseed-boot.service
After=systemd-udev-trigger.service modprobe@dm_mod.service
Wants=modprobe@dm_mod.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'udevadm settle; echo 0 2048 linear /dev/disk/by-id/virtio-in_use 0 | dmsetup create squatter'
`,
    '/usr/lib/systemd/system/triseed-boot.service.d/squatter.conf': '[Unit]\nWants=squatter.service\n',
  },
};

/** The groups, each a guest. `keys` are the names of root keys, of which two are taken out of use here. */
export const refusals: Readonly<Record<string, (t: Test, stage: Stage) => Promise<void>>> = {
  'partition tables and disks': (t, stage) =>
    refuseAll(t, stage, 'partitioning', [...partitioning, { key: 'in_use', refused: 'VOLUME_DISK_IN_USE' }], {
      guest: inUse,
    }),
  'a disk that does not come': (t, stage) => refuseAll(t, stage, 'absent', absent),
  'what is on the disk': (t, stage) => refuseAll(t, stage, 'content', content),
  'LUKS headers': (t, stage) => refuseAll(t, stage, 'headers', headers),
  'root keys that may not be used': async (t, stage) => {
    const retire = async () => {
      await stage.service.key('disable', stage.key('suspended').id, '--yes');
      await stage.service.key('delete', stage.key('deleted').id, '--yes');
    };
    await refuseAll(t, stage, 'keys', keys, { before: retire });
  },
  'two volumes, one disk': (t, stage) => refuseAll(t, stage, 'shared', shared),
  'a copy beside its original': (t, stage) => refuseAll(t, stage, 'copies', copies),
};
