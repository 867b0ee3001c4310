/**
 * Archives against the tools that people have: GNU tar, gzip and modern-tar read ours, and we read what GNU tar writes
 * in each of its formats; keys of images as gpg makes them.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import t, { type Test } from 'tap';
import { readArchive } from '../../agent/contract/content/archive-read.ts';
import { openpgpKeyProblems } from '../../agent/contract/content/openpgp-key.ts';
import { block, cert, env, guest, keyFile, now, run } from './contract-cli.ts';

t.setTimeout(300_000);

const compose = `services:\n  web:\n    image: de.icr.io/team/web@sha256:${'0'.repeat(64)}\n`;
const longName = `${'long-folder-name/'.repeat(12)}${'file-name-'.repeat(15)}.txt`;

/** A folder of its own: several in one test. */
const scratch = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'triseed-archives-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

/** A project with everything that is allowed. */
const project = (t: Test): string => {
  const folder = join(scratch(t), 'app');
  const put = (file: string, text: string | Buffer, mode = 0o644): void => {
    const path = join(folder, file);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, mode);
  };
  put('docker-compose.yaml', compose);
  put('entry.sh', '#!/bin/sh\n', 0o755);
  put('data/random', Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * index) >>> 7)));
  put('data/exactly-one-block', 'x'.repeat(512));
  put('data/empty', '');
  put('größe 😀', 'name in UTF-8');
  put(longName, 'long');
  mkdirSync(join(folder, 'empty-folder'));
  return folder;
};

const packed = async (folder: string): Promise<Buffer> => {
  const { status, stdout, stderr } = await run(['archive', folder]);
  if (status !== 0) throw new Error(stderr);
  return Buffer.from(stdout.trim(), 'base64');
};

const tree = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mode, mtimeMs } = statSync(join(folder, name));
      const isFolder = statSync(join(folder, name)).isDirectory();
      return `${name} ${isFolder ? 'folder' : readFileSync(join(folder, name)).toString('hex')} ${(mode & 0o777).toString(8)} ${mtimeMs}`;
    });

t.test('GNU tar, gzip and modern-tar read what is written', async (t) => {
  const folder = project(t);
  const archive = await packed(folder);
  execFileSync('gzip', ['-t'], { input: archive });
  const out = scratch(t);
  execFileSync('tar', ['-xpzf', '-', '-C', out], { input: archive });
  const plain = (lines: readonly string[]): readonly string[] => lines.map((line) => line.replace(/ \S+$/, ''));
  t.same(plain(tree(out)), plain(tree(folder)), 'unpacked by GNU tar it is the same folder');
  t.ok(
    tree(out).every((line) => line.includes(' folder ') || line.endsWith(' 0')),
    'no times',
  );
  const listed = execFileSync('tar', ['--numeric-owner', '-tvzf', '-'], { input: archive, encoding: 'utf8' });
  t.notMatch(listed, /^\S+ (?!0\/0 )/m, 'no owners');
  const entries = await unpackTar(gunzipSync(archive), { strict: true });
  t.same(
    entries.map(({ header }) => header.name.replace(/\/$/, '')).sort(),
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(),
  );
});

t.test('the same files give the same text, whatever else differs', async (t) => {
  const first = project(t);
  const second = project(t);
  for (const name of readdirSync(second, { recursive: true, encoding: 'utf8' })) utimesSync(join(second, name), 1, 2);
  chmodSync(join(second, 'data/empty'), 0o600);
  chmodSync(join(second, 'data'), 0o700);
  const text = (await packed(first)).toString('base64');
  t.equal((await packed(second)).toString('base64'), text);
  writeFileSync(join(second, '.DS_Store'), 'x');
  mkdirSync(join(second, '.git'));
  const told = await run(['archive', second, '--json']);
  t.match(JSON.parse(told.stdout), { archived: true, archive: text, leftOut: ['.DS_Store', '.git'] });
  chmodSync(join(second, 'data/empty'), 0o755);
  t.not((await packed(second)).toString('base64'), text, 'what may be run is kept');
});

