/** Encryption certificates and their chain, as a user checks them. Everything was made by the openssl command line. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { contractCommand } from '../../agent/cli/contract.ts';
import { maximumCertificateBytes } from '../../agent/contract/certificate.ts';
import { checkRevocation, readCrl } from '../../agent/contract/crl.ts';
import type { Finding } from '../../agent/contract/types.ts';
import { type Calling, callCommand, type Ended } from '../fakes/command-line.ts';

const folder = t.testdir({});
execFileSync('sh', [join(import.meta.dirname, 'make-certificates.sh')], { cwd: folder });
const at = (name: string): string => join(folder, name);
const openssl = (...args: readonly string[]): string =>
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] }).toString();
const dayMs = 24 * 60 * 60 * 1000;
const inDays = (days: number): Date => new Date(Date.now() + days * dayMs);
const call = (args: readonly string[], calling: Calling = {}): Promise<Ended> =>
  callCommand(contractCommand, args, calling);

interface Checked {
  readonly valid: boolean;
  readonly path: readonly string[];
  readonly isAnchored: boolean;
  readonly certificate: { readonly fingerprint: string; readonly daysLeft: number };
  readonly findings: readonly Finding[];
}

const check = async (leaf: string, more: readonly string[], days = 0): Promise<Checked> => {
  const { status, stdout, stderr } = await call(['certs', 'check', at(leaf), '--json', ...more], { at: inDays(days) });
  const checked = JSON.parse(stdout || `{"error": ${JSON.stringify(stderr)}}`) as Checked;
  t.equal(status, checked.valid ? 0 : 1, `${leaf}: exit status ${stderr}`);
  return checked;
};

const given = (option: string, ...names: readonly string[]): readonly string[] =>
  names.flatMap((name) => [`--${option}`, at(name)]);
const trust = [...given('chain', 'chain.pem'), ...given('ca', 'root.crt')];
const lists = given('crl', 'signer.crl', 'ca.crl', 'root.crl');

t.test("a chain in IBM's shape, whole and offline", async (t) => {
  const { valid, findings, path, isAnchored, certificate } = await check('leaf.crt', [...trust, ...lists]);
  t.same(findings, []);
  t.ok(valid);
  t.ok(isAnchored);
  t.same(
    path.map((name) => /CN=(.*)$/.exec(name)?.[1]),
    ['Contract Encryption', 'International', 'Code Signing CA', 'Root'],
  );
  const expected = openssl('x509', '-in', 'leaf.crt', '-noout', '-fingerprint', '-sha256');
  t.equal(certificate.fingerprint, expected.replace(/^.*=/, '').replaceAll(':', '').trim().toLowerCase());
  t.throws(
    () => openssl('verify', '-CAfile', 'root.crt', '-untrusted', 'chain.pem', 'leaf.crt'),
    'path validation alone refuses it, which is why the first signature is checked by itself',
  );
});

t.test('one thing is different, and it is named', async (t) => {
  const own = (issuer: string): readonly string[] => [...trust, ...given('chain', issuer), '--crl', at('root.crl')];
  const withSigner = (crl: string): readonly string[] => [...trust, ...given('crl', crl, 'ca.crl', 'root.crl')];
  const all = withSigner('signer.crl');
  const table: Readonly<Record<string, readonly [string, readonly string[], readonly string[], number?]>> = {
    'DER, and a list in DER': ['leaf.der', withSigner('signer.der.crl'), []],
    'no lists': ['leaf.crt', trust, ['REVOCATION_NOT_CHECKED']],
    'one list of three': ['leaf.crt', [...trust, ...given('crl', 'signer.crl')], ['REVOCATION_NOT_CHECKED']],
    'nothing but the certificate': ['leaf.crt', [], ['CHAIN_NOT_CHECKED', 'REVOCATION_NOT_CHECKED']],
    'a root that signed itself': ['root.crt', [], ['CHAIN_NOT_CHECKED']],
    'the certificate itself is trusted': ['leaf.crt', given('ca', 'leaf.crt'), []],
    'no root': [
      'leaf.crt',
      [...given('chain', 'chain.pem'), ...given('crl', 'signer.crl', 'ca.crl')],
      ['CERTIFICATE_ISSUER_MISSING', 'REVOCATION_NOT_CHECKED'],
    ],
    'a root that nothing says is trusted': [
      'leaf.crt',
      [...given('chain', 'chain.pem', 'root.crt'), ...lists],
      ['CERTIFICATE_UNANCHORED'],
    ],
    'a root of the same name': [
      'leaf.crt',
      [...given('chain', 'chain.pem'), ...given('ca', 'stranger.crt'), ...given('crl', 'signer.crl', 'ca.crl')],
      ['CERTIFICATE_SIGNATURE_INVALID', 'REVOCATION_NOT_CHECKED'],
    ],
    'a root in the chain that is not the trusted one': [
      'leaf.crt',
      [...given('chain', 'chain.pem', 'root.crt'), ...given('ca', 'stranger.crt'), ...lists],
      ['CERTIFICATE_ISSUER_MISSING'],
    ],
    'no issuer': ['leaf.crt', given('ca', 'root.crt'), ['CERTIFICATE_ISSUER_MISSING', 'REVOCATION_NOT_CHECKED']],
    'an issuer of the right name with another key': [
      'forged.crt',
      withSigner('signer.crl'),
      ['CERTIFICATE_SIGNATURE_INVALID', 'REVOCATION_NOT_CHECKED', 'CRL_UNUSED', 'CRL_UNUSED', 'CRL_UNUSED'],
    ],
    'an issuer of another name with the right key': [
      'other-name.crt',
      trust,
      ['CERTIFICATE_ISSUER_DIFFERS', 'REVOCATION_NOT_CHECKED'],
    ],
    'an issuer that is for servers': [
      'by-server.crt',
      own('server.crt'),
      ['CERTIFICATE_ISSUER_NOT_ALLOWED', 'REVOCATION_NOT_CHECKED'],
    ],
    'an authority that may not sign certificates': [
      'by-bare.crt',
      own('bare-ca.crt'),
      ['CERTIFICATE_ISSUER_NOT_ALLOWED', 'REVOCATION_NOT_CHECKED'],
    ],
    'no authority above the issuer': [
      'by-under.crt',
      [...own('no-authority.crt'), ...given('chain', 'under-no-authority.crt')],
      ['CERTIFICATE_ISSUER_NOT_ALLOWED', 'REVOCATION_NOT_CHECKED'],
    ],
    'more authorities than the path length allows': [
      'too-deep.crt',
      [...own('below-ca.crt'), ...given('chain', 'deep-signer.crt')],
      ['CERTIFICATE_ISSUER_NOT_ALLOWED', 'REVOCATION_NOT_CHECKED'],
    ],
    'signed with SHA-1': ['sha1.crt', all, ['CERTIFICATE_ALGORITHM_WEAK']],
    'a critical extension nobody knows': ['strange.crt', all, ['CERTIFICATE_EXTENSION_UNKNOWN']],
    'RSA with 1024 bits': ['short.crt', all, ['CERTIFICATE_KEY_UNUSABLE']],
    'an elliptic curve': ['curve.crt', all, ['CERTIFICATE_KEY_UNUSABLE']],
    revoked: ['leaf.crt', withSigner('signer-revokes.crl'), ['CERTIFICATE_REVOKED']],
    'revoked, with a serial that fills its bits': [
      'high-serial.crt',
      withSigner('signer-revokes.crl'),
      ['CERTIFICATE_REVOKED'],
    ],
    'its issuer was revoked': [
      'leaf.crt',
      [...trust, ...given('crl', 'signer.crl', 'ca-revokes.crl', 'root.crl')],
      ['CERTIFICATE_REVOKED'],
    ],
    'a list of the right name with another key': [
      'leaf.crt',
      withSigner('false-signer.crl'),
      ['CRL_SIGNATURE_INVALID', 'REVOCATION_NOT_CHECKED'],
    ],
    'a list that covers some certificates only': [
      'leaf.crt',
      withSigner('partial.crl'),
      ['CRL_UNSUPPORTED', 'REVOCATION_NOT_CHECKED'],
    ],
    'a list of somebody else': ['root.crt', [...given('ca', 'root.crt'), ...given('crl', 'ca.crl')], ['CRL_UNUSED']],
    'lists of last month': ['leaf.crt', all, ['CRL_OUTDATED', 'CRL_OUTDATED', 'CRL_OUTDATED'], 31],
    'lists of tomorrow': [
      'leaf.crt',
      all,
      ['CERTIFICATE_NOT_YET_VALID', 'CERTIFICATE_NOT_YET_VALID', 'CERTIFICATE_NOT_YET_VALID']
        .concat('CERTIFICATE_NOT_YET_VALID')
        .concat(['CRL_OUTDATED', 'CRL_OUTDATED', 'CRL_OUTDATED']),
      -1,
    ],
    'less than 180 days left': ['leaf.crt', trust, ['CERTIFICATE_EXPIRES_SOON', 'REVOCATION_NOT_CHECKED'], 151],
    expired: ['leaf.crt', trust, ['CERTIFICATE_EXPIRED', 'REVOCATION_NOT_CHECKED'], 331],
    'its issuer expired, too': [
      'leaf.crt',
      trust,
      ['CERTIFICATE_EXPIRED', 'CERTIFICATE_EXPIRED', 'REVOCATION_NOT_CHECKED'],
      366,
    ],
  };
  for (const [name, [leaf, more, expected, days = 0]] of Object.entries(table)) {
    const { findings, valid } = await check(leaf, more, days);
    t.same(findings.map(({ code }) => code).sort(), [...expected].sort(), name);
    t.equal(valid, !findings.some(({ severity }) => severity === 'error'), name);
    for (const { hint, message } of findings) t.ok(hint.length > 10 && !/undefined|NaN/.test(message), name);
  }
});

t.test('every changed bit of a signature is seen', async (t) => {
  const der = readFileSync(at('leaf.der'));
  for (const offset of [1, 100, 255]) {
    const changed = Buffer.from(der);
    const index = changed.length - offset;
    changed[index] = (changed[index] ?? 0) ^ 0x10;
    writeFileSync(at('changed.der'), changed);
    const { findings } = await check('changed.der', trust);
    t.same(
      findings.map(({ code }) => code).sort(),
      ['CERTIFICATE_SIGNATURE_INVALID', 'REVOCATION_NOT_CHECKED'],
      `byte ${offset} from the end`,
    );
  }
});

t.test('no changed byte of a list goes unseen', async (t) => {
  openssl('crl', '-in', 'signer-revokes.crl', '-outform', 'DER', '-out', 'revokes.der');
  const der = readFileSync(at('revokes.der'));
  const leaf = new X509Certificate(readFileSync(at('leaf.crt')));
  const issuer = new X509Certificate(readFileSync(at('signer.crt')));
  const codes = async (bytes: Buffer): Promise<readonly string[]> => {
    const crl = await readCrl(bytes, 'list');
    if (crl === null) return ['unreadable'];
    const issued = { entry: { certificate: leaf, line: 1 }, role: 'certificate', issuer };
    const { findings, used } = await checkRevocation(issued, [crl], new Date());
    return used.length === 0 ? ['of somebody else'] : findings.map(({ code }) => code);
  };
  t.same(await codes(der), ['CERTIFICATE_REVOKED']);
  const seen = new Set<string>();
  for (let index = 0; index < der.length; index += 1) {
    const changed = Buffer.from(der);
    changed[index] = (changed[index] ?? 0) ^ (1 << (index % 8));
    const [answer = 'nothing'] = await codes(changed);
    if (answer === 'nothing' || answer === 'CERTIFICATE_REVOKED') t.fail(`byte ${index}: ${answer}`);
    seen.add(answer);
  }
  t.same([...seen].sort(), ['CRL_SIGNATURE_INVALID', 'of somebody else', 'unreadable']);
  for (let length = 0; length < der.length; length += 7) t.equal(await readCrl(der.subarray(0, length), 'x'), null);
  t.equal(await readCrl(Buffer.concat([der, Buffer.alloc(1)]), 'x'), null, 'something behind it');
});

t.test('show says what openssl says', async (t) => {
  const { status, stdout } = await call(['certs', 'show', at('leaf.crt'), '--json']);
  t.equal(status, 0);
  const [shown] = JSON.parse(stdout) as Record<string, unknown>[];
  const asked = (option: string): string => openssl('x509', '-in', 'leaf.crt', '-noout', option).trim();
  const hex = (text: string): string => text.replace(/^.*=/, '').replaceAll(':', '').toLowerCase();
  t.match(shown, {
    key: 'rsa 2048',
    signatureAlgorithm: 'RSASSA-PKCS1-v1_5 SHA-512',
    crlUrls: ['http://example.org/signer.crl'],
    issuerUrls: ['http://example.org/signer.crt'],
    isAuthority: false,
    serial: hex(asked('-serial')),
  });
  for (const [name, date] of [
    ['notBefore', asked('-startdate')],
    ['notAfter', asked('-enddate')],
  ] as const)
    t.equal(new Date(String(shown?.[name])).getTime(), new Date(date.replace(/^.*=/, '')).getTime(), name);
  const spki = execFileSync(
    'sh',
    ['-c', 'openssl x509 -in leaf.crt -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum'],
    { cwd: folder },
  );
  t.equal(shown?.keyFingerprint, spki.toString().slice(0, 64));
  const text = await call(['certs', 'show', at('leaf.crt')]);
  t.match(text.stdout, /CRL +http:\/\/example\.org\/signer\.crl/);
  t.match((await call(['certs', 'show', at('signer.crt')])).stdout, /code signing/);
});

t.test('list: a folder or a bundle, by the days that are left', async (t) => {
  const some = t.testdir({ 'key.pem': readFileSync(at('leaf.pem'), 'utf8'), 'notes.txt': 'x', deeper: {} });
  for (const name of ['leaf.crt', 'ca.crt', 'signer.crt', 'leaf.der']) copyFileSync(at(name), join(some, name));
  const listed = await call(['certs', 'list', some, '--json']);
  t.equal(listed.status, 0);
  const rows = JSON.parse(listed.stdout) as { path: string; daysLeft: number }[];
  t.same(
    rows.map(({ path }) => path.slice(some.length + 1)),
    ['leaf.crt', 'leaf.der', 'signer.crt', 'ca.crt'],
  );
  t.match(listed.stderr, /left out: .*key\.pem/, 'what holds no certificate is named');
  const bundle = await call(['certs', 'list', at('chain.pem')]);
  t.same(
    bundle.stdout
      .trim()
      .split('\n')
      .map((line) => /CN=(\S+)/.exec(line)?.[1]),
    ['International', 'Code'],
  );
  t.match((await call(['certs', 'list', at('leaf.crt')], { at: inDays(400) })).stdout, /^ +expired/);
});

t.test('what is no certificate', async (t) => {
  writeFileSync(at('huge.crt'), Buffer.alloc(maximumCertificateBytes + 1, 'A'));
  writeFileSync(at('many.crt'), readFileSync(at('leaf.crt'), 'utf8').repeat(65));
  writeFileSync(at('cut.crt'), readFileSync(at('leaf.crt'), 'utf8').replace(/[A-Za-z0-9+/]{64}\n/, ''));
  writeFileSync(at('cut.der'), readFileSync(at('leaf.der')).subarray(0, 300));
  writeFileSync(at('no.crl'), 'hello');
  const table: readonly (readonly [string, number, readonly string[]])[] = [
    ['a private key', 3, ['show', at('leaf.pem')]],
    ['too large', 3, ['show', at('huge.crt')]],
    ['too many', 3, ['show', at('many.crt')]],
    ['lines missing', 3, ['show', at('cut.crt')]],
    ['cut', 3, ['check', at('cut.der')]],
    ['absent', 3, ['check', at('absent.crt')]],
    ['no list', 3, ['check', at('leaf.crt'), '--crl', at('no.crl')]],
    ['a certificate is no list', 3, ['check', at('leaf.crt'), '--crl', at('leaf.crt')]],
    ['a bad time', 2, ['check', at('leaf.crt'), '--at', 'tomorrow']],
    ['no file', 2, ['show']],
    ['no such command', 2, ['chek', at('leaf.crt')]],
  ];
  for (const [name, expected, args] of table) {
    const { status, stdout, stderr } = await call(['certs', ...args]);
    t.equal(status, expected, `${name}: ${stderr}`);
    t.equal(stdout, '', name);
    t.notMatch(stderr, /internal error|PRIVATE KEY-----\n/, name);
  }
});

t.test('sealing and encrypting look at the certificate, too', async (t) => {
  const contract = join(import.meta.dirname, '../../fixtures/contracts/valid/anchors.yaml');
  const encrypt = (cert: string, days = 0): Promise<Ended> =>
    call(['encrypt', contract, '--cert', at(cert)], { at: inDays(days) });
  t.equal((await encrypt('leaf.crt')).status, 0);
  t.notMatch((await encrypt('leaf.crt')).stderr, /TSD0507/);
  const soon = await encrypt('leaf.crt', 151);
  t.equal(soon.status, 0);
  t.match(soon.stderr, /TSD05072W.*expires in/);
  for (const [name, ended] of Object.entries({
    expired: await encrypt('leaf.crt', 331),
    'not yet valid': await encrypt('leaf.crt', -1),
    'RSA with 1024 bits': await encrypt('short.crt'),
    'an elliptic curve': await encrypt('curve.crt'),
  })) {
    t.equal(ended.status, 3, name);
    t.equal(ended.stdout, '', name);
  }
});
