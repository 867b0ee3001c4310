/** Attestation as its user sees it: records made and signed by the documented openssl commands, opened and verified here. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { attestationCommand } from '../../../agent/cli/attestation.ts';
import { contractCommand } from '../../../agent/cli/contract.ts';
import type { Finding } from '../../../agent/contract/types.ts';
import { type Calling, callCommand, type Ended } from '../../fakes/command-line.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');
const key = (name: string): string => join(fixtures, 'keys', `THROWAWAY-${name}`);
const folder = t.testdir({});
const at = (name: string): string => join(folder, name);
const openssl = (args: readonly string[], input: string | Buffer = ''): Buffer =>
  execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'ignore'] });
const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const call = (args: readonly string[], calling: Calling = {}): Promise<Ended> =>
  callCommand(attestationCommand, args, calling);

// The image: a key made when it was built, and its certificate.
const [imageKey, imageCert] = [at('image.pem'), at('image.crt')];
openssl([
  'req',
  '-x509',
  '-newkey',
  'rsa:4096',
  '-nodes',
  '-keyout',
  imageKey,
  '-out',
  imageCert,
  '-subj',
  '/O=Image/CN=Attestation',
  '-days',
  '300',
]);
openssl([
  'req',
  '-x509',
  '-newkey',
  'rsa:4096',
  '-nodes',
  '-keyout',
  at('older.pem'),
  '-out',
  at('older.crt'),
  '-subj',
  '/O=Image/CN=Attestation',
  '-days',
  '300',
]);

// The deployment: a contract with an attestation key, sealed, beside its plain form.
const part = (name: string): string =>
  readFileSync(join(fixtures, 'contracts/parts', name), 'utf8').replace(/^(?=.)/gm, '  ');
const attestationKey = key('other-key.pem');
const attestationPublic = openssl(['pkey', '-in', attestationKey, '-pubout']).toString();
writeFileSync(
  at('plain.yaml'),
  `workload: |\n${part('workload.yaml')}env: |\n${part('env.yaml')}attestationPublicKey: |\n${attestationPublic.replace(/^(?=.)/gm, '  ')}`,
);
const sealed = await callCommand(contractCommand, [
  'seal',
  at('plain.yaml'),
  '--cert',
  key('guest.crt'),
  '--key',
  key('signer-key.pem'),
]);
const userData = sealed.stdout;
writeFileSync(at('user-data'), userData);
const value = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(userData)?.[1] ?? '';
const names = ['workload', 'env', 'attestationPublicKey', 'envWorkloadSignature'] as const;

const lines: readonly string[] = [
  '26.7.1',
  'Machine Type/Plant/Serial: 8562/02/4C598',
  'Image age: 3 days since creation.',
  ...['root.tar.gz', 'baseimage', 'sbom', '/dev/disk/by-label/cidata', 'cidata/meta-data', 'cidata/vendor-data'].map(
    (name) => `${sha256(name)} ${name}`,
  ),
  `${sha256(userData)} cidata/user-data`,
  ...names.map((name) => `${sha256(value(name))} contract:${name}`),
];
const record = (change: (line: string) => string | null = (line) => line): string =>
  `${lines.flatMap((line) => change(line) ?? []).join('\n')}\n`;
/** What the guest leaves: record, signature over the plain record, and the record encrypted to the attestation key. */
const leave = (name: string, text: string | Buffer, signingKey = imageKey): void => {
  writeFileSync(at(name), text);
  writeFileSync(at(`${name}.sig`), openssl(['dgst', '-sha256', '-sign', signingKey], text));
  writeFileSync(at('public.pem'), attestationPublic);
  // A passphrase that the shell cuts at its line break, as one in five is.
  const passphrase = Buffer.from('0123456789abcdef\nghijklmnopqrstu');
  const wrapped = openssl(['pkeyutl', '-encrypt', '-pubin', '-inkey', at('public.pem')], passphrase);
  const body = openssl(['enc', '-aes-256-cbc', '-pbkdf2', '-pass', 'stdin', '-in', at(name)], passphrase);
  writeFileSync(at(`${name}.enc`), `hyper-protect-basic.${wrapped.toString('base64')}.${body.toString('base64')}\n`);
};
const verify = async (name: string, more: readonly string[] = [], calling: Calling = {}) => {
  const signature = at(`${name.replace(/\.enc$/, '')}.sig`);
  const cert = more.includes('--cert') ? [] : ['--cert', imageCert];
  const given = more.includes('--signature') ? [] : ['--signature', signature];
  const { status, stdout, stderr } = await call(['verify', at(name), ...given, ...cert, '--json', ...more], calling);
  const answer = JSON.parse(stdout || '{"findings":[]}') as { findings: Finding[]; valid?: boolean } & Record<
    string,
    unknown
  >;
  return { status, stderr, answer, codes: answer.findings.map(({ code }) => code) };
};
leave('record', record());
const withContract = ['--contract', at('user-data')];
const withKey = ['--key', attestationKey];

