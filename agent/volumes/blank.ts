/** Is a device blank? By samples, because reading a large disk whole at every first boot would take hours. */
import { mebibyte, type ReadAt } from './device-bytes.ts';

export type BlankProbe =
  | { readonly kind: 'blank' }
  | {
      readonly kind: 'notBlank';
      /** The first non-zero byte met; there may be earlier ones between the samples. */
      readonly firstNonZeroOffset: number;
    };

const headBytes = 16 * mebibyte;
const tailBytes = mebibyte;
const windowBytes = 64 * 1024;
const windows = 64;
const alignment = 4096;
const zeros = Buffer.alloc(mebibyte);

/** Offset of the first non-zero byte of a span, read in pieces of 1 MiB, or null. */
const firstNonZero = async (read: ReadAt, offset: number, length: number): Promise<number | null> => {
  for (let at = offset; at < offset + length; at += mebibyte) {
    const piece = await read(at, Math.min(mebibyte, offset + length - at));
    if (piece.compare(zeros, 0, piece.length) === 0) continue;
    return at + piece.findIndex((byte) => byte !== 0);
  }
  return null;
};

/**
 * The spans to look at: the first 16 MiB (both LUKS2 headers, partition tables, superblocks of all common file
 * systems), the last 1 MiB (backup GPT, RAID records), and between them 64 windows of 64 KiB. The middle is cut into 64
 * equal strips with one window each, so that no large region is skipped; where in its strip a window lies is drawn with
 * `fraction`, so that data missed by one probe is likely met by the next, independent one. Devices not much larger than
 * all samples together are read whole.
 */
const samples = (sizeBytes: number, fraction: () => number): readonly (readonly [number, number])[] => {
  const middle = sizeBytes - headBytes - tailBytes;
  if (middle <= windows * (windowBytes + alignment)) return [[0, sizeBytes]];
  const strip = middle / windows;
  const drawn = Array.from({ length: windows }, (_, index): readonly [number, number] => {
    const share = Math.min(Math.max(fraction(), 0), 1);
    const offset = headBytes + index * strip + share * (strip - windowBytes - alignment);
    return [Math.ceil(offset / alignment) * alignment, windowBytes];
  });
  return [[0, headBytes], [sizeBytes - tailBytes, tailBytes], ...drawn];
};

/**
 * Samples a device of `sizeBytes`. `fraction` yields numbers in [0, 1) for the positions of the windows. A sampled answer
 * protects against a mistake, such as attaching the wrong disk: data that avoids about 21 MiB of samples is not seen.
 * Rejects only when `read` does.
 */
export const probeBlank = async (read: ReadAt, sizeBytes: number, fraction: () => number): Promise<BlankProbe> => {
  for (const [offset, length] of samples(sizeBytes, fraction)) {
    const firstNonZeroOffset = await firstNonZero(read, offset, length);
    if (firstNonZeroOffset !== null) return { kind: 'notBlank', firstNonZeroOffset };
  }
  return { kind: 'blank' };
};
