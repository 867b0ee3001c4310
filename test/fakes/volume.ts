import type { ContractVolume } from '../../agent/contract/types.ts';
import { Secret } from '../../agent/secret.ts';

/** A volume of a contract with two seeds and nothing unusual, but for `changes`. Its seeds are throw-away. */
export const volumeWith = (changes: Partial<ContractVolume> = {}): ContractVolume => ({
  key: 'data',
  mount: '/mnt/data',
  filesystem: 'ext4',
  envSeed: Secret.fromText('throw-away env'),
  workloadSeed: Secret.fromText('throw-away workload'),
  previousEnvSeed: null,
  previousWorkloadSeed: null,
  kms: [],
  kmsTimeoutMinutes: 10,
  volumeName: null,
  volumeID: null,
  intent: 'auto',
  unsupportedSeedSource: null,
  ...changes,
});