t.test('a record of this image, of this contract', async (t) => {
  for (const [name, more] of [
    ['record', withContract],
    ['record.enc', [...withContract, ...withKey]],
  ] as const) {
    const { status, answer, codes } = await verify(name, more);
    t.equal(status, 0, name);
    t.same(codes, []);
    t.match(answer, { valid: true, isSigned: true, sameUserData: true, record: { version: '26.7.1' } });
    t.same(
      answer.sections,
      names.map((section) => ({ section, result: 'matches', reading: 'exact' })),
    );
    const fingerprint = openssl(['x509', '-in', imageCert, '-noout', '-fingerprint', '-sha256']).toString();
    t.match(answer.certificate, {
      fingerprint: fingerprint.trim().replace(/^.*=/, '').replaceAll(':', '').toLowerCase(),
    });
  }
  const words = await call([
    'verify',
    at('record'),
    '--signature',
    at('record.sig'),
    '--cert',
    imageCert,
    ...withContract,
  ]);
  t.equal(words.status, 0);
  t.equal(words.stdout, '');
  for (const part of [/image +26\.7\.1/, /signature +good/, /env +matches the contract/, /SHA-256 +[0-9a-f]{64}/])
    t.match(words.stderr, part);
});

t.test('decrypt gives the bytes that were signed', async (t) => {
  const { status, stdout } = await call(['decrypt', at('record.enc'), ...withKey]);
  t.equal(status, 0);
  t.equal(stdout, record());
  t.equal((await call(['decrypt', at('record.enc'), ...withKey, '-o', at('opened')])).status, 0);
  t.equal(readFileSync(at('opened'), 'utf8'), record());
  t.equal(statSync(at('opened')).mode & 0o777, 0o600);
  writeFileSync(at('image.pub'), openssl(['x509', '-in', imageCert, '-noout', '-pubkey']));
  openssl(['dgst', '-sha256', '-verify', at('image.pub'), '-signature', at('record.sig'), at('opened')]);
});

t.test('releases differ in how they write', async (t) => {
  const spellings: Readonly<Record<string, (line: string) => string>> = {
    'a space behind contract names': (line) => (line.includes('contract:') ? `${line} ` : line),
    'a space inside': (line) => line.replace('contract:', 'contract: '),
    'bare names': (line) => line.replace(/contract:(workload|env)$/, '$1'),
    'hashes without line breaks': (line) =>
      line.endsWith('contract:env') ? `${sha256(value('env').replaceAll('\n', ''))} contract:env` : line,
  };
  for (const [name, change] of Object.entries(spellings)) {
    leave('spelling', record(change));
    const { status, codes } = await verify('spelling', withContract);
    t.equal(status, 0, name);
    t.same(codes, [], name);
  }
  leave('unfinished', record().trimEnd());
  t.equal((await verify('unfinished', withContract)).status, 0, 'no line break at the end');
  leave('reversed', `${lines[0]}\n${[...lines.slice(1)].reverse().join('\n')}\n`);
  t.equal((await verify('reversed', withContract)).status, 0, 'another order');
});

