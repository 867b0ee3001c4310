/**
 * What a valid contract may still do to its author: weak and repeated seeds, two volumes on one disk, outages that
 * a guest does not survive. Only for authors: the guest judges what it needs for opening volumes (rules.ts), and its
 * log must not tell which seed is weak.
 */
import { finding, type ParsedGround, quoted } from './finding.ts';
import { seedWeakness } from './seed-strength.ts';
import { isMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';
import { mappingAt, volumesOf } from './volume-rules.ts';

const freshSeed = 'openssl rand -hex 24 makes one';

interface PlacedSeed {
  readonly ground: ParsedGround;
  readonly key: string;
  readonly seed: string;
}

const textAt = (value: YamlValue | undefined, name: string): string | null => {
  const text = mappingAt(value)[name];
  return typeof text === 'string' && text !== '' ? text : null;
};

/** Asterisks are what a guest leaves where a seed was. */
const isBlanked = (seed: string): boolean => /^\*+$/.test(seed);

const seedsOf = (ground: ParsedGround): readonly PlacedSeed[] =>
  Object.entries(volumesOf(ground)).flatMap(([key, volume]) => {
    const seed = textAt(volume, 'seed');
    return seed === null || isBlanked(seed) || /^REPLACE[_+]/.test(seed) ? [] : [{ ground, key, seed }];
  });

const seedPath = (key: string): YamlPath => ['volumes', key, 'seed'];

const weakSeeds = (seeds: readonly PlacedSeed[]): readonly Finding[] =>
  seeds.flatMap(({ ground, key, seed }) => {
    const reason = seedWeakness(seed);
    if (reason === null) return [];
    const message = `the seed is easy to guess: ${reason}`;
    return [finding('SEED_WEAK', ground, seedPath(key), { message, hint: `use a random seed; ${freshSeed}` })];
  });

const repeatedSeeds = (seeds: readonly PlacedSeed[]): readonly Finding[] =>
  seeds.flatMap(({ ground, key, seed }, index) => {
    const first = seeds.slice(0, index).find((other) => other.seed === seed);
    if (first === undefined) return [];
    const where = `${first.ground.section}.volumes.${first.key}`;
    const consequence =
      first.key === key
        ? 'who knows one section knows both halves of the passphrase'
        : 'who learns one volume learns half of the other';
    const message = `the same seed as ${quoted(where)}: ${consequence}`;
    const hint = `give every volume and every section a seed of its own; ${freshSeed}`;
    return [finding('SEED_REPEATED', ground, seedPath(key), { message, hint })];
  });

const previousSeeds = (ground: ParsedGround): readonly Finding[] =>
  Object.entries(volumesOf(ground)).flatMap(([key, volume]) => {
    const previous = textAt(volume, 'previousSeed');
    if (previous === null) return [];
    const path = ['volumes', key, 'previousSeed'];
    if (previous === textAt(volume, 'seed')) {
      const message = 'previousSeed equals seed: nothing is rolled';
      return [finding('PREVIOUS_SEED_IDLE', ground, path, { message, hint: 'put a new seed into seed, or remove it' })];
    }
    if (mappingAt(ground.document.value, 'triseed', 'volumes', key).intent !== 'create') return [];
    const message = 'a volume that is to be created has no previous seed';
    return [
      finding('PREVIOUS_SEED_IDLE', ground, path, { message, hint: 'remove previousSeed, or the intent create' }),
    ];
  });

/** Minutes. Rolling upgrades and failovers of a key service take about this long; the documented default is 10. */
const shortTimeout = 5;
const documentedTimeout = 10;

const hasKms = (volume: YamlValue | undefined): boolean => Array.isArray(mappingAt(volume).kms);

const timeoutOf = (volume: YamlValue | undefined): number => {
  const { kmsTimeout = documentedTimeout } = mappingAt(volume);
  return typeof kmsTimeout === 'number' ? kmsTimeout : documentedTimeout;
};

const timeouts = (env: ParsedGround): readonly Finding[] => {
  const volumes = Object.entries(volumesOf(env)).filter(([, volume]) => hasKms(volume));
  const shortest = Math.min(...volumes.map(([, volume]) => timeoutOf(volume)));
  return volumes.flatMap(([key, volume]) => {
    const minutes = timeoutOf(volume);
    const path = ['volumes', key, 'kmsTimeout'];
    if (minutes < shortTimeout) {
      const message =
        minutes === 0
          ? 'a moment without the key service restarts the guest, and its next boot gives up after one try'
          : `${minutes} minutes without the key service restart the guest, ${minutes} more shut it down`;
      const hint = `kmsTimeout: ${documentedTimeout} is the documented default; a revoked key goes on working for as long`;
      return [finding('KMS_TIMEOUT_SHORT', env, path, { message, hint })];
    }
    if (minutes === shortest) return [];
    const message = `another volume waits ${shortest} minutes only: the first that gives up restarts the whole guest`;
    return [finding('KMS_TIMEOUTS_DIFFER', env, path, { message, hint: 'give all volumes the same kmsTimeout' })];
  });
};

const repeatedKeys = (env: ParsedGround): readonly Finding[] =>
  Object.entries(volumesOf(env)).flatMap(([key, volume]) => {
    const { kms } = mappingAt(volume);
    const entries = Array.isArray(kms) ? (kms as readonly YamlValue[]) : [];
    return entries.flatMap((entry, index) => {
      const { crn } = mappingAt(entry);
      if (typeof crn !== 'string' || !entries.slice(0, index).some((other) => mappingAt(other).crn === crn)) return [];
      const message = 'an entry above names the same root key';
      const hint = 'keep the first; further entries are older keys that a volume is moved away from';
      return [finding('KMS_KEY_REPEATED', env, ['volumes', key, 'kms', index, 'crn'], { message, hint })];
    });
  });

/** virtio-blk passes 20 bytes of a serial number (VIRTIO 1.2 §5.2.6, VIRTIO_BLK_T_GET_ID). */
const serialLength = 20;

const disks = (env: ParsedGround): readonly Finding[] => {
  const volumes = Object.entries(volumesOf(env)).map(([key, volume]) => {
    const name = ['volumeID', 'volumeName'].find((candidate) => textAt(volume, candidate) !== null) ?? null;
    return { key, name, identity: name === null ? key : (textAt(volume, name) ?? key) };
  });
  return volumes.flatMap(({ key, name, identity }, index) => {
    const path = name === null ? ['volumes', key] : ['volumes', key, name];
    const at = name === null ? 'key' : 'value';
    const before = volumes.slice(0, index);
    const same = before.find((other) => other.identity === identity);
    if (same !== undefined) {
      const message = `this names the same disk as volume ${quoted(same.key)}`;
      return [
        finding('VOLUME_DISK_REPEATED', env, path, { message, hint: 'every volume needs a disk of its own' }, at),
      ];
    }
    const alike = before.find((other) => other.identity.slice(0, serialLength) === identity.slice(0, serialLength));
    if (alike === undefined) return [];
    const message = `disks are told apart by ${serialLength} characters, in which this is the same as volume ${quoted(alike.key)}`;
    return [finding('VOLUME_DISK_UNCLEAR', env, path, { message, hint: 'choose names that differ earlier' }, at)];
  });
};

/** Remarks for the author about sections that could be opened. */
export const authorFindings = (sections: {
  readonly env: ParsedGround | null;
  readonly workload: ParsedGround | null;
}): readonly Finding[] => {
  const grounds = [sections.workload, sections.env].filter(
    (ground) => ground !== null && isMapping(ground.document.value),
  );
  const readable = grounds.filter((ground) => ground !== null);
  const seeds = readable.flatMap(seedsOf);
  const { env } = sections;
  return [
    ...weakSeeds(seeds),
    ...repeatedSeeds(seeds),
    ...readable.flatMap(previousSeeds),
    ...(env === null ? [] : [...timeouts(env), ...repeatedKeys(env), ...disks(env)]),
  ];
};
