/**
 * What boot hands to the key daemon and its two verbs: one JSON document of mode 0600 in memory-backed storage, the only place
 * outside these processes where API keys exist as bytes. Seeds and passphrases are not part of it.
 */
import type { AgentConfiguration } from '../configuration.ts';
import type { KmsEntry } from '../contract/types.ts';
import { Secret } from '../secret.ts';
import type { ProtectedVolume } from '../volumes/stored-seed.ts';
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, list, Malformed, number, oneOf, text, texts } from './json-fields.ts';
import type { WatchConfiguration } from './state.ts';

export interface HandedVolume extends ProtectedVolume {
  /** API key of the first kms entry: the one the daemon polls. */
  readonly apiKey: Secret;
}

export interface HandOver {
  readonly version: 1;
  /** /proc/sys/kernel/random/boot_id of the boot that opened the volumes; random(4). */
  readonly bootId: string;
  /** CLOCK_MONOTONIC in milliseconds just before boot asked for the state of the root keys and was told Active. */
  readonly provenAtMs: number;
  /** At least one. */
  readonly volumes: readonly HandedVolume[];
  readonly settings: Pick<AgentConfiguration, 'kms' | 'paths' | 'power'>;
}

/** Longest document read or written. Five volumes with long tokens stay far below. */
export const handOverMaxBytes = 4 * 1024 * 1024;
export const handOverPath = (run: string): string => `${run}/keyd.json`;

/** The document as bytes with the API keys in clear; the caller wipes it after writing. */
export const renderHandOver = (handOver: HandOver): Secret => {
  const volumes = handOver.volumes.map((volume) => ({
    ...volume,
    apiKey: volume.apiKey.expose((bytes) => bytes.toString('utf8')),
  }));
  return Secret.fromText(JSON.stringify({ ...handOver, volumes }));
};

const kmsFrom = (value: unknown): AgentConfiguration['kms'] => {
  const { iam, endpoints, ca, proxy, pollSeconds, onRevoked } = fields(value);
  const seconds = number(pollSeconds);
  if (seconds <= 0) throw new Malformed('pollSeconds');
  return {
    iam: text(iam),
    endpoints: Object.fromEntries(Object.entries(fields(endpoints)).map(([instance, url]) => [instance, text(url)])),
    ca: texts(ca),
    proxy: proxy === null ? null : text(proxy),
    pollSeconds: seconds,
    onRevoked: oneOf(onRevoked, ['grace', 'immediate']),
  };
};

const volumeFrom = (value: unknown): HandedVolume => {
  const volume = fields(value);
  const kmsTimeoutMinutes = number(volume.kmsTimeoutMinutes);
  if (kmsTimeoutMinutes < 0 || kmsTimeoutMinutes > 1000) throw new Malformed('kmsTimeoutMinutes');
  return {
    key: text(volume.key),
    mount: text(volume.mount),
    device: text(volume.device),
    metadataDevice: volume.metadataDevice === null ? null : text(volume.metadataDevice),
    mapping: text(volume.mapping),
    luksUuid: text(volume.luksUuid),
    wrapped: text(volume.wrapped),
    keyVersion: text(volume.keyVersion),
    kmsTimeoutMinutes,
    crn: text(volume.crn),
    type: oneOf(volume.type, ['public', 'private']),
    apiKey: Secret.fromText(text(volume.apiKey)),
  };
};

const settingsFrom = (value: unknown): HandOver['settings'] => {
  const { kms, paths, power } = fields(value);
  const { state, run } = fields(paths);
  return {
    kms: kmsFrom(kms),
    paths: { state: text(state), run: text(run) },
    power: oneOf(power, ['systemd', 'report']),
  };
};

/** Reads a document of `renderHandOver`. A string says what is wrong with it; it never contains a value. */
export const parseHandOver = (bytes: Buffer): HandOver | string => {
  const parsed = parseStrictJson(bytes.toString('utf8'));
  if (parsed === null) return 'it is not JSON';
  try {
    const { version, bootId, provenAtMs, volumes, settings } = fields(parsed.value);
    if (version !== 1) return 'its version is not 1';
    const handed = list(volumes).map(volumeFrom);
    if (handed.length === 0) return 'it names no volume';
    if (new Set(handed.map(({ key }) => key)).size !== handed.length) return 'it names a volume twice';
    return {
      version,
      bootId: text(bootId),
      provenAtMs: number(provenAtMs),
      volumes: handed,
      settings: settingsFrom(settings),
    };
  } catch (error) {
    if (error instanceof Malformed) return `a field is missing or wrong: ${error.message}`;
    throw error;
  }
};

/** One poll: a distinct (crn, type, API key), and the volumes that depend on it. */
export interface PolledKey {
  /** `key-1`, `key-2`, … in the order of the hand-over, so that it is the same after a restart of the daemon. */
  readonly id: string;
  readonly entry: KmsEntry;
  readonly volumes: readonly HandedVolume[];
}

const isSameEntry = (a: KmsEntry, b: KmsEntry): boolean =>
  a.crn === b.crn && a.type === b.type && a.apiKey.equals(b.apiKey);

export const polledKeys = (volumes: readonly HandedVolume[]): readonly PolledKey[] =>
  volumes
    .filter((volume, at) => volumes.findIndex((other) => isSameEntry(other, volume)) === at)
    .map(({ crn, type, apiKey }, at) => ({
      id: `key-${at + 1}`,
      entry: { crn, type, apiKey },
      volumes: volumes.filter((volume) => isSameEntry(volume, { crn, type, apiKey })),
    }));

const minuteMs = 60_000;

/** The machine's half: no secrets, JSON throughout. */
export const watchConfigurationOf = (handOver: HandOver): WatchConfiguration => ({
  bootId: handOver.bootId,
  pollMs: handOver.settings.kms.pollSeconds * 1000,
  onRevoked: handOver.settings.kms.onRevoked,
  provenAtMs: handOver.provenAtMs,
  volumes: polledKeys(handOver.volumes).flatMap(({ id, volumes }) =>
    volumes.map(({ key, kmsTimeoutMinutes, wrapped, keyVersion }) => ({
      volume: key,
      key: id,
      kmsTimeoutMs: kmsTimeoutMinutes * minuteMs,
      wrapped,
      keyVersion,
    })),
  ),
});
