/**
 * Volumes opened in a real guest (test/e2e): eight under root keys against one. Times are the guest's own, from the start of the agent
 * to "all volumes mounted", so that what a kernel takes to boot does not count.
 */
import { existsSync } from 'node:fs';
import { messages } from '../agent/messages.ts';
import { Stage } from '../test/e2e/cases/stage.ts';
import { type MadeVolume, makeVolume, volumeText } from '../test/e2e/cases/volume-case.ts';
import type { Guest } from '../test/e2e/guest/guest.ts';
import type { Row } from './measure.ts';

const limitMs = 120_000;
const many = 8;
/** The most that a further volume may take. */
const furtherVolumeMs = 150;
const lateMs = 500;

/** The kernel as a program, from the package of this name. */
const kernel = '/usr/bin/linux.uml';

const mounted = new RegExp(`${messages.VOLUMES_DONE.id}|${messages.SERVICE_FAILED.id}`);

/** Milliseconds that this boot's agent needed. Throws an Error when it refused. */
const boot = async (guest: Guest): Promise<number> => {
  guest.start();
  try {
    const line = await guest.waitForText(mounted, limitMs);
    if (line.includes(messages.SERVICE_FAILED.id)) throw new Error(`the boot failed\n${guest.lastLines()}`);
    const journal = guest.journal();
    const began = journal.find(
      ({ identifier, text }) => identifier === 'systemd' && /^Starting triseed-boot/.test(text),
    );
    const ended = journal.find(({ text }) => text.startsWith(messages.VOLUMES_DONE.id));
    if (began === undefined || ended === undefined)
      throw new Error('the journal does not tell when it began and ended');
    return (ended.at - began.at) * 1000;
  } finally {
    await guest.cutPower();
  }
};

/** A guest whose volumes a first boot has made; it is off. */
const guestWith = async (stage: Stage, count: number): Promise<Guest> => {
  const name = `volumes-${count}`;
  const scratch = stage.folder(name);
  const made: MadeVolume[] = [];
  for (let at = 0; at < count; at += 1)
    made.push(await makeVolume(stage, scratch, { key: `kms_${at}`, kms: () => [stage.entry('main')] }));
  const guest = await stage.guest(scratch, {
    name,
    volumes: made.map(({ volume }) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    options: { wantedUnits: ['triseed-volumes.target'] },
  });
  guest.start();
  await guest.waitForText(mounted, limitMs);
  await guest.powerOff();
  return guest;
};

export interface GuestRows extends AsyncDisposable {
  readonly rows: readonly Row[];
}

/** Null when there is no guest kernel on this machine. */
export const guestRows = async (repetitions: number): Promise<GuestRows | null> => {
  if (!existsSync(kernel)) return null;
  const stage = await new Stage('bench').open('main');
  try {
    const [one, eight] = [await guestWith(stage, 1), await guestWith(stage, many)];
    const row = (name: string, delayMs: number): Row => {
      const opened = async (guest: Guest): Promise<number> => {
        await stage.service.mend();
        if (delayMs > 0) await stage.service.fault([{ operation: 'any', effect: { delayMs } }]);
        return boot(guest);
      };
      return {
        name,
        subject: `opening ${many} volumes in a guest with one CPU`,
        baseline: 'opening one',
        repetitions,
        calls: 1,
        reported: true,
        measured: () => opened(eight),
        compared: () => opened(one),
        remark: ({ subjectMs, baselineMs }) => {
          const further = (subjectMs.median - baselineMs.median) / (many - 1);
          return `each further volume: ${further.toFixed(0)} ms (at most ${furtherVolumeMs})`;
        },
      };
    };
    return {
      rows: [
        row('eight volumes under a root key', 0),
        row(`the same, each answer of the key service ${lateMs} ms late`, lateMs),
      ],
      [Symbol.asyncDispose]: () => stage.close(),
    };
  } catch (error) {
    await stage.close();
    throw error;
  }
};
