/**
 * Text as literals and repetitions of what came before: the first half of DEFLATE (RFC 1951 section 4). Which of
 * several possible repetitions is taken decides the bytes of an archive, so this is written down here and not left
 * to a library whose answer depends on its version and on the processor.
 */

export const minimumLength = 3;
export const maximumLength = 258;
const windowBytes = 32_768;
const hashBits = 15;
/** Older places that are looked at; more of them save little. */
const maximumTries = 64;

/** A literal is its byte; a repetition is `length << 16 | distance`, which is never below 1 << 16. */
export const isRepetition = (symbol: number): boolean => symbol >= 0x10000;
export const lengthOf = (symbol: number): number => symbol >>> 16;
export const distanceOf = (symbol: number): number => symbol & 0xffff;

/** Places of the same three bytes, newest first. */
class Places {
  readonly #data: Uint8Array;
  readonly #newest = new Int32Array(1 << hashBits).fill(-1);
  readonly #older = new Int32Array(windowBytes);

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  #hash(at: number): number {
    const data = this.#data;
    const three = ((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0);
    return (Math.imul(three, 0x9e3779b1) >>> (32 - hashBits)) | 0;
  }

  add(at: number): void {
    if (at + minimumLength > this.#data.length) return;
    const hash = this.#hash(at);
    this.#older[at & (windowBytes - 1)] = this.#newest[hash] ?? -1;
    this.#newest[hash] = at;
  }

  /** The longest repetition at `at`, the nearest of equal ones; 0 for none. */
  longest(at: number): number {
    const data = this.#data;
    const limit = Math.min(maximumLength, data.length - at);
    if (limit < minimumLength) return 0;
    let best = 0;
    let from = this.#newest[this.#hash(at)] ?? -1;
    for (let tries = maximumTries; tries > 0 && from >= 0 && at - from < windowBytes; tries -= 1) {
      let length = 0;
      while (length < limit && data[from + length] === data[at + length]) length += 1;
      if (length > lengthOf(best)) best = length * 0x10000 + (at - from);
      if (length === limit) break;
      const next = this.#older[from & (windowBytes - 1)] ?? -1;
      // The ring has been written over: what follows is younger.
      if (next >= from) break;
      from = next;
    }
    return lengthOf(best) >= minimumLength ? best : 0;
  }
}

/** Symbols of `data`, in pieces of at most `size`, with where each piece begins and ends in `data`. */
export function* symbolsOf(
  data: Uint8Array,
  size: number,
): Generator<{ readonly symbols: Uint32Array; readonly from: number; readonly to: number }> {
  const places = new Places(data);
  const symbols = new Uint32Array(size);
  let count = 0;
  let from = 0;
  let at = 0;
  let here = places.longest(0);
  while (at < data.length) {
    places.add(at);
    const next = at + 1 < data.length ? places.longest(at + 1) : 0;
    // A longer repetition one byte later is worth a literal now.
    if (here !== 0 && lengthOf(next) <= lengthOf(here)) {
      const end = at + lengthOf(here);
      symbols[count] = here;
      for (at += 1; at < end; at += 1) places.add(at);
      here = places.longest(at);
    } else {
      symbols[count] = data[at] ?? 0;
      at += 1;
      here = next;
    }
    count += 1;
    if (count === size) {
      yield { symbols, from, to: at };
      count = 0;
      from = at;
    }
  }
  yield { symbols: symbols.subarray(0, count), from, to: at };
}
