/**
 * What the local key service remembers. Key material is encrypted with a key from a file or credential of its own, so
 * that a copied database alone opens nothing; API keys are kept as keyed digests.
 */
import { createHmac, hkdfSync } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { Entropy } from '../ports.ts';
import type { Role } from './access.ts';
import { type KeyRecord, PLAIN_KEY } from './key-record.ts';
import { openSealed, sealBytes } from './sealing.ts';

export interface NewMaterial {
  readonly versionId: string;
  readonly material: Buffer;
}

/** A record that cannot be: a version without material, a text that is no record. */
export class IncompleteKey extends Error {
  override name = 'IncompleteKey';
}

/** Kinds of small records that belong to an instance. */
export type DocumentKind = 'ring' | 'policy' | 'import-token';

export interface Store {
  keys(instance: string): readonly KeyRecord[];
  /** By id or alias. Throws IncompleteKey. */
  key(instance: string, name: string): KeyRecord | null;
  /** Bytes of a key version; the caller wipes them. Throws IncompleteKey. */
  material(instance: string, keyId: string, versionId: string): Buffer;
  /** Stores the record and, when given, the material of its new version, in one transaction. */
  save(key: KeyRecord, added?: NewMaterial): void;
  /** Stores the record and destroys the material of every version. */
  shred(key: KeyRecord): void;
  /** Forgets the key. */
  purge(instance: string, keyId: string): void;
  /** Every instance that has a key or an API key. */
  instances(): readonly string[];
  documents(instance: string, kind: DocumentKind): ReadonlyMap<string, unknown>;
  /** Stores these documents, and forgets those that are null, in one transaction. */
  putDocuments(instance: string, kind: DocumentKind, documents: ReadonlyMap<string, object | null>): void;
  /** Encrypts bytes for a document. */
  seal(context: string, bytes: Buffer): string;
  /** The caller wipes what it gets. */
  unseal(context: string, sealed: string): Buffer;
  /** IAM id of an API key. */
  identityOf(apiKey: Uint8Array): string | null;
  knows(iamId: string): boolean;
  rolesOf(iamId: string, instance: string): readonly Role[];
  /** Gives an API key roles on an instance, instead of those it had there; `iamId` is taken when the API key is new. */
  admit(apiKey: Uint8Array, iamId: string, instance: string, roles: readonly Role[]): void;
  /** Signs access tokens. */
  readonly tokenKey: Buffer;
  /** How far the service's clock is ahead of the machine's. */
  clockOffsetMs(): number;
  setClockOffsetMs(offsetMs: number): void;
  /** What SQLite says of itself: how it keeps a promise of durability. */
  durability(): { readonly synchronous: number; readonly journalMode: string };
  close(): void;
}

const IV_BYTES = 12;

