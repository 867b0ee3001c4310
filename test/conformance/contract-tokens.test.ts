/** Grammar of tokens, key files, and one answer to every wrong ciphertext. The openssl command line: contract-openssl.test.ts. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { decryptContract, decryptContractAside } from '../../agent/contract/decrypt.ts';
import { effectivePassphrase, isToken, parseToken, renderToken } from '../../agent/contract/envelope.ts';
import { assertImplicitRejection, openToken } from '../../agent/contract/open-token.ts';
import { parsePrivateKey } from '../../agent/contract/private-key.ts';
import { drawPassphrase, sealToken } from '../../agent/contract/seal.ts';
import { AgentError, hasCode } from '../../agent/errors.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { Secret } from '../../agent/secret.ts';

const fixtures = join(import.meta.dirname, '../../fixtures');
const keyFile = (name: string): string => join(fixtures, 'keys', `THROWAWAY-${name}.pem`);
const key = (name: string) => createPrivateKey(readFileSync(keyFile(name)));
const guest = key('guest-key');
const small = key('guest-2048-key');
const other = key('other-key');
const publicSmall = createPublicKey(small);

const open = (token: string, privateKey = small): string | null =>
  openToken(token, privateKey)?.plaintext.expose((bytes) => bytes.toString('utf8')) ?? null;

interface Vector {
  readonly name: string;
  readonly key: string;
  readonly rawPassphrase: string;
  readonly effectiveLength: number;
  readonly plaintext: string;
  readonly token: string;
}

const { vectors } = JSON.parse(readFileSync(join(fixtures, 'vectors/tokens.json'), 'utf8')) as { vectors: Vector[] };

t.test('tokens made by the openssl command line open, whatever its passphrase was', async (t) => {
  for (const { name, key: file, effectiveLength, plaintext, token } of vectors) {
    const opened = openToken(token, createPrivateKey(readFileSync(join(fixtures, 'keys', file))));
    t.equal(
      opened?.plaintext.expose((bytes) => bytes.toString('base64')),
      plaintext,
      name,
    );
    t.equal(opened?.passphraseLength, effectiveLength, `${name}: length that counted`);
  }
});

t.test('the passphrase rule, by itself', async (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['AAAA\nBBBB', 'AAAA'],
    ['AAAA\0BBBB', 'AAAA'],
    ['AA\0BB\nCC', 'AA'],
    ['AA\nBB\0CC', 'AA'],
    ['AAAA\r\n', 'AAAA\r'],
    ['\nBBBB', ''],
    ['\0BBBB', ''],
    ['plain', 'plain'],
    ['', ''],
  ];
  for (const [raw, effective] of table) {
    const secret = effectivePassphrase(Secret.fromText(raw));
    t.equal(
      secret.expose((bytes) => bytes.toString('latin1')),
      effective,
      JSON.stringify(raw),
    );
  }
});

t.test('a token of a producer that uses all raw bytes opens, too', async (t) => {
  const raw = Buffer.from(vectors.find(({ name }) => name === 'LF in the middle')?.rawPassphrase ?? '', 'hex');
  const { createCipheriv, pbkdf2Sync, publicEncrypt, constants } = await import('node:crypto');
  const salt = Buffer.alloc(8, 7);
  const derived = pbkdf2Sync(raw, salt, 10_000, 48, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', derived.subarray(0, 32), derived.subarray(32));
  const ciphertext = Buffer.concat([cipher.update('type: env\n'), cipher.final()]);
  const wrappedPassphrase = publicEncrypt({ key: publicSmall, padding: constants.RSA_PKCS1_PADDING }, raw);
  t.equal(open(renderToken({ prefix: 'contract-basic', wrappedPassphrase, salt, ciphertext })), 'type: env\n');
});

t.test('our passphrases hold nothing that readers disagree about', async (t) => {
  let calls = 0;
  const biased = {
    ...entropy,
    bytes: (length: number) => Buffer.alloc(length, [0x00, 0x0a, 0x0d, 0x41][calls++] ?? 0x42),
  };
  t.equal(
    drawPassphrase(biased).expose((bytes) => bytes.toString()),
    'A'.repeat(32),
  );
  t.equal(calls, 4, 'drawn again as a whole');
});

t.test('grammar of tokens', async (t) => {
  const [{ token }] = vectors as [Vector];
  const [prefix, wrapped, body] = token.split('.') as [string, string, string];
  t.ok(parseToken(token));
  t.ok(parseToken(` ${token}\n`), 'white space around it is ignored');
  const table: Readonly<Record<string, string>> = {
    'unknown prefix': `hyper-protect-advanced.${wrapped}.${body}`,
    'two parts': `${prefix}.${wrapped}`,
    'four parts': `${token}.${body}`,
    'URL-safe base64': `${prefix}.${wrapped.replaceAll('+', '-').replaceAll('/', '_')}-.${body}`,
    'line break inside': `${prefix}.${wrapped.slice(0, 64)}\n${wrapped.slice(64)}.${body}`,
    'padding removed': `${prefix}.${wrapped.replace(/=+$/, '')}.${body.replace(/=+$/, '')}x`,
    'nothing wrapped': `${prefix}..${body}`,
    'no ciphertext': `${prefix}.${wrapped}.${Buffer.from('Salted__12345678').toString('base64')}`,
    'half a block': `${prefix}.${wrapped}.${Buffer.from(`Salted__12345678${'x'.repeat(24)}`).toString('base64')}`,
    'no magic': `${prefix}.${wrapped}.${Buffer.alloc(48).toString('base64')}`,
    empty: '',
  };
  for (const [name, text] of Object.entries(table)) t.equal(parseToken(text), null, name);
  t.ok(isToken('contract-basic.x'));
  t.notOk(isToken('type: env # hyper-protect-basic.x'));
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => parseToken(`contract-basic.${text}`) === null),
    { numRuns: 300 },
  );
});

const contractOf = (env: string): Buffer => Buffer.from(`workload: "type: workload"\nenv: ${env}\n`);
const refusalOf = async (open: () => unknown): Promise<string> => {
  try {
    await open();
  } catch (error) {
    if (error instanceof AgentError) return `${error.id} ${error.message} ${JSON.stringify(error.facts)}`;
    throw error;
  }
  return 'opened';
};
/** As a command and as a start of the guest. */
const failure = async (bytes: Buffer, privateKey = small): Promise<string> => {
  const sealed = { kind: 'sealed', bytes, source: 'test', localHostname: null } as const;
  const [command, start] = [
    await refusalOf(() => decryptContract(sealed, privateKey)),
    await refusalOf(() => decryptContractAside(sealed, privateKey)),
  ];
  return command === start ? command : `a command says ${command}, a start ${start}`;
};

