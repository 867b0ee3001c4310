/**
 * Tokens and signatures against the openssl command line, both directions, by the documented recipe (IBM Cloud docs,
 * "About the contract"). What is random comes from a seed that is printed; TRISEED_SEED gives another.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decryptContract } from '../../agent/contract/decrypt.ts';
import { effectivePassphrase, type TokenPrefix } from '../../agent/contract/envelope.ts';
import { openToken } from '../../agent/contract/open-token.ts';
import { sealToken } from '../../agent/contract/seal.ts';
import { verifyContract } from '../../agent/contract/verify.ts';
import { sign } from '../../agent/contract/webcrypto.ts';
import { hasCode } from '../../agent/errors.ts';
import { Secret } from '../../agent/secret.ts';
import { type Seeded, seeded, seededEntropy } from '../fakes/seeded.ts';
import { forEachNumber, shell } from './openssl.ts';

const seed = process.env.TRISEED_SEED ?? '20261121';
const count = 500;

interface Pair {
  readonly file: string;
  /** The public key as a file, in PEM. */
  readonly publicFile: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const publicKeys = t.testdir({});
const keyFolder = join(import.meta.dirname, '../../fixtures/keys');
const pair = (name: string): Pair => {
  const file = join(keyFolder, `THROWAWAY-${name}.pem`);
  const privateKey = createPrivateKey(readFileSync(file));
  const publicKey = createPublicKey(privateKey);
  const publicFile = join(publicKeys, name);
  writeFileSync(publicFile, publicKey.export({ type: 'spki', format: 'pem' }));
  return { file, publicFile, privateKey, publicKey };
};
const pairs = [pair('guest-2048-key'), pair('guest-key')] as const;
const [small, large] = pairs;
const pairAt = (index: number): Pair => (index % 2 === 0 ? small : large);

t.setTimeout(240_000);
t.before(() => t.comment(`seed ${seed}`));

const spliced = (base: Buffer, at: number, ...bytes: readonly number[]): Buffer => {
  const copy = Buffer.from(base);
  copy.set(bytes, at);
  return copy;
};

/** 32 bytes without anything that openssl cuts at. */
const plainBytes = (random: Seeded): Buffer => Buffer.from(random.bytes(32).map((byte) => byte | 0x80));

const explicitPassphrases = (random: Seeded): readonly (readonly [name: string, raw: Buffer])[] => {
  const base = plainBytes(random);
  return [
    ['LF first, so that it is empty', spliced(base, 0, 0x0a)],
    ['LF second', spliced(base, 1, 0x0a)],
    ['LF in the middle', spliced(base, 16, 0x0a)],
    ['LF last', spliced(base, 31, 0x0a)],
    ['nothing but LF', Buffer.alloc(32, 0x0a)],
    ['NUL second', spliced(base, 1, 0x00)],
    ['NUL in the middle', spliced(base, 16, 0x00)],
    ['NUL last', spliced(base, 31, 0x00)],
    ['NUL, then LF', spliced(base, 9, 0x00, 0x41, 0x0a)],
    ['LF, then NUL', spliced(base, 9, 0x0a, 0x41, 0x00)],
    ['CR first', spliced(base, 0, 0x0d)],
    ['CR in the middle', spliced(base, 16, 0x0d)],
    ['CR last', spliced(base, 31, 0x0d)],
    ['CR and LF', spliced(base, 16, 0x0d, 0x0a)],
    ['CR and LF last', spliced(base, 30, 0x0d, 0x0a)],
    ['white space at both ends', spliced(spliced(base, 0, 0x20, 0x09), 30, 0x09, 0x20)],
    ['all bytes 0xff', Buffer.alloc(32, 0xff)],
    ['text that is UTF-8', Buffer.from('schöne Grüße, 世界 😀')],
    ['bytes that are no UTF-8', Buffer.from([0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf8, 0x80, 0xfe])],
    ['one byte', Buffer.from('x')],
    ['base64 text', Buffer.from(base.toString('base64').slice(0, 32))],
    ['as long as RSA-2048 can wrap', Buffer.from(random.bytes(245).map((byte) => byte | 0x80))],
  ];
};

/** As the recipe draws them; every second one gets a byte that openssl treats in its own way. */
const randomPassphrase = (random: Seeded, index: number): Buffer => {
  const raw = random.bytes(32);
  if (index % 2 === 1) raw[1 + random.below(31)] = random.pick([0x00, 0x0a, 0x0d]);
  // With a NUL in front openssl refuses to encrypt.
  if (raw[0] === 0) raw[0] = 0x0a;
  return raw;
};

const lengths = [0, 1, 15, 16, 17, 31, 32, 4096];
const plaintextFor = (random: Seeded, index: number): Buffer =>
  Buffer.from(random.bytes(lengths[index % 16] ?? random.below(300)).toString('base64'));

