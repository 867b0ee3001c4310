/**
 * Secrets that must not come out: a canary in every secret field of a contract and in every secret file, and every
 * command that meets them, well-formed and not. Only what is plaintext on purpose may hold one: -o of decrypt. Names
 * (keys of mappings) are shown by design: they are not secret, and without them no finding could be understood.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { attestationCommand } from '../../agent/cli/attestation.ts';
import { contractCommand } from '../../agent/cli/contract.ts';
import { callCommand } from '../fakes/command-line.ts';
import { cert, guest, keyFile, now, signer } from './contract-cli.ts';

const canary = (name: string): string => `c4n4ry-${name}-q7zK2mX9`;
const base64 = (name: string): string => Buffer.from(`${canary(name)}-${canary(name)}`).toString('base64');
const archive = execFileSync('sh', [
  '-c',
  `d=$(mktemp -d) && mkdir $d/a && printf 'services:\\n  web:\\n    image: registry.example.com/web@sha256:447a8665cc1dab95b1ca778e162215839ccbb9189104c79d7ec3a81e14577add\\n    environment: { PASSWORD: ${canary('archive')} }\\n' > $d/a/docker-compose.yaml && tar czf - -C $d/a . | base64 -w0; rm -r $d`,
]).toString();
const crn =
  'crn:v1:bluemix:public:kms:eu-de:a/0123456789abcdef0123456789abcdef:8e19aaff-df40-4623-bef2-86cb19a9d8bd:key:k1';

const workload = `type: workload
compose:
  archive: ${archive}
auths:
  registry.example.com: { username: ${canary('username')}, password: ${canary('workload-password')} }
env:
  TOKEN: ${canary('workload-variable')}
volumes:
  data: { seed: ${canary('workload-seed')}, previousSeed: ${canary('workload-previous')}, mount: /mnt/data }
  more: { seed: ${canary('workload-seed-2')}, mount: /mnt/more }
`;
const env = `type: env
logging:
  syslog:
    hostname: logs.example.com
    server: ${base64('server')}
    cert: ${base64('syslog-cert')}
    key: ${base64('syslog-key')}
auths:
  other.example.com: { username: ${canary('env-username')}, password: ${canary('env-password')} }
env:
  KEY: ${canary('env-variable')}
volumes:
  data:
    seed: ${canary('env-seed')}
    previousSeed: ${canary('env-previous')}
    apiKey: ${canary('search-api-key')}
    kms: [{ apiKey: ${canary('kms-api-key')}, crn: "${crn}" }]
  more:
    seed: ${canary('env-seed-2')}
    grep11:
      address: "hsm.example.com:9876"
      clientCert: ${base64('grep11-cert')}
      clientKey: ${base64('grep11-key')}
      caCert: ${base64('grep11-ca')}
      metadata: { aesKeyBlob: ${base64('grep11-blob')} }
crypto-pt:
  lock: true
  index-1: { type: secret, domain-id: "00.0001", secret: ${base64('crypto-pt')}, mkvp: ${canary('mkvp')} }
`;
const ccco = `type: env
logging: { logRouter: { hostname: logs.example.com, iamApiKey: ${canary('iam-api-key')} } }
confidential-containers:
  secret: { verificationKey: ${base64('verification-key')}, decryptionKey: ${base64('decryption-key')} }
`;
const cccoWorkload = `type: workload
confidential-containers:
  regoValidator: { policy: UkVHTw== }
  secret: { verificationKey: ${base64('workload-verification')}, decryptionKey: ${base64('workload-decryption')} }
`;
const block = (text: string): string => text.replace(/^(?=.)/gm, '  ');
const contract = (w: string, e: string): string =>
  `# the deployer's note: ${canary('comment')}\nworkload: |\n${block(w)}env: |\n${block(e)}`;
const plain = contract(workload, env);

/** Every way to be wrong that still holds the secrets. */
const faults: Readonly<Record<string, string>> = {
  'misspelt-key': plain.replaceAll('seed:', 'sead:'),
  'misspelt-secrets': plain
    .replaceAll('password:', 'pasword:')
    .replaceAll('apiKey:', 'apikey:')
    .replaceAll('key:', 'kei:'),
  'no-pipe': plain.replaceAll(': |', ':'),
  folded: plain.replaceAll(': |', ': >'),
  tabs: plain.replaceAll('\n    ', '\n\t'),
  unindented: plain.replaceAll('\n  ', '\n'),
  'cut-in-a-value': plain.slice(0, plain.indexOf(canary('workload-previous')) + 12),
  'cut-in-env': plain.slice(0, plain.indexOf(canary('kms-api-key')) + 12),
  'quote-not-closed': plain.replace(canary('env-seed'), `"${canary('env-seed')}`),
  'colon-in-value': plain.replaceAll(/(seed|password): (c4n4ry[^,\s}]*)/g, '$1: $2: $2'),
  'secret-as-volume': plain.replace('  data:\n', `  data: ${canary('env-seed')}\n`),
  'duplicate-key': plain.replace('    previousSeed', '    seed'),
  'tagged-secret': plain.replaceAll('seed: ', 'seed: !secret '),
  'alias-of-nothing': plain.replaceAll('seed: ', 'seed: *'),
  'wrong-types': plain.replaceAll(/: (c4n4ry[^,\s}]*)/g, ': [$1]'),
  'control-character': plain.replace(canary('env-seed'), `"${canary('env-seed')}\\u0007"`),
  'two-backends': plain.replace(
    '  syslog:',
    `  logRouter: { hostname: h, iamApiKey: ${canary('iam-api-key')} }\n    syslog:`,
  ),
  'retired-log': plain.replace(
    '  syslog:',
    `  logDNA: { hostname: h, ingestionKey: ${canary('ingestion-key')} }\n    x:`,
  ),
  'one-seed-everywhere': plain.replaceAll(/c4n4ry-[a-z0-9-]*seed[a-z0-9-]*-q7zK2mX9/g, canary('env-seed')),
  'weak-seeds': plain.replaceAll(/seed: [^,\s}]+/gi, 'seed: c4n4ry-q7zK2mX9c4n4ry-q7zK2mX9'),
  'half-signed': `${plain}envWorkloadSignature: ${base64('signature').slice(0, 40)}\n`,
  'bad-attestation-key': `${plain}attestationPublicKey: ${base64('attestation')}\n`,
  'two-documents': `${plain}---\n${plain}`,
  'in-brackets': JSON.stringify({ workload, env }),
  'nested-in-brackets': `{"workload": {"type": "workload", "seed": "${canary('x')}"}, "env": {"seed": "${canary('y')}"}}`,
  'ccco-wrong-profile': contract(cccoWorkload, ccco),
};

