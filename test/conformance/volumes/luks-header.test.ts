/** Header codec and gate against headers that cryptsetup made, on plain files: no kernel, no root. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCommand } from '../../../agent/host/exec.ts';
import { Secret } from '../../../agent/secret.ts';
import { luksFormat, luksOpen } from '../../../agent/volumes/commands.ts';
import { gateHeader } from '../../../agent/volumes/gate.ts';
import { copyFor, type HeaderCopy, readLuksHeader, renderLuksHeader } from '../../../agent/volumes/luks-header.ts';

const passphrase = Secret.fromText('throw-away passphrase');
const luksUuid = '11111111-2222-4333-8444-555555555555';
const readerOf = (bytes: Buffer) => async (offset: number, length: number) => {
  if (offset + length > bytes.length) throw new Error('read beyond the end');
  return Buffer.from(bytes.subarray(offset, offset + length));
};

const formatted = async (t: Test, kdf: 'argon2id' | 'pbkdf2' = 'pbkdf2') => {
  const folder = t.testdir({});
  const device = join(folder, 'device');
  const header = join(folder, 'header');
  writeFileSync(device, Buffer.alloc(20 * 1024 * 1024));
  const result = await runCommand(luksFormat({ header, device, luksUuid, sectorBytes: 4096, kdf }, passphrase));
  t.equal(result.exit, 0, result.stderr);
  return { header, device, bytes: readFileSync(header) };
};

const currentOf = async (t: Test, bytes: Buffer): Promise<HeaderCopy> => {
  const found = await readLuksHeader(readerOf(bytes), bytes.length);
  if (found.kind !== 'luks2') {
    t.fail(`not LUKS2: ${JSON.stringify(found)}`);
    throw new Error('unusable');
  }
  return found.current;
};

t.test('reads both copies of what cryptsetup formats, and the gate knows our profile', async (t) => {
  for (const kdf of ['pbkdf2', 'argon2id'] as const) {
    const { bytes } = await formatted(t, kdf);
    const found = await readLuksHeader(readerOf(bytes), bytes.length);
    t.match(found, { kind: 'luks2', primary: 'current', secondary: 'current', current: { uuid: luksUuid } });
    const gate = gateHeader(await currentOf(t, bytes));
    t.match(gate, {
      kind: 'passed',
      header: {
        segment: { offsetBytes: 16_777_216, sectorBytes: 4096, cipher: 'aes-xts-plain64', keyBytes: 64 },
        keyslots: [{ id: '0', kdf, ours: true }],
        token: null,
      },
    });
  }
});

t.test('what we render with a token is a header to cryptsetup too', async (t) => {
  const { header, device, bytes } = await formatted(t);
  const current = await currentOf(t, bytes);
  const json = {
    ...current.json,
    tokens: { '0': { type: 'triseed', keyslots: ['0'], version: 1, volume: 'data', scheme: 'two-seed' } },
  };
  const rendered = renderLuksHeader(current, json, current.sequence + 1n, [Buffer.alloc(64, 1), Buffer.alloc(64, 2)]);
  if (rendered === null) throw new Error('does not fit');
  rendered.primary.copy(bytes, 0);
  rendered.secondary.copy(bytes, rendered.primary.length);
  writeFileSync(header, bytes);
  const opened = await runCommand(luksOpen({ header, device, name: null, keyslot: '0' }, passphrase));
  t.equal(opened.exit, 0, opened.stderr);
  const dump = await runCommand({
    program: '/usr/sbin/cryptsetup',
    args: ['luksDump', '--header', header, device],
    timeoutMs: 10_000,
  });
  t.match(dump.stdout.toString(), /Tokens:\n\s+0: triseed/);
  t.ok(readFileSync(header).equals(bytes), 'cryptsetup found nothing to repair in either copy');
  t.match(gateHeader(await currentOf(t, bytes)), {
    kind: 'passed',
    header: { profile: 'triseed', token: { volume: 'data' } },
  });
});

t.test('the newest whole copy wins, whichever place is torn', async (t) => {
  const { bytes } = await formatted(t);
  const current = await currentOf(t, bytes);
  const json = { ...current.json, tokens: { '0': { type: 'other', keyslots: [] } } };
  const newer = renderLuksHeader(current, json, current.sequence + 1n, [Buffer.alloc(64), Buffer.alloc(64)]);
  if (newer === null) throw new Error('does not fit');
  const secondaryWritten = Buffer.from(bytes);
  newer.secondary.copy(secondaryWritten, newer.primary.length);
  const read = async (image: Buffer) => readLuksHeader(readerOf(image), image.length);
  t.match(await read(secondaryWritten), {
    primary: 'older',
    secondary: 'current',
    current: { sequence: current.sequence + 1n },
  });
  const primaryTorn = Buffer.from(secondaryWritten);
  newer.primary.copy(primaryTorn, 0, 0, 512);
  t.match(await read(primaryTorn), {
    primary: 'invalid',
    secondary: 'current',
    current: { sequence: current.sequence + 1n },
  });
  const secondaryTorn = Buffer.from(bytes);
  newer.secondary.copy(secondaryTorn, newer.primary.length, 0, 4096);
  t.match(await read(secondaryTorn), {
    primary: 'current',
    secondary: 'invalid',
    current: { sequence: current.sequence },
  });
  const bothTorn = Buffer.from(primaryTorn);
  bothTorn[16_384 + 5000] = (bothTorn[16_384 + 5000] ?? 0) ^ 1;
  t.match(await read(bothTorn), { kind: 'damaged' });
  const mended = Buffer.from(primaryTorn);
  const found = await currentOf(t, primaryTorn);
  copyFor('primary', found).copy(mended, 0);
  t.match(await read(mended), { primary: 'current', secondary: 'current' });
  t.match(await read(Buffer.alloc(1 << 20)), { kind: 'absent' });
});

/** Rewrites the JSON text and both checksums, as anybody who can write the disk can. */
const forge = (bytes: Buffer, change: (text: string) => string): Buffer => {
  const forged = Buffer.from(bytes);
  for (const offset of [0, 16_384]) {
    const copy = forged.subarray(offset, offset + 16_384);
    const area = copy.subarray(4096);
    const text = change(area.subarray(0, area.indexOf(0)).toString('latin1'));
    area.fill(0);
    area.write(text, 'latin1');
    copy.fill(0, 448, 512);
    createHash('sha256').update(copy).digest().copy(copy, 448);
  }
  return forged;
};

