/**
 * What the local key service remembers, in one SQLite file. A change is on the disk before it is answered
 * (synchronous=FULL, rollback journal). Key material is encrypted with a key from a file of its own, so that a copied
 * database alone opens nothing; API keys are kept as keyed digests.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { privateBuffer } from '../secret.ts';
import type { Role } from './access.ts';
import type { KeyRecord } from './key-record.ts';

export interface Grant {
  /** `iam_id` of the tokens made for this API key. */
  readonly iamId: string;
  readonly instance: string;
  readonly role: Role;
}

export interface NewMaterial {
  readonly versionId: string;
  readonly material: Buffer;
}

export interface Store {
  keys(instance: string): readonly KeyRecord[];
  /** By id or alias. */
  key(instance: string, name: string): KeyRecord | null;
  /** Bytes of a key version; the caller wipes them. */
  material(instance: string, keyId: string, versionId: string): Buffer;
  /** Stores the record and, when given, the material of its new version, in one transaction. */
  save(key: KeyRecord, added?: NewMaterial): void;
  /** Every instance that has a key or an API key. */
  instances(): readonly string[];
  grantOf(apiKey: Uint8Array): Grant | null;
  grantWithId(iamId: string): Grant | null;
  addGrant(apiKey: Uint8Array, grant: Grant): void;
  /** Signs access tokens. */
  readonly tokenKey: Buffer;
  /** How far the service's clock is ahead of the machine's. */
  clockOffsetMs(): number;
  setClockOffsetMs(offsetMs: number): void;
  close(): void;
}

