/**
 * The file behind the store: one SQLite database with a write-ahead log and synchronous=FULL, so that a change is on the
 * disk before it is answered. Sources: SQLite documentation, "PRAGMA synchronous" and "Write-Ahead Logging".
 */
import { timingSafeEqual } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { derive, type Store, storeOver, textOf } from './store.ts';

type StorePorts = Pick<Host, 'files' | 'entropy'>;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS key (
    instance TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (instance, id)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS alias (
    instance TEXT NOT NULL, alias TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (instance, alias)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS alias_of_key ON alias (instance, key);
  CREATE TABLE IF NOT EXISTS material (
    instance TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (instance, key, version)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS document (
    instance TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (instance, kind, name)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS identity (digest BLOB PRIMARY KEY, iam_id TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE IF NOT EXISTS role (
    iam_id TEXT NOT NULL, instance TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (iam_id, instance, role)
  ) STRICT;
`;
const FORMAT = '2';
const MASTER_BYTES = 32;

/** The first format had one role for each API key, and aliases in the records only. */
const migrate = (database: DatabaseSync): void => {
  const old = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'api_key'").get();
  if (old === undefined) return;
  database.exec(`BEGIN EXCLUSIVE;
    INSERT INTO identity SELECT digest, iam_id FROM api_key;
    INSERT INTO role SELECT iam_id, instance, role FROM api_key;
    INSERT INTO alias SELECT instance, value, id FROM key, json_each(record, '$.aliases');
    DROP TABLE api_key;
    UPDATE setting SET value = '${FORMAT}' || substr(value, 2) WHERE name = 'check';
    COMMIT`);
};

/** Makes an empty file ready, or checks that the file and the master key belong together. */
const prepare = (database: DatabaseSync, master: Buffer): void => {
  // One service at a time: the lock is held until close. A write-ahead log needs one flush for a change, not three.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  database.exec(`BEGIN EXCLUSIVE; ${SCHEMA} COMMIT`);
  const proof = derive(master, 'check').toString('hex');
  const row = database.prepare("SELECT value FROM setting WHERE name = 'check'").get();
  if (row === undefined) {
    database.prepare("INSERT INTO setting (name, value) VALUES ('check', ?)").run(`${FORMAT} ${proof}`);
    return;
  }
  const found = Buffer.from(textOf(row.value));
  const isOurs = ['1', FORMAT].some((format) => {
    const wanted = Buffer.from(`${format} ${proof}`);
    return found.length === wanted.length && timingSafeEqual(found, wanted);
  });
  if (!isOurs) throw new TypeError('the key file does not belong to it, or a newer triseed wrote it');
  migrate(database);
};

/** Where the key that encrypts the store comes from. */
export interface MasterKeyFile {
  readonly path: string;
  /** Make it when there is no store yet; a credential is never made. */
  readonly make: boolean;
}

const readMaster = async (host: StorePorts, path: string, file: MasterKeyFile, isNew: boolean): Promise<Buffer> => {
  const text = await host.files.read(file.path, 1024);
  if (text === null && !(isNew && file.make)) {
    throw new AgentError('KMS_STORE_UNUSABLE', { path, reason: `${file.path} is missing` });
  }
  if (text === null) {
    const made = host.entropy.bytes(MASTER_BYTES);
    await host.files.writeNew(file.path, Buffer.from(`${made.toString('hex')}\n`), 0o600);
    return made;
  }
  if (!/^[0-9a-f]{64}\n?$/.test(text.toString('latin1'))) {
    throw new AgentError('KMS_STORE_UNUSABLE', { path, reason: `${file.path} is no key file` });
  }
  return Buffer.from(text.toString('latin1').trim(), 'hex');
};

/**
 * Opens the store at `path`, making it (mode 0600) when it is not there; null keeps everything in memory. The master
 * key is 64 hexadecimal digits in `masterKey`, by default `path`.key, which is made with a new store.
 * @throws KMS_STORE_UNUSABLE, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export const openStore = async (
  host: StorePorts,
  path: string | null,
  masterKey: MasterKeyFile | null = null,
): Promise<Store> => {
  if (path === null) {
    const database = new DatabaseSync(':memory:');
    const master = host.entropy.bytes(MASTER_BYTES);
    prepare(database, master);
    return storeOver(host.entropy, database, master);
  }
  const isNew = (await host.files.kind(path)) === 'absent';
  const master = await readMaster(host, path, masterKey ?? { path: `${path}.key`, make: true }, isNew);
  // SQLite gives its log the mode of the database, so the database must have it from the start.
  if (isNew) await host.files.writeNew(path, Buffer.alloc(0), 0o600);
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: 2000 });
    prepare(database, master);
    return storeOver(host.entropy, database, master);
  } catch (cause) {
    database?.close();
    const reason = cause instanceof Error ? cause.message : 'unknown error';
    throw new AgentError('KMS_STORE_UNUSABLE', { path, reason }, { cause });
  }
};
