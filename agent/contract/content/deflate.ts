/**
 * DEFLATE (RFC 1951) whose output depends on its input and nothing else. zlib's depends on its version, on how it was
 * built and on the processor (deflate's hash function differs), and an archive whose bytes change for no reason
 * changes the contract, its signature and the user data of every guest. About as small as zlib makes it.
 */
import { codeLengths, type PrefixCode, prefixCode } from './prefix-codes.ts';
import { distanceOf, isRepetition, lengthOf, symbolsOf } from './repetitions.ts';

const symbolsInBlock = 16_384;
const endOfBlock = 256;
const maximumStored = 65_535;

/** RFC 1951 section 3.2.5: from each base on, extra bits tell the length or the distance. */
const table = (
  count: number,
  first: number,
  grouped: number,
): readonly { readonly base: number; readonly extra: number }[] => {
  let base = first;
  return Array.from({ length: count }, (_, index) => {
    const extra = Math.max(0, Math.floor(index / grouped) - 1);
    const entry = { base, extra };
    base += 1 << extra;
    return entry;
  });
};
const lengthTable = [...table(28, 3, 4), { base: 258, extra: 0 }];
const distanceTable = table(30, 1, 2);

const codesOf = (entries: readonly { readonly base: number }[], size: number): Uint8Array => {
  const codes = new Uint8Array(size);
  for (const [code, { base }] of entries.entries()) codes.fill(code, base);
  return codes;
};
const lengthCodes = codesOf(lengthTable, 259);
const distanceCodes = codesOf(distanceTable, 32_769);

const fixedLengths = Uint8Array.from({ length: 288 }, (_, symbol) =>
  symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
);
const fixedLiterals = prefixCode(fixedLengths);
const fixedDistances = prefixCode(new Uint8Array(30).fill(5));
/** RFC 1951 section 3.2.7: the order in which lengths of the code for code lengths are written. */
const lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

class BitWriter {
  #bytes = Buffer.alloc(4096);
  #length = 0;
  #pending = 0;
  #bits = 0;

  #byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#length)]);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** At most 16 bits, lowest first. */
  write(value: number, bits: number): void {
    this.#pending |= value << this.#bits;
    this.#bits += bits;
    while (this.#bits >= 8) {
      this.#byte(this.#pending & 0xff);
      this.#pending >>>= 8;
      this.#bits -= 8;
    }
  }