t.test('forged headers with valid checksums do not pass the gate', async (t) => {
  const { bytes } = await formatted(t);
  const forgeries: readonly [string, (text: string) => string][] = [
    [
      'null cipher in the segment',
      (x) =>
        x.replace('"iv_tweak":"0","encryption":"aes-xts-plain64"', '"iv_tweak":"0","encryption":"cipher_null-ecb"'),
    ],
    [
      'null cipher in the keyslot',
      (x) =>
        x.replace('"size":"258048","encryption":"aes-xts-plain64"', '"size":"258048","encryption":"cipher_null-ecb"'),
    ],
    [
      'ecb in the segment',
      (x) => x.replace('"iv_tweak":"0","encryption":"aes-xts-plain64"', '"iv_tweak":"0","encryption":"aes-ecb"'),
    ],
    ['iv tweak', (x) => x.replace('"iv_tweak":"0"', '"iv_tweak":"8"')],
    [
      'field in other case beside the real one',
      (x) => x.replace('"iv_tweak":"0","encryption"', '"iv_tweak":"0","Encryption":"aes-xts-plain64","encryption"'),
    ],
    ['400 million pbkdf2 iterations', (x) => x.replace('"iterations":1000', '"iterations":400000000')],
    [
      'argon2id with 4 GiB',
      (x) =>
        x.replace(
          '"kdf":{"type":"pbkdf2","hash":"sha256","iterations":1000',
          '"kdf":{"type":"argon2id","time":4,"memory":4194304,"cpus":1',
        ),
    ],
    ['data offset 0', (x) => x.replace('"offset":"16777216"', '"offset":"0"')],
    ['keyslot area over the headers', (x) => x.replace('"offset":"32768"', '"offset":"4096"')],
    ['keyslot area beyond the keyslots', (x) => x.replace('"offset":"32768"', '"offset":"16646144"')],
    [
      'a requirement',
      (x) => x.replace('"config":{', '"config":{"requirements":{"mandatory":["online-reencrypt-v2"]},'),
    ],
    ['persistent flags', (x) => x.replace('"config":{', '"config":{"flags":["allow-discards"],')],
    [
      'integrity',
      (x) =>
        x.replace(
          '"sector_size":4096',
          '"sector_size":4096,"integrity":{"type":"none","journal_encryption":"none","journal_integrity":"none"}',
        ),
    ],
    [
      'second segment',
      (x) => x.replace('"segments":{', '"segments":{"1":{"type":"linear","offset":"0","size":"512"},'),
    ],
    [
      'token of another program',
      (x) => x.replace('"tokens":{}', '"tokens":{"0":{"type":"luks2-keyring","keyslots":["0"],"key_description":"x"}}'),
    ],
    ['malformed triseed token', (x) => x.replace('"tokens":{}', '"tokens":{"0":{"type":"triseed","keyslots":["0"]}}')],
    [
      'digest without the keyslot',
      (x) =>
        x.replace('"digests":{"0":{"type":"pbkdf2","keyslots":["0"]', '"digests":{"0":{"type":"pbkdf2","keyslots":[]'),
    ],
    ['no keyslot', (x) => x.replace(/"keyslots":\{"0":.*?\}\}\},"tokens"/, '"keyslots":{},"tokens"')],
  ];
  for (const [name, change] of forgeries) {
    const forged = forge(bytes, (text) => {
      const changed = change(text);
      t.not(changed, text, `${name}: the forgery applies`);
      return changed;
    });
    t.match(gateHeader(await currentOf(t, forged)), { kind: 'refused' }, name);
  }
});

t.test('texts with two meanings are not JSON to us', async (t) => {
  const { bytes } = await formatted(t);
  for (const change of [
    (x: string) => x.replace('"iv_tweak":"0"', '"iv_tweak":"0","iv_tweak":"0"'),
    (x: string) => x.replace('"iv_tweak":"0"', '"iv_tweak":"0","iv_twea\\u006b":"0"'),
    (x: string) => `${x}x`,
  ]) {
    const found = await readLuksHeader(readerOf(forge(bytes, change)), bytes.length);
    t.match(found, { kind: 'damaged' });
  }
});
