/** Runs the command blocks of docs/getting-started.md in one shell, and looks for the output the page promises. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..', '..');
const page = readFileSync(join(root, 'docs/getting-started.md'), 'utf8');
const blocksOf = (language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

/** Where a tool of the machine is missing, or rights are, the page cannot be followed to its end. */
const missing = ['genisoimage', 'openssl', 'curl'].filter(
  (program) => !['/usr/bin', '/bin'].some((folder) => existsSync(join(folder, program))),
);
const obstacle =
  process.getuid?.() !== 0
    ? 'needs root, as a rehearsal does'
    : missing.length > 0
      ? `no ${missing.join(', ')}`
      : false;

t.test('the commands of the page do what it says', { skip: obstacle }, async (t) => {
  const home = t.testdir();
  const script = blocksOf('sh')
    .join('\n')
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${await freePort()}`)
    .replaceAll('/dev/shm/triseed-rehearsal', `/dev/shm/triseed-rehearsal-${process.pid}`);
  const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: root,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, LC_ALL: 'C' },
    encoding: 'utf8',
    // With a socket for standard input, as under a test runner, Debian's bash reads bashrc.
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  const output = `${stdout}\n${stderr}`;
  t.equal(status, 0, 'every command succeeds', { output });
  const lines = blocksOf('text').flatMap((block) => block.trimEnd().split('\n'));
  t.ok(lines.length >= 8, 'the page promises outputs');
  for (const line of lines) t.ok(output.includes(line.replace(/…$/, '')), `the output holds: ${line}`);

  const made = (name: string): string => join(home, 'first-contract', name);
  t.equal(statSync(made('guest-key.pem')).mode & 0o777, 0o600, 'the private key is for its owner only');
  const sealed = readFileSync(made('user-data'), 'utf8');
  t.match(sealed, /^workload: hyper-protect-basic\./m);
  t.match(sealed, /^envWorkloadSignature: /m);
  const image = readFileSync(made('cidata.iso'));
  t.ok(image.includes(sealed.trim()), 'the contract is on the disk');
  const seeds = [...readFileSync(made('contract.yaml'), 'utf8').matchAll(/seed: (\w+)/g)].map(([, seed = '']) => seed);
  t.equal(seeds.length, 2);
  for (const seed of seeds) t.notOk(image.includes(seed), 'no seed is on the contract disk');
  for (const seed of seeds) t.notOk(output.includes(seed), 'no seed was printed');
});