  align(): void {
    if (this.#bits > 0) this.write(0, 8 - this.#bits);
  }

  bytes(data: Uint8Array): void {
    for (const byte of data) this.#byte(byte);
  }

  finish(): Buffer {
    this.align();
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Run lengths of a list of code lengths: symbol, value of its extra bits, number of them. RFC 1951 section 3.2.7. */
const runLengths = (lengths: Uint8Array): readonly (readonly [symbol: number, value: number, bits: number])[] => {
  const runs: [number, number, number][] = [];
  for (let at = 0; at < lengths.length; ) {
    const length = lengths[at] ?? 0;
    let run = 1;
    while (at + run < lengths.length && lengths[at + run] === length) run += 1;
    at += run;
    if (length !== 0) {
      runs.push([length, 0, 0]);
      run -= 1;
    }
    while (run >= 3) {
      const taken = Math.min(run, length === 0 ? 138 : 6);
      if (length !== 0) runs.push([16, taken - 3, 2]);
      else runs.push(taken < 11 ? [17, taken - 3, 3] : [18, taken - 11, 7]);
      run -= taken;
    }
    for (; run > 0; run -= 1) runs.push([length, 0, 0]);
  }
  return runs;
};

interface Counts {
  readonly literals: number[];
  readonly distances: number[];
}

const countsOf = (symbols: Uint32Array): Counts => {
  const literals = new Array<number>(286).fill(0);
  const distances = new Array<number>(30).fill(0);
  const count = (list: number[], index: number): void => {
    list[index] = (list[index] ?? 0) + 1;
  };
  for (const symbol of symbols) {
    if (isRepetition(symbol)) {
      count(literals, 257 + (lengthCodes[lengthOf(symbol)] ?? 0));
      count(distances, distanceCodes[distanceOf(symbol)] ?? 0);
    } else count(literals, symbol);
  }
  count(literals, endOfBlock);
  return { literals, distances };
};

const sizeWith = ({ literals, distances }: Counts, first: Uint8Array, second: Uint8Array): number => {
  let bits = 0;
  for (const [symbol, count] of literals.entries()) {
    bits += count * ((first[symbol] ?? 0) + (symbol > endOfBlock ? (lengthTable[symbol - 257]?.extra ?? 0) : 0));
  }
  for (const [symbol, count] of distances.entries()) {
    bits += count * ((second[symbol] ?? 0) + (distanceTable[symbol]?.extra ?? 0));
  }
  return bits;
};

const used = (lengths: Uint8Array, least: number): number => {
  let count = lengths.length;
  while (count > least && lengths[count - 1] === 0) count -= 1;
  return count;
};

/** The two codes of a block and how they are announced. */
const dynamicCodes = (counts: Counts) => {
  const literals = codeLengths(counts.literals, 15);
  const distances = codeLengths(counts.distances, 15);
  const [literalCount, distanceCount] = [used(literals, 257), used(distances, 1)];
  const runs = runLengths(
    Uint8Array.from([...literals.subarray(0, literalCount), ...distances.subarray(0, distanceCount)]),
  );
  const frequencies = new Array<number>(19).fill(0);
  for (const [symbol] of runs) frequencies[symbol] = (frequencies[symbol] ?? 0) + 1;
  const lengths = codeLengths(frequencies, 7);
  let orderCount = lengthOrder.length;
  while (orderCount > 4 && lengths[lengthOrder[orderCount - 1] ?? 0] === 0) orderCount -= 1;
  const announced = runs.reduce(
    (bits, [symbol, , extra]) => bits + (lengths[symbol] ?? 0) + extra,
    14 + 3 * orderCount,
  );
  const write = (writer: BitWriter): void => {
    writer.write(literalCount - 257, 5);
    writer.write(distanceCount - 1, 5);
    writer.write(orderCount - 4, 4);
    for (const symbol of lengthOrder.slice(0, orderCount)) writer.write(lengths[symbol] ?? 0, 3);
    const { codes } = prefixCode(lengths);
    for (const [symbol, value, bits] of runs) {
      writer.write(codes[symbol] ?? 0, lengths[symbol] ?? 0);
      writer.write(value, bits);
    }
  };
  return { literals, distances, bits: announced + sizeWith(counts, literals, distances), write };
};

const writeSymbols = (writer: BitWriter, symbols: Uint32Array, literals: PrefixCode, distances: PrefixCode): void => {
  const put = ({ codes, lengths }: PrefixCode, symbol: number): void =>
    writer.write(codes[symbol] ?? 0, lengths[symbol] ?? 0);
  for (const symbol of symbols) {
    if (!isRepetition(symbol)) {
      put(literals, symbol);
      continue;
    }
    const [length, distance] = [lengthOf(symbol), distanceOf(symbol)];
    const [lengthCode, distanceCode] = [lengthCodes[length] ?? 0, distanceCodes[distance] ?? 0];
    const [longer, farther] = [lengthTable[lengthCode], distanceTable[distanceCode]];
    put(literals, 257 + lengthCode);
    writer.write(length - (longer?.base ?? 0), longer?.extra ?? 0);
    put(distances, distanceCode);
    writer.write(distance - (farther?.base ?? 0), farther?.extra ?? 0);
  }
  put(literals, endOfBlock);
};

const writeStored = (writer: BitWriter, data: Uint8Array, isLast: boolean): void => {
  for (let at = 0; at === 0 || at < data.length; at += maximumStored) {
    const piece = data.subarray(at, at + maximumStored);
    writer.write(isLast && at + maximumStored >= data.length ? 1 : 0, 3);
    writer.align();
    writer.write(piece.length, 16);
    writer.write(piece.length ^ 0xffff, 16);
    writer.bytes(piece);
  }
};

/** Compresses `data`: same bytes in, same bytes out, everywhere. */
export const deflate = (data: Uint8Array): Buffer => {
  const writer = new BitWriter();
  for (const { symbols, from, to } of symbolsOf(data, symbolsInBlock)) {
    const isLast = to === data.length;
    const counts = countsOf(symbols);
    const dynamic = dynamicCodes(counts);
    const fixed = sizeWith(counts, fixedLengths, fixedDistances.lengths);
    const stored = 8 * (to - from) + 40 * Math.max(1, Math.ceil((to - from) / maximumStored));
    if (stored < Math.min(fixed, dynamic.bits)) {
      writeStored(writer, data.subarray(from, to), isLast);
    } else if (fixed <= dynamic.bits) {
      writer.write(isLast ? 3 : 2, 3);
      writeSymbols(writer, symbols, fixedLiterals, fixedDistances);
    } else {
      writer.write(isLast ? 5 : 4, 3);
      dynamic.write(writer);
      writeSymbols(writer, symbols, prefixCode(dynamic.literals), prefixCode(dynamic.distances));
    }
    if (isLast) break;
  }
  return writer.finish();
};
