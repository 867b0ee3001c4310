/** When the image's own encryption certificate ends. */
import { maximumCertificateBytes, readCertificates } from '../contract/certificate.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';

/** Null, with a warning, for a file that holds no certificate: notices are no reason not to boot. */
export const certificateEnd = async (
  host: Pick<Host, 'files' | 'journal'>,
  path: string | null,
): Promise<Date | null> => {
  if (path === null) return null;
  const unread = (reason: string): null => {
    host.journal.message('CERTIFICATE_NOT_READ', { path, reason });
    return null;
  };
  try {
    const bytes = await host.files.read(path, maximumCertificateBytes);
    if (bytes === null) return unread('it does not exist');
    const reading = readCertificates(bytes);
    if (reading.kind === 'unreadable') return unread(reading.reason);
    return reading.entries[0]?.certificate.validToDate ?? unread('it holds no certificate');
  } catch (error) {
    if (error instanceof AgentError) return unread(error.message);
    throw error;
  }
};
