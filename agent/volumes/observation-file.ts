/**
 * Surveys as a document that people send each other: the same file gives the same plans anywhere, without disk, seeds,
 * contract or key service. Version 1. It holds no seed, no wrapped seed, no key and no content of a disk; serial
 * numbers, GUIDs, mount points and sizes are in it.
 */
import { cipherName, legacyCipherName } from './ciphers.ts';
import { array, count, exact, flag, matching, one, orNull, type Reader, read, text, type Wrong } from './exact-json.ts';
import { partitionings, seedFacts, targetFacts } from './observation.ts';
import type { Survey } from './survey.ts';

export const observationMaxBytes = 4 * 1024 * 1024;
const kind = 'triseed volume observation';

const volumeKey = matching(/^[a-z_][a-z0-9_-]{0,127}$/, 'a volume key');
const guid = matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'a GUID in lower case');
const sectorBytes = one(512, 4096);
const partition = exact({ path: text, guid, startBytes: count, sizeBytes: count });

const volume = exact({
  key: volumeKey,
  mount: text,
  filesystem: one('ext4', 'xfs', 'btrfs'),
  intent: one('auto', 'open', 'create'),
  unsupportedSeedSource: orNull(one('uv-secret-id', 'grep11')),
  kmsEntries: one(0, 1, 2, 3, 4, 5),
  rolls: flag,
});

const segment = exact({
  offsetBytes: count,
  sectorBytes,
  cipher: one(cipherName, legacyCipherName),
  keyBytes: one(16, 32, 64),
});

const gated = exact({
  uuid: guid,
  sequence: matching(/^\d{1,20}$/, 'a decimal number'),
  profile: one('triseed', 'compat-hpcr', 'cbc-essiv'),
  keyslots: array(exact({ id: text, kdf: one('pbkdf2', 'argon2i', 'argon2id'), ours: flag })),
  segment,
  token: orNull(exact({ volume: volumeKey, scheme: text, keyVersion: orNull(text) })),
});

const observation = exact({
  volume: volumeKey,
  disk: exact({
    path: text,
    sizeBytes: count,
    serial: orNull(text),
    readOnly: flag,
    sectorBytes,
    inUseBy: array(text),
  }),
  partitioning: one(...partitionings),
  partitions: orNull(exact({ diskGuid: guid, metadata: partition, data: partition })),
  growsTo: orNull(count),
  resume: orNull(exact({ diskGuid: orNull(guid), metadataGuid: guid, dataGuid: guid })),
  target: exact({ fact: one(...targetFacts), path: text, sizeBytes: count, detail: text }),
  header: orNull(exact({ gated, primaryIsCurrent: flag, secondaryIsCurrent: flag })),
  luks1: orNull(exact({ uuid: guid, keyslots: array(text), segment })),
  metadata: orNull(one('blank', 'ours', 'scrap', 'foreign')),
  seed: exact({ fact: one(...seedFacts), mirrorIsCurrent: flag, wrappedSeeds: count }),
});

const finding: Reader<Survey['finding']> = (value, at) => {
  const given = value !== null && typeof value === 'object' && 'kind' in value ? value.kind : undefined;
  const kindOf = one('proven', 'notAsked', 'failed')(given, `${at}.kind`);
  switch (kindOf) {
    case 'proven':
      return exact({ kind: one(kindOf), seedWasRewrapped: flag, opensWithPrevious: flag })(value, at);
    case 'notAsked':
      return exact({ kind: one(kindOf) })(value, at);
    case 'failed':
      return exact({ kind: one(kindOf), id: matching(/^(HPL|TSD)\d{5}E$/, 'a message id'), text })(value, at);
  }
};

const document = exact({
  kind: one(kind),
  version: one(1),
  volumes: array(
    exact({
      volume,
      observation,
      finding,
      identities: exact({ diskGuid: guid, metadataGuid: guid, dataGuid: guid, luksUuid: guid }),
      isOpen: flag,
    }),
  ),
});

export const renderObservations = (surveys: readonly Survey[]): string =>
  `${JSON.stringify({ kind, version: 1, volumes: surveys }, null, 2)}\n`;

/** The combinations that inspection never makes: they would make a plan of nothing. */
const contradiction = ({ observation: seen, volume: asked }: Survey): string | null => {
  const two = seen.partitioning === 'two';
  if (seen.volume !== asked.key) return 'the observation is of another volume';
  if (two !== (seen.partitions !== null) || two !== (seen.metadata !== null))
    return 'partitions do not fit partitioning';
  if ((seen.partitioning === 'halfWritten') !== (seen.resume !== null)) return 'resume does not fit partitioning';
  if ((seen.target.fact === 'luks') !== (seen.header !== null)) return 'the header does not fit the target';
  if ((seen.target.fact === 'luks1') !== (seen.luks1 !== null)) return 'the LUKS1 header does not fit the target';
  return null;
};

/** Reads a document of `renderObservations`, strictly; a wrong one says where, not what. */
export const parseObservations = (bytes: string): readonly Survey[] | Wrong => {
  const parsed = read(document, bytes);
  if ('wrong' in parsed) return parsed;
  const wrong = parsed.volumes.map(contradiction).find((reason) => reason !== null);
  return wrong === undefined || wrong === null ? parsed.volumes : { wrong };
};
