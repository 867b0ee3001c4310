/** One round: a guest changes volumes, its power fails at an instant that the seed decides, maybe once more while it recovers; then it comes up. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { messages } from '../../agent/messages.ts';
import type { Stage } from '../e2e/cases/stage.ts';
import { rotate } from '../e2e/cases/stories/root-keys.ts';
import type { Seeded } from '../fakes/seeded.ts';
import type { Cut, Round } from './history.ts';
import {
  everyByte,
  guestUp,
  type Look,
  lastWrite,
  limitMs,
  type Machine,
  secondaryHeader,
  secretsOnDisk,
  volumesUp,
} from './machine.ts';
import type { Protocol } from './protocols.ts';

export interface Torture {
  /** Milliseconds from the first write to a volume to its last one, undisturbed. */
  window(): Promise<number>;
  /** Cuts and comes up again. `boot` names boots. */
  round(t: Test, number: number, random: Seeded, windowMs: number): Promise<Omit<Round, 'seconds'>>;
}

const allMounted = new RegExp(`${messages.VOLUMES_DONE.id}|${messages.SERVICE_FAILED.id}`);

/** A cut before anybody knows what it hit: that shows in the plan of the boot after it. */
interface Unjudged {
  readonly delayMs: number;
  readonly written: readonly string[];
  /** What the guest's own messages say. */
  readonly unfinished: ReadonlySet<string>;
}

/** Power fails `delayMs` after `provoked` resolves, which it does at the first write of a change. */
const cutWhileChanging = async (
  machine: Machine,
  { by, compared }: { readonly by: Protocol['changedBy']; readonly compared: Look },
  delayMs: number,
  provoked: () => Promise<void>,
): Promise<Unjudged> => {
  const before = await machine.looks(compared);
  await provoked();
  await sleep(delayMs);
  await machine.cut();
  const after = await machine.looks(compared);
  const written = [...after].flatMap(([key, look]) => (look === before.get(key) ? [] : [key]));
  return { delayMs, written, unfinished: machine.unfinished(by) };
};

const judgeCut = ({ delayMs, written, unfinished }: Unjudged, workLeft: ReadonlySet<string>): Cut => ({
  delayMs,
  underWay: written.filter((key) => unfinished.has(key) || workLeft.has(key)),
});

interface Instant {
  /** The volume whose first write is waited for. */
  readonly key: string;
  readonly delayMs: number;
}

/**
 * An instant within the change of one volume, to the millisecond; half of the time another one while the guest recovers. Early ones are
 * likelier: the longest change that was seen is longer than most, and a cut after it hits nothing.
 */
const instants = (random: Seeded, machine: Machine, windowMs: number): readonly [Instant, ...Instant[]] => {
  const one = (): Instant => ({
    key: random.pick(machine.volumes).volume.key,
    delayMs: random.below(1 + random.below(windowMs)),
  });
  return random.below(2) === 0 ? [one()] : [one(), one()];
};

/** The boot after the last cut: everything is there again. */
const comeUp = async (machine: Machine, boot: string, up: RegExp) => {
  machine.start(boot);
  try {
    await machine.guest.waitForText(up, limitMs);
  } catch {
    return { compared: 0, losses: [`the boot after the cut did not come up:\n${machine.guest.lastLines(40)}`] };
  }
  const refusals = machine.refusals();
  return refusals.length > 0 ? { compared: 0, losses: refusals } : machine.compare();
};

/** A boot, up to the first write to that volume. */
const bootedToWrite = async (
  machine: Machine,
  { boot, key }: { readonly boot: string; readonly key: string },
  watched: Look,
  otherwise: RegExp,
): Promise<void> => {
  machine.start(boot);
  await machine.firstWrite(key, watched, otherwise);
};

/** Stock tools look at the disks in one of so many rounds: they take as long as a boot. */
const judgedEvery = 5;

/** Of changes that a boot makes. Each round begins with the disks as they were made. */
export const whileBooting = (machine: Machine): Torture => ({
  async window() {
    await machine.reset();
    const windowMs = await machine.slowest(async () => machine.start('0.1.'));
    await machine.cut();
    return windowMs;
  },

  async round(t, number, random, windowMs) {
    await machine.reset();
    const cuts: Cut[] = [];
    const refused: string[] = [];
    let last: Unjudged | null = null;
    const moments = instants(random, machine, windowMs);
    for (const [at, { key, delayMs }] of moments.entries()) {
      const cut = await cutWhileChanging(machine, { by: 'boot', compared: everyByte }, delayMs, () =>
        bootedToWrite(machine, { boot: `${number}.${at}.`, key }, lastWrite, allMounted),
      );
      if (last !== null) cuts.push(judgeCut(last, machine.workLeft()));
      refused.push(...machine.refusals());
      last = cut;
    }
    const { compared, losses } = await comeUp(machine, `${number}.${moments.length}.`, volumesUp);
    if (last !== null) cuts.push(judgeCut(last, machine.workLeft()));
    const ended = machine.guest.running ? await machine.guest.powerOff().catch((error) => String(error)) : 'ended';
    const disagreements = losses.length > 0 || number % judgedEvery !== 0 ? [] : await machine.judged(t);
    return {
      number,
      cuts,
      boots: moments.length + 1,
      compared,
      losses: [...refused, ...losses, ...(ended === 'poweredOff' ? [] : [`it ended: ${ended}`]), ...disagreements],
    };
  },
});

/** Of what the daemon does when the root key was rotated. The guest that has come up is the one of the next round. */
export const whileRotating = (machine: Machine, stage: Stage): Torture => {
  const { guest } = machine;
  const up = async (boot: string): Promise<void> => {
    if (guest.running) return;
    machine.start(boot);
    await guest.waitForText(guestUp, limitMs);
  };
  const rotatedToWrite = async (key: string): Promise<void> => {
    const noticed = machine.firstWrite(key, secondaryHeader, new RegExp(messages.SERVICE_FAILED.id));
    await rotate(stage, 'main');
    await noticed;
  };
  return {
    async window() {
      await machine.reset();
      await up('0.1.');
      const windowMs = await machine.slowest(() => rotate(stage, 'main'));
      const { losses } = await machine.compare();
      if (losses.length > 0) throw new Error(losses.join('\n'));
      await guest.powerOff();
      return windowMs;
    },

    async round(t, number, random, windowMs) {
      await up(`${number}.9.`);
      const [{ key, delayMs }, ...more] = instants(random, machine, windowMs);
      const rotating = { by: 'rotation', compared: secretsOnDisk } as const;
      let last = await cutWhileChanging(machine, rotating, delayMs, () => rotatedToWrite(key));
      const cuts: Cut[] = [];
      for (const [at, { key, delayMs }] of more.entries()) {
        const cut = await cutWhileChanging(machine, { by: 'boot', compared: secretsOnDisk }, delayMs, () =>
          bootedToWrite(machine, { boot: `${number}.${at}.`, key }, secondaryHeader, guestUp),
        );
        cuts.push(judgeCut(last, machine.workLeft()));
        last = cut;
      }
      const { compared, losses } = await comeUp(machine, `${number}.${more.length}.`, guestUp);
      cuts.push(judgeCut(last, machine.workLeft()));
      const found = { number, cuts, boots: more.length + 1, compared };
      if (losses.length > 0 || number % judgedEvery !== 0) return { ...found, losses };
      const ended = await guest.powerOff();
      return {
        ...found,
        losses: [...(ended === 'poweredOff' ? [] : [`it ended: ${ended}`]), ...(await machine.judged(t))],
      };
    },
  };
};
