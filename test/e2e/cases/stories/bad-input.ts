/** Contracts and configurations that a guest must not take: the right message, an end without a stack trace, an untouched disk. */
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { createGuest } from '../../guest/guest.ts';
import { badInputs, configurationPath, filesOf, volume } from '../bad-input.ts';
import { fingerprint } from '../image.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import type { Stage } from '../stage.ts';
import { makeVolume } from '../volume-case.ts';

export const badContracts = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('shell');
  const { disks, file } = await makeVolume(stage, scratch, { key: volume.key });
  const before = fingerprint(file);
  const files = { ...stage.deployment.guestFiles(null), ...(await filesOf(stage)) };
  const guest = createGuest(scratch, { disks, files });
  t.teardown(() => guest.stop());
  guest.start();
  await guest.ready();
  for (const input of badInputs) {
    const { name, refused, because, days = 0 } = input;
    const clock = days === 0 ? '' : `date -s @$(( $(date +%s) + ${days * 86_400} )) >/dev/null; `;
    const back =
      days === 0 ? '' : `; status=$?; date -s @$(( $(date +%s) - ${days * 86_400} )) >/dev/null; exit $status`;
    const said = await guest.run(`${clock}triseed boot --config ${configurationPath(input)}${back}`);
    const { id } = messages[refused];
    t.equal(said.status, 1, `${name}: exit status`);
    t.match(said.stderr, new RegExp(`^${id}: `, 'm'), `${name}: ${id} ${refused}`);
    if (because !== undefined) t.match(said.stderr, because, name);
    t.notMatch(said.stderr, /^\s+at |internal error/m, `${name}: no stack trace`);
    t.notMatch(said.stderr + said.stdout, /seed_of_the/, `${name}: no seed in the output`);
  }
  t.notOk(/triseed-data/.test(await guest.check('ls /dev/mapper 2>/dev/null || true')), 'nothing was opened');
  t.equal(await guest.powerOff(), 'poweredOff');
  t.equal(fingerprint(file), before, 'the disk is as it was');
};

export const noContract = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('no-contract');
  const { disks, file } = await makeVolume(stage, scratch, { key: volume.key });
  const before = fingerprint(file);
  const guest = createGuest(scratch, {
    disks,
    files: stage.deployment.guestFiles(null),
    wantedUnits: ['triseed.target'],
  });
  t.teardown(() => guest.stop());
  guest.start();
  t.equal(await guest.waitForExit(180_000), 'poweredOff');
  t.ok(linesWith(guest, messages.CONTRACT_NOT_EXISTS.id).length > 0);
  t.equal(idsOf(guest).at(-1), messages.SERVICE_FAILED.id);
  t.strictSame(stackTraces(guest), []);
  t.equal(fingerprint(file), before);
};
