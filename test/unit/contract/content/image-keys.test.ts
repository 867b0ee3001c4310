/** Keys of images: good ones by their fingerprint, every other with its reason, private ones without a byte of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { contentTrustKeyProblems } from '../../../../agent/contract/content/content-trust-key.ts';
import { openpgpKeyProblems } from '../../../../agent/contract/content/openpgp-key.ts';
import { at, contentOf, told } from './content-of.ts';

const keys = join(import.meta.dirname, '../../../../fixtures/keys');
const file = (name: string): string => readFileSync(join(keys, `THROWAWAY-${name}`), 'latin1');
const base64 = (text: string | Buffer): string => Buffer.from(text as string, 'latin1').toString('base64');
const armoured = file('image-signer.asc');
const secret = file('image-signer-secret.asc');
const certificate = file('signer.crt');
/** The packets themselves, as `gpg --export` writes them. */
const binary = (text: string): Buffer =>
  Buffer.from(
    text
      .replace(/-----[^-]+-----/g, '')
      .replace(/^=.*$/m, '')
      .replace(/\s/g, ''),
    'base64',
  );

const codes = async (value: string, when = at): Promise<readonly string[]> =>
  (await openpgpKeyProblems(value, when)).map(({ code, message }) => `${code} ${message}`);

t.test('a good key is told by its fingerprint and name', async (t) => {
  const found = await codes(base64(armoured));
  t.match(found, [/^IMAGE_KEY_KNOWN .*[0-9A-F]{40} \(THROWAWAY image-signer/]);
  t.equal(found.length, 1);
  t.same(await codes(base64(armoured).replace(/(.{76})/g, '$1\n')), found, 'line breaks of base64 do not matter');
});

t.test('time changes what is said', async (t) => {
  t.match(await codes(base64(file('image-signer-2030.asc'))), [/KNOWN/]);
  t.match(await codes(base64(file('image-signer-2030.asc')), new Date('2029-11-01')), [
    /WEAK .*within 90 days/,
    /KNOWN/,
  ]);
  t.match(await codes(base64(file('image-signer-2030.asc')), new Date('2030-02-01')), [
    /UNUSABLE .*expired on 2030-01-01/,
  ]);
  t.match(await codes(base64(file('image-signer-2030.asc')), new Date('2019-01-01')), [/UNUSABLE .*begins on 20/]);
});

t.test('what is no such key is named', async (t) => {
  const table: Readonly<Record<string, readonly [string, RegExp]>> = {
    'armour without base64': [armoured, /INVALID .*not in base64/],
    'base64 twice': [base64(base64(armoured)), /INVALID .*base64 twice/],
    'not armoured': [base64(binary(armoured)), /INVALID .*not ASCII-armoured/],
    'a certificate': [base64(certificate), /INVALID .*holds a certificate/],
    'an RSA public key': [base64(file('signer.pub')), /INVALID .*holds a public key/],
    'an SSH key': [base64('ssh-ed25519 AAAA user@host'), /INVALID .*SSH key/],
    'something else': [base64('hello'), /INVALID .*something else/],
    'no base64': ['a~b~', /INVALID .*no base64/],
    'too long': ['A'.repeat(200_000), /INVALID .*too long/],
    'cut off': [base64(armoured.slice(0, 300)), /INVALID .*damaged/],
    'a changed byte': [base64(armoured.replace(/\n\n(.)/, '\n\n~')), /INVALID .*damaged/],
    empty: [base64('-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\n-----END PGP PUBLIC KEY BLOCK-----\n'), /INVALID/],
  };
  for (const [name, [value, words]] of Object.entries(table)) {
    const found = await codes(value);
    t.equal(found.length, 1, name);
    t.match(found[0], words, name);
  }
});

t.test('a private key is refused without a byte of it', async (t) => {
  const table: Readonly<Record<string, string>> = {
    'OpenPGP, armoured': base64(secret),
    'OpenPGP, not in base64': secret,
    'OpenPGP, base64 twice': base64(base64(secret)),
    'OpenPGP, not armoured': base64(binary(secret)),
    'OpenPGP under a false label': base64(secret.replaceAll('PRIVATE KEY BLOCK', 'PUBLIC KEY BLOCK')),
    PEM: base64(file('signer-key.pem')),
  };
  for (const [name, value] of Object.entries(table)) {
    const found = await contentOf(
      `play: {resources: []}\nimages: {rhs: {a.b/c: {publicKey: ${JSON.stringify(value)}}}}`,
    );
    const [said] = found.filter(({ code }) => code === 'IMAGE_KEY_PRIVATE');
    t.match(said, { severity: 'error', path: /^workload\.images\.rhs\./ }, name);
    t.notOk(
      found.some(({ code }) => code === 'IMAGE_KEY_KNOWN'),
      name,
    );
    const output = JSON.stringify(found);
    for (let start = 40; start < value.length - 12; start += 97)
      t.notOk(output.includes(value.slice(start, start + 12)));
  }
});

t.test('trust data need a certificate', async (t) => {
  const dct = (value: string, when = at) =>
    contentTrustKeyProblems(value, when).map(({ code, message }) => `${code} ${message}`);
  t.same(dct(base64(certificate)), []);
  t.match(dct(base64(certificate), new Date('2028-01-01')), [/UNUSABLE .*expired on 2027/]);
  t.match(dct(base64(file('signer-key.pem'))), [/PRIVATE/]);
  t.match(dct(base64(armoured)), [/INVALID .*pgp public key block; base64 of a PEM certificate/]);
  t.match(dct(base64(certificate.slice(0, 400))), [/INVALID .*damaged/]);
  t.match(dct(base64(file('signer.pub'))), [/INVALID .*public key/]);
});

t.test('keys of a section are found, placeholders left to their own rule', async (t) => {
  const workload = (value: string) =>
    `play: {resources: []}\nimages:\n  rhs:\n    de.icr.io/team/web:\n      publicKey: ${value}\n  dct:\n    de.icr.io/team/web: {notary: "https://n", publicKey: ${value}}\n`;
  const found = await contentOf(workload(base64('hello')));
  t.match(
    found.filter(({ code }) => code.startsWith('IMAGE')),
    [
      { path: /^workload\.images\.dct\..*publicKey$/, line: 8 },
      { path: /^workload\.images\.rhs\..*publicKey$/, line: 6 },
    ],
  );
  t.same(
    told(await contentOf(workload('REPLACE_ME'))).filter((text) => text.startsWith('IMAGE')),
    [],
  );
  t.same(
    told(await contentOf(workload('7'))).filter((text) => text.startsWith('IMAGE')),
    [],
  );
});
