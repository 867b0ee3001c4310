/** What a device says it is stands in its first bytes, and looking at one asks for these again and again, a few at a time. */

export type Read = (offset: number, length: number) => Promise<Buffer>;

/** Both LUKS2 headers of the usual size, a GPT, and all that leads to a file in the root folder of our metadata, and the file. */
const beginningBytes = 49_152;

/**
 * `read` for one look at a device of `sizeBytes`: its beginning is read when something of it is first asked for, and is what it was
 * then until the look is over, whatever the host makes the device answer the second time. Where it cannot be read in one
 * piece, each piece is asked for by itself: a bad sector takes nothing with it that was not asked for.
 */
export const readingBeginningOnce = (read: Read, sizeBytes: number): Read => {
  const length = Math.min(beginningBytes, sizeBytes);
  let beginning: Promise<Buffer | null> | null = null;
  return async (offset, wanted) => {
    if (offset < 0 || wanted < 0 || offset + wanted > length) return read(offset, wanted);
    beginning ??= read(0, length).catch(() => null);
    const known = await beginning;
    if (known === null) return read(offset, wanted);
    const bytes = Buffer.from(new ArrayBuffer(wanted));
    known.copy(bytes, 0, offset, offset + wanted);
    return bytes;
  };
};
