/** What the daemon needs to know of an opened KMS volume. Handed from boot to keyd in a root-only file in memory. */
export interface ProtectedVolume {
  /** Volume key of the contract. */
  readonly key: string;
  readonly mount: string;
  /** The device holding the LUKS header (partition or whole disk). */
  readonly device: string;
  /** The metadata partition that mirrors the wrapped seed; null for a whole-disk volume. */
  readonly metadataDevice: string | null;
  /** Device-mapper name of the opened volume. */
  readonly mapping: string;
  readonly luksUuid: string;
  readonly wrapped: string;
  readonly keyVersion: string;
  readonly kmsTimeoutMinutes: number;
  readonly crn: string;
  readonly type: 'public' | 'private';
}
