/** The key service is as fast as it has to be. The best of a few tries counts: other work on the machine is not its fault. */
import { join } from 'node:path';
import t from 'tap';
import { BURST, keyServiceRows, LIMITS } from '../../../bench/key-service-rows.ts';
import { quantile } from '../../../bench/measure.ts';
import { currentBundle } from '../../../scripts/bundle.ts';

t.setTimeout(120_000);

const TRIES = 8;
const root = join(import.meta.dirname, '..', '..', '..');

t.test('start, calls a second, 99th percentile', async (t) => {
  const once = { processes: 1, functions: 1, calls: 1 };
  await using service = await keyServiceRows(once, t.testdir(), join(root, currentBundle()));
  const [start, ...loads] = service.rows;
  const startsMs: number[] = [];
  for (let count = 0; count < TRIES; count += 1) {
    const beganMs = performance.now();
    await start?.measured();
    startsMs.push(performance.now() - beganMs);
  }
  t.ok(Math.min(...startsMs) < LIMITS.startMs, `it listens after ${Math.min(...startsMs).toFixed(0)} ms`);
  t.equal(loads.length, 2, 'wrap and unwrap');
  for (const { name, measured } of loads) {
    const [rates, p99s]: [number[], number[]] = [[], []];
    for (let count = 0; count < TRIES; count += 1) {
      const beganMs = performance.now();
      const latencies = (await measured()) as readonly number[];
      t.equal(latencies.length, BURST);
      rates.push((BURST * 1000) / (performance.now() - beganMs));
      p99s.push(quantile(latencies, 0.99));
    }
    t.ok(Math.max(...rates) >= LIMITS.callsPerSecond, `${name}: ${Math.max(...rates).toFixed(0)} calls a second`);
    t.ok(Math.min(...p99s) < LIMITS.p99Ms, `${name}: p99 ${Math.min(...p99s).toFixed(1)} ms`);
  }
});