/** The documented recipe for case $i: a passphrase in raw.$i, a plaintext in plain.$i, a public key in $i.pub. */
const sealScript = `
openssl pkeyutl -encrypt -pubin -inkey $i.pub -in raw.$i -out wrapped.$i
openssl enc -aes-256-cbc -pbkdf2 -pass stdin -in plain.$i -out body.$i < raw.$i`;

const openScript = `
openssl pkeyutl -decrypt -inkey $i.key -in wrapped.$i -out raw.$i
openssl enc -d -aes-256-cbc -pbkdf2 -pass stdin -in body.$i -out plain.$i < raw.$i`;

const tokenIn = (folder: string, index: number, prefix: string): string => {
  const part = (name: string): string => readFileSync(join(folder, `${name}.${index}`)).toString('base64');
  return `${prefix}.${part('wrapped')}.${part('body')}`;
};

const prefixAt = (index: number): TokenPrefix => (index % 3 === 0 ? 'contract-basic' : 'hyper-protect-basic');

t.test(`${count} tokens made by openssl open here`, async (t) => {
  const random = seeded(`tokens by openssl ${seed}`);
  const folder = t.testdir({});
  const explicit = explicitPassphrases(random);
  const cases = Array.from({ length: count }, (_, index) => {
    const [name, raw] = explicit[index >> 1] ?? [`random ${index}`, randomPassphrase(random, index)];
    return { name: `${name}, RSA-${index % 2 === 0 ? 2048 : 4096}`, raw, plaintext: plaintextFor(random, index) };
  });
  for (const [index, { raw, plaintext }] of cases.entries()) {
    writeFileSync(join(folder, `raw.${index}`), raw);
    writeFileSync(join(folder, `plain.${index}`), plaintext);
    symlinkSync(pairAt(index).publicFile, join(folder, `${index}.pub`));
  }
  await forEachNumber(count, folder, sealScript);
  for (const [index, { name, raw, plaintext }] of cases.entries()) {
    const opened = openToken(tokenIn(folder, index, prefixAt(index)), pairAt(index).privateKey);
    const text = opened?.plaintext.expose((bytes) => bytes.toString()) ?? null;
    const length = effectivePassphrase(Secret.take(Buffer.from(raw))).length;
    const found = { text, length: opened?.passphraseLength };
    t.strictSame(found, { text: plaintext.toString(), length }, `${index}: ${name}`);
  }
});

t.test('a passphrase that begins with NUL makes no token: openssl refuses', async (t) => {
  const folder = t.testdir({ raw: '\0abc\n', plain: 'x' });
  const sealing = shell(folder, 'openssl enc -aes-256-cbc -pbkdf2 -pass stdin -in plain < raw');
  await t.rejects(sealing, { message: /password/ });
});

/** Lets openssl open `tokens`; the plaintexts. */
const openWithOpenssl = async (folder: string, tokens: readonly string[]): Promise<readonly string[]> => {
  for (const [index, token] of tokens.entries()) {
    const [, wrapped = '', body = ''] = token.split('.');
    writeFileSync(join(folder, `wrapped.${index}`), Buffer.from(wrapped, 'base64'));
    writeFileSync(join(folder, `body.${index}`), Buffer.from(body, 'base64'));
    symlinkSync(pairAt(index).file, join(folder, `${index}.key`));
  }
  await forEachNumber(tokens.length, folder, openScript);
  return tokens.map((_, index) => readFileSync(join(folder, `plain.${index}`), 'utf8'));
};

t.test(`${count} tokens made here open with openssl`, async (t) => {
  const random = seeded(`tokens by us ${seed}`);
  const entropy = seededEntropy(`entropy ${seed}`);
  const plaintexts = Array.from({ length: count }, (_, index) => plaintextFor(random, index));
  const tokens: string[] = [];
  for (const [index, plaintext] of plaintexts.entries()) {
    tokens.push(await sealToken(entropy, plaintext, pairAt(index).publicKey, prefixAt(index)));
  }
  const opened = await openWithOpenssl(t.testdir({}), tokens);
  for (const [index, plaintext] of plaintexts.entries()) {
    t.equal(opened[index], plaintext.toString(), `${index}: ${plaintext.length} bytes, ${prefixAt(index)}`);
  }
});

t.test('an archive of several megabytes, both ways', async (t) => {
  const folder = t.testdir({});
  const plaintext = Buffer.from(`type: workload\ncompose:\n  archive: ${'QUJD'.repeat(750_000)}\n`);
  const token = await sealToken(seededEntropy(seed), plaintext, small.publicKey, 'hyper-protect-basic');
  const [opened] = await openWithOpenssl(folder, [token]);
  t.ok(opened === plaintext.toString(), 'ours, by openssl');
  symlinkSync(small.publicFile, join(folder, '0.pub'));
  await forEachNumber(1, folder, sealScript);
  const theirs = openToken(tokenIn(folder, 0, 'hyper-protect-basic'), small.privateKey);
  t.ok(
    theirs?.plaintext.expose((bytes) => bytes.equals(plaintext)),
    'theirs, by us',
  );
});

