/** How byte-level modules see a device: one way to read it, and writes as data for whoever applies them. */

/** Exactly `length` bytes from `offset` (both in bytes); rejects beyond the end or when the device fails. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** A span of a device, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** One write of an ordered list. The order and the flushes are part of the meaning: a power cut may fall between any two. */
export interface DeviceWrite {
  readonly offset: number;
  readonly bytes: Buffer;
  /** Everything up to and including this write must be on stable storage before the next write starts. */
  readonly flushAfter: boolean;
}

export const mebibyte = 1024 * 1024;
