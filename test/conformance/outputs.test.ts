/** What becomes of results: standard output and `-o`, of the real process over real files, pipes and devices. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { attestationCommand } from '../../agent/cli/attestation.ts';
import { contractCommand } from '../../agent/cli/contract.ts';
import { assertOutput } from '../../agent/cli/documents.ts';
import { callCommand } from '../fakes/command-line.ts';
import { filesInMap } from '../fakes/files-in-map.ts';
import { hostOnFiles } from '../fakes/host-on-files.ts';
import { block, cert, env, guest, inFolder, keyFile, now, root, signer } from './contract-cli.ts';

const compose =
  'services:\n  app:\n    image: example.com/app@sha256:0000000000000000000000000000000000000000000000000000000000000000\n';
const main = join(root, 'agent/main.ts');

interface Ended {
  readonly status: number | null;
  readonly stderr: string;
}

/** Runs `triseed` to its end with standard output into the file `path`. */
const triseedInto = (path: string, ...args: readonly string[]): Ended => {
  const into = openSync(path, 'w');
  try {
    const stdio = ['ignore', into, 'pipe'] as const;
    return spawnSync(process.execPath, [main, ...args], { stdio: [...stdio], encoding: 'utf8' });
  } finally {
    closeSync(into);
  }
};
const triseed = (...args: readonly string[]): Ended => triseedInto('/dev/null', ...args);

/** The same in this process, for long tables. */
const called = ([group, ...args]: readonly string[]): Promise<Ended> =>
  callCommand(group === 'contract' ? contractCommand : attestationCommand, args, { at: now });

const idsIn = (text: string): readonly string[] => text.match(/^[A-Z]{3}\d{5}[IWE](?=:)/gm) ?? [];
const isStack = /^\s+at .+:\d+:\d+\)?$/m;

t.test('a result that standard output does not take is a failure', async (t) => {
  const at = inFolder(t);
  const sealing = ['contract', 'seal', at('plain.yaml'), '--cert', cert, '--key', signer];
  t.equal(triseed(...sealing, '-o', at('user-data')).status, 0);
  for (const args of [
    ['contract', 'new'],
    sealing,
    ['contract', 'decrypt', at('user-data'), '--key', guest],
    ['contract', 'validate', at('plain.yaml'), '--json'],
    ['contract', 'seal', '--help'],
    ['completion', 'bash'],
    ['--version'],
  ]) {
    const { status, stderr } = triseedInto('/dev/full', ...args);
    const name = args.slice(0, 2).join(' ');
    t.equal(status, 3, name);
    t.same(idsIn(stderr), ['TSD00011E'], `${name}: ${stderr}`);
    t.notMatch(stderr, isStack, name);
  }
  const refused = triseedInto('/dev/full', 'contract', 'validate', at('absent'), '--json');
  t.same(idsIn(refused.stderr), ['TSD00004E'], 'a command that failed tells that');
});

t.test('a file that takes only the beginning of a result is a failure', (t) => {
  const script = `ulimit -f 1; exec "$0" "$1" contract new > "$2"`;
  const part = join(t.testdir({}), 'part');
  const { status, stderr } = spawnSync('bash', ['-c', script, process.execPath, main, part], { encoding: 'utf8' });
  t.equal(statSync(part).size, 1024, 'there was no room for more');
  t.equal(status, 3);
  t.same(idsIn(stderr), ['TSD00011E'], stderr);
  t.end();
});

t.test('a reader that has seen enough is no failure', async (t) => {
  for (const args of ['contract new', '--version']) {
    const { status, stderr } = spawnSync(
      'bash',
      ['-c', `set -o pipefail; "$0" "$1" ${args} | head -c 1 > /dev/null`, process.execPath, main],
      { encoding: 'utf8' },
    );
    t.equal(status, 0, args);
    t.equal(stderr, '', args);
  }
  // The reader is gone before anything is written.
  const { stderr } = spawnSync('bash', [
    '-c',
    `"$0" "$1" contract new | true; exit "\${PIPESTATUS[0]}"`,
    process.execPath,
    main,
  ]);
  t.equal(stderr.toString(), '');
});

const modeOf = (path: string): number => statSync(path).mode & 0o777;

