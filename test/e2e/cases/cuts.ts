/** Power cuts at named moments while volumes are being made. The guest stops itself there (cut-in-guest.ts); then its process is killed. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Guest } from '../guest/guest.ts';
import { programWith } from '../guest/program.ts';
import type { GuestFiles } from '../guest/tree.ts';
import { cutArgument, cutMark, type Held, heldIn, type Moments } from './effects.ts';
import { take } from './image.ts';

/** cut-in-guest.ts as one file of JavaScript: Node would take a second of a guest's CPU to learn how to leave types out. */
const cutInGuest = (): string => {
  const { outputFiles } = buildSync({
    entryPoints: [join(import.meta.dirname, 'cut-in-guest.ts')],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  const [script] = outputFiles;
  if (script === undefined) throw new Error('esbuild made no script');
  return script.text;
};

const cutInGuestFile = '/usr/lib/triseed-cut.mjs';

/** The agent of a guest whose power is cut: while it boots it looks at the kernel's command line for the moments. */
export const agentHeldAtMoments: GuestFiles = {
  [cutInGuestFile]: cutInGuest(),
  '/usr/bin/triseed': { content: programWith('boot', `--import=${cutInGuestFile}`), mode: 0o755 },
};

/**
 * Starts the guest and cuts its power when every volume in `moments` is held there, or when the agent is done without. Answers the
 * volumes that were held. Throws an Error with the console's last lines when neither comes within `limitMs`.
 */
export const cutAt = async (guest: Guest, moments: Moments, limitMs: number): Promise<readonly Held[]> => {
  guest.start({ kernelArguments: [cutArgument(moments)] });
  try {
    await guest.waitForText(new RegExp(`${cutMark}|HPL07003I|HPL10000E`), limitMs);
  } finally {
    await guest.cutPower();
  }
  return heldIn(guest.consoleText());
};

/** What the image of a disk holds in the place of the last write, told by its digest. */
export const digestOnDisk = (file: string, { offset, length }: NonNullable<Held['onDisk']>): string =>
  createHash('sha256')
    .update(take(file, offset, length))
    .digest('hex');
