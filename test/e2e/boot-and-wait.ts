/** A driver on its own, for tests about what remains of it: boots a guest, says so as one JSON line, and waits. */
import { createGuest } from './guest/guest.ts';
import { place } from './guest/place.ts';
import { createDisk, openScratch } from './guest/scratch.ts';

const scratch = openScratch('driver');
const disk = createDisk(scratch, { name: 'data', sizeBytes: 16 << 20, serial: 'driver' });
const guest = createGuest(scratch, { disks: [disk], network: true, limitSeconds: 60 });
guest.start();
await guest.ready();
const program = await guest.check('head -c 2 /usr/bin/triseed /opt/triseed/package.json; ls /dev/disk/by-id');
console.log(JSON.stringify({ folder: scratch.folder, session: guest.session, prefix: place().prefix, program }));
setInterval(() => undefined, 1000);