interface Sections {
  readonly workload: string;
  readonly env: string;
}

const signers = [pair('signer-key'), large] as const;
const signerAt = (index: number): Pair => signers[index % 2] ?? signers[0];

/** Plain sections with every kind of line break, in the form they are delivered in. */
const sectionsFor = (random: Seeded, index: number): Sections => {
  const end = random.pick(['\n', '\r\n', '\n\n', '']);
  const filler = Array.from({ length: random.below(5) }, () => `# ${random.bytes(12).toString('base64')} é`);
  const key = readFileSync(signerAt(index).publicFile, 'base64');
  return {
    workload: ['type: workload', ...filler].join(random.pick(['\n', '\r\n'])) + end,
    env: ['type: env', `signingKey: ${key}`, ...filler].join('\n') + end,
  };
};

const withoutLineBreaks = (text: string): string => text.replace(/[\r\n]/g, '');

/** JSON is YAML, and keeps every character of a section. */
const contractOf = (sections: Sections, signature: Buffer): Buffer =>
  Buffer.from(JSON.stringify({ ...sections, envWorkloadSignature: signature.toString('base64') }));

const judge = (bytes: Buffer): string => {
  const opened = decryptContract({ kind: 'sealed', bytes, source: 'test', localHostname: null }, null);
  try {
    const { findings } = verifyContract(opened, { trustedSigners: [], at: new Date('2026-06-01T00:00:00Z') });
    return findings.some(({ code }) => code === 'SIGNATURE_WITHOUT_LINE_BREAKS') ? 'without line breaks' : 'exact';
  } catch (error) {
    if (hasCode(error, 'CONTRACT_SIGNATURE_INVALID')) return 'invalid';
    throw error;
  }
};

const damaged = (random: Seeded, signature: Buffer): Buffer => {
  const copy = Buffer.from(signature);
  const at = 1 + random.below(copy.length - 1);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
};

t.test(`${count} signatures by openssl, as they are and by the recipe that drops line breaks`, async (t) => {
  const random = seeded(`signatures by openssl ${seed}`);
  const folder = t.testdir({});
  const cases = Array.from({ length: count }, (_, index) => {
    const sections = sectionsFor(random, index);
    return { sections, text: sections.workload + sections.env, drops: index % 4 < 2 };
  });
  for (const [index, { text, drops }] of cases.entries()) {
    writeFileSync(join(folder, `text.${index}`), text);
    writeFileSync(join(folder, `drop.${index}`), drops ? '\\n\\r' : '\\0');
    symlinkSync(signerAt(index).file, join(folder, `${index}.key`));
  }
  const signScript = 'tr -d "$(cat drop.$i)" < text.$i | openssl dgst -sha256 -sign $i.key -out signature.$i';
  await forEachNumber(count, folder, signScript);
  for (const [index, { sections, text, drops }] of cases.entries()) {
    const signature = readFileSync(join(folder, `signature.${index}`));
    const expected = drops && withoutLineBreaks(text) !== text ? 'without line breaks' : 'exact';
    t.equal(judge(contractOf(sections, signature)), expected, `${index}: ${expected}`);
    if (index % 10 > 0) continue;
    t.equal(judge(contractOf(sections, damaged(random, signature))), 'invalid', `${index}: one bit changed`);
  }
});

t.test(`${count} signatures made here verify with openssl`, async (t) => {
  const random = seeded(`signatures by us ${seed}`);
  const folder = t.testdir({});
  for (let index = 0; index < count; index += 1) {
    const { workload, env } = sectionsFor(random, index);
    const message = index % 4 < 2 ? withoutLineBreaks(workload + env) : workload + env;
    const signature = await sign(Buffer.from(message), signerAt(index).privateKey);
    writeFileSync(join(folder, `text.${index}`), message);
    // Each tenth is damaged, to see that the judge judges.
    writeFileSync(join(folder, `signature.${index}`), index % 10 === 0 ? damaged(random, signature) : signature);
    symlinkSync(signerAt(index).publicFile, join(folder, `${index}.pub`));
  }
  const verifyScript =
    'openssl dgst -sha256 -verify $i.pub -signature signature.$i text.$i > verdict.$i 2> said.$i || :';
  await forEachNumber(count, folder, verifyScript);
  for (let index = 0; index < count; index += 1) {
    const verdict = readFileSync(join(folder, `verdict.${index}`), 'utf8').trim();
    const expected = index % 10 === 0 ? 'Verification failure' : 'Verified OK';
    t.equal(verdict, expected, `${index}: ${expected}`);
  }
});