t.test('plain sections, in the reading that the guest chose', async (t) => {
  const text = readFileSync(at('plain.yaml'), 'utf8');
  const section = (name: string): string => readFileSync(join(fixtures, 'contracts/parts', `${name}.yaml`), 'utf8');
  const of = (hash: (text: string) => string): string =>
    record((line) => {
      if (line.endsWith('cidata/user-data')) return `${sha256(text)} cidata/user-data`;
      const name = /contract:(\w+)$/.exec(line)?.[1];
      if (name === 'envWorkloadSignature') return null;
      if (name === 'attestationPublicKey') return `${hash(attestationPublic)} contract:attestationPublicKey`;
      return name === undefined ? line : `${hash(section(name))} contract:${name}`;
    });
  for (const [reading, hash] of [
    ['exact', sha256],
    ['withoutLineBreaks', (part: string) => sha256(part.replaceAll('\n', ''))],
  ] as const) {
    leave('plain', of(hash));
    const { status, answer } = await verify('plain', ['--contract', at('plain.yaml')]);
    t.equal(status, 0, reading);
    t.same(
      (answer.sections as { reading: string }[]).map((one) => one.reading),
      [reading, reading, reading],
    );
  }
});

t.test('one thing is wrong, and it is named', async (t) => {
  const leaveChanged = (name: string, change: (line: string) => string | null): string => {
    leave(name, record(change));
    return name;
  };
  writeFileSync(at('sig.base64'), readFileSync(at('record.sig')).toString('base64').replace(/.{64}/g, '$&\n'));
  writeFileSync(at('sig.short'), readFileSync(at('record.sig')).subarray(1));
  writeFileSync(
    at('changed'),
    record((line) => line.replace('26.7.1', '26.7.2')),
  );
  writeFileSync(at('changed.sig'), readFileSync(at('record.sig')));
  writeFileSync(at('trimmed'), record().trimEnd());
  writeFileSync(at('trimmed.sig'), readFileSync(at('record.sig')));
  writeFileSync(at('other.yaml'), userData.replace(/^env: .*$/m, `env: ${value('workload')}`));
  writeFileSync(at('commented.yaml'), `# mine\n${userData}`);
  writeFileSync(at('unsigned.yaml'), userData.replace(/^envWorkloadSignature: .*\n/m, ''));
  writeFileSync(at('nested.yaml'), userData.replace(/^workload: .*$/m, 'workload: {type: workload}'));
  const signatureWrong = ['ATTESTATION_SIGNATURE_INVALID'];
  const table: Readonly<Record<string, readonly [string, readonly string[], readonly string[]]>> = {
    'signature in base64': ['record', ['--signature', at('sig.base64')], []],
    'certificate of another version': ['record', ['--cert', at('older.crt')], signatureWrong],
    'signature cut': ['record', ['--signature', at('sig.short')], signatureWrong],
    'signature of another record': ['changed', [], signatureWrong],
    'record without its last line break': ['trimmed', [], signatureWrong],
    'another env': [
      'record',
      ['--contract', at('other.yaml')],
      ['ATTESTATION_CONTRACT_DIFFERS', 'ATTESTATION_USER_DATA_DIFFERS'],
    ],
    'a comment more': ['record', ['--contract', at('commented.yaml')], ['ATTESTATION_USER_DATA_DIFFERS']],
    'no signature in the contract': [
      'record',
      ['--contract', at('unsigned.yaml')],
      ['ATTESTATION_CONTRACT_DIFFERS', 'ATTESTATION_USER_DATA_DIFFERS'],
    ],
    'a mapping in the contract': [
      'record',
      ['--contract', at('nested.yaml')],
      ['ATTESTATION_SECTION_NOT_COMPARED', 'ATTESTATION_USER_DATA_DIFFERS'],
    ],
    'no line for a section': [
      leaveChanged('no-env', (line) => (line.endsWith('contract:env') ? null : line)),
      withContract,
      ['ATTESTATION_LINE_MISSING', 'ATTESTATION_CONTRACT_DIFFERS'],
    ],
    'no line for the root file system': [
      leaveChanged('no-root', (line) => (line.endsWith(' root.tar.gz') ? null : line)),
      [],
      ['ATTESTATION_LINE_MISSING'],
    ],
    'no version': [
      leaveChanged('no-version', (line) => (line === '26.7.1' ? null : line)),
      [],
      ['ATTESTATION_LINE_MISSING'],
    ],
    'a line nobody understands': [
      leaveChanged('strange', (line) => (line === '26.7.1' ? '26.7.1\nhello world' : line)),
      [],
      ['ATTESTATION_LINE_UNREADABLE'],
    ],
    'a second env line': [
      leaveChanged('twice', (line) => (line.endsWith('contract:env') ? `${line}\n${sha256('x')} env` : line)),
      withContract,
      ['ATTESTATION_LINE_DUPLICATE', 'ATTESTATION_CONTRACT_DIFFERS'],
    ],
  };
  const warnings = [
    'ATTESTATION_LINE_MISSING',
    'ATTESTATION_LINE_UNREADABLE',
    'ATTESTATION_USER_DATA_DIFFERS',
    'ATTESTATION_SECTION_NOT_COMPARED',
  ];
  for (const [name, [file, more, expected]] of Object.entries(table)) {
    const { status, codes, answer } = await verify(file, more);
    t.same(codes, expected, name);
    t.equal(status, expected.every((code) => warnings.includes(code)) ? 0 : 1, `${name}: exit status`);
    t.equal(answer.valid, status === 0, name);
  }
  const late = await verify('record', [], { at: new Date(Date.now() + 301 * 86_400_000) });
  t.same([late.status, late.codes], [0, ['ATTESTATION_CERTIFICATE_DATES']], 'the image is old, the signature is good');
});

