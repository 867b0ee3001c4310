/**
 * The header copy H: a root-only file in memory through which cryptsetup sees the header we read and gated, and
 * nothing the host could change behind our back.
 */
import type { Host } from '../ports.ts';
import type { ReadAt } from './device-bytes.ts';
import type { GatedHeader } from './gate.ts';
import { type HeaderImage, type HeaderOnDevice, readAreas } from './header-commit.ts';
import { copyFor, type HeaderCopy, readLuksHeader, renderLuksHeader } from './luks-header.ts';
import type { Json } from './strict-json.ts';
import { renderToken, type VolumeToken } from './token.ts';

/** The gated header of a device as an image with both copies equal, ready to be put into H. */
export const imageOf = async (read: ReadAt, header: GatedHeader): Promise<HeaderImage> => ({
  primary: copyFor('primary', header.copy),
  secondary: copyFor('secondary', header.copy),
  areas: await readAreas(read, header.keyslots),
});

export const onDevice = async (
  read: ReadAt,
  header: {
    readonly gated: GatedHeader;
    readonly primaryIsCurrent: boolean;
    readonly secondaryIsCurrent: boolean;
  },
): Promise<HeaderOnDevice> => ({
  image: await imageOf(read, header.gated),
  primaryIsCurrent: header.primaryIsCurrent,
  secondaryIsCurrent: header.secondaryIsCurrent,
});

/**
 * `image` with our token as its only token, or with none, and the next sequence number; null when the JSON area is too
 * small.
 */
export const withToken = (
  image: HeaderImage,
  copy: HeaderCopy,
  token: VolumeToken | null,
  salts: readonly [Buffer, Buffer],
): HeaderImage | null => {
  const json: Json = { ...copy.json, tokens: token === null ? {} : { '0': renderToken(token) } };
  const rendered = renderLuksHeader(copy, json, copy.sequence + 1n, salts);
  return rendered === null ? null : { ...rendered, areas: image.areas };
};

/**
 * Where H of a volume shall lie, for one proof: a rehearsal beside a boot has one of its own. `run` must be memory-backed; boot checks
 * that once.
 */
export const newHeaderPath = ({ entropy }: Pick<Host, 'entropy'>, run: string, volume: string): string =>
  `${run}/headers/${volume}.${entropy.uuid()}.luks`;

/** Writes H; `sizeBytes` is where the data segment starts, so that cryptsetup finds room for every keyslot area. */
export const writeHeaderFile = async (
  host: Pick<Host, 'files'>,
  path: string,
  sizeBytes: number,
  image: HeaderImage,
): Promise<void> => {
  await host.files.remove(path);
  const pieces = [
    { offset: 0, bytes: image.primary },
    { offset: image.primary.length, bytes: image.secondary },
    ...image.areas,
  ];
  await host.files.writeSparse(path, sizeBytes, pieces, 0o600);
};

/** Reads what cryptsetup left in H. */
export const readHeaderFile = async (host: Pick<Host, 'disks'>, path: string) => {
  const file = await host.disks.open(path, 'read');
  try {
    const header = await readLuksHeader(file.read, file.sizeBytes);
    return { header, areasOf: (gated: GatedHeader) => readAreas(file.read, gated.keyslots), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
};
