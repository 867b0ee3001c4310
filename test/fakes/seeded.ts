/** Randomness that comes out the same for the same seed: SHA-256 of seed and counter. */
import { createHash } from 'node:crypto';
import type { Entropy } from '../../agent/ports.ts';

export interface Seeded {
  bytes(length: number): Buffer;
  /** 0 to `end` − 1, as good as uniform. */
  below(end: number): number;
  pick<T>(list: readonly T[]): T;
}

export const seeded = (seed: string): Seeded => {
  let counter = 0;
  let left = Buffer.alloc(0);
  const bytes = (length: number): Buffer => {
    while (left.length < length) {
      const more = createHash('sha256').update(`${seed} ${counter}`).digest();
      counter += 1;
      left = Buffer.concat([left, more]);
    }
    const drawn = Buffer.from(left.subarray(0, length));
    left = left.subarray(length);
    return drawn;
  };
  const below = (end: number): number => bytes(4).readUInt32LE() % end;
  return {
    bytes,
    below,
    pick: (list) => {
      const picked = list[below(list.length)];
      if (picked === undefined) throw new RangeError('there is nothing to pick from');
      return picked;
    },
  };
};

export const seededEntropy = (seed: string): Entropy => {
  const { bytes, below } = seeded(seed);
  return {
    bytes,
    fraction: () => below(2 ** 32) / 2 ** 32,
    uuid: () =>
      bytes(16)
        .toString('hex')
        .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
  };
};
