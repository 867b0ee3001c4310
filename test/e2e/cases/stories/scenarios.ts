/** Every scenario that makes or opens a volume, in one guest; then a restart that opens them all again; then stock tools judge. */
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import { judge } from '../judge.ts';
import { scenarios } from '../scenarios.ts';
import type { Stage } from '../stage.ts';
import { makeVolume, volumeText } from '../volume-case.ts';

export const everyScenario = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('scenarios');
  const made = [];
  for (const scenario of scenarios) made.push({ scenario, ...(await makeVolume(stage, scratch, scenario)) });
  const guest = await stage.guest(scratch, {
    name: 'scenarios',
    volumes: scenarios.map((scenario) => volumeText(stage, scenario)),
    disks: made.flatMap(({ disks }) => disks),
  });
  guest.start();
  await guest.waitForText(/HPL10001I|HPL10000E/, 120_000);
  for (const { key, before, madeElsewhere } of scenarios) {
    t.match(
      linesWith(guest, messages.VOLUME_PLAN.id, `volume ${key}:`),
      [new RegExp(`: ${before}: `)],
      `${key}: ${before}`,
    );
    const mount = `/mnt/${key}`;
    t.match(
      await guest.check(`findmnt -no SOURCE,FSTYPE,OPTIONS ${mount}`),
      /^\/dev\/mapper\/triseed-\S+ ext4 .*nosuid,nodev/,
    );
    if (madeElsewhere) t.equal(await guest.check(`cat ${mount}/made-elsewhere`), 'by mkfs.ext4 and cryptsetup\n');
  }
  await guest.check(scenarios.map(({ key }) => `printf kept-${key} >/mnt/${key}/written; `).join(''));
  t.strictSame(
    idsOf(guest).filter((id) => /^HPL07003|^HPL10001|E$/.test(id)),
    ['HPL07003I', 'HPL10001I'],
  );

  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  t.equal(await guest.waitForExit(60_000), 'restarting');
  guest.start();
  await guest.waitForText(/HPL10001I|HPL10000E/, 120_000);
  for (const { key, after } of scenarios) {
    t.match(
      linesWith(guest, messages.VOLUME_PLAN.id, `volume ${key}:`),
      [new RegExp(`: ${after}: open → mount `)],
      `${key}: ${after}`,
    );
    t.equal(await guest.check(`cat /mnt/${key}/written`), `kept-${key}`);
  }
  t.equal(await guest.powerOff(), 'poweredOff');
  t.strictSame([...stackTraces(guest, 1), ...stackTraces(guest, 2)], []);

  for (const { scenario, file, seeds } of made) {
    await t.test(`stock tools on ${scenario.key}`, async (t) => {
      const content = { written: `kept-${scenario.key}` };
      await judge(t, stage, {
        ...scenario.judged,
        key: scenario.key,
        file,
        seeds,
        content,
        madeHere: !scenario.madeElsewhere,
      });
    });
  }
};
