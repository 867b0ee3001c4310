/** DER (ITU-T X.690) as far as revocation lists need it: definite lengths, one-byte tags, everything inside its parent. */

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  explicit0: 0xa0,
} as const;

export interface DerNode {
  readonly tag: number;
  /** With its header, as it was signed. */
  readonly raw: Buffer;
  readonly content: Buffer;
}

export class DerFault extends Error {}

const longForm = (bytes: Buffer, offset: number, count: number): number => {
  if (count === 0 || count > 4 || offset + count > bytes.length) throw new DerFault('bad length');
  const length = bytes.readUIntBE(offset, count);
  if (length < 0x80 || bytes[offset] === 0) throw new DerFault('length not in its shortest form');
  return length;
};

/** The value that begins at `offset`. Throws DerFault when it does not end within `bytes`. */
export const derAt = (bytes: Buffer, offset: number): DerNode => {
  const [tag, first] = [bytes[offset], bytes[offset + 1]];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new DerFault('bad tag');
  const count = first < 0x80 ? 0 : first & 0x7f;
  const length = first < 0x80 ? first : longForm(bytes, offset + 2, count);
  const start = offset + 2 + count;
  if (start + length > bytes.length) throw new DerFault('a value ends outside of its parent');
  return { tag, raw: bytes.subarray(offset, start + length), content: bytes.subarray(start, start + length) };
};

/** The values inside a constructed one, in order. */
export function* derChildren({ content }: DerNode): Generator<DerNode> {
  for (let offset = 0; offset < content.length; ) {
    const child = derAt(content, offset);
    yield child;
    offset += child.raw.length;
  }
}

/** `node` when it has the tag. Throws DerFault. */
export const expectTag = (node: DerNode | undefined, tag: number): DerNode => {
  if (node?.tag !== tag) throw new DerFault('another kind of value was expected');
  return node;
};

/** An object identifier as dotted numbers. */
export const derOid = (node: DerNode | undefined): string => {
  const { content } = expectTag(node, tags.objectIdentifier);
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) throw new DerFault('an arc is too long');
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join('.');
};

/** A time as certificates write it (RFC 5280 section 4.1.2.5): always in UTC, with seconds. */
export const derTime = (node: DerNode | undefined): Date => {
  const text = node?.content.toString('latin1') ?? '';
  const isShort = node?.tag === tags.utcTime;
  if (!isShort) expectTag(node, tags.generalizedTime);
  const parts = /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const [, year = '', month, day, hour, minute, second] = parts ?? [];
  if (parts === null || (year.length === 2) !== isShort) throw new DerFault('a time is not written as it must be');
  const full = isShort ? `${Number(year) < 50 ? '20' : '19'}${year}` : year;
  const time = new Date(`${full}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time.getTime())) throw new DerFault('a time does not exist');
  return time;
};

/** An INTEGER as lower-case hex without leading zeros. */
export const derSerial = (node: DerNode | undefined): string =>
  expectTag(node, tags.integer).content.toString('hex').replace(/^0+/, '');
