/** Every scenario that makes or opens a volume, in one guest; then a restart that opens them all again; then stock tools judge. */
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import { beforeData, judge, judgeLuks1 } from '../judge.ts';
import { luks1Refusals, type Refusal } from '../refusals.ts';
import { refuseAll } from '../refuse.ts';
import { legacyForms, type Scenario } from '../scenarios.ts';
import type { Stage } from '../stage.ts';
import {
  contentMadeElsewhere,
  luksIn,
  type MadeVolume,
  makeVolume,
  metadata,
  steps,
  table,
  type VolumeCase,
  volumeText,
} from '../volume-case.ts';

/** docs/volumes.md, "Header gate": the slowest derivation that we format with. */
const asWeFormat = [
  '--type=luks2',
  '--pbkdf=argon2id',
  '--pbkdf-memory=65536',
  '--pbkdf-parallel=1',
  '--pbkdf-force-iterations=4',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--sector-size=4096',
];

export const everyScenario = async (
  t: Test,
  stage: Stage,
  name: string,
  scenarios: readonly Scenario[],
  configuration?: string,
): Promise<void> => {
  const scratch = stage.folder(name);
  const made = [];
  for (const scenario of scenarios) {
    const volume = await makeVolume(stage, scratch, scenario);
    const { file } = volume;
    const before = scenario.isLuks1 === true ? beforeData({ ...scenario.judged, file }) : null;
    made.push({ scenario, before, ...volume });
  }
  const guest = await stage.guest(scratch, {
    name,
    volumes: scenarios.map((scenario) => volumeText(stage, scenario)),
    disks: made.flatMap(({ disks }) => disks),
    ...(configuration === undefined ? {} : { configuration }),
  });
  guest.start();
  await guest.waitForText(/HPL10001I|HPL10000E/, 360_000);
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
  await guest.check('triseed volume verify');
  await guest.check(scenarios.map(({ key }) => `printf kept-${key} >/mnt/${key}/written; `).join(''));
  t.strictSame(
    idsOf(guest).filter((id) => /^HPL07003|^HPL10001|E$/.test(id)),
    ['HPL07003I', 'HPL10001I'],
  );

  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'restarting');
  guest.start();
  await guest.waitForText(/HPL10001I|HPL10000E/, 360_000);
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

  for (const { scenario, file, seeds, before } of made) {
    await t.test(`stock tools on ${scenario.key}`, async (t) => {
      const content = { written: `kept-${scenario.key}` };
      if (before !== null) return judgeLuks1(t, stage, { ...scenario.judged, file, seeds, content }, before);
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

const volumesWith = (legacy: readonly string[]): string =>
  `volumes: { deviceWaitSeconds: 2, legacyProfiles: [ ${legacy.join(', ')} ] }`;

/** Old forms open where the agent configuration names them, LUKS1 without a change; elsewhere they are refused like a forgery. */
export const oldForms = async (t: Test, stage: Stage): Promise<void> => {
  const refused = (because: RegExp, wanted: (key: string) => boolean): readonly Refusal[] =>
    legacyForms
      .filter(({ key }) => wanted(key))
      .map((volume) => ({ ...volume, refused: 'VOLUME_HEADER_DAMAGED', because }));
  const isLuks1 = (key: string): boolean => key.startsWith('luks1');
  await everyScenario(t, stage, 'old-forms', legacyForms, volumesWith(['luks1', 'cbc-essiv']));
  await refuseAll(t, stage, 'old-unnamed', [
    ...refused(/names luks1/, isLuks1),
    // The smaller key is what is seen first of the volume with 4096-byte sectors.
    ...refused(/aes-cbc-essiv:sha256|key size is 16/, (key) => !isLuks1(key)),
  ]);
  const named = [
    ...refused(/aes-cbc-essiv:sha256/, (key) => key === 'luks1_essiv' || key === 'essiv'),
    ...luks1Refusals,
  ];
  await refuseAll(t, stage, 'old-luks1', named, { configuration: volumesWith(['luks1']) });
};

/** A header that is being made takes 16 MiB of /run, which is a fifth of the memory (systemd: TMPFS_LIMITS_RUN): not all fit. */
export const manyInSmallGuest = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('many');
  const volumes = Array.from({ length: 7 }, (_, at) => ({ key: `new_${at}`, kms: () => [stage.entry('main')] }));
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const guest = await stage.guest(scratch, {
    name: 'many',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    options: { memoryMiB: 512, wantedUnits: ['triseed-volumes.target'] },
  });
  guest.start();
  await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 540_000);
  t.strictSame(linesWith(guest, 'HPL10000E'), []);
  t.equal(linesWith(guest, 'HPL02002I').length, volumes.length, 'every volume is mounted');
  t.equal(await guest.powerOff(), 'poweredOff');
};

/**
 * Volumes with two seeds made elsewhere: each key derivation takes 64 MiB, eight at once would be half of the memory.
 */
export const manyWithUserSeeds = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('eight');
  const volumes = Array.from({ length: 8 }, (_, at): VolumeCase => {
    const uuid = `--uuid=11111111-2222-4333-8444-55555555555${at}`;
    return {
      key: `eight_${at}`,
      disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, [...asWeFormat, uuid])),
    };
  });
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const guest = await stage.guest(scratch, {
    name: 'eight',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    options: { memoryMiB: 1024, wantedUnits: ['triseed-volumes.target'] },
  });
  guest.start();
  await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 720_000);
  t.strictSame(linesWith(guest, 'HPL10000E'), []);
  t.equal(linesWith(guest, 'HPL02002I').length, volumes.length, 'every volume is mounted');
  for (const { key } of volumes)
    t.equal(await guest.check(`cat /mnt/${key}/made-elsewhere`), contentMadeElsewhere['made-elsewhere']);
  t.equal(await guest.powerOff(), 'poweredOff');
  t.strictSame(stackTraces(guest), []);
};
