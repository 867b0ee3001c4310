/** `contract encrypt`, `contract sign` and the certificates contracts expire with, with openssl as the judge. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { contractCommand } from '../../agent/cli/contract.ts';
import { parseToken } from '../../agent/contract/envelope.ts';
import { parseStrictYaml } from '../../agent/contract/strict-yaml.ts';
import { type Calling, callCommand, type Ended } from '../fakes/command-line.ts';

const fixtures = join(import.meta.dirname, '../../fixtures');
const key = (name: string): string => join(fixtures, 'keys', `THROWAWAY-${name}`);
const part = (name: string): string => readFileSync(join(fixtures, 'contracts/parts', name), 'utf8');
const [workload, env] = [part('workload.yaml'), part('env.yaml')];
const block = (text: string): string => text.replace(/^(?=.)/gm, '  ');
const now = new Date('2026-06-01T00:00:00Z');
const call = (args: readonly string[], calling: Calling = {}): Promise<Ended> =>
  callCommand(contractCommand, args, { at: now, ...calling });
const done = async (t: Test, args: readonly string[], calling: Calling = {}): Promise<Ended> => {
  const ended = await call(args, calling);
  t.equal(ended.status, 0, `${args[0]}: ${ended.stderr}`);
  return ended;
};
const openssl = (args: readonly string[], input: string | Buffer = ''): Buffer =>
  execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'pipe'] });

/** Everything a deployer may care about, around and between the sections. */
const plain = `# who: the deployers, 2026
zone: "eu"   # not read by any guest
workload: | # the vendor's
${block(workload)}
# between
env: |
${block(env)}attestationPublicKey: |
${block(readFileSync(key('signer.pub'), 'utf8'))}# the end
`;
const [guest, cert, signer] = [key('guest-key.pem'), key('guest.crt'), key('signer-key.pem')];
const value = (text: string, name: string): string => {
  const read = parseStrictYaml(text);
  return read.kind === 'parsed' ? String((read.document.value as Record<string, unknown>)[name]) : '';
};
const place = (t: Test, content: Readonly<Record<string, string>> = { 'plain.yaml': plain }) => {
  const folder = t.testdir(content);
  return (name: string): string => join(folder, name);
};

const judged = t.testdir({});

/** What the documented commands make of a token. */
const openedByOpenssl = (text: string, keyFile: string): Buffer => {
  const token = parseToken(text);
  if (token === null) throw new Error('no token');
  const passphrase = openssl(['pkeyutl', '-decrypt', '-inkey', keyFile], token.wrappedPassphrase);
  const body = join(judged, 'body');
  writeFileSync(body, Buffer.concat([Buffer.from('Salted__'), token.salt, token.ciphertext]));
  return openssl(['enc', '-d', '-aes-256-cbc', '-pbkdf2', '-pass', 'stdin', '-in', body], passphrase);
};

const verifiedByOpenssl = (contract: string, publicKey: string): boolean => {
  const signature = join(judged, 'signature');
  writeFileSync(signature, Buffer.from(value(contract, 'envWorkloadSignature'), 'base64'));
  const message = `${value(contract, 'workload')}${value(contract, 'env')}`;
  try {
    openssl(['dgst', '-sha256', '-verify', publicKey, '-signature', signature], message);
    return true;
  } catch {
    return false;
  }
};

t.test('encrypt changes the sections and not one other byte', async (t) => {
  const at = place(t);
  const { stderr } = await done(t, ['encrypt', at('plain.yaml'), '--cert', cert, '-o', at('encrypted.yaml')]);
  t.match(stderr, /encrypted workload, env, attestationPublicKey; not signed/);
  t.match(stderr, /5 lines of comments .* stay readable/);
  const text = readFileSync(at('encrypted.yaml'), 'utf8');
  const token = 'hyper-protect-basic\\.[A-Za-z0-9+/=]+\\.[A-Za-z0-9+/=]+';
  t.match(
    text,
    new RegExp(
      `^# who: the deployers, 2026\nzone: "eu"   # not read by any guest\nworkload: ${token} # the vendor's\n\n?# between\nenv: ${token}\nattestationPublicKey: ${token}\n# the end\n$`,
    ),
  );
  for (const [name, expected] of [
    ['workload', value(plain, 'workload')],
    ['env', value(plain, 'env')],
    ['attestationPublicKey', value(plain, 'attestationPublicKey')],
  ] as const)
    t.equal(
      openedByOpenssl(value(text, name), guest).toString(),
      expected,
      `${name} opens with openssl, byte for byte`,
    );
  const again = await done(t, ['encrypt', at('encrypted.yaml'), '--cert', cert]);
  t.equal(again.stdout, text, 'tokens stay as they are');
  t.match(again.stderr, /encrypted already/);
});

