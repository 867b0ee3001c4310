/** Volumes of a contract whose sections have passed every rule: env and workload halves matched by key. */
import type { Env, EnvVolume, Workload } from '../../contract-schema/generated/types.ts';
import { Secret } from '../secret.ts';
import type { ParsedGround } from './finding.ts';
import { intentOf } from './knobs.ts';
import type { ContractVolume, KmsEntry } from './types.ts';
import { defaultMount } from './volume-rules.ts';

/** Minutes (IBM Cloud docs, "About the contract", kmsTimeout). */
const defaultKmsTimeout = 10;

const secretOrNull = (text: string | undefined): Secret | null => (text === undefined ? null : Secret.fromText(text));

const kmsEntries = ({ kms = [] }: EnvVolume): readonly KmsEntry[] =>
  kms.map(({ crn, type = 'public', apiKey }) => ({ crn, type, apiKey: Secret.fromText(apiKey) }));

const unsupportedSource = (half: EnvVolume): ContractVolume['unsupportedSeedSource'] => {
  if ('uv-secret-id' in half) return 'uv-secret-id';
  return 'grep11' in half ? 'grep11' : null;
};

/** In the order of the env section. */
export const buildVolumes = (
  envGround: ParsedGround,
  workloadGround: ParsedGround,
  env: Env,
  workload: Workload,
): readonly ContractVolume[] =>
  Object.entries(env.volumes ?? {}).map(([key, half]) => {
    const other = workload.volumes?.[key];
    if (other === undefined) throw new TypeError('a volume without its other half passed the rules');
    return {
      key,
      mount: other.mount ?? defaultMount,
      filesystem: other.filesystem ?? 'ext4',
      // Empty only beside unsupportedSeedSource, which is refused before any use.
      envSeed: Secret.fromText(half.seed ?? ''),
      workloadSeed: Secret.fromText(other.seed),
      previousEnvSeed: secretOrNull(half.previousSeed),
      previousWorkloadSeed: secretOrNull(other.previousSeed),
      kms: kmsEntries(half),
      kmsTimeoutMinutes: half.kmsTimeout ?? defaultKmsTimeout,
      volumeName: half.volumeName ?? null,
      volumeID: half.volumeID ?? null,
      intent: intentOf(envGround, workloadGround, key),
      unsupportedSeedSource: unsupportedSource(half),
    };
  });
