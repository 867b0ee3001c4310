/** Addresses and networks (RFC 4632, RFC 4291), for the allowedIP policy. Pure. */

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

const parseV4 = (text: string): bigint | null => {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return null;
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n);
};

const parseV6 = (text: string): bigint | null => {
  // A trailing IPv4 address stands for two groups.
  const [, head, tail] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? [];
  const v4 = tail === undefined ? null : parseV4(tail);
  if (tail !== undefined && v4 === null) return null;
  const whole = v4 === null ? text : `${head}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  const halves = whole.split('::');
  if (halves.length > 2) return null;
  const [left, right] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const given = [...(left ?? []), ...(right ?? [])];
  if (!given.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  const missing = 8 - given.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const groups = [...(left ?? []), ...Array<string>(missing).fill('0'), ...(right ?? [])];
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
};

/** An IPv4 address inside IPv6 (::ffff:a.b.c.d) counts as IPv4. */
const parseAddress = (text: string): Address | null => {
  const v4 = parseV4(text);
  if (v4 !== null) return { bits: 32, value: v4 };
  const v6 = text.includes(':') ? parseV6(text) : null;
  if (v6 === null) return null;
  return v6 >> 32n === 0xffffn ? { bits: 32, value: v6 & 0xffffffffn } : { bits: 128, value: v6 };
};

interface Network extends Address {
  readonly prefix: number;
}

const parseNetwork = (text: string): Network | null => {
  const [, name = '', length] = /^([0-9a-fA-F.:]{2,45})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(name);
  const prefix = Number(length ?? address?.bits);
  return address === null || prefix > address.bits ? null : { ...address, prefix };
};

export const isNetwork = (text: string): boolean => parseNetwork(text) !== null;

/** `otherFamily`: the networks are all of the other address family, so nothing can be said about the address. */
export const admission = (address: string, networks: readonly string[]): 'inside' | 'outside' | 'otherFamily' => {
  const given = parseAddress(address);
  const known = networks.flatMap((text) => parseNetwork(text) ?? []);
  const same = known.filter(({ bits }) => bits === given?.bits);
  if (given !== null && same.length === 0 && known.length > 0) return 'otherFamily';
  const isInside = same.some(({ bits, prefix, value }) => {
    const rest = BigInt(bits - prefix);
    return given !== null && value >> rest === given.value >> rest;
  });
  return isInside ? 'inside' : 'outside';
};
