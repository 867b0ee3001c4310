/**
 * What the agent needs of a key management service. A service with other verbs (KMIP, transit engines, a file) fits
 * behind this interface without touching its callers.
 *
 * No method throws for what the service answers: an answer is a value, classified once by status and reason code,
 * never by wording. Methods throw only for bugs.
 */
import type { Secret } from '../secret.ts';

/** NIST SP 800-57 states as Key Protect numbers them: 0, 1, 2, 3, 5. */
export type KeyState = 'preActivation' | 'active' | 'suspended' | 'deactivated' | 'destroyed' | 'unknown';

export type KmsRefusal =
  /** The key owner's decision: the key exists and may not be used. */
  | { readonly kind: 'notActive'; readonly state: KeyState }
  /** The key does not exist, or is deleted. */
  | { readonly kind: 'gone' }
  /** Credentials or rights were refused, after one token refresh. */
  | { readonly kind: 'denied'; readonly by: 'iam' | 'kms' }
  /** This key cannot unwrap this ciphertext. */
  | { readonly kind: 'badCiphertext' }
  /** The request can never succeed: not a root key, malformed reference. */
  | { readonly kind: 'badConfiguration'; readonly reason: string }
  /** Transport failure, 408, 429, 5xx: try again, not sooner than `afterMs` when the service said so. */
  | { readonly kind: 'retryable'; readonly reason: string; readonly afterMs: number | null };

/**
 * `correlationId` is what the service's support asks for: as the answer names it, else as it was sent. Null when no
 * request was made.
 */
export type KmsAnswer<T> =
  | { readonly kind: 'done'; readonly value: T; readonly correlationId: string | null }
  | (KmsRefusal & { readonly correlationId: string | null });

/** Limits of one call: from the access token to the last byte of the answer. */
export interface CallLimits {
  readonly timeoutMs: number;
}

export interface WrappedSeed {
  /** Opaque text as the service returned it; stored verbatim. */
  readonly wrapped: string;
  /** Id of the root key version that wrapped it. */
  readonly keyVersion: string;
}

export interface KeyBackend {
  /** The service makes 32 random bytes and wraps them. seed3 is the base64 text of the answer (design §5.1). */
  generateAndWrap(limits?: CallLimits): Promise<KmsAnswer<WrappedSeed & { readonly seed3: Secret }>>;
  /** Wraps a given seed3 (its base64 text). */
  wrap(seed3: Secret, limits?: CallLimits): Promise<KmsAnswer<WrappedSeed>>;
  /** `rewrapped` is set when a newer key version exists. An expired key still unwraps: never infer state from it. */
  unwrap(
    wrapped: string,
    limits?: CallLimits,
  ): Promise<
    KmsAnswer<{ readonly seed3: Secret; readonly keyVersion: string; readonly rewrapped: WrappedSeed | null }>
  >;
  /** New wrapping under the current key version, without exposing seed3. */
  rewrap(wrapped: string, limits?: CallLimits): Promise<KmsAnswer<WrappedSeed>>;
  keyState(limits?: CallLimits): Promise<KmsAnswer<{ readonly state: KeyState; readonly keyVersion: string | null }>>;
}
