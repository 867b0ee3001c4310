/** Power fails while volumes are being made, again and again; in the end the guest is up and stock tools agree. */
import t from 'tap';
import { passphraseOf } from './cases/by-hand.ts';
import { cutAt, type Moment, stateOf } from './cases/cuts.ts';
import { linesWith, stackTraces } from './cases/journal.ts';
import { judge } from './cases/judge.ts';
import { Stage } from './cases/stage.ts';
import {
  handMadeKms,
  type MadeVolume,
  makeVolume,
  quick,
  seeds,
  table,
  type VolumeCase,
  volumeText,
} from './cases/volume-case.ts';

t.setTimeout(600_000);
t.jobs = 2;
const stage = await new Stage('power-cuts').open('main');
t.teardown(() => stage.close());

const kms: VolumeCase['kms'] = () => [stage.entry('main')];
/** The smallest disk that is taken; two seeds, whose key derivation takes longest. */
const small: VolumeCase = { key: 'small', sizeMiB: 128 };
const volumes: readonly VolumeCase[] = [
  { key: 'first', kms },
  { key: 'second', sizeMiB: 300, kms },
  small,
  { key: 'parted', kms, disk: table('metadata', 'data') },
  { key: 'adopted', kms, disk: handMadeKms('main', passphraseOf, quick) },
];

/** Each chain is one guest with all these volumes, cut at one moment after the other. */
const chains: Readonly<Record<string, readonly Moment[]>> = {
  'from the table on': [
    { on: 'first', seen: 'backup table', delayMs: 0 },
    { on: 'first', seen: 'protective MBR', delayMs: 0 },
    { on: 'first', seen: 'formatting mark', delayMs: 0 },
    { on: 'first', seen: 'file system', delayMs: 0 },
    { on: 'first', seen: 'secondary header', delayMs: 0 },
  ],
  'a little later each time': [
    { on: 'second', seen: 'primary table', delayMs: 0 },
    { on: 'small', seen: 'formatting mark', delayMs: 400 },
    { on: 'second', seen: 'formatting mark', delayMs: 200 },
    { on: 'second', seen: 'file system', delayMs: 40 },
    { on: 'second', seen: 'primary header', delayMs: 0 },
  ],
  'around the commit': [
    { on: 'adopted', seen: 'adopted header', delayMs: 0 },
    { on: 'parted', seen: 'secondary header', delayMs: 3 },
    { on: 'first', seen: 'keyfile', delayMs: 0 },
    { on: 'small', seen: 'primary header', delayMs: 10 },
  ],
};

for (const [name, moments] of Object.entries(chains)) {
  t.test(name, { buffered: true }, async (t) => {
    const scratch = stage.folder('cuts');
    const made: MadeVolume[] = [];
    for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
    const fileOf = (key: string): string => made.find(({ volume }) => volume.key === key)?.file ?? '';
    const guest = await stage.guest(scratch, {
      name: 'cuts',
      volumes: volumes.map((volume) => volumeText(stage, volume)),
      disks: made.flatMap(({ disks }) => disks),
      options: { wantedUnits: ['triseed-volumes.target'] },
    });
    for (const moment of moments) {
      const what = `${moment.on}: ${moment.seen} + ${moment.delayMs} ms`;
      t.ok(await cutAt(guest, fileOf(moment.on), moment), `cut at ${what}`);
      t.comment(made.map(({ volume, file }) => `${volume.key}: ${stateOf(file)}`).join(', '));
    }
    guest.start();
    await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 120_000);
    t.strictSame(linesWith(guest, 'HPL10000E'), []);
    t.equal(linesWith(guest, 'HPL02002I').length, volumes.length, 'every volume is mounted');
    await guest.check(volumes.map(({ key }) => `printf ${key} >/mnt/${key}/last; `).join(''));
    t.equal(await guest.powerOff(), 'poweredOff');
    for (let boot = 1; boot <= guest.boots; boot += 1) t.strictSame(stackTraces(guest, boot), []);
    for (const { volume, file } of made) {
      const { key } = volume;
      const adopted = key === 'adopted';
      const content = { last: key, ...(adopted ? { 'made-elsewhere': 'by mkfs.ext4 and cryptsetup\n' } : {}) };
      const keyName = volume.kms === undefined ? {} : { keyName: 'main' };
      await t.test(key, (t) =>
        judge(t, stage, { key, file, seeds, ...keyName, madeHere: !adopted, content }).then(() => undefined),
      );
    }
  });
}
