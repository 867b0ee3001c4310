/**
 * The attestation record, `se-checksums.txt` (IBM Cloud docs, "Attestation"): first labels in free form, then lines
 * of a SHA-256 and the name of what was hashed. Releases differ in order, in labels and in how they write the names
 * of contract sections; all of them are read. The bytes are what is signed, so nothing here is ever written back.
 */
import { isUtf8 } from 'node:buffer';

/** Real records have about 30 lines and 3 KiB. */
export const maximumRecordBytes = 64 * 1024;
const maximumLines = 1000;
const maximumLineLength = 1024;

/** Parts of a contract that the guest hashes as they stand. */
export const hashedSections = ['workload', 'env', 'attestationPublicKey', 'envWorkloadSignature'] as const;
export type HashedSection = (typeof hashedSections)[number];

export interface RecordLabel {
  readonly label: string;
  readonly value: string;
  readonly line: number;
}

export interface RecordHash {
  /** As one spelling for all releases: `contract:env` also for `contract: env` and `env`. */
  readonly name: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly line: number;
}

export interface AttestationRecord {
  /** The first line, such as 26.7.1; null when that is no version. */
  readonly version: string | null;
  readonly labels: readonly RecordLabel[];
  readonly hashes: readonly RecordHash[];
  /** Lines that are neither, 1-based. */
  readonly unreadableLines: readonly number[];
}

export type RecordReading =
  | { readonly kind: 'record'; readonly record: AttestationRecord }
  | { readonly kind: 'unreadable'; readonly reason: string };

const unreadable = (reason: string): RecordReading => ({ kind: 'unreadable', reason });

const sections: ReadonlySet<string> = new Set(hashedSections);

/** `contract:env`, `contract: env` and `env` are one name. */
const canonicalName = (name: string): string => {
  const section = /^contract:[ \t]*(\S+)$/.exec(name)?.[1] ?? name;
  return sections.has(section) ? `contract:${section}` : name;
};

const versionLine = /^[0-9]+(?:\.[0-9]+){1,3}(?:[-+][A-Za-z0-9.]+)?$/;
const hashLine = /^([0-9a-fA-F]{64})[ \t]+\*?(\S(?:.*\S)?)$/;
const labelLine = /^([A-Za-z][^:]{0,80}):[ \t]*(\S.*)$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** Reads a plain record. Everything in it comes from outside and is bounded. */
export const parseRecord = (bytes: Uint8Array): RecordReading => {
  if (bytes.length > maximumRecordBytes) return unreadable(`it has more than ${maximumRecordBytes} bytes`);
  if (!isUtf8(bytes)) return unreadable('it is not UTF-8 text');
  const lines = Buffer.from(bytes).toString('utf8').split('\n');
  if (lines.length > maximumLines) return unreadable(`it has more than ${maximumLines} lines`);
  const labels: RecordLabel[] = [];
  const hashes: RecordHash[] = [];
  const unreadableLines: number[] = [];
  let version: string | null = null;
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const text = raw.replace(/\r$/, '').trim();
    if (text.length > maximumLineLength)
      return unreadable(`line ${line} has more than ${maximumLineLength} characters`);
    if (control.test(text)) return unreadable(`line ${line} holds a control character`);
    if (text === '') continue;
    const hash = hashLine.exec(text);
    const label = labelLine.exec(text);
    if (hash !== null) {
      hashes.push({ name: canonicalName(hash[2] ?? ''), sha256: (hash[1] ?? '').toLowerCase(), line });
    } else if (version === null && line === 1 && versionLine.test(text)) version = text;
    else if (label !== null) labels.push({ label: label[1] ?? '', value: (label[2] ?? '').trim(), line });
    else unreadableLines.push(line);
  }
  if (hashes.length === 0) return unreadable('it has no line with a SHA-256 and a name');
  return { kind: 'record', record: { version, labels, hashes, unreadableLines } };
};

/** Lines that every release writes; the sections are there when the contract has them. */
export const expectedHashes: readonly string[] = [
  'root.tar.gz',
  'baseimage',
  '/dev/disk/by-label/cidata',
  'cidata/meta-data',
  'cidata/user-data',
  'cidata/vendor-data',
  'contract:workload',
  'contract:env',
];
