/** Runs refusals: many volumes in one contract, each with a fault of its own, and one without any. Nothing may be touched. */
import type { Test } from 'tap';
import { messages } from '../../../agent/messages.ts';
import type { GuestOptions } from '../guest/guest.ts';
import { breathe, fingerprint } from './image.ts';
import { idsOf, linesWith, stackTraces } from './journal.ts';
import type { Refusal } from './refusals.ts';
import type { Stage } from './stage.ts';
import { type MadeVolume, makeVolume, type VolumeCase, volumeText } from './volume-case.ts';

/** Nothing is wrong with it: it would be formatted if the others did not keep the boot from going on. */
const innocent: VolumeCase = { key: 'innocent' };

/**
 * Boots a guest with all these volumes. Each must be refused with its message, the guest must power off by itself, and every disk
 * must be the same as before, byte for byte, the one of the innocent volume too.
 */
export const refuseAll = async (
  t: Test,
  stage: Stage,
  name: string,
  refusals: readonly Refusal[],
  given: {
    readonly guest?: Partial<GuestOptions>;
    /** Done when the disks are made, before the guest is started. */
    readonly before?: () => Promise<void>;
    /** `volumes` of the agent configuration. */
    readonly configuration?: string;
  } = {},
): Promise<void> => {
  const scratch = stage.folder(name);
  const made: MadeVolume[] = [];
  for (const volume of [innocent, ...refusals]) made.push(await makeVolume(stage, scratch, volume));
  const disks = made.flatMap((volume) => volume.disks);
  const before: string[] = [];
  for (const { file } of disks) {
    await breathe();
    before.push(fingerprint(file));
  }
  const guest = await stage.guest(scratch, {
    name,
    volumes: made.map(({ volume }) => volumeText(stage, volume)),
    disks,
    ...(given.guest === undefined ? {} : { options: given.guest }),
    ...(given.configuration === undefined ? {} : { configuration: given.configuration }),
  });
  await given.before?.();
  guest.start();
  t.equal(await guest.waitForExit(540_000), 'poweredOff');
  for (const { key, refused, because } of refusals) {
    const { id } = messages[refused];
    const lines = linesWith(guest, id).filter((line) => new RegExp(`\\bvolumes? (?:\\w+, )*${key}\\b`).test(line));
    t.ok(lines.length > 0 && lines.every((line) => because?.test(line) ?? true), `${key}: ${id} ${refused}`, {
      found: guest
        .journal()
        .map((line) => line.text)
        .filter((line) => new RegExp(`\\bvolumes? (?:\\w+, )*${key}\\b`).test(line)),
    });
  }
  const changed: string[] = [];
  for (const [at, { file }] of disks.entries()) {
    await breathe();
    if (fingerprint(file) !== before[at]) changed.push(file);
  }
  t.strictSame(changed, [], 'every disk is as it was');
  t.equal(idsOf(guest).at(-1), messages.SERVICE_FAILED.id);
  t.notOk(idsOf(guest).includes(messages.VOLUME_PLAN.id), 'no plan was even announced');
  t.strictSame(stackTraces(guest), []);
  if (t.passing()) scratch.remove();
};
