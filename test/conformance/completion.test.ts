/** The scripts of `triseed completion`, and what bash makes of its one. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const triseed = (...args: readonly string[]) =>
  spawnSync(process.execPath, [join(root, 'agent/main.ts'), ...args], { encoding: 'utf8' });
const script = triseed('completion', 'bash').stdout;

/** What bash offers for the last of `words`, in `folder`. */
const offered = (folder: string, ...words: readonly string[]): readonly string[] => {
  const setting = `COMP_WORDS=(${['triseed', ...words].map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length}`;
  const { stdout, stderr } = spawnSync(
    'bash',
    ['--noprofile', '--norc', '-c', `${script}\n${setting}; _triseed; printf '%s\\n' "\${COMPREPLY[@]}"`],
    { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (stderr !== '') throw new Error(stderr);
  return stdout.split('\n').filter((line) => line !== '');
};

t.test('bash offers commands, options, choices and files where they belong', async (t) => {
  const folder = t.testdir({ 'contract.yaml': '', 'signer.pem': '' });
  const has = (words: readonly string[], ...expected: readonly string[]): void => {
    const found = offered(folder, ...words);
    t.ok(
      expected.every((word) => found.includes(word)),
      `${words.join(' ')}: ${found.join(' ')}`,
    );
  };
  const only = (words: readonly string[], expected: readonly string[]): void =>
    void t.same(offered(folder, ...words), expected, words.join(' '));
  has([''], 'contract', 'kms', 'volume', 'completion');
  only(['cont'], ['contract']);
  has(['contract', ''], 'seal', 'inspect', 'validate');
  only(['contract', 'ins'], ['inspect']);
  only(['contract', 'seal', '--ke'], ['--key', '--keep', '--key-passphrase-file']);
  has(['contract', 'seal', ''], 'contract.yaml', 'signer.pem');
  only(['contract', 'seal', 'contract.yaml', '--key', 'sig'], ['signer.pem']);
  only(['contract', 'validate', '--section', ''], ['workload', 'env', 'network']);
  only(['contract', 'seal', 'contract.yaml', '--profile', 'cc'], ['ccrt', 'ccrv', 'ccco']);
  only(['contract', '--no-such', 'x', 'unknown'], []);
  has(['kms', 'key', ''], 'create', 'rotate');
  only(['completion', 'f'], ['fish']);
  only(['contract', 'con'], []);
});

t.test('every shell gets every command', async (t) => {
  const commands = offered(root, 'contract', '').filter((word) => !word.startsWith('-'));
  t.ok(commands.length >= 10, commands.join(' '));
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout } = triseed('completion', shell);
    t.equal(status, 0, shell);
    for (const command of commands) t.ok(stdout.includes(`contract ${command}`), `${shell}: ${command}`);
  }
  t.match(triseed('completion', 'zsh').stdout, /^autoload -U \+X bashcompinit/);
  t.equal(triseed('completion', 'tcsh').status, 2);
  t.match(triseed('completion', 'bsh').stderr, /Allowed choices are bash, zsh, fish/);
});

t.test('fish lines are quoted and complete', async (t) => {
  const lines = triseed('completion', 'fish')
    .stdout.split('\n')
    .filter((line) => line.startsWith('complete '));
  t.ok(lines.length > 100);
  for (const line of lines)
    t.match(
      line,
      /^complete -c triseed( -f)? -n '__triseed_at[a-z -]*'( (-[xrf]|-l [a-z0-9-]+|-s [a-zA-Z]|-[ad] '(?:[^']|'\\'')*'))+$/,
      line,
    );
});

t.test('a misspelt command or option is answered with the nearest', async (t) => {
  t.match(triseed('contrct').stderr, /Did you mean contract\?/);
  t.match(triseed('contract', 'insepct', 'x').stderr, /Did you mean inspect\?/);
  t.match(triseed('contract', 'seal', 'x', '--cert', 'y', '--kye', 'z').stderr, /Did you mean --key\?/);
  for (const args of [
    ['contrct'],
    ['contract', 'insepct', 'x'],
    ['contract', 'seal', 'x', '--cert', 'y', '--kye', 'z'],
  ])
    t.equal(triseed(...args).status, 2);
});