type StorePorts = Pick<Host, 'files' | 'entropy'>;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS key (
    instance TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (instance, id)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS material (
    instance TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (instance, key, version)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS api_key (
    digest BLOB PRIMARY KEY, iam_id TEXT NOT NULL UNIQUE, instance TEXT NOT NULL, role TEXT NOT NULL
  ) STRICT;
`;
const FORMAT = '1';
const MASTER_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

const derive = (master: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', master, Buffer.alloc(0), `triseed kms store ${purpose}`, 32));

const sealMaterial = (key: Buffer, iv: Buffer, context: string, material: Buffer): Buffer => {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context, 'utf8'));
  return Buffer.concat([iv, cipher.update(material), cipher.final(), cipher.getAuthTag()]);
};

const openMaterial = (key: Buffer, context: string, sealed: Uint8Array): Buffer => {
  const bytes = Buffer.from(sealed);
  const end = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context, 'utf8'))
    .setAuthTag(bytes.subarray(end));
  const material = privateBuffer(end - IV_BYTES);
  material.set(decipher.update(bytes.subarray(IV_BYTES, end)));
  decipher.final();
  return material;
};

const textOf = (value: SQLOutputValue | undefined): string => {
  if (typeof value !== 'string') throw new TypeError('the store holds something other than text');
  return value;
};

const storeOver = (database: DatabaseSync, master: Buffer, entropy: Host['entropy']): Store => {
  const materialKey = derive(master, 'material');
  const digestKey = derive(master, 'api keys');
  const context = (instance: string, keyId: string, versionId: string): string =>
    JSON.stringify([instance, keyId, versionId]);
  const digestOf = (apiKey: Uint8Array): Buffer => createHmac('sha256', digestKey).update(apiKey).digest();
  const readSetting = (name: string): string | null => {
    const row = database.prepare('SELECT value FROM setting WHERE name = ?').get(name);
    return row === undefined ? null : textOf(row.value);
  };
  const writeSetting = (name: string, value: string): void => {
    database.prepare('INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)').run(name, value);
  };
  const grantFrom = (row: Record<string, SQLOutputValue> | undefined): Grant | null =>
    row === undefined
      ? null
      : { iamId: textOf(row.iam_id), instance: textOf(row.instance), role: textOf(row.role) as Role };
  const recordFrom = (row: Record<string, SQLOutputValue>): KeyRecord => JSON.parse(textOf(row.record)) as KeyRecord;
  const keys = (instance: string): readonly KeyRecord[] =>
    database.prepare('SELECT record FROM key WHERE instance = ? ORDER BY rowid').all(instance).map(recordFrom);

  return {
    keys,
    key: (instance, name) => keys(instance).find((key) => key.id === name || key.aliases.includes(name)) ?? null,
    material: (instance, keyId, versionId) => {
      const row = database
        .prepare('SELECT sealed FROM material WHERE instance = ? AND key = ? AND version = ?')
        .get(instance, keyId, versionId);
      const sealed = row?.sealed;
      if (!(sealed instanceof Uint8Array)) throw new TypeError('a key version has no material');
      return openMaterial(materialKey, context(instance, keyId, versionId), sealed);
    },
    save: (key, added) => {
      database.exec('BEGIN IMMEDIATE');
      try {
        if (added !== undefined) {
          const sealed = sealMaterial(
            materialKey,
            entropy.bytes(IV_BYTES),
            context(key.instance, key.id, added.versionId),
            added.material,
          );
          database
            .prepare('INSERT INTO material (instance, key, version, sealed) VALUES (?, ?, ?, ?)')
            .run(key.instance, key.id, added.versionId, sealed);
        }
        database
          .prepare(
            'INSERT INTO key (instance, id, record) VALUES (?, ?, ?) ' +
              'ON CONFLICT (instance, id) DO UPDATE SET record = excluded.record',
          )
          .run(key.instance, key.id, JSON.stringify(key));
        database.exec('COMMIT');
      } catch (error) {
        database.exec('ROLLBACK');
        throw error;
      }
    },
    instances: () =>
      database
        .prepare('SELECT instance FROM api_key UNION SELECT instance FROM key ORDER BY 1')
        .all()
        .map((row) => textOf(row.instance)),
    grantOf: (apiKey) => grantFrom(database.prepare('SELECT * FROM api_key WHERE digest = ?').get(digestOf(apiKey))),
    grantWithId: (iamId) => grantFrom(database.prepare('SELECT * FROM api_key WHERE iam_id = ?').get(iamId)),
    addGrant: (apiKey, grant) => {
      database
        .prepare('INSERT INTO api_key (digest, iam_id, instance, role) VALUES (?, ?, ?, ?)')
        .run(digestOf(apiKey), grant.iamId, grant.instance, grant.role);
    },
    tokenKey: derive(master, 'tokens'),
    clockOffsetMs: () => Number(readSetting('clock offset') ?? '0'),
    setClockOffsetMs: (offsetMs) => writeSetting('clock offset', String(offsetMs)),
    close: () => database.close(),
  };
};

/** Makes an empty file ready, or checks that the file and the master key belong together. */
const prepare = (database: DatabaseSync, master: Buffer): void => {
  // One service at a time: the lock is held until close.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL');
  database.exec(`BEGIN EXCLUSIVE; ${SCHEMA} COMMIT`);
  const check = `${FORMAT} ${derive(master, 'check').toString('hex')}`;
  const row = database.prepare("SELECT value FROM setting WHERE name = 'check'").get();
  if (row === undefined) {
    database.prepare("INSERT INTO setting (name, value) VALUES ('check', ?)").run(check);
    return;
  }
  const found = Buffer.from(textOf(row.value));
  if (found.length !== check.length || !timingSafeEqual(found, Buffer.from(check))) {
    throw new TypeError('the key file does not belong to it, or a newer triseed wrote it');
  }
};

const readMaster = async (host: StorePorts, path: string, isNew: boolean): Promise<Buffer> => {
  const keyPath = `${path}.key`;
  const text = await host.files.read(keyPath, 1024);
  if (text === null && !isNew) throw new AgentError('KMS_STORE_UNUSABLE', { path, reason: `${keyPath} is missing` });
  if (text === null) {
    const made = host.entropy.bytes(MASTER_BYTES);
    await host.files.writeNew(keyPath, Buffer.from(`${made.toString('hex')}\n`), 0o600);
    return made;
  }
  if (!/^[0-9a-f]{64}\n?$/.test(text.toString('latin1'))) {
    throw new AgentError('KMS_STORE_UNUSABLE', { path, reason: `${keyPath} is no key file` });
  }
  return Buffer.from(text.toString('latin1').trim(), 'hex');
};

/**
 * Opens the store at `path`, making it (mode 0600) with its key file `path`.key when neither is there; null keeps
 * everything in memory.
 * @throws KMS_STORE_UNUSABLE, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export const openStore = async (host: StorePorts, path: string | null): Promise<Store> => {
  if (path === null) {
    const database = new DatabaseSync(':memory:');
    const master = host.entropy.bytes(MASTER_BYTES);
    prepare(database, master);
    return storeOver(database, master, host.entropy);
  }
  const isNew = (await host.files.kind(path)) === 'absent';
  const master = await readMaster(host, path, isNew);
  // SQLite gives its journal the mode of the database, so the database must have it from the start.
  if (isNew) await host.files.writeNew(path, Buffer.alloc(0), 0o600);
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: 2000 });
    prepare(database, master);
    return storeOver(database, master, host.entropy);
  } catch (cause) {
    database?.close();
    const reason = cause instanceof Error ? cause.message : 'unknown error';
    throw new AgentError('KMS_STORE_UNUSABLE', { path, reason }, { cause });
  }
};