t.test('one document, one token', async (t) => {
  const at = place(t, { workload, env, raw: 'no: [yaml', key: readFileSync(key('signer.pub'), 'utf8') });
  const table: readonly (readonly [string, string, readonly string[], RegExp])[] = [
    ['workload', 'workload', [], /^hyper-protect-basic\./],
    ['env', 'env', ['--profile', 'ccrt'], /^contract-basic\./],
    ['env', 'env', ['--prefix', 'contract-basic'], /^contract-basic\./],
    ['env', 'env', ['--profile', 'ccrt', '--prefix', 'hyper-protect-basic'], /^hyper-protect-basic\./],
    ['raw', 'raw', [], /^hyper-protect-basic\./],
    ['attestationPublicKey', 'key', [], /^hyper-protect-basic\./],
  ];
  for (const [section, file, more, prefix] of table) {
    const { stdout } = await done(t, ['encrypt', at(file), '--section', section, '--cert', cert, ...more]);
    t.match(stdout, prefix, `${section} ${more}`);
    t.match(stdout, /^[^\n]+\n$/, 'one line');
    t.equal(openedByOpenssl(stdout, guest).toString(), readFileSync(at(file), 'utf8'), `${section}: the very bytes`);
  }
  const { stdout } = await done(t, ['encrypt', '-', '--section', 'workload', '--cert', cert, '--json'], {
    input: workload,
  });
  const json = JSON.parse(stdout);
  t.match(json, { encrypted: ['workload'], prefix: 'hyper-protect-basic', token: /^hyper-protect-basic\.\S+$/ });
  t.equal(
    json.recipient.certificate,
    openssl(['x509', '-in', cert, '-noout', '-fingerprint', '-sha256'])
      .toString()
      .trim()
      .replace(/^.*=/, '')
      .replaceAll(':', '')
      .toLowerCase(),
  );
});

t.test('what encrypt refuses', async (t) => {
  const at = place(t, {
    plain,
    workload,
    env,
    broken: env.replace('type: env', 'type: envy'),
    brokenContract: plain.replace('type: env', 'type: envy'),
    aliased: plain.replace('env: |', 'env: &x |').replace('# the end\n', 'copy: *x\n'),
  });
  await done(t, ['sign', at('plain'), '--key', signer, '-o', at('signed')]);
  await done(t, ['encrypt', at('workload'), '--section', 'workload', '--cert', cert, '-o', at('token')]);
  const table: Readonly<Record<string, readonly [number, RegExp, readonly string[]]>> = {
    'a signed contract': [1, /contract seal/, [at('signed')]],
    'a section with a fault': [1, /WRONG_VALUE/, [at('broken'), '--section', 'env']],
    'a contract with a fault': [1, /WRONG_VALUE/, [at('brokenContract')]],
    'env given as workload': [1, /WRONG_VALUE/, [at('env'), '--section', 'workload']],
    'a contract given as section': [1, /whole contract/, [at('plain'), '--section', 'env']],
    'a section given as contract': [1, /MISSING_KEY/, [at('env')]],
    'a token given as section': [1, /token already/, [at('token'), '--section', 'workload']],
    'a section that is used elsewhere': [1, /without anchors/, [at('aliased')]],
    'a key that is none': [1, /ATTESTATION_KEY_INVALID/, [at('env'), '--section', 'attestationPublicKey']],
    'a private key as recipient': [3, /private key, which must stay/, [at('plain'), '--cert', guest]],
    'no such section': [2, /Allowed choices/, [at('plain'), '--section', 'boot']],
    'no such prefix': [2, /Allowed choices/, [at('plain'), '--prefix', 'basic']],
    'over the input': [2, /--in-place/, [at('plain'), '-o', at('plain')]],
    'twice to standard output': [2, /both claim/, [at('plain'), '--json', '-o', '-']],
  };
  for (const [name, [status, words, args]] of Object.entries(table)) {
    const ended = await call(['encrypt', ...(args.includes('--cert') ? [] : ['--cert', cert]), ...args]);
    t.equal(ended.status, status, `${name}: ${ended.stderr}`);
    t.match(ended.stderr, words, name);
    t.equal(ended.stdout, '', name);
    t.notMatch(ended.stderr, /env_phrase|workload_phrase/, `${name}: no secret`);
  }
  t.equal(readFileSync(at('plain'), 'utf8'), plain, 'the input is untouched');
});

