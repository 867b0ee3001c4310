/**
 * The only container of secret bytes. Everything that must not be printed, stored or compared by accident lives in
 * a `Secret` and leaves through one door, `expose`, so that every exposure can be found by searching for that word.
 *
 * Bytes live in an ArrayBuffer of their own: V8 keeps typed arrays of up to 64 bytes inside its heap and leaves a
 * copy behind when native code first touches them, which zeroing the array would not reach.
 * Wiping is best effort: strings made by the YAML parser and copies inside OpenSSL are out of reach.
 */
import { timingSafeEqual } from 'node:crypto';

const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

/** A zeroed buffer backed by memory of its own, never by the pool. `length` in bytes. */
export const privateBuffer = (length: number): Buffer => Buffer.from(new ArrayBuffer(length));

export class Secret {
  readonly #bytes: Buffer;
  #wiped = false;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Moves `bytes` into a new secret: copies them, then overwrites the source with zeros. */
  static take(bytes: Uint8Array): Secret {
    const own = privateBuffer(bytes.length);
    own.set(bytes);
    bytes.fill(0);
    return new Secret(own);
  }

  /** The UTF-8 bytes of `text`. The string itself cannot be wiped; use only where a parser hands one over. */
  static fromText(text: string): Secret {
    const own = privateBuffer(Buffer.byteLength(text, 'utf8'));
    own.write(text, 'utf8');
    return new Secret(own);
  }

  /** A secret of `length` bytes which `fill` writes in place. */
  static build(length: number, fill: (bytes: Buffer) => void): Secret {
    const own = privateBuffer(length);
    fill(own);
    return new Secret(own);
  }

  /** A new secret holding the bytes of `parts` one after the other. */
  static join(parts: readonly Secret[]): Secret {
    return Secret.build(
      parts.reduce((length, part) => length + part.length, 0),
      (own) => {
        let at = 0;
        for (const part of parts) at += part.expose((bytes) => bytes.copy(own, at));
      },
    );
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Lends the bytes to `use`; they must not be kept. Throws if the secret was wiped. */
  expose<T>(use: (bytes: Buffer) => T): T {
    if (this.#wiped) throw new TypeError('a wiped secret was used');
    return use(this.#bytes);
  }

  /** Compares in time that depends on the lengths only. */
  equals(other: Secret): boolean {
    return this.expose((a) => other.expose((b) => a.length === b.length && timingSafeEqual(a, b)));
  }

  copy(): Secret {
    return this.expose((bytes) => Secret.build(bytes.length, (own) => own.set(bytes)));
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspectSymbol](): string {
    return '[secret]';
  }
}
