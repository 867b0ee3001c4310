/** Power fails while volumes are being made, again and again; in the end the guest is up and stock tools agree. */
import type { Test } from 'tap';
import { passphraseOf } from '../by-hand.ts';
import { cutAt, type Moment, stateOf } from '../cuts.ts';
import { linesWith, stackTraces } from '../journal.ts';
import { judge } from '../judge.ts';
import type { Stage } from '../stage.ts';
import {
  contentMadeElsewhere,
  handMadeKms,
  type MadeVolume,
  makeVolume,
  quick,
  seeds,
  table,
  type VolumeCase,
  volumeText,
} from '../volume-case.ts';

const kms: VolumeCase['kms'] = (stage) => [stage.entry('main')];
const first: VolumeCase = { key: 'first', kms };
const second: VolumeCase = { key: 'second', sizeMiB: 160, kms };
/** The smallest disk that is taken; two seeds, whose key derivation takes longest. */
const small: VolumeCase = { key: 'small', sizeMiB: 128 };
const parted: VolumeCase = { key: 'parted', kms, disk: table('metadata', 'data') };
const adopted: VolumeCase = { key: 'adopted', kms, disk: handMadeKms('main', passphraseOf, quick) };

interface Chain {
  readonly volumes: readonly VolumeCase[];
  /** One boot each, cut there; the volumes are in different states by then. */
  readonly moments: readonly Moment[];
}

export const chains: Readonly<Record<string, Chain>> = {
  'from the table on': {
    volumes: [first, second],
    moments: [
      { on: 'first', seen: 'backup table', delayMs: 0 },
      { on: 'first', seen: 'protective MBR', delayMs: 0 },
      { on: 'first', seen: 'formatting mark', delayMs: 0 },
      { on: 'first', seen: 'file system', delayMs: 0 },
      { on: 'first', seen: 'secondary header', delayMs: 0 },
    ],
  },
  'a little later each time': {
    volumes: [second, small, parted],
    moments: [
      { on: 'second', seen: 'primary table', delayMs: 0 },
      { on: 'small', seen: 'formatting mark', delayMs: 400 },
      { on: 'second', seen: 'file system', delayMs: 40 },
      { on: 'second', seen: 'primary header', delayMs: 0 },
    ],
  },
  'around the commit': {
    volumes: [adopted, first, parted, small],
    moments: [
      { on: 'adopted', seen: 'adopted header', delayMs: 0 },
      { on: 'parted', seen: 'secondary header', delayMs: 3 },
      { on: 'first', seen: 'keyfile', delayMs: 0 },
      { on: 'small', seen: 'primary header', delayMs: 10 },
    ],
  },
};

/** Cuts the power of one guest again and again, then lets it come up and asks stock tools about every volume. */
export const powerCuts = async (t: Test, stage: Stage, { volumes, moments }: Chain): Promise<void> => {
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
  let cuts = 0;
  for (const moment of moments) {
    const what = `${moment.on}: ${moment.seen} + ${moment.delayMs} ms`;
    // On a busy machine a boot may be over before its moment is seen; then its power is cut right after.
    const hit = await cutAt(guest, fileOf(moment.on), moment);
    if (hit) cuts += 1;
    t.strictSame(linesWith(guest, 'HPL10000E'), [], `${what}: nothing that a cut leaves behind is refused`);
    t.comment(`${hit ? 'cut at' : 'came too late for'} ${what}`);
    t.comment(made.map(({ volume, file }) => `${volume.key}: ${stateOf(file)}`).join(', '));
  }
  t.ok(cuts > 0, `${cuts} of ${moments.length} cuts fell into the work`);
  guest.start();
  await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 120_000);
  t.strictSame(linesWith(guest, 'HPL10000E'), []);
  t.equal(linesWith(guest, 'HPL02002I').length, volumes.length, 'every volume is mounted');
  await guest.check(volumes.map(({ key }) => `printf ${key} >/mnt/${key}/last; `).join(''));
  t.equal(await guest.powerOff(), 'poweredOff');
  for (let boot = 1; boot <= guest.boots; boot += 1) t.strictSame(stackTraces(guest, boot), []);
  for (const { volume, file } of made) {
    const { key } = volume;
    const madeHere = volume !== adopted;
    const content = { last: key, ...(madeHere ? {} : contentMadeElsewhere) };
    const keyName = volume.kms === undefined ? {} : { keyName: 'main' };
    await t.test(key, async (t) => {
      await judge(t, stage, { key, file, seeds, ...keyName, madeHere, content });
    });
  }
};
