/**
 * What a disk may hold when the power went while writes were on their way: everything before the last flush that came back, and of
 * the writes after it any subset, each whole or torn between two sectors. Pure.
 */
import type { DeviceWrite } from '../../agent/volumes/device-bytes.ts';

/** What has become of one write, or of a part of it. */
export type Written<Write extends DeviceWrite> = Omit<Write, 'flushAfter'>;

const sectorBytes = 512;

/** Writes between two flushes, which a disk may do in any order. */
export const flushGroups = <Write extends DeviceWrite>(writes: readonly Write[]): readonly (readonly Write[])[] => {
  const found: Write[][] = [[]];
  for (const write of writes) {
    found.at(-1)?.push(write);
    if (write.flushAfter) found.push([]);
  }
  return found.filter((group) => group.length > 0);
};

/** `write` torn at up to `tears` places: the front alone, then the back alone. */
const torn = function* <Write extends DeviceWrite>(write: Write, tears: number): Generator<Written<Write>> {
  const sectors = Math.ceil(write.bytes.length / sectorBytes);
  const step = Math.max(1, Math.floor(sectors / tears));
  for (let cut = 1; cut < sectors; cut += step) {
    const at = cut * sectorBytes;
    yield { ...write, bytes: write.bytes.subarray(0, at) };
    yield { ...write, offset: write.offset + at, bytes: write.bytes.subarray(at) };
  }
};

/** Every state, as the writes that have reached the disk, in an order in which they may be replayed. The first is none, the last all. */
export const cutStates = function* <Write extends DeviceWrite>(
  writes: readonly Write[],
  tears = 16,
): Generator<readonly Written<Write>[]> {
  let done: readonly Write[] = [];
  yield done;
  for (const group of flushGroups(writes)) {
    for (let chosen = 1; chosen < 1 << group.length; chosen += 1) {
      const subset = group.filter((_, at) => (chosen >> at) & 1);
      yield [...done, ...subset];
      for (const write of subset) {
        const whole = subset.filter((other) => other !== write);
        for (const part of torn(write, tears)) yield [...done, ...whole, part];
      }
    }
    done = [...done, ...group];
  }
  yield done;
};

/** `disk` with `written` on top of it. */
export const replayed = (disk: Buffer, written: readonly Written<DeviceWrite>[]): Buffer => {
  const after = Buffer.from(disk);
  for (const { offset, bytes } of written) after.set(bytes, offset);
  return after;
};
