/** What `contract decrypt` makes of one token under a key that it was not made for. */
import { isUtf8 } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  pbkdf2Sync,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { effectivePassphrase, iterations, renderToken } from '../../agent/contract/envelope.ts';
import { Secret } from '../../agent/secret.ts';
import { cert, guest, inFolder, keyFile, root } from './contract-cli.ts';

const main = join(root, 'agent/main.ts');

interface Ended {
  readonly status: number | null;
  readonly stderr: string;
}

const triseed = (...args: readonly string[]): Ended =>
  spawnSync(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
const idsIn = (text: string): readonly string[] => text.match(/^[A-Z]{3}\d{5}[IWE](?=:)/gm) ?? [];

/** A token for `right` of which `wrong` makes bytes with a padding that fits, and no text; and what it holds. */
const tokenThatFits = (right: KeyObject, wrong: KeyObject): readonly [string, string] => {
  const passphrase = Buffer.from('0123456789abcdef0123456789abcdef');
  const padding = constants.RSA_PKCS1_PADDING;
  const wrap = (): readonly [Buffer, Secret] => {
    const wrapped = publicEncrypt({ key: createPublicKey(right), padding }, passphrase);
    try {
      // Made up for this ciphertext, and the same each time: EVP_PKEY-RSA(7), implicit rejection.
      return [wrapped, effectivePassphrase(Secret.take(privateDecrypt({ key: wrong, padding }, wrapped)))];
    } catch {
      // As a number it is not below the other modulus.
      return wrap();
    }
  };
  const [wrappedPassphrase, made] = wrap();
  const salt = Buffer.alloc(8);
  const derive = (secret: Buffer): readonly [Buffer, Buffer] => {
    const derived = pbkdf2Sync(secret, salt, iterations, 48, 'sha256');
    return [derived.subarray(0, 32), derived.subarray(32)];
  };
  const [sealing, opening] = [derive(passphrase), made.expose(derive)];
  for (let attempt = 0; attempt < 100_000; attempt += 1) {
    const plaintext = `text ${attempt}\n`;
    const cipher = createCipheriv('aes-256-cbc', ...sealing);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const decipher = createDecipheriv('aes-256-cbc', ...opening);
    try {
      if (isUtf8(Buffer.concat([decipher.update(ciphertext), decipher.final()]))) continue;
    } catch {
      continue;
    }
    return [renderToken({ prefix: 'hyper-protect-basic', wrappedPassphrase, salt, ciphertext }), plaintext];
  }
  throw new Error('no padding fits');
};

t.test('a wrong key gives nothing, though the padding may fit', (t) => {
  const [right, wrong] = [keyFile('guest-2048-key.pem'), keyFile('other-key.pem')];
  const keyIn = (path: string): KeyObject => createPrivateKey(readFileSync(path));
  const [token, text] = tokenThatFits(keyIn(right), keyIn(wrong));
  const at = inFolder(t, { token });
  const decrypt = (key: string, ...more: readonly string[]): Ended =>
    triseed('contract', 'decrypt', at('token'), '--key', key, ...more);
  const refused = decrypt(wrong, '-o', at('out'));
  t.equal(refused.status, 1);
  t.same(idsIn(refused.stderr), ['HPL11001E'], refused.stderr);
  t.notOk(existsSync(at('out')), 'nothing is written');
  t.equal(decrypt(keyFile('signer-key.pem')).stderr, refused.stderr, 'every key that does not open it ends alike');
  t.equal(decrypt(right, '-o', at('out')).status, 0);
  t.equal(readFileSync(at('out'), 'utf8'), text);

  writeFileSync(at('binary'), Buffer.of(0xff, 0, 0xfe));
  const encrypt = ['contract', 'encrypt', at('binary'), '--section', 'raw', '--cert', cert];
  t.equal(triseed(...encrypt, '-o', at('token')).status, 0);
  t.equal(decrypt(guest).status, 1);
  t.equal(decrypt(guest, '--section', 'raw', '-o', at('out')).status, 0);
  t.strictSame(readFileSync(at('out')), readFileSync(at('binary')), 'byte for byte');
  t.equal(triseed('contract', 'decrypt', at('binary'), '--key', guest, '--section', 'raw').status, 2);
  t.end();
});
