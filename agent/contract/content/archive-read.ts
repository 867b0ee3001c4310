/**
 * The archive of a workload: base64 of a gzipped tar (IBM Cloud docs, "About the contract", sections "compose" and
 * "play"). Read for its author; nothing is unpacked to disk here.
 */
import { type ContentReading, ContentRefusal } from './content-problem.ts';
import { gunzip } from './gunzip.ts';
import { type Member, readMembers } from './members.ts';
import { decodeBase64 } from './strict-base64.ts';

/** Reads the value of an `archive` key. Nothing is thrown for what it holds. */
export const readArchive = (value: string): ContentReading<readonly Member[]> => {
  const packed = decodeBase64(value);
  if (packed === null) {
    const message = 'the value is no standard base64 on one line';
    const hint = 'make it with: triseed contract archive DIR, or tar czf - -C DIR . | base64 -w0';
    return { kind: 'refused', problems: [{ code: 'ARCHIVE_NOT_BASE64', message, hint }] };
  }
  try {
    return readMembers(gunzip(packed));
  } catch (error) {
    if (error instanceof ContentRefusal) return { kind: 'refused', problems: [error.problem] };
    throw error;
  }
};
