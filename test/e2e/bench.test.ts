/** The rows of the benchmark that need a guest still run: once each, with two volumes for many, and no time is asserted. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import type { Result } from '../../bench/measure.ts';

t.setTimeout(1_200_000);
const root = join(import.meta.dirname, '..', '..');

t.test('every row that needs a guest runs', async (t) => {
  const args = [join(root, 'bench/run.ts'), '--smoke', '--guests', '--json'];
  const { results } = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as {
    readonly results: readonly Result[];
  };
  const names = results.map(({ name }) => name);
  for (const name of [
    'boot, a volume under a root key',
    'boot, 2 volumes under a root key',
    'boot, a volume with two seeds',
    'boot, 2 volumes with two seeds',
    'boot, beyond cryptsetup, key service and mount',
    'boot, peak resident memory',
  ])
    t.ok(names.includes(name), name);
  for (const { name, ours, theirs } of results) {
    t.ok(theirs.median > 0, `${name}: the other side was measured`);
    // A boot less what a run of the script took: on a busy machine it can be the shorter of the two.
    if (name === 'boot, beyond cryptsetup, key service and mount')
      t.ok(Number.isFinite(ours.median), `${name} was measured`);
    else t.ok(ours.median > 0, `${name} was measured`);
  }
});
