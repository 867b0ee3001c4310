/** Prefix codes of DEFLATE (RFC 1951 section 3.2.2): lengths from frequencies, codes from lengths. */

/** Codes as they are written: lowest bit first. */
export interface PrefixCode {
  readonly lengths: Uint8Array;
  readonly codes: Uint16Array;
}

interface Node {
  readonly weight: number;
  readonly symbols: readonly number[];
}

/** Lengths of Huffman's code for `frequencies`. Equal weights are taken in the order of their symbols. */
const huffmanLengths = (frequencies: readonly number[]): Uint8Array => {
  const lengths = new Uint8Array(frequencies.length);
  const leaves: Node[] = frequencies
    .map((weight, symbol) => ({ weight, symbols: [symbol] }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => a.weight - b.weight || (a.symbols[0] ?? 0) - (b.symbols[0] ?? 0));
  const joined: Node[] = [];
  let leaf = 0;
  let join = 0;
  const lightest = (): Node => {
    const [a, b] = [leaves[leaf], joined[join]];
    if (b === undefined || (a !== undefined && a.weight <= b.weight)) {
      leaf += 1;
      return a as Node;
    }
    join += 1;
    return b;
  };
  for (let left = leaves.length; left > 1; left -= 1) {
    const [a, b] = [lightest(), lightest()];
    const symbols = [...a.symbols, ...b.symbols];
    for (const symbol of symbols) lengths[symbol] = (lengths[symbol] ?? 0) + 1;
    joined.push({ weight: a.weight + b.weight, symbols });
  }
  return lengths;
};

/** Lengths of at most `limit` bits. At least two symbols get one, so that every reader takes the code for complete. */
export const codeLengths = (frequencies: readonly number[], limit: number): Uint8Array => {
  let weights = [...frequencies];
  for (let symbol = 0; weights.filter((weight) => weight > 0).length < 2; symbol += 1) {
    weights[symbol] = Math.max(1, weights[symbol] ?? 0);
  }
  for (;;) {
    const lengths = huffmanLengths(weights);
    if (lengths.every((length) => length <= limit)) return lengths;
    // Flatter weights make a flatter code; it ends at the latest when all are equal.
    weights = weights.map((weight) => (weight === 0 ? 0 : (weight >>> 1) | 1));
  }
};

const reversed = (code: number, length: number): number => {
  let result = 0;
  for (let bit = 0; bit < length; bit += 1) result = (result << 1) | ((code >>> bit) & 1);
  return result;
};

/** The codes that belong to `lengths`. */
export const prefixCode = (lengths: Uint8Array): PrefixCode => {
  const codes = new Uint16Array(lengths.length);
  let next = 0;
  for (let length = 1; length <= 15; length += 1) {
    next <<= 1;
    for (let symbol = 0; symbol < lengths.length; symbol += 1) {
      if (lengths[symbol] !== length) continue;
      codes[symbol] = reversed(next, length);
      next += 1;
    }
  }
  return { lengths, codes };
};
