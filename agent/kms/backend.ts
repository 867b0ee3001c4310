/**
 * What the agent needs of a key management service. Services with other verbs fit behind it without touching a caller:
 * a backend translates, and test/conformance/key-backend.ts is the list of what it has to keep.
 *
 * - No method throws for what a service answers: an answer is a value, classified once by status and reason code, never
 *   by wording. Methods throw only for bugs.
 * - Each method is one attempt, ended within its limits. Asking again is the caller's business.
 * - What cannot be understood is `retryable`: an answer that cannot be trusted is no answer.
 */
import type { Secret } from '../secret.ts';

/** NIST SP 800-57 states as Key Protect numbers them: 0, 1, 2, 3, 5. */
export type KeyState = 'preActivation' | 'active' | 'suspended' | 'deactivated' | 'destroyed' | 'unknown';

export type KmsRefusal =
  /** The key owner's decision: the key exists and may not be used. */
  | { readonly kind: 'notActive'; readonly state: KeyState }
  /** The key does not exist, or is deleted. */
  | { readonly kind: 'gone' }
  /** Credentials were refused by whoever gives out access (`iam`), or rights by the key service, after one renewal. */
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
  /**
   * Stored verbatim: canonical base64, at most 4096 characters. A backend whose service speaks another alphabet encodes
   * what it gets, and takes its own encoding back.
   */
  readonly wrapped: string;
  /** Id of the root key version that wrapped it, 1 to 64 of A-Z a-z 0-9 _ -; a constant where keys have no versions. */
  readonly keyVersion: string;
}

export interface KeyBackend {
  /**
   * Gets what every question needs and no question is about, such as an access token, so that the first one need not wait
   * for it. Answers nothing: whatever comes of it, also when it rejects, the first question finds out for itself. Absent where there is
   * nothing to get.
   */
  prepare?(): Promise<void>;
  /**
   * 32 random bytes and their wrapping, made by the service; a backend whose service cannot make them takes them from the
   * entropy port. seed3 is their base64 text.
   */
  generateAndWrap(limits?: CallLimits): Promise<KmsAnswer<WrappedSeed & { readonly seed3: Secret }>>;
  /** Wraps a given seed3 (its base64 text). */
  wrap(seed3: Secret, limits?: CallLimits): Promise<KmsAnswer<WrappedSeed>>;
  /**
   * `rewrapped` may be set when a newer key version exists; a backend that is not told leaves it null, and `rewrap` and
   * `keyState` show the newer version. An expired key still unwraps: never infer a state from it.
   */
  unwrap(
    wrapped: string,
    limits?: CallLimits,
  ): Promise<
    KmsAnswer<{ readonly seed3: Secret; readonly keyVersion: string; readonly rewrapped: WrappedSeed | null }>
  >;
  /**
   * New wrapping under the current key version, without handing out seed3. Where the service has no such verb the backend
   * unwraps and wraps, and wipes what it held.
   */
  rewrap(wrapped: string, limits?: CallLimits): Promise<KmsAnswer<WrappedSeed>>;
  /**
   * `active` says: the key may be used now. A service without states says it for a key that exists and that the caller may
   * use; what its owner does to suspend a key there (a policy, a sealed service) must not read as active. `keyVersion` is
   * the current version, null when the service does not tell.
   */
  keyState(limits?: CallLimits): Promise<KmsAnswer<{ readonly state: KeyState; readonly keyVersion: string | null }>>;
}