t.test('what can be read out of a file decides who may read it', (t) => {
  const at = inFolder(t);
  mkdirSync(at('app'));
  writeFileSync(at('app/docker-compose.yaml'), compose);
  writeFileSync(at('app/.env'), 'A=secret\n');
  const sign = ['contract', 'sign', at('plain.yaml'), '--key', signer];
  t.equal(triseed(...sign, '-o', at('signed')).status, 0);
  t.equal(modeOf(at('signed')), 0o600, 'plain sections');
  const encrypt = ['contract', 'encrypt', at('plain.yaml'), '--cert', cert];
  t.equal(triseed(...encrypt, '-o', at('encrypted')).status, 0);
  t.equal(modeOf(at('encrypted')), 0o644, 'tokens');
  t.equal(triseed('contract', 'sign', at('encrypted'), '--key', signer, '-o', at('both')).status, 0);
  t.equal(modeOf(at('both')), 0o644, 'tokens and a signature');
  writeFileSync(at('half'), readFileSync(at('encrypted'), 'utf8').replace(/^env: .*$/m, `env: |\n${block(env)}`));
  t.equal(triseed('contract', 'sign', at('half'), '--key', signer, '-o', at('half signed')).status, 0);
  t.equal(modeOf(at('half signed')), 0o600, 'one plain section');
  t.equal(triseed('contract', 'archive', at('app'), '-o', at('archive')).status, 0);
  t.equal(modeOf(at('archive')), 0o600, 'an archive of a folder with an .env');
  t.end();
});

t.test('a file that is replaced stays closed to whom it was closed', (t) => {
  const at = inFolder(t);
  for (const [before, after] of [
    [0o600, 0o600],
    [0o640, 0o640],
    [0o666, 0o644],
  ] as const) {
    writeFileSync(at('out'), '');
    chmodSync(at('out'), before);
    const encrypt = ['contract', 'encrypt', at('plain.yaml'), '--cert', cert];
    t.equal(triseed(...encrypt, '-o', at('out')).status, 0);
    t.equal(modeOf(at('out')), after, before.toString(8));
  }
  chmodSync(at('plain.yaml'), 0o600);
  t.equal(triseed('contract', 'encrypt', at('plain.yaml'), '--cert', cert, '--in-place').status, 0);
  t.equal(modeOf(at('plain.yaml')), 0o600, 'in place');
  t.end();
});

const nodeOf = (path: string): readonly unknown[] => {
  const { mode, rdev, ino } = lstatSync(path);
  return [mode, rdev, ino];
};

t.test('what is no regular file is never replaced', async (t) => {
  const at = inFolder(t);
  const sealing = ['contract', 'seal', at('plain.yaml'), '--cert', cert, '--key', signer];
  t.equal(triseed(...sealing, '-o', at('user-data')).status, 0);
  mkdirSync(at('app'));
  writeFileSync(at('app/docker-compose.yaml'), compose);
  mkdirSync(at('folder'));
  execFileSync('mkfifo', [at('pipe')]);
  symlinkSync('pipe', at('link to a pipe'));
  symlinkSync('/dev/null', at('link to a device'));
  const nodes = ['folder', 'pipe', 'link to a pipe', 'link to a device'];
  // Only root may make one, and not in every container.
  if (spawnSync('mknod', [at('device'), 'c', '1', '3']).status === 0) nodes.push('device');
  const commands = {
    seal: sealing,
    encrypt: ['contract', 'encrypt', at('plain.yaml'), '--cert', cert],
    sign: ['contract', 'sign', at('plain.yaml'), '--key', signer],
    decrypt: ['contract', 'decrypt', at('user-data'), '--key', guest],
    archive: ['contract', 'archive', at('app')],
    'a key that is not read': ['contract', 'decrypt', at('user-data'), '--key', at('absent')],
  };
  for (const [name, args] of Object.entries(commands))
    for (const node of nodes) {
      const before = nodeOf(at(node));
      const { status, stderr } = await called([...args, '-o', at(node)]);
      t.equal(status, 3, `${name}, ${node}`);
      t.same(idsIn(stderr), ['TSD00005E'], `${name}, ${node}: ${stderr}`);
      t.same(nodeOf(at(node)), before, `${name}, ${node}: is what it was`);
    }
  t.equal(triseed(...sealing, '-o', at('pipe')).status, 3, 'of the process, too');
  symlinkSync('user-data', at('link'));
  t.equal(triseed(...sealing, '-o', at('link')).status, 0, 'a link to a file');
});

t.test('links of the system are never replaced, whatever they lead to', async (t) => {
  const folder = filesInMap({ '/dev/stdout': 'where standard output goes', '/dev/shm/out': 'a file in memory' });
  await folder.makeFolder('/dev/shm', 0o755);
  const host = { ...hostOnFiles(), files: folder };
  const choice = { input: '-', reads: [], inPlace: false };
  await t.rejects(assertOutput(host, { ...choice, output: '/dev/stdout' }), { code: 'FILE_UNWRITABLE' });
  t.equal(await assertOutput(host, { ...choice, output: '/dev/shm/out' }), '/dev/shm/out');
});