export const derive = (master: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', master, Buffer.alloc(0), `triseed kms store ${purpose}`, 32));

export const textOf = (value: SQLOutputValue | undefined): string => {
  if (typeof value !== 'string') throw new TypeError('the store holds something other than text');
  return value;
};

const recordFrom = (row: Record<string, SQLOutputValue>): KeyRecord => {
  try {
    const record = { ...PLAIN_KEY, ...(JSON.parse(textOf(row.record)) as KeyRecord) };
    if (record.versions.length > 0) return record;
  } catch {
    // Told below.
  }
  throw new IncompleteKey('a key record cannot be read');
};

/** The store in a prepared database. */
export const storeOver = (entropy: Entropy, database: DatabaseSync, master: Buffer): Store => {
  const materialKey = derive(master, 'material');
  const digestKey = derive(master, 'api keys');
  const context = (...names: readonly string[]): string => JSON.stringify(names);
  const digestOf = (apiKey: Uint8Array): Buffer => createHmac('sha256', digestKey).update(apiKey).digest();
  const sql = {
    setting: database.prepare('SELECT value FROM setting WHERE name = ?'),
    setSetting: database.prepare('INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)'),
    keys: database.prepare('SELECT record FROM key WHERE instance = ? ORDER BY rowid'),
    key: database.prepare('SELECT record FROM key WHERE instance = ? AND id = ?'),
    keyByAlias: database.prepare(
      'SELECT record FROM alias JOIN key ON key.instance = alias.instance AND id = key WHERE alias.instance = ? AND alias = ?',
    ),
    setKey: database.prepare(
      'INSERT INTO key (instance, id, record) VALUES (?, ?, ?) ' +
        'ON CONFLICT (instance, id) DO UPDATE SET record = excluded.record',
    ),
    dropKey: database.prepare('DELETE FROM key WHERE instance = ? AND id = ?'),
    setAlias: database.prepare('INSERT INTO alias (instance, alias, key) VALUES (?, ?, ?)'),
    dropAliases: database.prepare('DELETE FROM alias WHERE instance = ? AND key = ?'),
    material: database.prepare('SELECT sealed FROM material WHERE instance = ? AND key = ? AND version = ?'),
    addMaterial: database.prepare('INSERT INTO material (instance, key, version, sealed) VALUES (?, ?, ?, ?)'),
    dropMaterial: database.prepare('DELETE FROM material WHERE instance = ? AND key = ?'),
    instances: database.prepare('SELECT instance FROM role UNION SELECT instance FROM key ORDER BY 1'),
    documents: database.prepare('SELECT name, body FROM document WHERE instance = ? AND kind = ? ORDER BY rowid'),
    setDocument: database.prepare(
      'INSERT INTO document (instance, kind, name, body) VALUES (?, ?, ?, ?) ' +
        'ON CONFLICT (instance, kind, name) DO UPDATE SET body = excluded.body',
    ),
    dropDocument: database.prepare('DELETE FROM document WHERE instance = ? AND kind = ? AND name = ?'),
    identity: database.prepare('SELECT iam_id FROM identity WHERE digest = ?'),
    addIdentity: database.prepare('INSERT INTO identity (digest, iam_id) VALUES (?, ?)'),
    known: database.prepare('SELECT 1 FROM identity WHERE iam_id = ?'),
    roles: database.prepare('SELECT role FROM role WHERE iam_id = ? AND instance = ?'),
    addRole: database.prepare('INSERT INTO role (iam_id, instance, role) VALUES (?, ?, ?)'),
    dropRoles: database.prepare('DELETE FROM role WHERE iam_id = ? AND instance = ?'),
  };
  const inTransaction = (work: () => void): void => {
    database.exec('BEGIN IMMEDIATE');
    try {
      work();
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  };
  const writeKey = (key: KeyRecord): void => {
    sql.setKey.run(key.instance, key.id, JSON.stringify(key));
    sql.dropAliases.run(key.instance, key.id);
    for (const alias of key.aliases) sql.setAlias.run(key.instance, alias, key.id);
  };

  return {
    keys: (instance) => sql.keys.all(instance).map(recordFrom),
    key: (instance, name) => {
      const row = sql.key.get(instance, name) ?? sql.keyByAlias.get(instance, name);
      return row === undefined ? null : recordFrom(row);
    },
    material: (instance, keyId, versionId) => {
      const sealed = sql.material.get(instance, keyId, versionId)?.sealed;
      if (!(sealed instanceof Uint8Array)) throw new IncompleteKey('a key version has no material');
      try {
        return openSealed(materialKey, context(instance, keyId, versionId), sealed);
      } catch {
        throw new IncompleteKey('the material of a key version was changed');
      }
    },
    save: (key, added) =>
      inTransaction(() => {
        if (added !== undefined) {
          const names = context(key.instance, key.id, added.versionId);
          const sealed = sealBytes(materialKey, entropy.bytes(IV_BYTES), names, added.material);
          sql.addMaterial.run(key.instance, key.id, added.versionId, sealed);
        }
        writeKey(key);
      }),
    shred: (key) =>
      inTransaction(() => {
        sql.dropMaterial.run(key.instance, key.id);
        writeKey(key);
      }),
    purge: (instance, keyId) =>
      inTransaction(() => {
        sql.dropMaterial.run(instance, keyId);
        sql.dropAliases.run(instance, keyId);
        sql.dropKey.run(instance, keyId);
      }),
    instances: () => sql.instances.all().map((row) => textOf(row.instance)),
    documents: (instance, kind) =>
      new Map(sql.documents.all(instance, kind).map((row) => [textOf(row.name), JSON.parse(textOf(row.body))])),
    putDocuments: (instance, kind, documents) =>
      inTransaction(() => {
        for (const [name, body] of documents) {
          if (body === null) sql.dropDocument.run(instance, kind, name);
          else sql.setDocument.run(instance, kind, name, JSON.stringify(body));
        }
      }),
    seal: (name, bytes) =>
      sealBytes(materialKey, entropy.bytes(IV_BYTES), context('document', name), bytes).toString('base64'),
    unseal: (name, sealed) => openSealed(materialKey, context('document', name), Buffer.from(sealed, 'base64')),
    identityOf: (apiKey) => {
      const row = sql.identity.get(digestOf(apiKey));
      return row === undefined ? null : textOf(row.iam_id);
    },
    knows: (iamId) => sql.known.get(iamId) !== undefined,
    rolesOf: (iamId, instance) => sql.roles.all(iamId, instance).map((row) => textOf(row.role) as Role),
    admit: (apiKey, iamId, instance, roles) =>
      inTransaction(() => {
        const digest = digestOf(apiKey);
        const known = sql.identity.get(digest)?.iam_id;
        const id = known === undefined ? iamId : textOf(known);
        if (known === undefined) sql.addIdentity.run(digest, id);
        sql.dropRoles.run(id, instance);
        for (const role of roles) sql.addRole.run(id, instance, role);
      }),
    tokenKey: derive(master, 'tokens'),
    clockOffsetMs: () => Number(sql.setting.get('clock offset')?.value ?? '0'),
    setClockOffsetMs: (offsetMs) => {
      sql.setSetting.run('clock offset', String(offsetMs));
    },
    durability: () => ({
      synchronous: Number(database.prepare('PRAGMA synchronous').get()?.synchronous),
      journalMode: String(database.prepare('PRAGMA journal_mode').get()?.journal_mode),
    }),
    close: () => database.close(),
  };
};
