/**
 * Our mark that a partition is being formatted: written first, replaced by the LUKS header last. It names the volume
 * and the partition, so that it permits starting over for exactly that volume and nothing else.
 */
import { createHash } from 'node:crypto';

export const markerBytes = 4096;
const title = 'TRISEED FORMATTING 1\n';
const digestBytes = 64;

export interface FormattingMarker {
  readonly volume: string;
  /** GUID of the partition the mark lies on. */
  readonly partitionGuid: string;
}

const bodyOf = (marker: FormattingMarker): string => `${title}${marker.volume}\n${marker.partitionGuid}\n`;
const hexDigest = (body: string): string => createHash('sha256').update(body, 'latin1').digest('hex');

export const renderMarker = (marker: FormattingMarker): Buffer => {
  const bytes = Buffer.alloc(markerBytes);
  const body = bodyOf(marker);
  bytes.write(body + hexDigest(body), 'latin1');
  return bytes;
};

/** The marker, or null when the 4096 bytes are not exactly one. */
export const parseMarker = (bytes: Buffer): FormattingMarker | null => {
  const end = bytes.indexOf(0);
  const text = bytes.subarray(0, end < 0 ? 0 : Math.min(end, 512)).toString('latin1');
  const match = /^TRISEED FORMATTING 1\n([a-z_][a-z0-9_-]{0,127})\n([0-9a-f-]{36})\n/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined || text.length !== match[0].length + digestBytes) return null;
  const marker = { volume: match[1], partitionGuid: match[2] };
  return bytes.equals(renderMarker(marker)) ? marker : null;
};
