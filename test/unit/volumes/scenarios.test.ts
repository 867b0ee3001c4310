import t from 'tap';
import { partitionings, seedFacts, targetFacts } from '../../../agent/volumes/observation.ts';
import {
  type Facts,
  kmsFacts,
  matches,
  type Outcome,
  rowFor,
  seedSources,
  table,
} from '../../../agent/volumes/scenarios.ts';

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
  t.equal(combinations, 2 * 7 * 5 * 3 * 6);
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

/**
 * What the documented table says, told a second time and in another way: as a person goes through it, from the disk to the
 * contract. Outcomes as "seeds used, what for".
 */
const expected = ({ seedSource, partitioning, seed, kms, target }: Facts): string => {
  if (seedSource === 'other') return 'VOLUME_SEED_SOURCE_NOT_BUILT';
  if (partitioning === 'one' || partitioning === 'more') return 'VOLUME_PARTITIONS_UNSUPPORTED';
  if (partitioning === 'twoOther') return 'VOLUME_PARTITIONS_FOREIGN';
  if (partitioning === 'damaged') return 'VOLUME_TABLE_DAMAGED';
  if (target === 'foreign') return 'VOLUME_FOREIGN_DATA';
  if (target === 'luks-damaged') return 'VOLUME_HEADER_DAMAGED';
  const withKms = kms !== 'none';
  if (partitioning !== 'two') {
    if (target === 'formatting') return 'VOLUME_STATE_CONTRADICTORY';
    if (target === 'blank') return withKms ? 'fresh-kms: partition, format, 3' : 'fresh: partition, format, 2';
    if (partitioning === 'halfWritten') return 'VOLUME_STATE_CONTRADICTORY';
    if (target === 'luks1' && !withKms) return 'open-luks1: open, 2';
    return withKms ? 'VOLUME_KMS_NOT_WANTED' : 'legacy-whole-disk: open, 2';
  }
  if (seed === 'bad' || seed === 'unreadable') return 'VOLUME_SEED_UNUSABLE';
  if (target === 'luks1' && seed !== 'no-fs')
    return withKms || seed === 'present' ? 'VOLUME_LUKS1_WITH_KMS' : 'open-luks1: open, 2';
  if (target === 'luks' || target === 'luks1') {
    if (seed === 'no-fs') return 'VOLUME_METADATA_MISSING';
    if (seed === 'none') return withKms ? 'rekey: join a third, 3' : 'open: open, 2';
    if (!withKms) return 'VOLUME_KMS_NEEDED';
    return kms === 'one' ? 'open-kms: open, 3' : 'migrate: open, 3';
  }
  if (seed !== 'present') return withKms ? 'format-kms: format, 3' : 'format: format, 2';
  if (!withKms) return 'VOLUME_KMS_NEEDED';
  return kms === 'one'
    ? 'format-stored-seed: format with what is stored, 3'
    : 'migrate-and-format: format with what is stored, 3';
};

const told = (outcome: Outcome): string => {
  if (outcome.kind === 'refuses') return outcome.refusal;
  const what =
    outcome.kind === 'opens'
      ? outcome.rekeys
        ? 'join a third'
        : 'open'
      : [
          ...(outcome.partitions ? ['partition'] : []),
          outcome.storedSeed ? 'format with what is stored' : 'format',
        ].join(', ');
  return `${outcome.scenario}: ${what}, ${outcome.seeds}`;
};

t.test('every combination leads where the documentation says', async (t) => {
  for (const facts of everyCombination()) {
    const found = told(rowFor(facts).outcome);
    if (found !== expected(facts)) t.equal(found, expected(facts), JSON.stringify(facts));
  }
  t.pass('all of them');
});

t.test('facts that no row speaks of, or two, are a fault of ours and never an outcome', async (t) => {
  const facts = { seedSource: 'contract', partitioning: 'none', seed: 'none', kms: 'none', target: 'blank' } as const;
  t.throws(() => rowFor({ ...facts, target: 'unheard of' as 'blank' }), TypeError);
  t.throws(() => rowFor(facts, [...table, ...table]), TypeError);
});
