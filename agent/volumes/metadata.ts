/**
 * The metadata partition: a small ext4 made in memory that mirrors the wrapped seed in `keyfile`, where HPCR keeps it.
 * It can be rebuilt at any time from the token in the LUKS header. A two-seed volume gets a file system without a
 * keyfile; a note in it tells whoever looks that none is missing.
 */
import type { DeviceWrite } from './device-bytes.ts';
import { renderImage } from './ext4-image.ts';
import { keyfileName, renderKeyfile } from './keyfile.ts';

export interface MetadataRequest {
  readonly sizeBytes: number;
  /** Null for two-seed volumes. */
  readonly wrapped: string | null;
  /** UUID of the file system. */
  readonly uuid: string;
  /** For the time stamps only. */
  readonly at: Date;
}

export const noteName = 'no-keyfile';
const note = Buffer.from('This volume is encrypted with two seeds. There is no wrapped third seed.\n', 'latin1');

/** The ordered writes. Throws TypeError when the partition cannot take them: its size is fixed by our own table. */
export const metadataWrites = ({ sizeBytes, wrapped, uuid, at }: MetadataRequest): readonly DeviceWrite[] => {
  const file =
    wrapped === null
      ? { fileName: noteName, content: note }
      : { fileName: keyfileName, content: renderKeyfile(wrapped) };
  const atSeconds = Math.floor(at.getTime() / 1000);
  const image = renderImage({ sizeBytes, ...file, uuid, label: '', atSeconds });
  if (image.kind !== 'image') throw new TypeError(`the metadata partition is unusable: ${image.kind}`);
  return image.writes;
};
