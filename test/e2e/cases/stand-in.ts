/**
 * A guest whose boot is a stand-in that opens a volume with plain cryptsetup; daemon, revocation and everything below them are real, and
 * the key service is out of reach.
 */
import type { Test } from 'tap';
import { createGuest, type Guest } from '../guest/guest.ts';
import { program } from '../guest/program.ts';
import { createDisk, type Scratch } from '../guest/scratch.ts';
import type { GuestFiles } from '../guest/tree.ts';

const instance = '11111111-2222-4333-8444-555555555555';
/** Nothing listens there: every request is refused at once. */
const closedPort = 'https://10.0.2.2:1';
/** What boot would have handed over, for a volume whose root key cannot be reached. */
export const handOver = (changes: { readonly kmsTimeoutMinutes?: number } = {}) => ({
  version: 1,
  bootId: 'BOOT',
  provenAtMs: 'NOW',
  volumes: [
    {
      key: 'data',
      mount: '/mnt/data',
      device: '/dev/ubda',
      metadataDevice: null,
      mapping: 'data',
      luksUuid: '0',
      wrapped: 'wrapped',
      keyVersion: 'first',
      kmsTimeoutMinutes: 0,
      crn: `crn:v1:bluemix:public:kms:us-south:a/${'0'.repeat(32)}:${instance}:key:${instance}`,
      type: 'public',
      apiKey: 'an-api-key-of-the-test',
      ...changes,
    },
  ],
  settings: {
    kms: {
      iam: closedPort,
      endpoints: { [instance]: closedPort },
      ca: [],
      proxy: null,
      pollSeconds: 3,
      onRevoked: 'grace',
    },
    paths: { state: '/var/hyperprotect', run: '/run/triseed' },
    power: 'systemd',
  },
});

const standIn = `\
#!/bin/sh
set -e
if [ "$1" != boot ]; then
  exec /usr/lib/triseed-real "$@"
fi
[ ! -e /etc/boot-fails ]
truncate -s 16M /run/header
luks="--header /run/header --key-file=-"
printf 0123456789 | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --offset 32768 $luks /dev/ubda
printf 0123456789 | cryptsetup open $luks /dev/ubda data
mkfs.ext4 -q /dev/mapper/data
mkdir -p /mnt/data
mount /dev/mapper/data /mnt/data
mkdir -p -m 700 /run/triseed
echo '{"version":1,"volumes":[]}' >/run/triseed/opened.json
[ -e /etc/unprotected ] && exit 0
boot=$(cat /proc/sys/kernel/random/boot_id)
sed -e "s/BOOT/$boot/" -e "s/\\"NOW\\"/$(cut -d. -f1 /proc/uptime)000/" /etc/hand-over.json >/run/triseed/keyd.json
`;

export const units = '/etc/systemd/system';
let count = 0;

/** Started, and ended with its test. */
export const standInGuest = (
  t: Test,
  scratch: Scratch,
  handed: ReturnType<typeof handOver>,
  files: GuestFiles = {},
): Guest => {
  count += 1;
  const guest = createGuest(scratch, {
    hostname: `units-${count}`,
    disks: [createDisk(scratch, { name: `data-${count}`, sizeBytes: 64 << 20 })],
    network: true,
    wantedUnits: ['triseed.target'],
    limitSeconds: 400,
    files: {
      '/usr/bin/triseed': { content: standIn, mode: 0o755 },
      '/usr/lib/triseed-real': { content: program(), mode: 0o755 },
      '/etc/triseed/agent.yaml': 'logging: { remote: off }\n',
      '/etc/hand-over.json': JSON.stringify(handed),
      ...files,
    },
  });
  t.teardown(() => guest.stop());
  guest.start();
  return guest;
};
