/**
 * Journal records as IBM Cloud Logs takes them: IBM Cloud documentation, "Sending logs by using the API" (Singles). Only
 * fields that the journal itself vouches for (a leading underscore, systemd.journal-fields(7)) and the usual ones of
 * containers go along.
 */
import { isMapping, type YamlValue } from '../contract/strict-yaml.ts';

export interface Single {
  readonly applicationName: string;
  readonly subsystemName: string;
  readonly computerName: string;
  /** 1 debug, 2 verbose, 3 info, 4 warning, 5 error, 6 critical. */
  readonly severity: number;
  /** Milliseconds since 1970, with a fraction. */
  readonly timestamp: number;
  /** JSON, so that the service finds its fields. */
  readonly text: string;
  readonly category?: string;
}

export interface JournalRecord {
  readonly cursor: string;
  /** Written by the unit that forwards, about its own work. */
  readonly isOfForwarder: boolean;
  readonly single: Single;
}

/** syslog(3) priorities 0 to 7. */
const severities = [6, 6, 6, 5, 4, 3, 3, 1] as const;
const applicationName = 'triseed';
const forwarderUnit = 'triseed-log-router.service';
/** Beside the message; names as HPCR's log columns have them. */
const carried = ['_HOSTNAME', 'SYSLOG_IDENTIFIER', '_SYSTEMD_UNIT', 'IMAGE_NAME', 'CONTAINER_NAME', 'CONTAINER_ID'];
const maxMessageCharacters = 64 * 1024;

/** journalctl(1), --output=json: text, null when too large, numbers for bytes that are no text, a list for repeated fields. */
const textOf = (value: YamlValue | undefined): string | null => {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  if (value.every((item) => typeof item === 'number')) return Buffer.from(value as number[]).toString('utf8');
  return textOf(value[0]);
};

/** One line of journalctl as a record; null for what has no message or is no record. */
export const journalRecord = (line: string, tags: readonly string[]): JournalRecord | null => {
  let fields: YamlValue;
  try {
    fields = JSON.parse(line) as YamlValue;
  } catch {
    return null;
  }
  if (!isMapping(fields)) return null;
  const record = fields;
  const field = (name: string): string | null => textOf(record[name]);
  const cursor = field('__CURSOR');
  const message = field('MESSAGE');
  if (cursor === null || message === null) return null;
  const micros = Number(field('_SOURCE_REALTIME_TIMESTAMP') ?? field('__REALTIME_TIMESTAMP'));
  const priority = Number(field('PRIORITY') ?? 6);
  const beside = carried.flatMap((name): [string, string][] => {
    const value = field(name);
    return value === null ? [] : [[name, value]];
  });
  return {
    cursor,
    isOfForwarder: field('_SYSTEMD_UNIT') === forwarderUnit,
    single: {
      applicationName,
      subsystemName: field('SYSLOG_IDENTIFIER') ?? field('_COMM') ?? 'unknown',
      computerName: field('_HOSTNAME') ?? 'unknown',
      severity: severities[priority] ?? 3,
      timestamp: Number.isFinite(micros) ? micros / 1000 : 0,
      text: JSON.stringify({ message: message.slice(0, maxMessageCharacters), ...Object.fromEntries(beside) }),
      ...(tags.length === 0 ? {} : { category: tags.join(',') }),
    },
  };
};

/** The first record, which shows that address and API key are right. */
export const probeSingle = (at: Date, computerName: string, tags: readonly string[]): Single => ({
  applicationName,
  subsystemName: 'hpcr-logging',
  computerName,
  severity: 3,
  timestamp: at.getTime(),
  text: JSON.stringify({ message: 'authentication probe', SYSLOG_IDENTIFIER: 'hpcr-logging', _HOSTNAME: computerName }),
  ...(tags.length === 0 ? {} : { category: tags.join(',') }),
});

export const ingestionUrl = ({ hostname, port }: { readonly hostname: string; readonly port: number }): string =>
  `https://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}/logs/v1/singles`;