t.test('recipients in every form', async (t) => {
  const at = place(t, { plain: workload });
  const certificate = readFileSync(cert, 'utf8');
  const publicKey = openssl(['pkey', '-in', guest, '-pubout']).toString();
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const forms: Readonly<Record<string, string | Buffer>> = {
    certificate,
    'certificate after its description': openssl(['x509', '-in', cert, '-text']),
    'certificate in DER': openssl(['x509', '-in', cert, '-outform', 'DER']),
    'CR LF': certificate.replaceAll('\n', '\r\n'),
    'public key': publicKey,
    'public key in DER': openssl(['pkey', '-in', guest, '-pubout', '-outform', 'DER']),
    'base64 of a certificate': base64(certificate),
    'base64 twice': base64(base64(publicKey)),
  };
  for (const [name, content] of Object.entries(forms)) {
    writeFileSync(at('recipient'), content);
    const { stdout } = await done(t, ['encrypt', at('plain'), '--section', 'workload', '--cert', at('recipient')]);
    t.equal(openedByOpenssl(stdout, guest).toString(), workload, name);
  }
});

t.test('sign adds two lines and changes nothing', async (t) => {
  const at = place(t);
  const { stderr } = await done(t, ['sign', at('plain.yaml'), '--key', signer, '-o', at('signed.yaml')]);
  t.match(stderr, /signingKey was added/);
  t.match(stderr, /workload and env stay plain/);
  const text = readFileSync(at('signed.yaml'), 'utf8');
  const added = text.split('\n').filter((line) => !plain.split('\n').includes(line));
  t.equal(added.length, 2);
  t.match(added, [/^ {2}signingKey: LS0t/, /^envWorkloadSignature: [A-Za-z0-9+/=]+$/]);
  t.equal(
    text
      .split('\n')
      .filter((line) => !added.includes(line))
      .join('\n'),
    plain,
    'every other byte',
  );
  t.ok(verifiedByOpenssl(text, key('signer.pub')));
  t.notOk(verifiedByOpenssl(text.replace('env_phrase_00000001', 'env_phrase_00000002'), key('signer.pub')));
  await done(t, ['verify', at('signed.yaml'), '--signer', key('signer.pub')]);

  const again = await done(t, ['sign', at('signed.yaml'), '--key', signer, '--json']);
  t.match(JSON.parse(again.stdout), { signed: true, signingKey: 'fits', replaced: true, contract: text.trimEnd() });
  t.equal((await call(['sign', at('signed.yaml'), '--key', key('other-key.pem')])).status, 1, 'another key inside');
  await done(t, ['sign', at('plain.yaml'), '--key', signer, '--in-place']);
  t.equal(readFileSync(at('plain.yaml'), 'utf8'), text, 'the same key gives the same signature');
});

t.test('signing around tokens', async (t) => {
  const withKey = `${env}signingKey: ${readFileSync(key('signer.pub')).toString('base64')}\n`;
  const at = place(t, { withKey, without: env, 'plain.yaml': plain });
  const tokenOf = async (name: string): Promise<string> =>
    (await done(t, ['encrypt', at(name), '--section', 'env', '--cert', cert])).stdout.trim();
  const contract = (token: string): string => `# mine\nworkload: |\n${block(workload)}env: ${token}\n`;
  writeFileSync(at('fits.yaml'), contract(await tokenOf('withKey')));
  writeFileSync(at('without.yaml'), contract(await tokenOf('without')));
  const open = ['--decrypt-key', guest];
  const fits = await done(t, ['sign', at('fits.yaml'), '--key', signer, ...open]);
  t.match(fits.stderr, /belongs to this key/);
  t.ok(verifiedByOpenssl(fits.stdout, key('signer.pub')));
  t.ok(fits.stdout.startsWith(readFileSync(at('fits.yaml'), 'utf8')), 'the signature is appended');
  const unknown = await done(t, ['sign', at('fits.yaml'), '--key', signer]);
  t.match(unknown.stderr, /warning: .*not checked/);
  t.equal(unknown.stdout, fits.stdout);
  const table: Readonly<Record<string, readonly [RegExp, readonly string[]]>> = {
    'another key inside': [/does not belong/, [at('fits.yaml'), '--key', key('other-key.pem'), ...open]],
    'no key inside': [/holds no signingKey/, [at('without.yaml'), '--key', signer, ...open]],
    'a token that does not open': [/TOKEN_NOT_OPENED/, [at('fits.yaml'), '--key', signer, '--decrypt-key', signer]],
  };
  for (const [name, [words, args]] of Object.entries(table)) {
    const ended = await call(['sign', ...args]);
    t.equal(ended.status, 1, name);
    t.match(ended.stderr, words, name);
    t.equal(ended.stdout, '', name);
  }
  const nested = await call(['sign', '-', '--key', signer], {
    input: `workload:\n${block(workload)}env: |\n${block(env)}`,
  });
  t.equal(nested.status, 1);
  t.match(nested.stderr, /workload is a mapping/);
});

