/** The document for a number: the same for the same seed and number, whoever makes it. */
import { type Seeded, seeded } from '../../fakes/seeded.ts';
import { type Corpus, indented, together } from './corpus.ts';
import { mutated, randomText, randomTree } from './mutations.ts';

const ways: readonly (readonly [weight: number, way: (corpus: Corpus, random: Seeded) => string])[] = [
  // A contract as it stands in the fixtures, changed.
  [30, ({ contracts }, random) => mutated(random.pick(contracts), random, random.pick(contracts))],
  // Sections changed, and put into a contract unharmed.
  [
    45,
    ({ workloads, envs }, random) => {
      const [workload, env] = [random.pick(workloads), random.pick(envs)];
      if (random.below(2) === 0) return together(mutated(workload, random, random.pick(workloads)), env);
      return together(workload, mutated(env, random, random.pick(envs)));
    },
  ],
  // The same as JSON, and as nested mappings.
  [
    8,
    ({ workloads, envs }, random) => {
      const workload = mutated(random.pick(workloads), random, random.pick(envs));
      if (random.below(2) === 0) return JSON.stringify({ workload, env: random.pick(envs) });
      return `workload:\n${indented(workload)}\nenv:\n${indented(random.pick(envs))}`;
    },
  ],
  // What is around and inside tokens.
  [2, ({ sealed, contracts }, random) => mutated(random.pick(sealed), random, random.pick(contracts))],
  // From nothing.
  [7, (_, random) => randomText(random)],
  [4, (_, random) => JSON.stringify({ workload: randomTree(random, 5), env: randomTree(random, 5) })],
  [
    4,
    (_, random) => {
      const section = (type: string): string =>
        JSON.stringify({ type, ...(randomTree(random, 4) as object | null) }, null, random.below(3));
      return together(section('workload'), section('env'));
    },
  ],
];
const total = ways.reduce((sum, [weight]) => sum + weight, 0);

export const documentAt = (corpus: Corpus, seed: string, index: number): Buffer => {
  const random = seeded(`${seed} ${index}`);
  let left = random.below(total);
  for (const [weight, way] of ways) {
    left -= weight;
    if (left < 0) {
      const text = way(corpus, random);
      // One in sixteen is no UTF-8 any more, mostly.
      return random.below(16) === 0 ? Buffer.from(text, 'latin1') : Buffer.from(text, 'utf8');
    }
  }
  throw new RangeError('the weights do not add up');
};
