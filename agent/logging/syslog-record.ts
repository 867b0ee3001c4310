/** The first record that a log server gets. */

/** facility daemon (3), severity informational (6): RFC 5424 §6.2.1. */
const priority = 3 * 8 + 6;
/** RFC 5424 §6: 1 to 255 printable characters, a dash for none. */
const nameOf = (text: string): string => text.replace(/[^\x21-\x7e]/g, '').slice(0, 255) || '-';

/** An RFC 5424 record with octet counting (RFC 6587 §3.4.1), as it goes over the wire. */
export const syslogRecord = (at: Date, hostname: string, text: string): Buffer => {
  const record = Buffer.from(`<${priority}>1 ${at.toISOString()} ${nameOf(hostname)} hpcr-logging - - - ${text}`);
  return Buffer.concat([Buffer.from(`${record.length} `), record]);
};
