/** Which seeds open a volume, and how they are put together: tried with cryptsetup on the header copy H. */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { complaintOf, cryptsetupMeaning, luksOpen } from './commands.ts';
import { candidateSchemes, derivePassphrase, mixesOf, type Seeds } from './passphrase.ts';
import type { Scheme, VolumeToken } from './token.ts';

const triesLimitMs = 120_000;

export interface Opening {
  readonly seeds: Seeds;
  readonly scheme: Scheme;
  /** False when a previousSeed is among the seeds. */
  readonly isCurrent: boolean;
}

/**
 * Tries the mixes of seeds and the candidate schemes on H. A scheme that a token records is the only candidate. Throws
 * LUKS_OPEN_FAILED.
 */
export const findOpening = async (
  host: Host,
  volume: ContractVolume,
  token: VolumeToken | null,
  seed3: Secret | null,
  tested: { readonly file: string; readonly device: string; readonly type: 'luks1' | 'luks2' },
): Promise<Opening> => {
  const recorded = token?.scheme;
  const schemes = recorded === undefined ? candidateSchemes(seed3 !== null) : [recorded];
  const keyslot = token?.keyslot ?? null;
  const { file, device, type } = tested;
  const started = host.clock.monotonicMs();
  for (const { env, workload, isCurrent } of mixesOf(volume)) {
    const seeds = { env, workload, kms: seed3 };
    for (const scheme of schemes) {
      if (host.clock.monotonicMs() - started > triesLimitMs)
        throw new AgentError('LUKS_OPEN_FAILED', {
          volume: volume.key,
          detail: 'trying all derivations took too long',
        });
      const passphrase = derivePassphrase(seeds, scheme);
      const test = luksOpen({ header: file, device, name: null, keyslot, type }, passphrase);
      const result = await host.run(test).finally(() => passphrase.wipe());
      const meaning = cryptsetupMeaning(result.exit);
      if (meaning === 'done') return { seeds, scheme, isCurrent };
      if (meaning !== 'wrongPassphrase')
        throw new AgentError('LUKS_OPEN_FAILED', { volume: volume.key, detail: `cryptsetup ${complaintOf(result)}` });
    }
  }
  throw new AgentError('LUKS_OPEN_FAILED', { volume: volume.key, detail: 'the seeds do not open it' });
};
