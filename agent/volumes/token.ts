/**
 * Our record inside the LUKS2 header: a token of type `triseed` (LUKS2 On-Disk Format §3.6 allows any type with a
 * `keyslots` array). It is the authority for what a volume is; the keyfile of the metadata partition mirrors it.
 *
 * The MAC is keyed by seed3, which only the key management service can unwrap, so a host cannot move a token between
 * volumes or alter keyslots, digests or segments unnoticed. The wrapped seed is outside the MAC: the daemon rewraps
 * it without seed3. A two-seed volume has no MAC, since a key from guessable seeds would only help guessing.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../secret.ts';
import { canonicalJson, type Json } from './strict-json.ts';

export const tokenType = 'triseed';
export const tokenVersion = 1;

/**
 * How the passphrase is derived from the seeds (docs/volumes.md):
 * `two-seed`, or with seed3 `interim` (ours) and the readings of volumes made elsewhere.
 */
export const schemes = [
  'two-seed',
  'two-seed-swapped',
  'interim',
  'interim-raw',
  'flat',
  'flat-raw',
  'interim-swapped',
  'interim-raw-swapped',
  'flat-swapped',
  'flat-raw-swapped',
] as const;
export type Scheme = (typeof schemes)[number];
export const usesSeed3 = (scheme: Scheme): boolean => !scheme.startsWith('two-seed');

export interface VolumeToken {
  readonly volume: string;
  readonly scheme: Scheme;
  readonly keyslot: string;
  /** Null for two-seed volumes. */
  readonly stored: { readonly wrapped: string; readonly keyVersion: string; readonly mac: string } | null;
}

/** What the MAC binds together: this volume, on this partition, with these keyslots, digests and segments. */
export interface Binding {
  readonly luksUuid: string;
  readonly volume: string;
  readonly scheme: Scheme;
  /** GPT GUIDs of the disk and of the metadata and data partitions, or null for a whole-disk volume. */
  readonly partitions: { readonly disk: string; readonly metadata: string; readonly data: string } | null;
  readonly keyslots: Json;
  readonly digests: Json;
  readonly segments: Json;
}

/** HMAC-SHA256 of the canonical binding under HKDF-SHA256(seed3). Lower-case hex, 64 characters. */
export const macOf = (seed3: Secret, binding: Binding): string =>
  seed3.expose((bytes) => {
    const key = Buffer.from(hkdfSync('sha256', bytes, Buffer.alloc(0), 'triseed header binding v1', 32));
    try {
      return createHmac('sha256', key)
        .update(canonicalJson({ ...binding } as unknown as Json))
        .digest('hex');
    } finally {
      key.fill(0);
    }
  });

export const macMatches = (seed3: Secret, binding: Binding, mac: string): boolean =>
  timingSafeEqual(Buffer.from(macOf(seed3, binding), 'latin1'), Buffer.from(mac, 'latin1'));

export const renderToken = (token: VolumeToken): Json => ({
  type: tokenType,
  keyslots: [token.keyslot],
  version: tokenVersion,
  volume: token.volume,
  scheme: token.scheme,
  ...(token.stored === null
    ? {}
    : { wrapped: token.stored.wrapped, key_version: token.stored.keyVersion, mac: token.stored.mac }),
});

const text = (value: Json | undefined, pattern: RegExp): value is string =>
  typeof value === 'string' && pattern.test(value);
const twoSeedFields = ['keyslots', 'scheme', 'type', 'version', 'volume'].join();
const threeSeedFields = ['key_version', 'keyslots', 'mac', 'scheme', 'type', 'version', 'volume', 'wrapped'].join();

/** The token, or null when it is not exactly one that `renderToken` makes. */
export const parseToken = (json: Json): VolumeToken | null => {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) return null;
  const fields = json as { readonly [key: string]: Json };
  const { keyslots, scheme, volume, wrapped, mac } = fields;
  const known = schemes.find((name) => name === scheme);
  if (fields.type !== tokenType || fields.version !== tokenVersion || known === undefined) return null;
  if (!Array.isArray(keyslots) || keyslots.length !== 1 || !text(keyslots[0], /^\d{1,2}$/)) return null;
  if (!text(volume, /^[a-z_][a-z0-9_-]{0,127}$/)) return null;
  const keyslot = keyslots[0];
  const names = Object.keys(fields).sort().join();
  if (!usesSeed3(known)) return names === twoSeedFields ? { volume, scheme: known, keyslot, stored: null } : null;
  const keyVersion = fields.key_version;
  if (names !== threeSeedFields || !text(wrapped, /^[A-Za-z0-9+/=_.:-]{1,8192}$/)) return null;
  if (!text(keyVersion, /^[\x20-\x7e]{1,128}$/) || !text(mac, /^[0-9a-f]{64}$/)) return null;
  return { volume, scheme: known, keyslot, stored: { wrapped, keyVersion, mac } };
};
