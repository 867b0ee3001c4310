/** What is refused: each with its message, the guest powered off, and the disk unchanged byte for byte. */
import t from 'tap';
import { content, headers, keys, partitioning } from './cases/refusals.ts';
import { refuseAll } from './cases/refuse.ts';
import { Stage } from './cases/stage.ts';

t.setTimeout(300_000);
t.jobs = 2;
const stage = await new Stage('refusals').open('main', 'other', 'suspended', 'deleted');
t.teardown(() => stage.close());

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

t.test('partition tables and disks', { buffered: true }, (t) =>
  refuseAll(t, stage, 'partitioning', [...partitioning, { key: 'in_use', refused: 'VOLUME_DISK_IN_USE' }], {
    guest: inUse,
  }),
);
t.test('what is on the disk', { buffered: true }, (t) => refuseAll(t, stage, 'content', content));
t.test('LUKS headers', { buffered: true }, (t) => refuseAll(t, stage, 'headers', headers));
t.test('root keys', { buffered: true }, async (t) => {
  const retire = async () => {
    await stage.service.key('disable', stage.key('suspended').id, '--yes');
    await stage.service.key('delete', stage.key('deleted').id, '--yes');
  };
  await refuseAll(t, stage, 'keys', keys, { before: retire });
});
