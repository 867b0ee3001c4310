/** A key as the store keeps it, its state at a time, and how the API shows it. Pure. */

export interface KeyVersion {
  readonly id: string;
  readonly createdMs: number;
}

/** Who made and changed a policy, and when. */
export interface Stamp {
  readonly id: string;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly updatedMs: number;
  readonly updatedBy: string;
}

export interface RotationPolicy extends Stamp {
  readonly enabled: boolean;
  readonly months: number;
}

export interface DualAuthPolicy extends Stamp {
  readonly enabled: boolean;
}

/** A cloud resource that a key protects. */
export interface Registration {
  readonly resourceCrn: string;
  readonly description: string;
  readonly registrationMetadata: string;
  readonly preventKeyDeletion: boolean;
  readonly version: KeyVersion;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly updatedMs: number;
  readonly updatedBy: string;
}

export interface KeyRecord {
  readonly instance: string;
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
  readonly keyRing: string;
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
  readonly rotation: RotationPolicy | null;
  readonly dualAuth: DualAuthPolicy | null;
  /** First of the two authorizations of a deletion. */
  readonly deletionSet: { readonly atMs: number; readonly by: string } | null;
  readonly registrations: readonly Registration[];
  /** When services with a registration were last told of a change. */
  readonly notifiedMs: number | null;
  /** The event of its expiry was written. */
  readonly expiryNoted: boolean;
  /** The material was destroyed, 30 days after the deletion. */
  readonly shredded: boolean;
}

/** What a record has beside identity, times and versions. */
export const PLAIN_KEY = {
  description: null,
  aliases: [],
  tags: [],
  keyRing: 'default',
  extractable: false,
  imported: false,
  expiresMs: null,
  disabledMs: null,
  rotatedMs: null,
  deletedMs: null,
  deletedBy: null,
  rotation: null,
  dualAuth: null,
  deletionSet: null,
  registrations: [],
  notifiedMs: null,
  expiryNoted: false,
  shredded: false,
} as const satisfies Partial<KeyRecord>;

/** Key Protect, "Key states": 1 active, 2 suspended, 3 deactivated, 5 destroyed. */
export type StateNumber = 1 | 2 | 3 | 5;

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;

/** The API's guards in time. Key Protect, "Deleting and purging keys", "Disabling root keys", "Rotating keys". */
export const WAITS = {
  enableMs: 30 * SECOND_MS,
  restoreMs: 30 * SECOND_MS,
  rotateMs: HOUR_MS,
  syncMs: HOUR_MS,
  purgeMs: 4 * HOUR_MS,
  restorableMs: 30 * DAY_MS,
  purgedMs: 90 * DAY_MS,
  /** "a seven day authorization period" */
  authorizationMs: 7 * DAY_MS,
  /** A month of a rotation policy. */
  monthMs: 30 * DAY_MS,
} as const;

export const stateAt = (key: KeyRecord, nowMs: number): StateNumber => {
  if (key.deletedMs !== null) return 5;
  if (key.expiresMs !== null && key.expiresMs <= nowMs) return 3;
  return key.disabledMs === null ? 1 : 2;
};

export const currentVersion = (key: KeyRecord): KeyVersion => key.versions.at(-1) ?? key.versions[0];

/** The first authorization of a deletion, unless it has ended. */
export const deletionSetAt = (key: KeyRecord, nowMs: number): KeyRecord['deletionSet'] =>
  key.deletionSet !== null && nowMs < key.deletionSet.atMs + WAITS.authorizationMs ? key.deletionSet : null;

/** Until when a deleted key can be restored: 30 days, or its expiry when that comes first. */
export const restorableUntilMs = (deletedMs: number, expiresMs: number | null): number =>
  Math.min(deletedMs + WAITS.restorableMs, expiresMs ?? Number.POSITIVE_INFINITY);

export interface Naming {
  readonly service: string;
  readonly region: string;
  readonly account: string;
}

export const crnOf = (naming: Naming, instance: string, keyId: string, type = 'key'): string =>
  `crn:v1:bluemix:public:${naming.service}:${naming.region}:a/${naming.account}:${instance}:${type}:${keyId}`;

/** RFC 3339, UTC, whole seconds. */
export const dateOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

export const shownVersion = ({ id, createdMs }: KeyVersion): object => ({ id, creationDate: dateOf(createdMs) });

const deletionOf = (key: KeyRecord, nowMs: number): object => {
  if (key.deletedMs === null) return {};
  const untilMs = restorableUntilMs(key.deletedMs, key.expiresMs);
  return {
    deletionDate: dateOf(key.deletedMs),
    deletedBy: key.deletedBy,
    restoreExpirationDate: dateOf(untilMs),
    restoreAllowed: nowMs <= untilMs,
    purgeAllowed: nowMs >= key.deletedMs + WAITS.purgeMs,
    purgeAllowedFrom: dateOf(key.deletedMs + WAITS.purgeMs),
    purgeScheduledOn: dateOf(key.deletedMs + WAITS.purgedMs),
  };
};

const dualAuthOf = (key: KeyRecord, nowMs: number): object => {
  const set = deletionSetAt(key, nowMs);
  if (key.dualAuth?.enabled !== true) return { enabled: false };
  if (set === null) return { enabled: true, keySetForDeletion: false };
  return { enabled: true, keySetForDeletion: true, authExpiration: dateOf(set.atMs + WAITS.authorizationMs) };
};

/** The key as a resource of the API; never with its payload. */
export const renderKey = (key: KeyRecord, naming: Naming, nowMs: number): object => ({
  type: KEY_COLLECTION,
  id: key.id,
  name: key.name,
  ...(key.aliases.length === 0 ? {} : { aliases: key.aliases }),
  ...(key.description === null ? {} : { description: key.description }),
  ...(key.tags.length === 0 ? {} : { tags: key.tags }),
  state: stateAt(key, nowMs),
  ...(key.expiresMs === null ? {} : { expirationDate: dateOf(key.expiresMs) }),
  extractable: key.extractable,
  crn: crnOf(naming, key.instance, key.id),
  imported: key.imported,
  keyRingID: key.keyRing,
  creationDate: dateOf(key.createdMs),
  createdBy: key.createdBy,
  algorithmType: 'Deprecated',
  algorithmMetadata: { bitLength: '256', mode: 'Deprecated' },
  algorithmBitSize: 256,
  algorithmMode: 'Deprecated',
  lastUpdateDate: dateOf(key.updatedMs),
  ...(key.rotatedMs === null ? {} : { lastRotateDate: dateOf(key.rotatedMs) }),
  keyVersion: shownVersion(currentVersion(key)),
  dualAuthDelete: dualAuthOf(key, nowMs),
  ...(key.rotation === null
    ? {}
    : { rotation: { enabled: key.rotation.enabled, interval_month: key.rotation.months } }),
  deleted: key.deletedMs !== null,
  ...deletionOf(key, nowMs),
});

export const KEY_COLLECTION = 'application/vnd.ibm.kms.key+json';
