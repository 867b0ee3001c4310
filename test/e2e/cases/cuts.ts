/**
 * Power cuts while volumes are being made. A moment is seen from outside, in the bytes of a disk image: the guest's kernel has just
 * written them. Then the guest's process is killed, at once or a little later.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { Guest } from '../guest/guest.ts';
import { MiB } from './image.ts';

const dataAt = 100 * MiB;
const headerCopy = 16_384;

interface Sight {
  /** Where to look; negative counts from the end of the disk. */
  readonly at: number;
  readonly length: number;
  readonly seen: (bytes: Buffer) => boolean;
}

const holds = (at: number, text: string): Sight => {
  const expected = Buffer.from(text, 'latin1');
  return { at, length: expected.length, seen: (bytes) => bytes.equals(expected) };
};

/** In the order in which a fresh volume passes them. */
export const sights = {
  'backup table': holds(-512, 'EFI PART'),
  'primary table': holds(512, 'EFI PART'),
  'protective MBR': holds(510, '\x55\xaa'),
  'formatting mark': holds(dataAt, 'TRISEED FORMATTING'),
  'file system': { at: dataAt + 16 * MiB, length: 4096, seen: (bytes) => bytes.some((byte) => byte !== 0) },
  'secondary header': holds(dataAt + headerCopy, 'SKUL\xba\xbe'),
  'primary header': holds(dataAt, 'LUKS\xba\xbe'),
  /** A header made elsewhere has sequence number 3 when cryptsetup luksFormat is done; ours comes after it. */
  'adopted header': { at: dataAt + headerCopy + 16, length: 8, seen: (bytes) => bytes.readBigUInt64BE() > 3n },
  keyfile: holds(MiB + 1080, '\x53\xef'),
} as const satisfies Readonly<Record<string, Sight>>;

export type SightName = keyof typeof sights;

export const isSeen = (file: string, name: SightName): boolean => {
  const { at, length, seen } = sights[name];
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, bytes, 0, length, at < 0 ? statSync(file).size + at : at);
  } finally {
    closeSync(descriptor);
  }
  return seen(bytes);
};

export interface Moment {
  /** Volume key of the disk that is watched. */
  readonly on: string;
  readonly seen: SightName;
  readonly delayMs: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Starts the guest and cuts its power at this moment; when an earlier boot got further than that already, at the same delay after the
 * plans are announced. False when the guest got to its end without it.
 */
export const cutAt = async (guest: Guest, file: string, moment: Moment): Promise<boolean> => {
  const over = /HPL07003I|HPL10000E/;
  let ended = false;
  let planned = !isSeen(file, moment.seen);
  guest.start();
  const stop = guest.onLine((line) => {
    ended ||= over.test(line);
    planned ||= /TSD07001I/.test(line);
  });
  try {
    while (!ended && guest.running) {
      if (planned && isSeen(file, moment.seen)) {
        await pause(moment.delayMs);
        return true;
      }
      await pause(1);
    }
    return false;
  } finally {
    stop();
    await guest.cutPower();
  }
};

/** The last thing of a fresh volume that is on the disk, for the report. */
export const stateOf = (file: string): string =>
  (Object.keys(sights) as SightName[]).filter((name) => name !== 'adopted header' && isSeen(file, name)).at(-1) ??
  'blank';
