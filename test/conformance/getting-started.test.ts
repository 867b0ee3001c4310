/** Runs the command blocks of docs/getting-started.md in one shell, and looks for the output the page promises. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { steadyPort } from '../fakes/steady-port.ts';
import { followPage, isKept, missingPrograms } from './page.ts';

/** Where a tool of the machine is missing, or rights are, the page cannot be followed to its end. */
const missing = missingPrograms('genisoimage', 'openssl', 'curl');
const obstacle =
  process.getuid?.() !== 0
    ? 'needs root, as a rehearsal does'
    : missing.length > 0
      ? `no ${missing.join(', ')}`
      : false;

t.test('the commands of the page do what it says', { skip: obstacle }, async (t) => {
  const home = t.testdir();
  const port = await steadyPort();
  const { status, output, promised } = followPage('docs/getting-started.md', home, (script) =>
    script
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)
      .replaceAll('/dev/shm/triseed-rehearsal', `/dev/shm/triseed-rehearsal-${process.pid}`),
  );
  t.equal(status, 0, 'every command succeeds', { output });
  t.ok(promised.length >= 8, 'the page promises outputs');
  for (const line of promised) t.ok(isKept(line, output), `the output holds: ${line}`);

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
