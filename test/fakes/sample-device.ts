/** Devices for tests: a buffer or a plain sparse file behind the read function, and the stock tools that judge them. */
import { execFile } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { DeviceWrite, ReadAt } from '../../agent/volumes/device-bytes.ts';

/** Rejects exactly as the port does when asked beyond the end, so an unchecked offset fails the test. */
const checkRange = (offset: number, length: number, sizeBytes: number): void => {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (!whole || offset < 0 || length < 0 || offset + length > sizeBytes)
    throw new RangeError(`read beyond the device: ${offset} + ${length} of ${sizeBytes}`);
};

export const readerOf =
  (bytes: Buffer): ReadAt =>
  async (offset, length) => {
    checkRange(offset, length, bytes.length);
    return Buffer.from(bytes.subarray(offset, offset + length));
  };

export interface SampleDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly read: ReadAt;
  readonly write: (offset: number, bytes: Uint8Array) => void;
  readonly apply: (writes: readonly DeviceWrite[]) => void;
  readonly close: () => void;
}

/** A sparse file of `sizeBytes`; what is there already is kept, so a tool may have made it before. */
export const sampleDevice = (path: string, sizeBytes: number): SampleDevice => {
  const file = openSync(path, 'a+');
  closeSync(file);
  const handle = openSync(path, 'r+');
  ftruncateSync(handle, sizeBytes);
  const write = (offset: number, bytes: Uint8Array): void => {
    checkRange(offset, bytes.length, sizeBytes);
    writeSync(handle, bytes, 0, bytes.length, offset);
  };
  return {
    path,
    sizeBytes,
    read: async (offset, length) => {
      checkRange(offset, length, sizeBytes);
      const bytes = Buffer.alloc(length);
      readSync(handle, bytes, 0, length, offset);
      return bytes;
    },
    write,
    apply: (writes) => {
      for (const { offset, bytes } of writes) write(offset, bytes);
    },
    close: () => closeSync(handle),
  };
};

export interface ToolAnswer {
  readonly exit: number;
  readonly text: string;
}

/** Runs a stock tool; a missing tool fails the test instead of skipping the judgement. */
export const tool = (program: string, args: readonly string[]): Promise<ToolAnswer> =>
  new Promise((resolve, reject) => {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
    execFile(program, args, { env, maxBuffer: 8 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error);
      else resolve({ exit: typeof error?.code === 'number' ? error.code : 0, text: `${stdout}${stderr}` });
    });
  });
