/** The command group through the door a user uses: arguments in, files and exit status out. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parseToken } from '../../agent/contract/envelope.ts';
import { insertSigningKey } from '../../agent/contract/insert-key.ts';
import { parseStrictYaml } from '../../agent/contract/strict-yaml.ts';
import { block, cert, env, guest, inFolder, keyFile, plain, root, run, signer, workload } from './contract-cli.ts';

t.test('seal, verify, decrypt, validate: the way of a contract', async (t) => {
  const at = inFolder(t);
  const sealed = await run(['seal', at('plain.yaml'), '--cert', cert, '--key', signer, '-o', at('user-data')]);
  t.equal(sealed.status, 0, sealed.stderr);
  const text = readFileSync(at('user-data'), 'utf8');
  t.notMatch(text, /hunter2|phrase|#/, 'nothing plain is left, comments neither');
  t.equal(text.trim().split('\n').length, 3, 'one line a value, unfolded');
  t.match(text, /^workload: hyper-protect-basic\.[^'"]+\nenv: hyper-protect-basic\./, 'plain scalars');

  const verified = await run([
    'verify',
    at('user-data'),
    '--decrypt-key',
    guest,
    '--signer',
    keyFile('signer.pub'),
    '--json',
  ]);
  t.equal(verified.status, 0, verified.stderr);
  t.match(JSON.parse(verified.stdout), { signed: true, signer: { trusted: true, certificateNotAfter: null } });

  const opened = await run(['decrypt', at('user-data'), '--key', guest, '-o', at('opened.yaml')]);
  t.equal(opened.status, 0, opened.stderr);
  t.equal(statSync(at('opened.yaml')).mode & 0o777, 0o600, 'plaintext is for the owner only');
  const read = parseStrictYaml(readFileSync(at('opened.yaml'), 'utf8'));
  const value = (read.kind === 'parsed' ? read.document.value : {}) as Record<string, string>;
  t.equal(value.workload, workload, 'workload byte for byte');
  t.equal(value.env?.replace(/^signingKey: .*\n/, ''), env, 'env byte for byte but for the one line');
  t.match(value.env, /^signingKey: LS0tLS1CRUdJTiBQVUJMSUMg/);

  for (const key of [[], ['--decrypt-key', guest]]) {
    const valid = await run(['validate', at('user-data'), '--json', ...key]);
    t.equal(valid.status, 0);
    t.match(JSON.parse(valid.stdout), { valid: true });
    t.equal(JSON.parse(valid.stdout).findings.length, key.length === 0 ? 2 : 0);
  }
});

t.test('the openssl command line opens and verifies what was sealed', async (t) => {
  const at = inFolder(t);
  await run(['seal', at('plain.yaml'), '--cert', cert, '--key', signer, '--profile', 'ccrt', '-o', at('user-data')]);
  const text = readFileSync(at('user-data'), 'utf8');
  const value = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? '';
  t.match(value('workload'), /^contract-basic\./, 'the prefix follows the profile');
  for (const [name, expected] of [
    ['workload', workload],
    ['env', env],
  ] as const) {
    const token = parseToken(value(name));
    const passphrase = execFileSync('openssl', ['pkeyutl', '-decrypt', '-inkey', guest], {
      input: token?.wrappedPassphrase,
    });
    writeFileSync(at('body'), Buffer.from(value(name).split('.')[2] ?? '', 'base64'));
    const out = execFileSync('openssl', ['enc', '-d', '-aes-256-cbc', '-pbkdf2', '-pass', 'stdin', '-in', at('body')], {
      input: passphrase,
    });
    t.equal(out.toString().replace(/^signingKey: .*\n/, ''), expected, name);
  }
  writeFileSync(at('signature'), Buffer.from(value('envWorkloadSignature'), 'base64'));
  const judge = execFileSync(
    'openssl',
    ['dgst', '-sha256', '-verify', keyFile('signer.pub'), '-signature', at('signature')],
    { input: value('workload') + value('env') },
  );
  t.match(judge.toString(), /Verified OK/);
});

t.test('expiry: by a certificate of its own, or one that an authority issues', async (t) => {
  const at = inFolder(t);
  const own = await run([
    'seal',
    at('plain.yaml'),
    '--cert',
    cert,
    '--one-time-key',
    '--expires-days',
    '3',
    '-o',
    at('own'),
  ]);
  t.equal(own.status, 0, own.stderr);
  const authority = ['--ca-cert', keyFile('signer.crt'), '--ca-key', signer];
  const issued = await run([
    'seal',
    at('plain.yaml'),
    '--cert',
    cert,
    '--key',
    keyFile('other-key.pem'),
    '--expires-days',
    '3',
    ...authority,
    '-o',
    at('issued'),
  ]);
  t.equal(issued.status, 0, issued.stderr);
  for (const name of ['own', 'issued']) {
    const verify = (time: string) => run(['verify', at(name), '--decrypt-key', guest, '--at', time]);
    t.equal((await verify('2026-06-03')).status, 0, name);
    const late = await verify('2026-06-05');
    t.equal(late.status, 1, name);
    t.match(late.stderr, /HPL12007E/, name);
    t.match((await verify('2026-05-30')).stderr, /TSD05001E/, name);
  }
  const opened = (await run(['decrypt', at('issued'), '--key', guest])).stdout;
  const pem = Buffer.from(/signingKey: (\S+)/.exec(opened)?.[1] ?? '', 'base64');
  writeFileSync(at('leaf.pem'), pem);
  t.match(
    execFileSync('openssl', [
      'verify',
      '-partial_chain',
      '-no_check_time',
      '-CAfile',
      keyFile('signer.crt'),
      at('leaf.pem'),
    ]).toString(),
    /OK/,
  );
});

t.test('keygen makes a pair that seals and opens, and overwrites nothing', async (t) => {
  const at = inFolder(t, { 'plain.yaml': plain, passphrase: 'geheim\n', wrong: 'falsch' });
  const made = await run([
    'keygen',
    '--out-key',
    at('k'),
    '--out-cert',
    at('c'),
    '--days',
    '30',
    '--key-passphrase-file',
    at('passphrase'),
  ]);
  t.equal(made.status, 0, made.stderr);
  t.equal(statSync(at('k')).mode & 0o777, 0o600);
  t.match(execFileSync('openssl', ['x509', '-in', at('c'), '-noout', '-enddate']).toString(), /Jul {2}1 00:00:00 2026/);
  t.match(
    execFileSync('openssl', ['pkey', '-in', at('k'), '-passin', 'pass:geheim', '-noout', '-text']).toString(),
    /4096 bit/,
  );
  const again = await run(['keygen', '--out-key', at('k'), '--out-cert', at('c2')]);
  t.equal(again.status, 3);
  t.match(again.stderr, /never overwritten/);
  const sealed = await run(['seal', at('plain.yaml'), '--cert', at('c'), '--key', signer]);
  t.equal(sealed.status, 0);
  t.match(sealed.stderr, /expires in 30 days/);
  writeFileSync(at('sealed'), sealed.stdout);
  const verify = (file: string[]) => run(['verify', at('sealed'), '--decrypt-key', at('k'), ...file]);
  t.equal((await verify(['--key-passphrase-file', at('passphrase')])).status, 0);
  t.equal((await verify(['--key-passphrase-file', at('wrong')])).status, 3);
  t.equal((await verify([])).status, 3);
});

t.test('exit status and words of everything that goes wrong', async (t) => {
  const at = inFolder(t, {
    'plain.yaml': plain,
    'bad.yaml': plain.replace('seed: env', 'sead: env'),
    'warn.yaml': plain.replace(/^ +cert: .*\n/m, ''),
    'other-signer.yaml': `${plain}  signingKey: ${Buffer.from(readFileSync(keyFile('signer.pub'))).toString('base64')}\n`,
    'hard.yaml': plain.replace('env: |\n  type: env', 'env: |\n  ? type\n  : env'),
    'not-a-token': 'hyper-protect-basic.AAAA.BBBB',
  });
  const seal = (file: string, ...more: string[]): string[] => ['seal', at(file), '--cert', cert, ...more];
  await run(seal('plain.yaml', '--key', signer, '-o', at('sealed')));
  const sealed = readFileSync(at('sealed'), 'utf8');
  writeFileSync(
    at('tampered'),
    sealed.replace(/^(workload: .{300})(.)/m, (_, head, one) => `${head}${one === 'A' ? 'B' : 'A'}`),
  );
  writeFileSync(at('resigned'), sealed.replace(/^envWorkloadSignature: ..../m, 'envWorkloadSignature: AAAA'));
  const table: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['validate', at('plain.yaml')], 0, /: valid, 0 errors/],
    [['validate', at('bad.yaml')], 1, /HPL05001E UNKNOWN_KEY: env\.volumes\.data\.sead/],
    [['validate', at('warn.yaml')], 0, /SYSLOG_CLIENT_MISSING/],
    [['validate', at('warn.yaml'), '--strict'], 1, /not valid, 0 errors, 1 warnings/],
    [['validate', at('absent')], 3, /TSD00004E/],
    [['validate'], 2, /missing required argument/],
    [['validate', at('plain.yaml'), '--profil', 'hpvs'], 2, /Did you mean --profile/],
    [['validate', at('plain.yaml'), '--profile', 'vms'], 2, /Allowed choices are hpvs/],
    [['validate', at('plain.yaml'), '--profile', 'hpvs', '--os', 'ccco'], 2, /one option/],
    [['validate', at('plain.yaml'), '--os', 'ccrv'], 1, /NOT_IN_PROFILE/],
    [['validate', at('plain.yaml'), '--section', 'network'], 1, /looks like a contract/],
    [['validate', at('plain.yaml'), '--sarif', '--json'], 2, /both claim/],
    [['validate', at('bad.yaml'), '--sarif'], 1, /^$/],
    [seal('plain.yaml'), 2, /--key KEY/],
    [seal('plain.yaml', '--key', signer, '--one-time-key'), 2, /--one-time-key/],
    [seal('plain.yaml', '--one-time-key', '--keep', at('sealed')), 2, /--keep needs --key/],
    [seal('plain.yaml', '--key', signer, '--keep', at('bad.yaml')), 0, /signed by/],
    [seal('plain.yaml', '--key', signer, '--keep', at('not-a-token')), 1, /is no contract/],
    [seal('plain.yaml', '--key', signer, '--csr', at('x')), 2, /--csr needs --expires-days/],
    [seal('plain.yaml', '--key', signer, '--expires-days', '0'), 2, /1 to 36500 days/],
    [seal('plain.yaml', '--key', signer, '--ca-cert', cert, '--ca-key', signer), 2, /--expires-days/],
    [
      seal('plain.yaml', '--key', signer, '--expires-days', '1', '--ca-cert', cert, '--ca-key', signer),
      3,
      /not the key of/,
    ],
    [seal('plain.yaml', '--key', signer, '-o', at('plain.yaml')), 2, /is the input/],
    [seal('plain.yaml', '--key', at('plain.yaml')), 3, /no PEM private key/],
    [['seal', at('plain.yaml'), '--cert', at('plain.yaml'), '--key', signer], 3, /neither PEM/],
    [seal('bad.yaml', '--key', signer), 1, /nothing was sealed/],
    [seal('sealed', '--key', signer), 1, /env is a token already/],
    [seal('other-signer.yaml', '--key', keyFile('other-key.pem')), 1, /another signingKey/],
    [seal('other-signer.yaml', '--key', signer, '-o', at('out')), 0, /signed by/],
    [seal('hard.yaml', '--key', signer), 1, /no signingKey line can be added/],
    [['verify', at('sealed')], 2, /--decrypt-key/],
    [['verify', at('plain.yaml')], 1, /not signed/],
    [['verify', at('tampered'), '--decrypt-key', guest], 1, /HPL11001E/],
    [['verify', at('resigned'), '--decrypt-key', guest], 1, /HPL12001E/],
    [['verify', at('sealed'), '--decrypt-key', keyFile('other-key.pem')], 1, /HPL11001E/],
    [['verify', at('sealed'), '--decrypt-key', guest, '--signer', cert], 1, /TSD05002E/],
    [['verify', at('sealed'), '--decrypt-key', guest, '--at', 'tomorrow'], 2, /--at takes a date/],
    [['decrypt', at('sealed')], 2, /required option/],
    [['decrypt', at('not-a-token'), '--key', guest], 1, /HPL11001E/],
    [['decrypt', at('sealed'), '--key', guest, '-o', at('sealed')], 2, /is the input/],
    [['encrypt', 'x'], 2, /required option '--cert/],
    [['cert'], 2, /Did you mean certs/],
    [['valdate'], 2, /Did you mean validate/],
    [['seal', '--help'], 0, /^$/],
  ];
  for (const [args, status, words] of table) {
    const result = await run(args);
    const name = args.map((arg) => arg.split('/').at(-1)).join(' ');
    t.equal(result.status, status, `${name}: ${result.stderr.slice(0, 300)}`);
    t.match(result.stderr, words, name);
    t.notMatch(
      result.stderr + (status === 0 ? '' : result.stdout),
      /_phrase_|not_a_real|hunter2/,
      `${name}: no secret`,
    );
  }
  t.equal(readFileSync(at('plain.yaml'), 'utf8'), plain, 'the input is as it was');
});

t.test('what --json of validate holds is what programs were promised', async (t) => {
  const at = inFolder(t, { 'bad.yaml': plain.replace('seed: env', 'sead: env') });
  const said = JSON.parse((await run(['validate', at('bad.yaml'), '--json'])).stdout);
  t.same(Object.keys(said), ['valid', 'profile', 'section', 'errors', 'warnings', 'findings']);
  const members = ['code', 'column', 'excerpt', 'hint', 'id', 'line', 'message', 'path', 'severity', 'within'];
  for (const found of said.findings) t.same(Object.keys(found).sort(), members);
  t.match(said, { valid: false, profile: 'hpvs', section: null, errors: said.findings.length, warnings: 0 });
  const inToken = JSON.parse((await run(['validate', '-', '--json'], 'env: hyper-protect-basic.AAAA.BBBB\n')).stdout);
  t.same(Object.keys(inToken.findings[0]).sort(), members);
});

t.test('streams, in place, one token, one section', async (t) => {
  const at = inFolder(t, { 'plain.yaml': plain, 'env.yaml': env });
  const piped = await run(['seal', '-', '--cert', cert, '--key', signer], plain);
  t.equal(piped.status, 0);
  t.equal((await run(['verify', '-', '--decrypt-key', guest], piped.stdout)).status, 0);
  const json = JSON.parse((await run(['seal', '-', '--cert', cert, '--key', signer, '--json'], plain)).stdout);
  t.match(json, { sealed: true, encrypted: ['workload', 'env'], contract: /^workload: / });
  t.equal((await run(['seal', at('plain.yaml'), '--cert', cert, '--key', signer, '--in-place'])).status, 0);
  t.match(readFileSync(at('plain.yaml'), 'utf8'), /^workload: hyper-protect-basic/);
  const { vectors } = JSON.parse(readFileSync(join(root, 'fixtures/vectors/tokens.json'), 'utf8'));
  const [vector] = vectors;
  t.equal(
    Buffer.from((await run(['decrypt', '-', '--key', guest], vector.token)).stdout).toString('base64'),
    vector.plaintext,
  );
  t.equal((await run(['validate', at('env.yaml'), '--section', 'env'])).status, 0);
  t.equal((await run(['validate', at('env.yaml'), '--section', 'workload'])).status, 1);
});

t.test('a workload owner hands over a token, the deployer seals around it', async (t) => {
  const at = inFolder(t);
  await run(['seal', at('plain.yaml'), '--cert', cert, '--key', signer, '-o', at('first')]);
  const token = /^workload: (.*)$/m.exec(readFileSync(at('first'), 'utf8'))?.[1] ?? '';
  writeFileSync(
    at('mixed'),
    `workload: ${token}\nenv: |\n${block(env)}attestationPublicKey: ${readFileSync(keyFile('signer.pub')).toString('base64')}\nboot: |\n  sehdr: aGVsbG8=\n`,
  );
  const second = await run(['seal', at('mixed'), '--cert', cert, '--key', signer, '-o', at('second')]);
  t.equal(second.status, 0, second.stderr);
  t.match(second.stderr, /encrypted env, attestationPublicKey;/);
  const text = readFileSync(at('second'), 'utf8');
  t.ok(text.includes(`workload: ${token}\n`), 'the token is delivered as it was');
  t.match(text, /^boot: \|\n {2}sehdr: aGVsbG8=\n/m, 'what others read is kept');
  t.equal((await run(['verify', at('second'), '--decrypt-key', guest])).status, 0);
});

t.test('templates are commented, valid but for what has to be replaced', async (t) => {
  const at = inFolder(t, {});
  for (const profile of ['hpvs', 'ccrt', 'ccrv', 'ccco']) {
    await run(['new', '--profile', profile, '-o', at(profile)]);
    const result = await run(['validate', at(profile), '--profile', profile, '--json']);
    const codes = new Set(JSON.parse(result.stdout).findings.map(({ code }: { code: string }) => code));
    t.same([...codes], ['PLACEHOLDER'], profile);
    for (const section of ['workload', 'env']) {
      const one = await run(['new', '--profile', profile, '--section', section]);
      t.equal((await run(['validate', '-', '--section', section, '--profile', profile], one.stdout)).status, 1);
    }
  }
  t.equal((await run(['new', '-o', at('hpvs')])).status, 3, 'an existing file is not overwritten');
  chmodSync(at('hpvs'), 0o600);
});

t.test('signingKey is added without touching a byte of the env section', async (t) => {
  const forms: readonly string[] = [
    env,
    `# first\n\n${env}`,
    env.replaceAll('\n', '\r\n'),
    block(env),
    `---\n${env}`,
    env.trimEnd(),
    `${env}note: |+\n  kept\n\n\n`,
    `${env}...\n`,
    JSON.stringify({ type: 'env', logging: {} }),
    '{type: env,\n logging: {}}\n',
    `type: env # 😀 ü\nlogging: {}\n`,
  ];
  for (const text of forms) {
    const read = parseStrictYaml(text);
    const inserted = read.kind === 'parsed' ? insertSigningKey(read.document, 'S0VZ') : null;
    t.ok(inserted, JSON.stringify(text.slice(0, 30)));
    t.equal(inserted?.replace(/"signingKey": "S0VZ", |^ *signingKey: S0VZ\r?\n/m, ''), text);
  }
  for (const text of ['? type\n: env\n', '--- {}\n', '[]', '']) {
    const read = parseStrictYaml(text);
    t.equal(read.kind === 'parsed' ? insertSigningKey(read.document, 'S0VZ') : null, null, JSON.stringify(text));
  }
  const line = fc.constantFrom(
    '# c',
    '',
    'a: 1',
    'b: "x # y"',
    'c: |\n  t\n\n  u',
    'd: [1,\n  2]',
    'e: {f: g}',
    "h: 'i'",
    'j:\n  - k',
    'l: >-\n  m\n  n',
  );
  fc.assert(
    fc.property(fc.uniqueArray(line, { minLength: 1 }), fc.boolean(), (lines, ends) => {
      const text = `type: env\n${lines.join('\n')}${ends ? '\n' : ''}`;
      const read = parseStrictYaml(text);
      if (read.kind === 'refused') return false;
      return insertSigningKey(read.document, 'S0VZ') === `signingKey: S0VZ\n${text}`;
    }),
    { numRuns: 200, seed: 20261121 },
  );
});
