/** Where the contract comes from: the first configured place that has one. */
import type { ContractSourceSetting } from '../configuration.ts';
import { AgentError, hasCode } from '../errors.ts';
import type { Host } from '../ports.ts';
import { maximumContractBytes } from './delivered.ts';
import { findNoCloud } from './nocloud.ts';
import type { SealedContract } from './types.ts';

const readFile = async (host: Host, path: string, source: string): Promise<SealedContract | null> => {
  try {
    const bytes = await host.files.read(path, maximumContractBytes);
    return bytes === null ? null : { kind: 'sealed', bytes, source, localHostname: null };
  } catch (error) {
    if (!hasCode(error, 'FILE_TOO_LARGE')) throw error;
    throw new AgentError('CONTRACT_TOO_LARGE', { source, limitBytes: maximumContractBytes }, { cause: error });
  }
};

const readFrom = async (
  host: Host,
  setting: ContractSourceSetting,
  credentialsFolder: string | null,
): Promise<SealedContract | null> => {
  if ('nocloud' in setting) {
    const found = await findNoCloud(host, setting.nocloud, maximumContractBytes);
    if (found === null) return null;
    const { device, userData, localHostname, metaData, vendorData } = found;
    const source = `user-data on ${device}`;
    return { kind: 'sealed', bytes: userData, source, localHostname, cidata: { metaData, vendorData } };
  }
  if ('credential' in setting) {
    if (credentialsFolder === null) return null;
    return readFile(host, `${credentialsFolder}/${setting.credential}`, `credential ${setting.credential}`);
  }
  return readFile(host, setting.file, setting.file);
};

const describe = (setting: ContractSourceSetting, credentialsFolder: string | null): string => {
  if ('nocloud' in setting) return `a disk labelled ${setting.nocloud}`;
  if ('file' in setting) return setting.file;
  return `credential ${setting.credential}${credentialsFolder === null ? ' (the unit passes none)' : ''}`;
};

/**
 * The contract from the first of `sources` that exists; one that exists but cannot be read is an error, never a
 * reason to look further. `credentialsFolder` is what systemd passes as $CREDENTIALS_DIRECTORY, or null.
 * Throws CONTRACT_NOT_EXISTS (HPL05002E) naming every place, CONTRACT_TOO_LARGE, CONTRACT_DISK_AMBIGUOUS,
 * CONTRACT_DISK_UNUSABLE, FILE_UNREADABLE.
 */
export const readContract = async (
  host: Host,
  sources: readonly ContractSourceSetting[],
  credentialsFolder: string | null,
): Promise<SealedContract> => {
  for (const setting of sources) {
    const sealed = await readFrom(host, setting, credentialsFolder);
    if (sealed !== null) return sealed;
  }
  throw new AgentError('CONTRACT_NOT_EXISTS', {
    sources: sources.map((setting) => describe(setting, credentialsFolder)),
  });
};
