/** LUKS1 headers as bytes, made without cryptsetup: as `cryptsetup luksFormat --type luks1` makes them, and as forgers do. */

export const active = 0x00ac71f3;
export const inactive = 0x0000dead;
export const luks1Uuid = '11111111-2222-4333-8444-555555555555';

export interface Luks1Fields {
  cipherName: string;
  cipherMode: string;
  hash: string;
  /** In sectors, like every offset of such a header. */
  payload: number;
  keyBytes: number;
  digestIterations: number;
  uuid: string;
  keyslots: { state: number; iterations: number; offset: number; stripes: number }[];
}

/** aes-xts-plain64 with 512 bits, SHA-256, the first keyslot in use: what cryptsetup 2 makes by itself. */
export const luks1Fields = (): Luks1Fields => ({
  cipherName: 'aes',
  cipherMode: 'xts-plain64',
  hash: 'sha256',
  payload: 4096,
  keyBytes: 64,
  digestIterations: 1000,
  uuid: luks1Uuid,
  keyslots: Array.from({ length: 8 }, (_, at) => ({
    state: at === 0 ? active : inactive,
    iterations: at === 0 ? 1000 : 0,
    offset: 8 + at * 504,
    stripes: 4000,
  })),
});

/** The 592 bytes of a header; salts and digest are never looked at. */
export const luks1Bytes = (fields: Luks1Fields): Buffer => {
  const bytes = Buffer.alloc(592);
  Buffer.from('4c554b53babe0001', 'hex').copy(bytes);
  bytes.write(fields.cipherName, 8, 32, 'latin1');
  bytes.write(fields.cipherMode, 40, 32, 'latin1');
  bytes.write(fields.hash, 72, 32, 'latin1');
  bytes.writeUInt32BE(fields.payload, 104);
  bytes.writeUInt32BE(fields.keyBytes, 108);
  bytes.fill(0xd1, 112, 132);
  bytes.fill(0x5a, 132, 164);
  bytes.writeUInt32BE(fields.digestIterations, 164);
  bytes.write(fields.uuid, 168, 40, 'latin1');
  for (const [at, slot] of fields.keyslots.entries()) {
    const start = 208 + at * 48;
    bytes.writeUInt32BE(slot.state, start);
    bytes.writeUInt32BE(slot.iterations, start + 4);
    bytes.fill(0xa5, start + 8, start + 40);
    bytes.writeUInt32BE(slot.offset, start + 40);
    bytes.writeUInt32BE(slot.stripes, start + 44);
  }
  return bytes;
};
