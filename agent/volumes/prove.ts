/**
 * Read-only answers to "could this plan work": which seeds there are, whether the key management service lets us use
 * the third, and which passphrase opens which keyslot of the header copy. Nothing is written to any disk.
 */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError, hasCode } from '../errors.ts';
import type { ObtainedSeed } from '../kms/obtain-seed.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { complaintOf, cryptsetupMeaning, luksOpen } from './commands.ts';
import type { GatedHeader } from './gate.ts';
import type { HeaderOnDevice } from './header-commit.ts';
import { headerPath, onDevice, writeHeaderFile } from './header-file.ts';
import { guidsOf, type Observation } from './observation.ts';
import { candidateSchemes, derivePassphrase, type Seeds } from './passphrase.ts';
import { type Binding, macMatches, type Scheme } from './token.ts';

/** How the boot asks the key management service: unwraps `stored`, or makes a new seed when it is null. */
export type ObtainSeed = (stored: string | null) => Promise<ObtainedSeed>;

export interface Proof {
  readonly passphrase: Secret;
  readonly scheme: Scheme;
  /** The keyslot that the passphrase opened; null when the volume is yet to be made. */
  readonly keyslot: string | null;
  readonly obtained: ObtainedSeed | null;
  /** The header that was tested, as the device holds it; null when the volume is yet to be made. */
  readonly present: HeaderOnDevice | null;
  wipe(): void;
}

/** What the token of a volume is bound to when `header` lies on these partitions. */
export const bindingOf = (header: GatedHeader, on: Pick<Binding, 'volume' | 'partitions'>, scheme: Scheme): Binding => {
  const { keyslots, digests, segments } = header.copy.json;
  return {
    luksUuid: header.copy.uuid,
    volume: on.volume,
    scheme,
    partitions: on.partitions,
    keyslots: keyslots ?? null,
    digests: digests ?? null,
    segments: segments ?? null,
  };
};

const proofOf = (seeds: Seeds, known: Pick<Proof, 'scheme' | 'keyslot' | 'obtained' | 'present'>): Proof => {
  const passphrase = derivePassphrase(seeds, known.scheme);
  const { obtained } = known;
  return {
    ...known,
    passphrase,
    wipe: () => {
      passphrase.wipe();
      obtained?.seed3.wipe();
    },
  };
};

/** For a volume that is about to be made: a new seed3 when the scenario has one. */
export const proveNew = async (volume: ContractVolume, seedCount: 2 | 3, obtain: ObtainSeed): Promise<Proof> => {
  const obtained = seedCount === 3 ? await obtain(null) : null;
  const seeds = { env: volume.envSeed, workload: volume.workloadSeed, kms: obtained?.seed3 ?? null };
  const scheme = seedCount === 3 ? 'interim' : 'two-seed';
  return proofOf(seeds, { scheme, keyslot: null, obtained, present: null });
};

/** Unwraps the first stored seed that this root key made: our token's, then the keyfile's. */
const obtainStored = async (stored: readonly string[], obtain: ObtainSeed): Promise<ObtainedSeed> => {
  for (const [at, wrapped] of stored.entries()) {
    try {
      return await obtain(wrapped);
    } catch (error) {
      if (at === stored.length - 1 || !hasCode(error, 'KMS_UNWRAP_FAILED')) throw error;
    }
  }
  throw new TypeError('a scenario with a stored seed came without one');
};

const triesLimitMs = 120_000;

/** Tries the candidate schemes on H. A recorded scheme is the only candidate. */
const findScheme = async (
  host: Host,
  volume: string,
  header: GatedHeader,
  seeds: Seeds,
  tested: { readonly file: string; readonly device: string },
): Promise<Scheme> => {
  const recorded = header.token?.scheme;
  const candidates = recorded === undefined ? candidateSchemes(seeds.kms !== null) : [recorded];
  const started = host.clock.monotonicMs();
  for (const scheme of candidates) {
    if (host.clock.monotonicMs() - started > triesLimitMs)
      throw new AgentError('LUKS_OPEN_FAILED', { volume, detail: 'trying all derivations took too long' });
    const passphrase = derivePassphrase(seeds, scheme);
    const keyslot = header.token?.keyslot ?? null;
    const test = luksOpen({ header: tested.file, device: tested.device, name: null, keyslot }, passphrase);
    const result = await host.run(test);
    passphrase.wipe();
    const meaning = cryptsetupMeaning(result.exit);
    if (meaning === 'done') return scheme;
    if (meaning !== 'wrongPassphrase')
      throw new AgentError('LUKS_OPEN_FAILED', { volume, detail: `cryptsetup ${complaintOf(result)}` });
  }
  throw new AgentError('LUKS_OPEN_FAILED', { volume, detail: 'the seeds do not open it' });
};

/**
 * For a volume that exists: the seeds must open a keyslot of the header copy, and the token's binding must hold.
 * Leaves H at headerPath(run, volume) for the plan to use. Throws LUKS_OPEN_FAILED, VOLUME_WRONG_IDENTITY,
 * VOLUME_BINDING_BROKEN and what `obtain` throws.
 */
export const proveOpening = async (
  host: Host,
  volume: ContractVolume,
  seedCount: 2 | 3,
  observation: Observation,
  run: string,
  obtain: ObtainSeed,
): Promise<Proof> => {
  const found = observation.header;
  if (found === null) throw new TypeError('a scenario that opens came without a gated header');
  const header = found.gated;
  const { token } = header;
  if (token !== null && token.volume !== volume.key)
    throw new AgentError('VOLUME_WRONG_IDENTITY', { volume: volume.key, detail: `its record names ${token.volume}` });
  const obtained = seedCount === 3 ? await obtainStored(observation.seed.wrapped, obtain) : null;
  const seeds: Seeds = { env: volume.envSeed, workload: volume.workloadSeed, kms: obtained?.seed3 ?? null };
  try {
    const slot = header.keyslots[0];
    // A keyslot with our own derivation for random seeds was made by us, and we never leave one without its token.
    const stripped = token === null && seedCount === 3 && slot?.ours === true && slot.kdf === 'pbkdf2';
    if (stripped) throw new AgentError('VOLUME_BINDING_BROKEN', { volume: volume.key });
    if (token?.stored && obtained !== null) {
      const on = { volume: volume.key, partitions: guidsOf(observation) };
      const binding = bindingOf(header, on, token.scheme);
      if (!macMatches(obtained.seed3, binding, token.stored.mac))
        throw new AgentError('VOLUME_BINDING_BROKEN', { volume: volume.key });
    }
    const file = headerPath(run, volume.key);
    const device = await host.disks.open(observation.target.path, 'read');
    let present: HeaderOnDevice;
    try {
      present = await onDevice(device.read, found);
    } finally {
      await device.close();
    }
    await writeHeaderFile(host, file, header.segment.offsetBytes, present.image);
    const scheme = await findScheme(host, volume.key, header, seeds, { file, device: observation.target.path });
    return proofOf(seeds, { scheme, keyslot: token?.keyslot ?? null, obtained, present });
  } catch (error) {
    obtained?.seed3.wipe();
    throw error;
  }
};