/** Secret files; the command line names them, and nothing may show what they hold. */
const secretFiles: Readonly<Record<string, string>> = {
  passphrase: `${canary('passphrase')}\n`,
  'wrong-passphrase': `${canary('wrong-passphrase')}\n`,
  'broken-key.pem': `-----BEGIN PRIVATE KEY-----\n${base64('broken-key')}\n-----END PRIVATE KEY-----\n`,
  'no-key': canary('no-key'),
};

const bodyOf = (path: string): readonly string[] => {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('-----'));
  return [lines[1] ?? '', lines[Math.floor(lines.length / 2)] ?? ''].filter((line) => line.length > 40);
};
/** Lines out of private keys, and their bytes as the programs might print them. */
const keyBodies = [guest, signer, keyFile('other-key.pem')].flatMap(bodyOf);

const leak = (text: string): string | null => {
  const spelt = [...text.matchAll(/c4n4ry[A-Za-z0-9-]{0,40}/g)][0]?.[0];
  if (spelt !== undefined) return spelt;
  const encoded = ['c4n4ry', '4n4ry-', 'n4ry-q'].map((part) => Buffer.from(part).toString('base64').slice(0, 7));
  const packed = encoded.find((part) => text.includes(part)) ?? keyBodies.find((line) => text.includes(line));
  const hex = Buffer.from('c4n4ry').toString('hex');
  return packed ?? (text.toLowerCase().includes(hex) ? hex : null);
};

t.test('the detector sees what it has to see', async (t) => {
  for (const text of [canary('x'), `a${base64('x')}`, ...keyBodies, Buffer.from(canary('x')).toString('hex')])
    t.ok(leak(text), text);
  t.equal(leak('contract.yaml: valid, 0 errors'), null);
  t.match(plain, /c4n4ry/);
});