t.test('JSON, CR LF and quoted sections keep their form', async (t) => {
  const forms: Readonly<Record<string, string>> = {
    JSON: JSON.stringify({ workload, env, zone: 'eu' }),
    'JSON over lines': JSON.stringify({ workload, env, zone: 'eu' }, null, 2),
    'CR LF': plain.replaceAll('\n', '\r\n'),
    'byte order mark': `\u{feff}${plain}`,
    'end of document': `---\n${plain}...\n`,
  };
  for (const [name, text] of Object.entries(forms)) {
    const signed = await done(t, ['sign', '-', '--key', signer], { input: text });
    t.ok(verifiedByOpenssl(signed.stdout, key('signer.pub')), name);
    const encrypted = await done(t, ['encrypt', '-', '--cert', cert], { input: text });
    t.equal(openedByOpenssl(value(encrypted.stdout, 'env'), guest).toString(), env, name);
    if (name.startsWith('JSON')) for (const { stdout } of [signed, encrypted]) t.doesNotThrow(() => JSON.parse(stdout));
    t.equal(signed.stdout.startsWith('\u{feff}'), text.startsWith('\u{feff}'), name);
    if (name === 'CR LF') t.notMatch(signed.stdout, /[^\r]\n/, 'no other line ends');
  }
});

t.test('keys from 2048 to 8192 bits, both directions', async (t) => {
  const at = place(t, { plain: workload, contract: plain });
  openssl(['genrsa', '-out', at('3072.pem'), '3072']);
  const files = { 2048: key('guest-2048-key.pem'), 3072: at('3072.pem'), 4096: guest, 8192: key('guest-8192-key.pem') };
  for (const [bits, file] of Object.entries(files)) {
    writeFileSync(at('public'), openssl(['pkey', '-in', file, '-pubout']));
    const { stdout } = await done(t, ['encrypt', at('plain'), '--section', 'workload', '--cert', at('public')]);
    t.equal(openedByOpenssl(stdout, file).toString(), workload, `${bits}: openssl opens ours`);
    const passphrase = Buffer.from('0123456789abcdef0123456789abcdef');
    const wrapped = openssl(['pkeyutl', '-encrypt', '-pubin', '-inkey', at('public')], passphrase).toString('base64');
    const body = openssl(['enc', '-aes-256-cbc', '-pbkdf2', '-pass', 'stdin', '-in', at('plain')], passphrase).toString(
      'base64',
    );
    const opened = await done(t, ['decrypt', '-', '--key', file], { input: `contract-basic.${wrapped}.${body}` });
    t.equal(opened.stdout, workload, `${bits}: ours opens openssl's`);
    const signed = await done(t, ['sign', at('contract'), '--key', file]);
    t.ok(verifiedByOpenssl(signed.stdout, at('public')), `${bits}: openssl verifies our signature`);
    const ours = value(signed.stdout, 'envWorkloadSignature');
    const message = `${value(signed.stdout, 'workload')}${value(signed.stdout, 'env')}`;
    const theirs = openssl(['dgst', '-sha256', '-sign', file], message).toString('base64');
    t.equal(theirs, ours, `${bits}: the same signature`);
  }
});

