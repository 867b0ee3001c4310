/**
 * Read-only answers to "could this plan work": which seeds there are, whether the key management service lets us use
 * the third, and which passphrase opens which keyslot of the header copy. Nothing is written to any disk.
 */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError, hasCode } from '../errors.ts';
import type { ObtainedSeed } from '../kms/obtain-seed.ts';
import type { Host } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { dropHeader } from './close-volume.ts';
import { findOpening } from './find-opening.ts';
import type { GatedHeader } from './gate.ts';
import type { HeaderOnDevice } from './header-commit.ts';
import { newHeaderPath, onDevice, writeHeaderFile } from './header-file.ts';
import { proveLuks1 } from './luks1-prove.ts';
import { guidsOf, type Observation } from './observation.ts';
import { oneLook } from './one-look.ts';
import { derivePassphrase, type Seeds } from './passphrase.ts';
import type { Outcome } from './scenarios.ts';
import { type Binding, macMatches, type Scheme } from './token.ts';

/**
 * How the boot asks the key management service: unwraps `stored`, or makes a new seed when it is null. With an alternative no time is
 * spent on waiting for an entry that may unwrap it later.
 */
export type ObtainSeed = (stored: string | null, hasAlternative?: boolean) => Promise<ObtainedSeed>;

export interface Proof {
  /** Where H lies: the header that was tested, or is yet to be made. This proof's own. */
  readonly headerFile: string;
  /** Opens the volume as it is; for a volume that is yet to be made, will open it. */
  readonly passphrase: Secret;
  readonly scheme: Scheme;
  /** What shall open the volume from now on, when that is not the passphrase above. */
  readonly renewal: { readonly passphrase: Secret; readonly scheme: Scheme } | null;
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

const proofOf = (known: Omit<Proof, 'wipe'>): Proof => ({
  ...known,
  wipe: () => {
    known.passphrase.wipe();
    known.renewal?.passphrase.wipe();
    known.obtained?.seed3.wipe();
  },
});

/** How we derive passphrases ourselves. */
const ourScheme = (seeds: Seeds): Scheme => (seeds.kms === null ? 'two-seed' : 'interim');

const obtainFor = async (
  { seeds, storedSeed }: Extract<Outcome, { kind: 'formats' }>,
  { seed }: Observation,
  obtain: ObtainSeed,
): Promise<ObtainedSeed | null> => {
  if (seeds === 2) return null;
  return storedSeed ? obtainStored(seed.wrapped, obtain) : obtain(null);
};

/** For a volume that is about to be made: a new seed3, or the stored one, when the scenario has one. */
export const proveNew = async (
  volume: ContractVolume,
  outcome: Extract<Outcome, { kind: 'formats' }>,
  observation: Observation,
  headerFile: string,
  obtain: ObtainSeed,
): Promise<Proof> => {
  const obtained = await obtainFor(outcome, observation, obtain);
  const seeds = { env: volume.envSeed, workload: volume.workloadSeed, kms: obtained?.seed3 ?? null };
  const scheme = ourScheme(seeds);
  const passphrase = derivePassphrase(seeds, scheme);
  return proofOf({ headerFile, passphrase, scheme, renewal: null, keyslot: null, obtained, present: null });
};

/**
 * Unwraps the first stored seed that this root key made and that `fits`: our token's, then the keyfile's. Without one that fits, one that
 * does not is handed out, for the caller to refuse. Each is asked for once before one that may still be unwrapped later is waited for.
 */
const obtainStored = async (
  stored: readonly string[],
  obtain: ObtainSeed,
  fits: (seed3: Secret) => boolean = () => true,
): Promise<ObtainedSeed> => {
  const first = stored.slice(0, -1);
  const tries = [
    ...first.map((wrapped) => ({ wrapped, hasAlternative: true })),
    ...[...stored.slice(-1), ...first].map((wrapped) => ({ wrapped, hasAlternative: false })),
  ];
  let other: ObtainedSeed | null = null;
  for (const [at, { wrapped, hasAlternative }] of tries.entries()) {
    try {
      const obtained = await obtain(wrapped, hasAlternative);
      other?.seed3.wipe();
      if (fits(obtained.seed3)) return obtained;
      other = obtained;
    } catch (error) {
      if (!hasCode(error, 'KMS_UNWRAP_FAILED')) {
        other?.seed3.wipe();
        throw error;
      }
      if (other === null && at === tries.length - 1) throw error;
    }
  }
  if (other !== null) return other;
  throw new TypeError('a scenario with a stored seed came without one');
};

/** Whether the MAC of the token, when there is one, was made with this seed. */
const fitsToken = (
  volume: ContractVolume,
  header: GatedHeader,
  seed3: Secret,
  partitions: Binding['partitions'],
): boolean => {
  const { token } = header;
  if (!token?.stored) return true;
  return macMatches(seed3, bindingOf(header, { volume: volume.key, partitions }, token.scheme), token.stored.mac);
};

/** Throws what a token, or its absence, says against opening the volume with these seeds. */
const insistBound = (
  volume: ContractVolume,
  header: GatedHeader,
  seed3: Secret | null,
  partitions: Binding['partitions'],
): void => {
  const { token } = header;
  if (token !== null && token.volume !== volume.key)
    throw new AgentError('VOLUME_WRONG_IDENTITY', { volume: volume.key, detail: `its record names ${token.volume}` });
  if (seed3 === null) return;
  // A keyslot with our own derivation for random seeds was made by us, and we never leave one without its token.
  if (token === null && header.keyslots.some(({ ours, kdf }) => ours && kdf === 'pbkdf2'))
    throw new AgentError('VOLUME_BINDING_BROKEN', { volume: volume.key });
  if (!fitsToken(volume, header, seed3, partitions))
    throw new AgentError('VOLUME_BINDING_BROKEN', { volume: volume.key });
};

/** The header as it is on the device, also left at `headerFile` for cryptsetup. */
const copyHeader = async (
  host: Host,
  headerFile: string,
  { target, header: found }: Observation,
): Promise<HeaderOnDevice> => {
  if (found === null) throw new TypeError('a scenario that opens came without a gated header');
  return oneLook(host, target.path, async (device) => {
    const present = await onDevice(device.read, found);
    await writeHeaderFile(host, headerFile, found.gated.segment.offsetBytes, present.image);
    return present;
  });
};

/**
 * For a volume that exists: the seeds, or a mix with a previousSeed, must open a keyslot of the header copy, and the
 * token's binding must hold. A third seed that joins two is only asked for when the two open the volume. Leaves H
 * in a file of its own below `run` for the plan to use, unless it throws: LUKS_OPEN_FAILED, VOLUME_WRONG_IDENTITY,
 * VOLUME_BINDING_BROKEN, for LUKS1 VOLUME_LUKS1_UNCHANGED, and what `obtain` throws.
 */
export const proveOpening = async (
  host: Host,
  volume: ContractVolume,
  outcome: Extract<Outcome, { kind: 'opens' }>,
  observation: Observation,
  run: string,
  obtain: ObtainSeed,
): Promise<Proof> => {
  const headerFile = newHeaderPath(host, run, volume.key);
  if (observation.luks1 !== null) return proveLuks1(host, volume, observation.luks1, observation, headerFile);
  const header = observation.header?.gated;
  if (header === undefined) throw new TypeError('a scenario that opens came without a gated header');
  const stored = outcome.seeds === 3 && !outcome.rekeys;
  insistBound(volume, header, null, null);
  const fits = (seed3: Secret): boolean => fitsToken(volume, header, seed3, guidsOf(observation));
  let asked: string | null = null;
  const noted: ObtainSeed = (wrapped, hasAlternative) => {
    asked = wrapped;
    return obtain(wrapped, hasAlternative);
  };
  let obtained = stored ? await obtainStored(observation.seed.wrapped, noted, fits) : null;
  try {
    insistBound(volume, header, obtained?.seed3 ?? null, guidsOf(observation));
    if (header.token?.stored && asked !== null && asked !== header.token.stored.wrapped)
      host.journal.message('STORED_SEED_FROM_KEYFILE', { volume: volume.key });
    const present = await copyHeader(host, headerFile, observation);
    const tested = { file: headerFile, device: observation.target.path, type: 'luks2' } as const;
    const { seeds, scheme, isCurrent } = await findOpening(host, volume, header.token, obtained?.seed3 ?? null, tested);
    obtained ??= outcome.rekeys ? await obtain(null) : null;
    const passphrase = derivePassphrase(seeds, scheme);
    const wanted = { env: volume.envSeed, workload: volume.workloadSeed, kms: obtained?.seed3 ?? null };
    const renewal =
      isCurrent && !outcome.rekeys
        ? null
        : { passphrase: derivePassphrase(wanted, ourScheme(wanted)), scheme: ourScheme(wanted) };
    return proofOf({
      headerFile,
      passphrase,
      scheme,
      renewal,
      keyslot: header.token?.keyslot ?? null,
      obtained,
      present,
    });
  } catch (error) {
    obtained?.seed3.wipe();
    await dropHeader(host, headerFile);
    throw error;
  }
};