t.test('what cannot be read ends with its own words, and no word of a key', async (t) => {
  writeFileSync(at('damaged.enc'), readFileSync(at('record.enc'), 'utf8').replace('.', '!'));
  writeFileSync(at('cut.enc'), readFileSync(at('record.enc'), 'utf8').slice(0, 900));
  writeFileSync(at('huge'), Buffer.alloc(1024 * 1024, 'a'));
  writeFileSync(at('bomb'), `1.2.3\n${'\n'.repeat(2000)}`);
  // What another key gives when the padding of its random bytes happens to be right.
  leave('noise', Buffer.alloc(256, 0xb1));
  const rest = ['--signature', at('record.sig'), '--cert', imageCert];
  const table: Readonly<Record<string, readonly [number, RegExp, readonly string[]]>> = {
    'an encrypted record without a key': [1, /TSD11001E.*--key/, ['verify', at('record.enc'), ...rest]],
    'another key': [1, /TSD11001E/, ['verify', at('record.enc'), ...rest, '--key', key('guest-2048-key.pem')]],
    'another key, decrypt': [1, /TSD11001E/, ['decrypt', at('record.enc'), '--key', key('guest-key.pem')]],
    'a token that holds no text': [1, /TSD11001E.*this key/, ['verify', at('noise.enc'), ...rest, ...withKey]],
    'the same, decrypt': [1, /TSD11001E.*this key/, ['decrypt', at('noise.enc'), ...withKey]],
    'a token that is cut': [1, /TSD11001E.*damaged/, ['decrypt', at('cut.enc'), ...withKey]],
    'a plain record to decrypt': [1, /TSD11001E.*not encrypted/, ['decrypt', at('record'), ...withKey]],
    'an unknown prefix': [1, /TSD11002E/, ['verify', at('damaged.enc'), ...rest]],
    'too many bytes': [3, /TSD00008E/, ['verify', at('huge'), ...rest]],
    'too many lines': [1, /TSD11002E/, ['verify', at('bomb'), ...rest]],
    'no certificate': [3, /TSD05009E/, ['verify', at('record'), '--signature', at('record.sig'), '--cert', imageKey]],
    'no contract': [1, /TSD11002E/, ['verify', at('record'), ...rest, '--contract', imageCert]],
    'no such file': [3, /TSD00004E/, ['verify', at('nothing'), ...rest]],
    'no signature given': [2, /--signature/, ['verify', at('record'), '--cert', imageCert]],
  };
  for (const [name, [status, words, args]] of Object.entries(table)) {
    const ended = await call(args);
    t.equal(ended.status, status, `${name}: ${ended.stderr}`);
    t.match(ended.stderr, words, name);
    t.equal(ended.stdout, '', name);
    t.notMatch(ended.stderr, /PRIVATE KEY|MII[A-Za-z0-9+/]{20}|phrase_0/, name);
  }
});
