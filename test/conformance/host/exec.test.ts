/** Child processes: what they see, what they cannot see, and how they end. */
import t from 'tap';
import { hasCode } from '../../../agent/errors.ts';
import { runCommand } from '../../../agent/host/exec.ts';
import { Secret } from '../../../agent/secret.ts';

const sh = (script: string, more: object = {}) =>
  runCommand({ program: '/bin/sh', args: ['-c', script], timeoutMs: 10_000, ...more });

t.test('an exit status is an answer, not an error', async (t) => {
  for (const exit of [0, 1, 2, 5, 255]) t.equal((await sh(`exit ${exit}`)).exit, exit);
});

t.test('outputs come back whole', async (t) => {
  const result = await sh("printf 'one\\n\\000\\377two\\n'; printf words >&2");
  t.strictSame(result.stdout, Buffer.from([...Buffer.from('one\n'), 0, 255, ...Buffer.from('two\n')]));
  t.equal(result.stderr, 'words');
  t.equal(result.timedOut, false);
  t.equal(result.signal, null);
});

t.test('the environment is not inherited', async (t) => {
  process.env.TRISEED_TEST_SECRET = 'from the parent';
  try {
    const { stdout } = await runCommand({ program: '/usr/bin/env', args: ['--null'], timeoutMs: 10_000 });
    const names = stdout
      .toString()
      .split('\0')
      .map((entry) => entry.split('=')[0]);
    // The test runner adds its own to every child of a test file, whoever starts it.
    const ours = names.filter((name) => name !== undefined && !/^(NODE_OPTIONS$|_?TAP|$)/.test(name));
    t.strictSame(ours.sort(), ['HOME', 'LC_ALL', 'PATH']);
  } finally {
    delete process.env.TRISEED_TEST_SECRET;
  }
});

t.test('arguments are passed as they are, without a shell', async (t) => {
  const args = ['a b', '$HOME', '`id`', "'; true #", '*', ''];
  const { stdout } = await runCommand({ program: '/usr/bin/printf', args: ['[%s]', ...args], timeoutMs: 10_000 });
  t.equal(stdout.toString(), args.map((arg) => `[${arg}]`).join(''));
});

t.test('standard input: bytes, a secret, or nothing', async (t) => {
  const bytes = Buffer.from([0, 10, 13, 255]);
  t.strictSame((await sh('cat', { stdin: bytes })).stdout, bytes);
  const secret = Secret.fromText('line without an end');
  t.equal((await sh('cat', { stdin: secret })).stdout.toString(), 'line without an end');
  t.equal(secret.length, 19, "the secret is still its owner's");
  t.equal((await sh('cat')).stdout.length, 0, 'without stdin the child reads the end at once');
  t.equal((await sh('exit 3', { stdin: Buffer.alloc(1 << 20) })).exit, 3, 'a child that reads nothing');
});

t.test('a child that takes too long is ended', async (t) => {
  const result = await sh('exec sleep 30', { timeoutMs: 200 });
  t.equal(result.timedOut, true);
  t.equal(result.exit, null);
  t.ok(result.elapsedMs < 10_000);
});

t.test('a child ended by a signal says so', async (t) => {
  const result = await sh('kill -KILL $$');
  t.equal(result.exit, null);
  t.equal(result.signal, 'SIGKILL');
});

t.test('more output than anybody wants is cut off', async (t) => {
  const result = await sh('exec head --bytes=20000000 /dev/zero');
  t.ok(result.stdout.length <= 5 * 1024 * 1024, `${result.stdout.length} bytes`);
});

t.test('what cannot be started throws, and relative paths are a bug', async (t) => {
  const missing = await runCommand({ program: '/no/such/program', args: [], timeoutMs: 1000 }).catch((e) => e);
  t.ok(hasCode(missing, 'COMMAND_NOT_STARTED') && missing.facts.program === '/no/such/program');
  const plain = await runCommand({ program: '/etc/passwd', args: [], timeoutMs: 1000 }).catch((e) => e);
  t.ok(hasCode(plain, 'COMMAND_NOT_STARTED'));
  await t.rejects(runCommand({ program: 'sh', args: [], timeoutMs: 1000 }), TypeError);
});