t.test('every kind of wrong ciphertext gives the very same error', async (t) => {
  const token = await sealToken(entropy, Buffer.from('type: env\nlogging: {}\n'), publicSmall, 'hyper-protect-basic');
  const parsed = parseToken(token);
  if (parsed === null) throw new Error('unreachable');
  const changed = (change: Partial<typeof parsed>): Buffer => contractOf(renderToken({ ...parsed, ...change }));
  t.equal(await failure(contractOf(token)), 'opened');
  const above = Buffer.alloc(256, 0xff);
  const binary = await sealToken(entropy, Buffer.from([0xff, 0xfe, 0xfd]), publicSmall, 'hyper-protect-basic');
  const expected = await failure(
    contractOf(await sealToken(entropy, Buffer.from('x'), createPublicKey(other), 'hyper-protect-basic')),
  );
  t.match(expected, /^HPL11001E .*TOKEN_NOT_OPENED/);
  const flip = (bytes: Buffer, bit: number): Buffer => {
    const copy = Buffer.from(bytes);
    const at = Math.floor(bit / 8) % copy.length;
    copy[at] = (copy[at] ?? 0) ^ (1 << (bit % 8));
    return copy;
  };
  const wrong: Record<string, string> = {
    'a key of another length': await failure(contractOf(token), guest),
    'another key of the same length': await failure(contractOf(token), other),
    'wrapped part too short': await failure(changed({ wrappedPassphrase: parsed.wrappedPassphrase.subarray(1) })),
    'wrapped part too long': await failure(
      changed({ wrappedPassphrase: Buffer.concat([parsed.wrappedPassphrase, Buffer.alloc(1)]) }),
    ),
    'wrapped part is one byte': await failure(changed({ wrappedPassphrase: Buffer.alloc(1, 1) })),
    'wrapped part above the modulus': await failure(changed({ wrappedPassphrase: above })),
    'wrapped part is zero': await failure(changed({ wrappedPassphrase: Buffer.alloc(256) })),
    'another salt': await failure(changed({ salt: flip(parsed.salt, 0) })),
    'first block dropped': await failure(changed({ ciphertext: parsed.ciphertext.subarray(16) })),
    'plaintext is not UTF-8': await failure(contractOf(binary)),
  };
  for (const [name, error] of Object.entries(wrong)) t.equal(error, expected, name);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2047 }), async (bit) => {
      for (const bytes of [
        changed({ wrappedPassphrase: flip(parsed.wrappedPassphrase, bit) }),
        changed({ salt: flip(parsed.salt, bit) }),
      ])
        if ((await failure(bytes)) !== expected) return false;
      return true;
    }),
    { numRuns: 20, seed: 20261121 },
  );
  t.equal(
    await failure(changed({ ciphertext: flip(parsed.ciphertext, 8 * parsed.ciphertext.length - 1) })),
    expected,
    'last block changed',
  );
});

t.test('this Node does implicit rejection, for every key', async (t) => {
  for (const privateKey of [guest, small, other]) t.doesNotThrow(() => assertImplicitRejection(privateKey));
});

t.test('private key files', async (t) => {
  const pem = readFileSync(keyFile('other-key'));
  const read = (bytes: Buffer, passphrase: string | null = null): string => {
    try {
      const secret = passphrase === null ? null : Secret.fromText(passphrase);
      return String(parsePrivateKey(Secret.take(Buffer.from(bytes)), 'k.pem', secret).asymmetricKeyType);
    } catch (error) {
      return hasCode(error, 'KEY_UNUSABLE') ? error.facts.reason : String(error);
    }
  };
  const exported = (cipher: string | null): Buffer =>
    Buffer.from(
      other.export(
        cipher === null
          ? { type: 'pkcs1', format: 'pem' }
          : { type: 'pkcs8', format: 'pem', cipher, passphrase: 'geheim' },
      ),
    );
  const { generateKeyPairSync } = await import('node:crypto');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  t.equal(read(pem), 'rsa');
  t.equal(read(exported(null)), 'rsa', 'PKCS#1');
  t.equal(read(exported('aes-256-cbc'), 'geheim'), 'rsa', 'protected PKCS#8');
  t.match(read(exported('aes-256-cbc')), /passphrase and none was given/);
  t.match(read(exported('aes-256-cbc'), 'falsch'), /does not open/);
  t.match(read(Buffer.from(ec)), /no RSA key/);
  t.match(read(Buffer.from(short)), /2048 bits/);
  t.match(read(Buffer.from('hello')), /no PEM private key/);
  t.match(read(pem.subarray(0, 300)), /damaged/);
});
