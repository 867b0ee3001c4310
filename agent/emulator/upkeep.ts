/**
 * Calendar work: rotation policies, expiry, the end of deleted keys. IBM Cloud documentation, Key Protect "Setting a
 * rotation policy", "Key states", "Deleting and purging keys".
 */
import type { Entropy } from '../ports.ts';
import { rotatedKey } from './key-actions.ts';
import { GENERATED_BYTES } from './key-material.ts';
import { dateOf, type KeyRecord, stateAt, WAITS } from './key-record.ts';
import type { AuditData } from './result.ts';
import type { Store } from './store.ts';

export interface UpkeepEvent {
  /** Of the audit event, without the service's prefix. */
  readonly event: string;
  readonly key: KeyRecord;
  readonly atMs: number;
  readonly audit: AuditData;
}

/** When the policy wants the next version, or null. A suspended key waits until it is enabled. */
const rotationDueMs = (key: KeyRecord): number | null => {
  const { rotation } = key;
  if (rotation === null || !rotation.enabled || key.imported || key.extractable) return null;
  return Math.max((key.rotatedMs ?? key.createdMs) + rotation.months * WAITS.monthMs, rotation.updatedMs);
};

const rotateDue = (entropy: Pick<Entropy, 'bytes' | 'uuid'>, store: Store, given: KeyRecord, nowMs: number) => {
  const events: UpkeepEvent[] = [];
  let key = given;
  for (;;) {
    const dueMs = rotationDueMs(key);
    if (dueMs === null || dueMs > nowMs || stateAt(key, dueMs) !== 1) return { key, events };
    const versionId = entropy.uuid();
    const material = entropy.bytes(GENERATED_BYTES);
    key = rotatedKey(key, versionId, dueMs);
    store.save(key, { versionId, material });
    material.fill(0);
    const audit = { keyVersionId: versionId, keyVersionCreationDate: dateOf(dueMs) };
    events.push({ event: 'secrets.rotate', key, atMs: dueMs, audit });
  }
};

const endDeleted = (store: Store, key: KeyRecord, deletedMs: number, nowMs: number): readonly UpkeepEvent[] => {
  if (nowMs >= deletedMs + WAITS.purgedMs) {
    store.purge(key.instance, key.id);
    const audit = { deletionDate: dateOf(deletedMs), purgeAllowedFrom: dateOf(deletedMs + WAITS.purgeMs) };
    return [{ event: 'secrets.purge', key, atMs: nowMs, audit }];
  }
  if (nowMs > deletedMs + WAITS.restorableMs && !key.shredded) store.shred({ ...key, shredded: true });
  return [];
};

const noteExpiry = (store: Store, key: KeyRecord, nowMs: number): readonly UpkeepEvent[] => {
  if (key.expiryNoted || stateAt(key, nowMs) !== 3) return [];
  const before = stateAt(key, (key.expiresMs ?? 0) - 1);
  store.save({ ...key, expiryNoted: true });
  const audit = { 'initialValue.keyState': before, 'newValue.keyState': 3 };
  return [{ event: 'secrets.expire', key, atMs: key.expiresMs ?? nowMs, audit }];
};

/** Does everything that has come due at `nowMs` and tells what it did. */
export const runUpkeep = (
  entropy: Pick<Entropy, 'bytes' | 'uuid'>,
  store: Store,
  nowMs: number,
): readonly UpkeepEvent[] => {
  const events: UpkeepEvent[] = [];
  for (const given of store.instances().flatMap((instance) => store.keys(instance))) {
    const rotated = rotateDue(entropy, store, given, nowMs);
    events.push(...rotated.events);
    const { key } = rotated;
    events.push(
      ...(key.deletedMs === null ? noteExpiry(store, key, nowMs) : endDeleted(store, key, key.deletedMs, nowMs)),
    );
  }
  return events;
};