t.test('archives of GNU tar in every format are read', async (t) => {
  const folder = project(t);
  const expected = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const made = (args: readonly string[]): Buffer => execFileSync('tar', ['-czf', '-', ...args], { maxBuffer: 1 << 26 });
  const names = (archive: Buffer): readonly string[] => {
    const read = readArchive(archive.toString('base64'));
    return read.kind === 'read'
      ? read.value.map(({ name }) => name).sort()
      : read.problems.map(({ message }) => message);
  };
  for (const format of ['gnu', 'oldgnu', 'pax', 'posix']) {
    t.same(names(made([`--format=${format}`, '-C', folder, '.'])), expected, `${format}, from inside`);
    t.same(names(made([`--format=${format}`, '-C', folder, ...readdirSync(folder)])), expected, `${format}, by names`);
  }
  const short = expected.filter((name) => !name.startsWith('long-folder-name'));
  for (const format of ['ustar', 'v7']) {
    t.same(names(made([`--format=${format}`, '--exclude=./long-folder-name', '-C', folder, '.'])), short, format);
  }
  t.same(
    names(made(['--format=pax', '--pax-option=exthdr.name=%d/x,comment=hello', '-C', folder, '.'])),
    expected,
    'a comment',
  );
  const parts = [1, 2].map((part) =>
    execFileSync(
      'sh',
      ['-c', `tar -cf - -C "$1" . | ${part === 1 ? 'head -c 50000' : 'tail -c +50001'} | gzip`, 'sh', folder],
      { maxBuffer: 1 << 26 },
    ),
  );
  t.same(names(Buffer.concat(parts)), expected, 'gzip in two members');
});

t.test('what GNU tar packs and a guest does not unpack is refused', async (t) => {
  const folder = t.testdir({ file: 'x' });
  const code = (args: readonly string[]): string => {
    const read = readArchive(execFileSync('tar', ['-czf', '-', '-C', folder, ...args]).toString('base64'));
    return read.kind === 'read' ? 'read' : [...new Set(read.problems.map((problem) => problem.code))].join(' ');
  };
  symlinkSync('file', join(folder, 'symbolic'));
  linkSync(join(folder, 'file'), join(folder, 'hard'));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  writeFileSync(join(folder, 'sparse'), '');
  truncateSync(join(folder, 'sparse'), 1 << 20);
  for (const format of ['gnu', 'pax']) {
    t.equal(code([`--format=${format}`, 'symbolic']), 'ARCHIVE_MEMBER_KIND', format);
    t.equal(code([`--format=${format}`, 'file', 'hard']), 'ARCHIVE_MEMBER_KIND', format);
    t.equal(code([`--format=${format}`, 'fifo']), 'ARCHIVE_MEMBER_KIND', format);
    t.equal(code([`--format=${format}`, '-S', 'sparse']), 'ARCHIVE_MEMBER_KIND', format);
    t.equal(code([`--format=${format}`, '-P', '--transform=s,^,../,', 'file']), 'ARCHIVE_MEMBER_NAME', format);
    t.equal(code([`--format=${format}`, '-P', '--transform=s,^,/etc/,', 'file']), 'ARCHIVE_MEMBER_NAME', format);
    t.equal(
      code([`--format=${format}`, '--dereference', '--hard-dereference', 'file', 'symbolic', 'hard']),
      'read',
      'what the hints say',
    );
  }
});

t.test('a folder that cannot be packed is refused, all of it at once', async (t) => {
  const folder = t.testdir({ 'docker-compose.yaml': compose, sub: {} });
  symlinkSync('docker-compose.yaml', join(folder, 'sub/link'));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]), 'x');
  const refused = await run(['archive', folder, '-o', join(t.testdirName, '../out.b64')]);
  t.equal(refused.status, 1);
  t.match(refused.stderr, /"sub\/link" is a symbolic link[\s\S]*nothing was packed/);
  t.match(refused.stderr, /"fifo" is neither/);
  t.match(refused.stderr, /cannot be found[\s\S]*UTF-8/);
  t.notOk(readdirSync(join(t.testdirName, '..')).includes('out.b64'));
  const told = await run(['archive', folder, '--json']);
  t.match(JSON.parse(told.stdout), { archived: false, problems: [{ code: /ARCHIVE/ }, {}, {}] });
});

