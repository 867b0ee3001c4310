/** What the image readers share: how bytes come in, and how a malformed image is refused. */

/** Exactly `length` bytes from `offset`. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** What is wrong with the image; the caller names the device. */
export class ImageError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'ImageError';
  }
}
