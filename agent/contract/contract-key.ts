/** The private key that opens the contract, as the image keeps it. */
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';

const maxKeyFileBytes = 64 * 1024;

/** Null when there is none: contracts without tokens need none. Throws FILE_UNREADABLE, FILE_TOO_LARGE. */
export const readContractKey = async (host: Pick<Host, 'files'>, path: string): Promise<Secret | null> => {
  const bytes = await host.files.read(path, maxKeyFileBytes);
  return bytes === null ? null : Secret.take(bytes);
};