t.test('no result replaces a key or anything else that was read', async (t) => {
  const at = inFolder(t);
  const copy = (name: string, from: string): string => {
    writeFileSync(at(name), readFileSync(from));
    return at(name);
  };
  const [key, opening, recipient, own] = [
    copy('signer.pem', signer),
    copy('guest.pem', guest),
    copy('guest.crt', cert),
    copy('signer.crt', keyFile('signer.crt')),
  ];
  const sealing = ['contract', 'seal', at('plain.yaml'), '--cert', recipient, '--key', key];
  t.equal(triseed(...sealing, '-o', at('user-data')).status, 0);
  const passphrase = at('passphrase');
  const subject = at('subject.json');
  writeFileSync(passphrase, 'one\n');
  writeFileSync(subject, '{"CN": "somebody"}');
  const record = copy('record.enc', at('user-data'));
  writeFileSync(record, /^env: (.*)$/m.exec(readFileSync(at('user-data'), 'utf8'))?.[1] ?? '');
  mkdirSync(at('app'));
  writeFileSync(at('app/docker-compose.yaml'), compose);
  const sign = ['contract', 'sign', at('plain.yaml'), '--key', key];
  const decrypt = ['contract', 'decrypt', at('user-data'), '--key', opening];
  const days = ['--expires-days', '9', '--ca-cert', own, '--ca-key', opening, '--csr', subject];
  const table: readonly (readonly [readonly string[], readonly string[]])[] = [
    [sealing, [key, recipient]],
    [
      [...sealing, '--decrypt-key', opening, '--decrypt-key-passphrase-file', passphrase],
      [opening, passphrase],
    ],
    [
      [...sealing, ...days],
      [own, opening, subject],
    ],
    [
      [...sealing, '--signer-cert', own, '--key-passphrase-file', passphrase],
      [own, passphrase],
    ],
    [['contract', 'encrypt', at('plain.yaml'), '--cert', recipient], [recipient]],
    [
      [...sign, '--signer-cert', own, '--key-passphrase-file', passphrase],
      [key, own, passphrase],
    ],
    [
      [...sign, '--decrypt-key', opening, '--decrypt-key-passphrase-file', passphrase],
      [opening, passphrase],
    ],
    [
      [...decrypt, '--key-passphrase-file', passphrase],
      [opening, passphrase],
    ],
    [['contract', 'archive', at('app'), '--cert', recipient], [recipient]],
    [
      ['contract', 'certs', 'request', '--key', key, '--subject', subject],
      [key, subject],
    ],
    [
      ['attestation', 'decrypt', record, '--key', opening, '--key-passphrase-file', passphrase],
      [opening, passphrase],
    ],
  ];
  for (const [args, reads] of table)
    for (const file of reads) {
      const before = readFileSync(file);
      const name = `${args.slice(0, 2).join(' ')}, ${basename(file)}`;
      symlinkSync(file, at('link'));
      for (const output of [file, at('link')]) {
        const { status, stderr } = await called([...args, '-o', output]);
        t.equal(status, 2, `${name}: ${stderr}`);
        t.same(idsIn(stderr), ['TSD00002E'], name);
      }
      t.strictSame(readFileSync(file), before, `${name}: as it was`);
      rmSync(at('link'));
    }
  t.equal(triseed(...decrypt, '-o', opening).status, 2, 'of the process, too');
  t.strictSame(readFileSync(opening), readFileSync(guest));
  t.equal(triseed(...sealing, '--keep', at('user-data'), '-o', at('user-data')).status, 0, 'the sealing before');
});

t.test('no key is made under an empty passphrase', (t) => {
  const at = inFolder(t);
  for (const empty of ['', '\n', '\r\n']) {
    writeFileSync(at('passphrase'), empty);
    const pair = ['--out-key', at('key'), '--out-cert', at('cert')];
    const { status, stderr } = triseed('contract', 'keygen', ...pair, '--key-passphrase-file', at('passphrase'));
    t.equal(status, 3, JSON.stringify(empty));
    t.same(idsIn(stderr), ['TSD05009E'], stderr);
    t.notOk(existsSync(at('key')) || existsSync(at('cert')), 'nothing is written');
  }
  t.end();
});

/** Resolves once `child` has said `words` on standard error. */
const said = (child: ChildProcess, words: RegExp): Promise<void> =>
  new Promise((resolve) => {
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (more: string) => {
      text += more;
      if (words.test(text)) resolve();
    });
  });

t.test('a service goes on without its standard output, and tells in the end', async (t) => {
  const into = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [main, 'kms', 'serve', '--listen', '127.0.0.1:0', '--json'], {
    stdio: ['ignore', into, 'pipe'],
  });
  closeSync(into);
  let stderr = '';
  child.stderr?.on('data', (more: Buffer) => {
    stderr += more;
  });
  const ended = once(child, 'close');
  await said(child, /127\.0\.0\.1:\d+/);
  child.kill('SIGTERM');
  t.equal((await ended)[0], 3);
  t.same(idsIn(stderr), ['TSD00011E'], stderr);
  t.notMatch(stderr, isStack);
});

t.test('one signal ends a command that waits for its input', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const child = spawn(process.execPath, [main, 'contract', 'validate', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    const ended = once(child, 'close');
    // More than a pipe holds: once it is taken, the command is reading.
    await new Promise((resolve) => child.stdin.write(Buffer.alloc(256 * 1024, '#'), resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    t.same(await ended, [null, signal]);
    clearTimeout(late);
  }
});
