/** The contract as far as remote logging needs it. */
import type { AgentConfiguration } from '../configuration.ts';
import { readContractKey } from '../contract/contract-key.ts';
import { decryptContractAside } from '../contract/decrypt.ts';
import { readContract } from '../contract/source.ts';
import type { OpenedContract, SealedContract } from '../contract/types.ts';
import { verifyContract } from '../contract/verify.ts';
import type { Host } from '../ports.ts';

/**
 * The contract, opened. An image that pins its signers believes no other contract, and so no log server of one: its
 * signature is checked first. Otherwise that is left to the boot, which tells the log server what is wrong.
 * With it the contract as it arrived, which the boot must find again (same-contract.ts).
 * Throws what readContract, decryptContractAside and verifyContract throw.
 */
export const openForLogging = async (
  host: Host,
  { contract: { sources, key: keyPath, trustedSigners } }: AgentConfiguration,
  credentialsFolder: string | null,
): Promise<{ readonly sealed: SealedContract; readonly opened: OpenedContract }> => {
  const sealed = await readContract(host, sources, credentialsFolder);
  const key = await readContractKey(host, keyPath);
  try {
    const opened = await decryptContractAside(sealed, key);
    if (trustedSigners.length > 0) verifyContract(opened, { trustedSigners, at: host.clock.now() });
    return { sealed, opened };
  } finally {
    key?.wipe();
  }
};
