/** Ten minutes of a guest whose root keys are fine: it is asked all the time, and nothing happens. A process of its own (main.ts). */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { activePolls, residentKiB, statusIn, untilPolled } from '../e2e/cases/daemon.ts';
import { idsOf, stackTraces } from '../e2e/cases/journal.ts';
import { Stage } from '../e2e/cases/stage.ts';
import { up } from '../e2e/cases/stories/root-keys.ts';
import { makeVolume, volumeText } from '../e2e/cases/volume-case.ts';

const soakMinutes = 10;
const pollSeconds = 2;

t.setTimeout((soakMinutes + 15) * 60_000);
const stage = await new Stage('torture-soak').open('main', 'other');
t.teardown(() => stage.close());

await t.test('soak', async (t) => {
  const scratch = stage.folder('soak');
  const volumes = [];
  for (const keyName of ['main', 'other'])
    volumes.push(
      await makeVolume(stage, scratch, {
        key: `under_${keyName}`,
        kms: () => [stage.entry(keyName)],
        contract: { kmsTimeout: 1 },
      }),
    );
  const guest = await stage.guest(scratch, {
    name: 'soak',
    volumes: volumes.map(({ volume }) => volumeText(stage, volume)),
    disks: volumes.flatMap(({ disks }) => disks),
    pollSeconds,
    options: { limitSeconds: (soakMinutes + 15) * 60 },
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  const before = { status: await untilPolled(guest, 4), residentKiB: await residentKiB(guest) };
  await sleep(soakMinutes * 60_000);
  const after = { status: await statusIn(guest), residentKiB: await residentKiB(guest) };

  const polls = activePolls(after.status) - activePolls(before.status);
  const seconds = (after.status.atMs - before.status.atMs) / 1000;
  // Each key is asked every two seconds at the least, and a busy machine takes its time for the answers.
  t.ok(polls > (2 * seconds) / pollSeconds / 2, `${polls} good polls in ${seconds.toFixed(0)} s`);
  t.ok(
    after.status.keys.every((key) => key.polls.other === 0),
    'and no other answer',
  );
  t.strictSame(
    idsOf(guest).filter((id) => /^HPL1800[1-7][WE]|^TSD18/.test(id)),
    [],
    'nothing was warned of, and nothing was done',
  );
  t.match(await guest.check('systemctl show -p NRestarts triseed-keyd'), 'NRestarts=0');
  t.strictSame(stackTraces(guest), []);
  const growth = after.residentKiB - before.residentKiB;
  t.ok(growth < 16 * 1024, `resident memory: ${before.residentKiB} KiB, then ${after.residentKiB} KiB`);
  console.error(
    `soak: ${polls} good polls in ${seconds.toFixed(0)} s, memory ${before.residentKiB} → ${after.residentKiB} KiB`,
  );
  t.equal(await guest.powerOff(), 'poweredOff');
});