t.test('sizes, and wrong ways to call it', async (t) => {
  const folder = t.testdir({
    app: { 'docker-compose.yaml': compose },
    big: {},
    many: {},
    odd: { 'compose.yaml': compose },
  });
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('big/a'), Buffer.alloc(9 << 20));
  writeFileSync(at('big/b'), Buffer.alloc(9 << 20));
  for (let index = 0; index < 4097; index += 1) writeFileSync(at(`many/${index}`), '');
  const table: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[at('big')], 1, /ARCHIVE_TOO_LARGE[\s\S]*16 MiB/],
    [[at('many')], 1, /ARCHIVE_TOO_LARGE[\s\S]*4096/],
    [[at('none')], 3, /does not exist/],
    [[at('app/docker-compose.yaml')], 2, /no folder/],
    [[at('app'), '-o', at('app/out')], 2, /lies in the folder itself/],
    [[at('app'), '--json', '-o', '-'], 2, /both claim/],
    [[at('app'), '--cert', keyFile('signer-key.pem')], 3, /KEY|key/],
    [[at('odd')], 0, /rename "compose.yaml" to docker-compose.yaml/],
    [[at('app'), '-o', at('out')], 0, /sha256/],
  ];
  for (const [args, status, words] of table) {
    const told = await run(['archive', ...args]);
    t.equal(told.status, status, `${args.join(' ')}: ${told.stderr}`);
    t.match(told.stderr, words, args.join(' '));
  }
  t.equal(readFileSync(at('out'), 'utf8'), (await run(['archive', at('app')])).stdout);
});

t.test('an archive goes into a contract, and out of it', async (t) => {
  const folder = project(t);
  const archive = (await packed(folder)).toString('base64');
  const workload = `type: workload\ncompose:\n  archive: ${archive}\nvolumes:\n  data:\n    seed: workload_phrase_0001\n`;
  const at = join(
    t.testdir({ 'contract.yaml': `workload: |\n${block(workload)}env: |\n${block(env)}` }),
    'contract.yaml',
  );
  const valid = await run(['validate', at]);
  t.equal(valid.status, 0, valid.stderr);
  const sealed = await run(['seal', at, '--cert', cert, '--one-time-key', '-o', `${at}.sealed`]);
  t.equal(sealed.status, 0, sealed.stderr);
  writeFileSync(at, readFileSync(at, 'utf8').replace(archive, archive.slice(0, -8)));
  const damaged = await run(['seal', at, '--cert', cert, '--one-time-key']);
  t.equal(damaged.status, 1, 'a damaged archive is not sealed');
  t.match(damaged.stderr, /contract\.yaml:4:\d+: error HPL06006E ARCHIVE_NOT_GZIP/);
});

t.test('with --cert the text comes as a token', async (t) => {
  const folder = project(t);
  const at = scratch(t);
  const made = await run(['archive', folder, '--cert', cert, '--profile', 'ccrt', '-o', join(at, 'token')]);
  t.equal(made.status, 0, made.stderr);
  t.match(readFileSync(join(at, 'token'), 'utf8'), /^contract-basic\./);
  const opened = await run(['decrypt', join(at, 'token'), '--key', guest]);
  t.equal(opened.stdout, (await packed(folder)).toString('base64'));
});