t.test('no command tells a secret', async (t) => {
  const folder = t.testdir({
    ...faults,
    plain,
    ccco: contract(cccoWorkload, ccco),
    ...secretFiles,
    'workload.yaml': workload,
    'env.yaml': env,
  });
  const at = (name: string): string => join(folder, name);
  const protectedKey = execFileSync(
    'openssl',
    ['pkcs8', '-topk8', '-in', signer, '-passout', `file:${at('passphrase')}`],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  writeFileSync(at('protected.pem'), protectedKey);
  const codes = new Map<number, number>();
  let calls = 0;
  const quiet = async (args: readonly string[], input = '', make = contractCommand): Promise<string> => {
    const { status, stdout, stderr } = await callCommand(make, args, { input, at: now });
    const name = args.map((arg) => arg.split('/').at(-1)).join(' ');
    const found = leak(stdout) ?? leak(stderr);
    if (found !== null) t.fail(`${name}: ${found}`, { stdout, stderr });
    codes.set(status, (codes.get(status) ?? 0) + 1);
    calls += 1;
    return stdout;
  };

  const sealOptions = ['--cert', cert, '--key', signer];
  const looks = (file: string): readonly (readonly string[])[] => [
    ['validate', file],
    ['validate', file, '--json'],
    ['validate', file, '--sarif', '--strict'],
    ['validate', file, '--section', 'env'],
    ['validate', file, '--section', 'workload'],
    ['validate', file, '--section', 'network'],
    ['inspect', file],
    ['inspect', file, '--json'],
    ['verify', file],
    ['verify', file, '--json', '--signer', keyFile('signer.pub')],
    ['seal', file, ...sealOptions],
    ['seal', file, ...sealOptions, '--json', '--keep', at('absent')],
    ['sign', file, '--key', keyFile('other-key.pem')],
    ['encrypt', file, '--cert', cert, '-o', at('encrypted')],
    ['certs', 'show', file],
    ['certs', 'check', file],
    ['seal', at('plain'), '--cert', file, '--key', signer],
    ['seal', at('plain'), '--cert', cert, '--key', file],
    ['seal', at('plain'), ...sealOptions, '--keep', file],
    ['seal', at('plain'), ...sealOptions, '--expires-days', '9', '--csr', file],
    ['decrypt', file, '--key', file],
    ['verify', at('plain'), '--signer', file],
  ];
  // A plain section stays plain when it is signed: sign's own output is the contract.
  const signsPlain = (args: readonly string[]): boolean => args[0] === 'sign';
  for (const name of [
    ...Object.keys(faults),
    'plain',
    'ccco',
    ...Object.keys(secretFiles),
    'workload.yaml',
    'env.yaml',
  ]) {
    for (const args of looks(at(name))) await quiet(signsPlain(args) ? [...args, '-o', at('signed')] : args);
    await quiet(['validate', at(name), '--profile', 'ccco']);
    await quiet(['archive', at(name)]);
    for (const make of [attestationCommand]) {
      await quiet(['decrypt', at(name), '--key', guest], '', make);
      await quiet(['verify', at(name), '--signature', at(name), '--cert', at(name)], '', make);
    }
  }

  // Sealed: everything about it is public but what the guest's key opens.
  const valid = plain.replace(/ {6}grep11:\n(?: {8}.*\n)+/, '');
  writeFileSync(at('valid'), valid);
  for (const [file, profile] of [
    [at('valid'), 'hpvs'],
    [at('ccco'), 'ccco'],
  ] as const) {
    const sealed = await quiet(['seal', file, ...sealOptions, '--profile', profile]);
    t.match(sealed, /^workload: \S+\.\S+\.\S+$/m, `${profile} is sealed`);
    writeFileSync(at('sealed'), sealed);
    writeFileSync(at('cut'), sealed.slice(0, 900));
    writeFileSync(
      at('flipped'),
      sealed.replace(/(workload: .{900})(.)/, (_, head: string, one: string) => `${head}${one === 'A' ? 'B' : 'A'}`),
    );
    for (const name of ['sealed', 'cut', 'flipped'])
      for (const key of [guest, keyFile('other-key.pem')])
        for (const command of ['validate', 'inspect', 'verify'])
          for (const more of [[], ['--json']]) await quiet([command, at(name), '--decrypt-key', key, ...more]);
    await quiet(['decrypt', at('cut'), '--key', guest]);
    await quiet(['decrypt', at('sealed'), '--key', keyFile('other-key.pem')]);
    await quiet(['decrypt', at('sealed'), '--key', guest, '-o', at('opened')]);
    t.ok(leak(readFileSync(at('opened'), 'utf8')), 'what is opened on purpose holds them');
    await quiet(['seal', at('opened'), ...sealOptions, '--profile', profile, '--decrypt-key', guest]);
    await quiet([
      'seal',
      file,
      ...sealOptions,
      '--profile',
      profile,
      '--keep',
      at('sealed'),
      '--decrypt-key',
      guest,
      '--json',
    ]);
  }
  for (const section of ['workload', 'env']) {
    await quiet(['encrypt', at(`${section}.yaml`), '--section', section, '--cert', cert, '--json']);
    await quiet(['encrypt', at(`${section}.yaml`), '--section', 'raw', '--cert', cert]);
  }
  await quiet(['encrypt', at('valid'), '--cert', cert, '-o', at('encrypted')]);
  // The comment outside of the sections is said to stay; the sections do not.
  t.equal(leak(readFileSync(at('encrypted'), 'utf8').replace(/^#.*\n/, '')), null);

  for (const file of ['passphrase', 'wrong-passphrase', 'no-key', 'absent'])
    for (const key of ['protected.pem', 'broken-key.pem', 'no-key'])
      await quiet(['seal', at('valid'), '--cert', cert, '--key', at(key), '--key-passphrase-file', at(file)]);
  await quiet([
    'keygen',
    '--out-key',
    at('new.pem'),
    '--out-cert',
    at('new.crt'),
    '--key-passphrase-file',
    at('passphrase'),
  ]);
  await quiet(['certs', 'request', '--key', at('protected.pem'), '--key-passphrase-file', at('passphrase')]);
  await quiet(['certs', 'list', folder]);
  await quiet(['new']);

  // A slip of the hand puts a secret where an option or a name belongs. The program repeats what it was given as a path.
  const publicFiles = ['new.crt'].filter((name) => readdirSync(folder).includes(name));
  for (const name of publicFiles) t.equal(leak(readFileSync(at(name), 'utf8')), null, name);
  t.ok(calls > 600, `${calls} calls`);
  for (const status of [0, 1, 2, 3]) t.ok((codes.get(status) ?? 0) > 0, `status ${status}: ${codes.get(status)} times`);
});