t.test('key files in every form openssl writes', async (t) => {
  const at = place(t, { contract: plain, passphrase: 'kennwort\n' });
  const forms: Readonly<Record<string, readonly string[]>> = {
    'PKCS#1': ['rsa', '-traditional', '-in', signer],
    'PKCS#8': ['pkcs8', '-topk8', '-nocrypt', '-in', signer],
    'PKCS#8 with AES': ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-passout', `file:${at('passphrase')}`, '-in', signer],
    'PKCS#8 with scrypt': ['pkcs8', '-topk8', '-scrypt', '-passout', `file:${at('passphrase')}`, '-in', signer],
    'PKCS#1 with AES': ['rsa', '-traditional', '-aes256', '-passout', `file:${at('passphrase')}`, '-in', signer],
  };
  for (const [name, args] of Object.entries(forms)) {
    writeFileSync(at('key.pem'), openssl(args));
    const sign = ['sign', at('contract'), '--key', at('key.pem')];
    const isProtected = name.includes('with');
    const signed = await done(t, isProtected ? [...sign, '--key-passphrase-file', at('passphrase')] : sign);
    t.ok(verifiedByOpenssl(signed.stdout, key('signer.pub')), name);
    if (!isProtected) continue;
    const refused = await call(sign);
    t.equal(refused.status, 3, `${name}: no passphrase`);
    writeFileSync(at('wrong'), 'falsch');
    const wrong = await call([...sign, '--key-passphrase-file', at('wrong')]);
    t.equal(wrong.status, 3, `${name}: wrong passphrase`);
    t.notMatch(`${refused.stderr}${wrong.stderr}`, /kennwort|falsch/);
  }
  openssl(['ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', at('curve.pem')]);
  openssl(['genrsa', '-out', at('short.pem'), '1024']);
  for (const name of ['curve.pem', 'short.pem'])
    t.equal((await call(['sign', at('contract'), '--key', at(name)])).status, 3, name);
});

t.test("a certificate of the team's own authority", async (t) => {
  const at = place(t, { contract: plain, empty: '' });
  openssl([
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    at('ca.pem'),
    '-out',
    at('ca.crt'),
    '-subj',
    '/O=Team Grün/CN=CA',
    '-utf8',
    '-days',
    '999',
  ]);
  await done(t, ['certs', 'request', '--key', signer, '--common-name', 'orders team', '-o', at('request.csr')]);
  t.match(
    openssl(['req', '-in', at('request.csr'), '-noout', '-verify', '-subject', '-nameopt', 'utf8']).toString(),
    /CN ?= ?orders team/,
  );
  openssl([
    'x509',
    '-req',
    '-in',
    at('request.csr'),
    '-CA',
    at('ca.crt'),
    '-CAkey',
    at('ca.pem'),
    '-days',
    '90',
    '-out',
    at('signer.crt'),
  ]);
  const today = { at: new Date() };
  const signed = await done(t, ['sign', at('contract'), '--key', signer, '--signer-cert', at('signer.crt')], today);
  t.match(signed.stderr, /expires with .*signer\.crt/);
  const verify = (days: number): Promise<Ended> =>
    call(['verify', '-', '--signer', key('signer.pub'), '--json'], {
      input: signed.stdout,
      at: new Date(Date.now() + days * 86_400_000),
    });
  t.equal((await verify(0)).status, 0);
  t.match((await verify(91)).stderr, /HPL12007E/);
  t.match((await verify(-1)).stderr, /TSD05001E/);
  const sealed = await done(
    t,
    ['seal', at('contract'), '--cert', cert, '--key', signer, '--signer-cert', at('signer.crt')],
    today,
  );
  t.equal((await call(['verify', '-', '--decrypt-key', guest], { input: sealed.stdout, ...today })).status, 0);

  const table: Readonly<Record<string, readonly [number, readonly string[], Calling?]>> = {
    'of another key': [
      3,
      ['sign', at('contract'), '--key', key('other-key.pem'), '--signer-cert', at('signer.crt')],
      today,
    ],
    expired: [
      3,
      ['sign', at('contract'), '--key', signer, '--signer-cert', at('signer.crt')],
      { at: new Date(Date.now() + 91 * 86_400_000) },
    ],
    'no certificate': [3, ['sign', at('contract'), '--key', signer, '--signer-cert', key('signer.pub')]],
    'a name too long': [2, ['certs', 'request', '--key', signer, '--common-name', 'x'.repeat(65)]],
    'no name': [2, ['certs', 'request', '--key', signer]],
    'two ends': [
      2,
      [
        'seal',
        at('contract'),
        '--cert',
        cert,
        '--key',
        signer,
        '--signer-cert',
        at('signer.crt'),
        '--expires-days',
        '3',
      ],
    ],
    'a request without days': [
      2,
      ['seal', at('contract'), '--cert', cert, '--key', signer, '--csr', at('request.csr')],
    ],
  };
  for (const [name, [status, args, calling]] of Object.entries(table)) {
    const ended = await call(args, calling);
    t.equal(ended.status, status, `${name}: ${ended.stderr}`);
    t.equal(ended.stdout, '', name);
  }
});

