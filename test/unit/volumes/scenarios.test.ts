import t from 'tap';
import { partitionings, seedFacts, targetFacts } from '../../../agent/volumes/observation.ts';
import { type Facts, kmsFacts, matches, seedSources, table } from '../../../agent/volumes/scenarios.ts';

const everyCombination = function* (): Generator<Facts> {
  for (const seedSource of seedSources)
    for (const partitioning of partitionings)
      for (const seed of seedFacts)
        for (const kms of kmsFacts)
          for (const target of targetFacts) yield { seedSource, partitioning, seed, kms, target };
};

t.test('exactly one row matches every combination of facts', async (t) => {
  let combinations = 0;
  for (const facts of everyCombination()) {
    combinations += 1;
    const found = table.filter((row) => matches(row, facts));
    if (found.length !== 1) t.fail(`${found.length} rows match`, { facts, found });
  }
  t.equal(combinations, 2 * 7 * 5 * 3 * 5);
});

t.test('every row can be reached', async (t) => {
  const all = [...everyCombination()];
  for (const row of table)
    t.ok(
      all.some((facts) => matches(row, facts)),
      JSON.stringify(row.when),
    );
});

t.test('nothing formats unless the target is proven empty', async (t) => {
  for (const facts of everyCombination())
    for (const row of table)
      if (matches(row, facts) && row.outcome.kind === 'formats' && !['blank', 'formatting'].includes(facts.target))
        t.fail('formats a target that is not empty', { facts });
  t.pass('checked');
});

t.test('the documented rows lead where the documentation says', async (t) => {
  const cases: readonly [Omit<Facts, 'seedSource'>, string][] = [
    [{ partitioning: 'none', seed: 'none', kms: 'none', target: 'blank' }, 'fresh'],
    [{ partitioning: 'none', seed: 'none', kms: 'one', target: 'blank' }, 'fresh-kms'],
    [{ partitioning: 'none', seed: 'none', kms: 'none', target: 'luks' }, 'legacy-whole-disk'],
    [{ partitioning: 'none', seed: 'none', kms: 'one', target: 'luks' }, 'VOLUME_KMS_NOT_WANTED'],
    [{ partitioning: 'one', seed: 'none', kms: 'none', target: 'blank' }, 'VOLUME_PARTITIONS_UNSUPPORTED'],
    [{ partitioning: 'more', seed: 'none', kms: 'one', target: 'luks' }, 'VOLUME_PARTITIONS_UNSUPPORTED'],
    [{ partitioning: 'two', seed: 'none', kms: 'none', target: 'blank' }, 'format'],
    [{ partitioning: 'two', seed: 'none', kms: 'none', target: 'luks' }, 'open'],
    [{ partitioning: 'two', seed: 'none', kms: 'one', target: 'blank' }, 'format-kms'],
    [{ partitioning: 'two', seed: 'none', kms: 'one', target: 'luks' }, 'rekey'],
    [{ partitioning: 'two', seed: 'present', kms: 'none', target: 'luks' }, 'VOLUME_KMS_NEEDED'],
    [{ partitioning: 'two', seed: 'present', kms: 'one', target: 'luks' }, 'open-kms'],
    [{ partitioning: 'two', seed: 'present', kms: 'several', target: 'luks' }, 'migrate'],
    [{ partitioning: 'two', seed: 'present', kms: 'one', target: 'blank' }, 'format-stored-seed'],
    [{ partitioning: 'two', seed: 'present', kms: 'several', target: 'blank' }, 'migrate-and-format'],
    [{ partitioning: 'two', seed: 'present', kms: 'one', target: 'foreign' }, 'VOLUME_FOREIGN_DATA'],
    [{ partitioning: 'two', seed: 'unreadable', kms: 'one', target: 'luks' }, 'VOLUME_SEED_UNUSABLE'],
    [{ partitioning: 'none', seed: 'none', kms: 'none', target: 'foreign' }, 'VOLUME_FOREIGN_DATA'],
    [{ partitioning: 'two', seed: 'present', kms: 'one', target: 'luks-damaged' }, 'VOLUME_HEADER_DAMAGED'],
  ];
  for (const [facts, expected] of cases) {
    const row = table.find((candidate) => matches(candidate, { seedSource: 'contract', ...facts }));
    const outcome = row?.outcome;
    t.equal(outcome?.kind === 'refuses' ? outcome.refusal : outcome?.scenario, expected, JSON.stringify(facts));
  }
});
