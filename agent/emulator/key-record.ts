/** A key as the store keeps it, its state at a time, and how the API shows it. Pure. */
import type { Refusal } from './refusals.ts';

export interface KeyVersion {
  readonly id: string;
  readonly createdMs: number;
}

export interface KeyRecord {
  readonly instance: string;
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly aliases: readonly string[];
  /** True for a standard key, whose payload can be read; false for a root key. */
  readonly extractable: boolean;
  readonly imported: boolean;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly expiresMs: number | null;
  /** Since when the key is suspended, or null. */
  readonly disabledMs: number | null;
  readonly updatedMs: number;
  readonly rotatedMs: number | null;
  readonly deletedMs: number | null;
  readonly deletedBy: string | null;
  /** Oldest first; the last one is current. */
  readonly versions: readonly [KeyVersion, ...KeyVersion[]];
}

/** Key Protect, "Key states": 1 active, 2 suspended, 3 deactivated, 5 destroyed. */
export type StateNumber = 1 | 2 | 3 | 5;

const DAY_MS = 86_400_000;

export const stateAt = (key: KeyRecord, nowMs: number): StateNumber => {
  if (key.deletedMs !== null) return 5;
  if (key.expiresMs !== null && key.expiresMs <= nowMs) return 3;
  return key.disabledMs === null ? 1 : 2;
};

export const currentVersion = (key: KeyRecord): KeyVersion => key.versions.at(-1) ?? key.versions[0];

export interface Naming {
  readonly service: string;
  readonly region: string;
  readonly account: string;
}

export const crnOf = (naming: Naming, instance: string, keyId: string): string =>
  `crn:v1:bluemix:public:${naming.service}:${naming.region}:a/${naming.account}:${instance}:key:${keyId}`;

/** RFC 3339, UTC, whole seconds. */
export const dateOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

const deletionOf = (key: KeyRecord, nowMs: number): object => {
  if (key.deletedMs === null) return {};
  const restorableUntilMs = Math.min(key.deletedMs + 30 * DAY_MS, key.expiresMs ?? Number.POSITIVE_INFINITY);
  const purgeableMs = key.deletedMs + DAY_MS / 6;
  return {
    deletionDate: dateOf(key.deletedMs),
    deletedBy: key.deletedBy,
    restoreExpirationDate: dateOf(restorableUntilMs),
    restoreAllowed: nowMs <= restorableUntilMs,
    purgeAllowed: nowMs >= purgeableMs,
    purgeAllowedFrom: dateOf(purgeableMs),
    purgeScheduledOn: dateOf(key.deletedMs + 90 * DAY_MS),
  };
};

/** The key as a resource of the API; never with its payload. */
export const renderKey = (key: KeyRecord, naming: Naming, nowMs: number): object => {
  const version = currentVersion(key);
  return {
    type: 'application/vnd.ibm.kms.key+json',
    id: key.id,
    name: key.name,
    ...(key.aliases.length === 0 ? {} : { aliases: key.aliases }),
    ...(key.description === null ? {} : { description: key.description }),
    state: stateAt(key, nowMs),
    ...(key.expiresMs === null ? {} : { expirationDate: dateOf(key.expiresMs) }),
    extractable: key.extractable,
    crn: crnOf(naming, key.instance, key.id),
    imported: key.imported,
    keyRingID: 'default',
    creationDate: dateOf(key.createdMs),
    createdBy: key.createdBy,
    algorithmType: 'Deprecated',
    algorithmMetadata: { bitLength: '256', mode: 'Deprecated' },
    algorithmBitSize: 256,
    algorithmMode: 'Deprecated',
    lastUpdateDate: dateOf(key.updatedMs),
    ...(key.rotatedMs === null ? {} : { lastRotateDate: dateOf(key.rotatedMs) }),
    keyVersion: { id: version.id, creationDate: dateOf(version.createdMs) },
    dualAuthDelete: { enabled: false },
    deleted: key.deletedMs !== null,
    ...deletionOf(key, nowMs),
  };
};

export const collectionOf = (type: string, resources: readonly object[]): string =>
  JSON.stringify({ metadata: { collectionType: type, collectionTotal: resources.length }, resources });

export const KEY_COLLECTION = 'application/vnd.ibm.kms.key+json';

/** What a handler gives back. */
export type Result =
  | Refusal
  | {
      readonly kind: 'result';
      readonly status: number;
      readonly body: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

export const result = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Result => ({
  kind: 'result',
  status,
  body,
  headers,
});