t.test('--csr: whose certificate it becomes', async (t) => {
  const at = place(t, { contract: plain });
  openssl([
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    at('ca.pem'),
    '-out',
    at('ca.crt'),
    '-subj',
    '/O=Team Grün/CN=CA',
    '-utf8',
    '-days',
    '999',
  ]);
  openssl(['req', '-new', '-key', signer, '-subj', '/C=DE/O=Örders/CN=orders', '-utf8', '-out', at('own.csr')]);
  openssl(['req', '-new', '-key', key('other-key.pem'), '-subj', '/CN=other', '-out', at('other.csr')]);
  writeFileSync(at('own.der'), openssl(['req', '-in', at('own.csr'), '-outform', 'DER']));
  const der = readFileSync(at('own.der'));
  der[der.length - 9] = (der.at(-9) ?? 0) ^ 1;
  writeFileSync(at('changed.der'), der);
  const fields = {
    country: 'DE',
    state: 'Hessen',
    location: 'Mainz',
    org: 'Örders',
    unit: 'Ops',
    domain: 'example.org',
    mail: 'ops@example.org',
  };
  writeFileSync(at('fields.json'), JSON.stringify(fields));
  const seal = (file: string): readonly string[] => [
    'seal',
    at('contract'),
    '--cert',
    cert,
    '--key',
    signer,
    '--expires-days',
    '30',
    '--ca-cert',
    at('ca.crt'),
    '--ca-key',
    at('ca.pem'),
    '--csr',
    file,
  ];
  const subjectOf = async (file: string): Promise<string> => {
    const { stdout } = await done(t, seal(file), { at: new Date() });
    const envText = openedByOpenssl(value(stdout, 'env'), guest).toString();
    const pem = Buffer.from(/^signingKey: (\S+)$/m.exec(envText)?.[1] ?? '', 'base64');
    writeFileSync(at('made.crt'), pem);
    openssl(['verify', '-CAfile', at('ca.crt'), at('made.crt')]);
    return openssl(['x509', '-in', at('made.crt'), '-noout', '-subject', '-nameopt', 'utf8,sep_comma_plus'])
      .toString()
      .trim();
  };
  t.equal(await subjectOf(at('own.csr')), 'subject=C=DE,O=Örders,CN=orders');
  t.equal(await subjectOf(at('own.der')), 'subject=C=DE,O=Örders,CN=orders');
  t.equal(
    await subjectOf(at('fields.json')),
    'subject=C=DE,ST=Hessen,L=Mainz,O=Örders,OU=Ops,CN=example.org,emailAddress=ops@example.org',
    'no letter too many in the name',
  );
  const wrong: Readonly<Record<string, string>> = {
    'of another key': at('other.csr'),
    'changed after it was signed': at('changed.der'),
  };
  for (const [name, content] of Object.entries({
    'an unknown field': '{"domain": "a", "town": "b"}',
    'a country of three letters': '{"country": "DEU"}',
    'an empty object': '{}',
    'no text': '{"domain": 5}',
    'too long': JSON.stringify({ org: 'x'.repeat(65) }),
    'neither request nor fields': 'hello',
  })) {
    const file = at(`${name.replaceAll(' ', '-')}.json`);
    writeFileSync(file, content);
    (wrong as Record<string, string>)[name] = file;
  }
  for (const [name, file] of Object.entries(wrong)) {
    const ended = await call(seal(file), { at: new Date() });
    t.equal(ended.status, 3, `${name}: ${ended.stderr}`);
    t.equal(ended.stdout, '', name);
  }
});

t.test('what is written is readable for others, as it is no secret', async (t) => {
  const at = place(t);
  await done(t, ['encrypt', at('plain.yaml'), '--cert', cert, '-o', at('out')]);
  t.equal(statSync(at('out')).mode & 0o777, 0o644);
});