t.test('keys of images, made by gpg', async (t) => {
  const home = scratch(t);
  mkdirSync(join(home, 'g'));
  const gpg = (args: readonly string[], input = ''): Buffer =>
    execFileSync(
      'gpg',
      [
        '--homedir',
        join(home, 'g'),
        '--batch',
        '--quiet',
        '--no-tty',
        '--pinentry-mode',
        'loopback',
        '--passphrase',
        '',
        ...args,
      ],
      {
        input,
        stdio: ['pipe', 'pipe', 'ignore'],
      },
    );
  t.teardown(() => execFileSync('gpgconf', ['--homedir', join(home, 'g'), '--kill', 'gpg-agent'], { stdio: 'ignore' }));
  chmodSync(join(home, 'g'), 0o700);
  const make = (name: string, algorithm: string, usage: string, expires: string, ...more: readonly string[]): void => {
    gpg([
      '--faked-system-time',
      '20260101T000000',
      ...more,
      '--quick-gen-key',
      `${name}@example.com`,
      algorithm,
      usage,
      expires,
    ]);
  };
  const fingerprint = (name: string): string =>
    /^fpr:+([0-9A-F]{40}):/m.exec(gpg(['--with-colons', '--list-keys', `=${name}@example.com`]).toString())?.[1] ?? '';
  const exported = (...names: readonly string[]): string =>
    gpg(['-a', '--export', ...names.map((name) => `${name}@example.com`)]).toString('base64');
  make('good', 'ed25519', 'sign', 'none');
  make('rsa', 'rsa3072', 'sign', 'none');
  make('subkey', 'ed25519', 'cert', 'none');
  gpg([
    '--faked-system-time',
    '20260101T000000',
    '--quick-add-key',
    fingerprint('subkey'),
    'ed25519',
    'sign',
    '2026-07-01',
  ]);
  make('old', 'ed25519', 'sign', '2026-03-01');
  make('ending', 'ed25519', 'sign', '2026-07-01');
  make('small', 'rsa1024', 'sign', 'none');
  make('dsa', 'dsa2048', 'sign', 'none');
  make('sha', 'rsa2048', 'sign', 'none', '--cert-digest-algo', 'SHA1');
  make('encrypts', 'rsa2048', 'encr', 'none');
  make('revoked', 'ed25519', 'sign', 'none');
  const certificate = readFileSync(join(home, `g/openpgp-revocs.d/${fingerprint('revoked')}.rev`), 'utf8');
  gpg(['--import'], certificate.replace(':-----BEGIN', '-----BEGIN'));
  const table: readonly (readonly [readonly string[], readonly RegExp[]])[] = [
    [['good'], [/KNOWN/]],
    [['rsa'], [/KNOWN/]],
    [['subkey'], [/WEAK .*within 90 days/, /KNOWN/]],
    [['old'], [/UNUSABLE .*expired on 2026-03-01/]],
    [['ending'], [/WEAK .*within 90 days/, /KNOWN/]],
    [['small'], [/WEAK .*RSA key of 1024 bits/, /KNOWN/]],
    [['dsa'], [/WEAK .*DSA/, /KNOWN/]],
    [['sha'], [/WEAK .*SHA-1/, /KNOWN/]],
    [['encrypts'], [/UNUSABLE .*no part that can sign/]],
    [['revoked'], [/UNUSABLE .*is revoked/]],
    [
      ['good', 'rsa'],
      [/WEAK .*2 keys/, /KNOWN/],
    ],
    [
      ['good', 'old'],
      [/WEAK .*2 keys/, /WEAK .*expired/, /KNOWN/],
    ],
  ];
  for (const [names, expected] of table) {
    const found = (await openpgpKeyProblems(exported(...names), now)).map(({ code, message }) => `${code} ${message}`);
    t.match(found, expected, names.join());
    t.equal(found.length, expected.length, `${names.join()}: ${found.join('; ')}`);
    if (expected.some((words) => words.source === 'KNOWN'))
      t.match(found.at(-1), fingerprint(names[0] ?? ''), 'its fingerprint');
  }
  const secret = gpg(['-a', '--export-secret-keys', 'good@example.com']).toString('base64');
  t.match(await openpgpKeyProblems(secret, now), [{ code: 'IMAGE_KEY_PRIVATE' }]);
  t.match(await openpgpKeyProblems(gpg(['--export', 'good@example.com']).toString('base64'), now), [
    { code: 'IMAGE_KEY_INVALID', message: /not ASCII-armoured/ },
  ]);
});
