/**
 * Run-time side of the brands in types.ts: a step marks what it made, the next step asks. A cast or a literal that
 * only looks like the right type is refused.
 */
export interface Proof<T extends object> {
  /** Freezes `value` and remembers it as made here. */
  readonly mark: (value: T) => T;
  /** Throws TypeError unless `value` was marked. */
  readonly check: (value: T) => void;
}

export const proofOf = <T extends object>(step: string): Proof<T> => {
  const made = new WeakSet<T>();
  return {
    mark: (value) => {
      made.add(value);
      return Object.freeze(value);
    },
    check: (value) => {
      if (!made.has(value)) throw new TypeError(`this contract did not come out of ${step}`);
    },
  };
};
