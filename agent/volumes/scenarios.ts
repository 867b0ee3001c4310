/**
 * THE table: which scenario an observed disk and a contract make, and what follows. Data only; plan.ts reads it, the
 * operator document prints it, a test proves that exactly one row matches every combination of facts.
 * Source: IBM Cloud docs "Securing your data on Hyper Protect Virtual Servers for VPC", table "Scenarios", completed
 * where it is silent: whatever is not listed refuses.
 */
import type { Partitioning, SeedFact, TargetFact } from './observation.ts';

/** Number of `kms` entries: none, exactly one, two to five. */
export type KmsFact = 'none' | 'one' | 'several';
export const kmsFacts = ['none', 'one', 'several'] as const;
export type SeedSource = 'contract' | 'other';
export const seedSources = ['contract', 'other'] as const;

export interface Facts {
  readonly seedSource: SeedSource;
  readonly partitioning: Partitioning;
  readonly seed: SeedFact;
  readonly kms: KmsFact;
  readonly target: TargetFact;
}

export type ScenarioName =
  | 'fresh'
  | 'fresh-kms'
  | 'format'
  | 'format-kms'
  | 'open'
  | 'open-kms'
  | 'rekey'
  | 'format-stored-seed'
  | 'migrate'
  | 'migrate-and-format'
  | 'legacy-whole-disk'
  | 'open-luks1';

export type RefusalName =
  | 'VOLUME_SEED_SOURCE_NOT_BUILT'
  | 'VOLUME_PARTITIONS_UNSUPPORTED'
  | 'VOLUME_PARTITIONS_FOREIGN'
  | 'VOLUME_TABLE_DAMAGED'
  | 'VOLUME_FOREIGN_DATA'
  | 'VOLUME_HEADER_DAMAGED'
  | 'VOLUME_SEED_UNUSABLE'
  | 'VOLUME_METADATA_MISSING'
  | 'VOLUME_STATE_CONTRADICTORY'
  | 'VOLUME_KMS_NOT_WANTED'
  | 'VOLUME_KMS_NEEDED'
  | 'VOLUME_LUKS1_WITH_KMS';

export type Outcome =
  /** Makes a new volume on a disk proven empty. `storedSeed`: with the third seed that is stored there already. */
  | {
      readonly kind: 'formats';
      readonly scenario: ScenarioName;
      readonly partitions: boolean;
      readonly seeds: 2 | 3;
      readonly storedSeed: boolean;
    }
  /** Opens what is there. `rekeys`: with two seeds for the last time; a third joins them. */
  | { readonly kind: 'opens'; readonly scenario: ScenarioName; readonly seeds: 2 | 3; readonly rekeys: boolean }
  | { readonly kind: 'refuses'; readonly refusal: RefusalName; readonly scenario: string };

type Condition<Fact> = readonly Fact[] | 'any';
export interface Row {
  readonly when: { readonly [Name in keyof Facts]: Condition<Facts[Name]> };
  readonly outcome: Outcome;
}

const formats = (
  scenario: ScenarioName,
  seeds: 2 | 3,
  how: { partitions?: true; storedSeed?: true } = {},
): Outcome => ({
  kind: 'formats',
  scenario,
  seeds,
  partitions: how.partitions ?? false,
  storedSeed: how.storedSeed ?? false,
});
const opens = (scenario: ScenarioName, seeds: 2 | 3, how: { rekeys?: true } = {}): Outcome => ({
  kind: 'opens',
  scenario,
  seeds,
  rekeys: how.rekeys ?? false,
});
const refuses = (refusal: RefusalName, scenario: string): Outcome => ({ kind: 'refuses', refusal, scenario });
const unpartitioned: readonly Partitioning[] = ['none', 'halfWritten'];
const ours: readonly Partitioning[] = ['none', 'halfWritten', 'two'];
const usable: readonly TargetFact[] = ['blank', 'formatting', 'luks'];
/** Encrypted already; whatever a row does with the first, the second is only opened. */
const encrypted: readonly TargetFact[] = ['luks', 'luks1'];
const empty: readonly TargetFact[] = ['blank', 'formatting'];
const withKms: readonly KmsFact[] = ['one', 'several'];

/** A row about any number of partitions, for contracts whose seeds we can use. */
const row = (when: Partial<Row['when']>, outcome: Outcome): Row => ({
  when: { seedSource: ['contract'], partitioning: 'any', seed: 'any', kms: 'any', target: 'any', ...when },
  outcome,
});

export const table: readonly Row[] = [
  row({ seedSource: ['other'] }, refuses('VOLUME_SEED_SOURCE_NOT_BUILT', 'uv-secret-id or grep11')),
  row({ partitioning: ['one', 'more'] }, refuses('VOLUME_PARTITIONS_UNSUPPORTED', 'unsupported partitioning')),
  row({ partitioning: ['twoOther'] }, refuses('VOLUME_PARTITIONS_FOREIGN', 'two partitions, not metadata and data')),
  row({ partitioning: ['damaged'] }, refuses('VOLUME_TABLE_DAMAGED', 'damaged partition table')),
  row({ partitioning: ours, target: ['foreign'] }, refuses('VOLUME_FOREIGN_DATA', 'foreign data')),
  row({ partitioning: ours, target: ['luks-damaged'] }, refuses('VOLUME_HEADER_DAMAGED', 'damaged LUKS header')),

  row({ partitioning: unpartitioned, kms: ['none'], target: ['blank'] }, formats('fresh', 2, { partitions: true })),
  row({ partitioning: unpartitioned, kms: withKms, target: ['blank'] }, formats('fresh-kms', 3, { partitions: true })),
  row({ partitioning: ['none'], kms: ['none'], target: ['luks'] }, opens('legacy-whole-disk', 2)),
  row({ partitioning: ['none'], kms: ['none'], target: ['luks1'] }, opens('open-luks1', 2)),
  row(
    { partitioning: ['none'], kms: withKms, target: encrypted },
    refuses('VOLUME_KMS_NOT_WANTED', 'whole-disk LUKS with kms details'),
  ),
  row(
    { partitioning: unpartitioned, target: ['formatting'] },
    refuses('VOLUME_STATE_CONTRADICTORY', 'formatting mark without partitions'),
  ),
  row(
    { partitioning: ['halfWritten'], target: encrypted },
    refuses('VOLUME_STATE_CONTRADICTORY', 'half-written partition table over LUKS'),
  ),

  row(
    { partitioning: ['two'], seed: ['bad', 'unreadable'], target: [...empty, ...encrypted] },
    refuses('VOLUME_SEED_UNUSABLE', 'stored seed unusable'),
  ),
  row(
    { partitioning: ['two'], seed: ['no-fs'], target: encrypted },
    refuses('VOLUME_METADATA_MISSING', 'metadata partition without a file system'),
  ),
  row({ partitioning: ['two'], seed: ['none', 'no-fs'], kms: ['none'], target: empty }, formats('format', 2)),
  row({ partitioning: ['two'], seed: ['none'], kms: ['none'], target: ['luks'] }, opens('open', 2)),
  row({ partitioning: ['two'], seed: ['none'], kms: ['none'], target: ['luks1'] }, opens('open-luks1', 2)),
  row({ partitioning: ['two'], seed: ['none', 'no-fs'], kms: withKms, target: empty }, formats('format-kms', 3)),
  row({ partitioning: ['two'], seed: ['none'], kms: withKms, target: ['luks'] }, opens('rekey', 3, { rekeys: true })),
  row(
    { partitioning: ['two'], seed: ['none'], kms: withKms, target: ['luks1'] },
    refuses('VOLUME_LUKS1_WITH_KMS', 'LUKS1 with kms details'),
  ),
  row(
    { partitioning: ['two'], seed: ['present'], target: ['luks1'] },
    refuses('VOLUME_LUKS1_WITH_KMS', 'LUKS1 with a stored seed'),
  ),
  row(
    { partitioning: ['two'], seed: ['present'], kms: ['none'], target: usable },
    refuses('VOLUME_KMS_NEEDED', 'kms details are needed'),
  ),
  row(
    { partitioning: ['two'], seed: ['present'], kms: ['one'], target: empty },
    formats('format-stored-seed', 3, { storedSeed: true }),
  ),
  row({ partitioning: ['two'], seed: ['present'], kms: ['one'], target: ['luks'] }, opens('open-kms', 3)),
  row(
    { partitioning: ['two'], seed: ['present'], kms: ['several'], target: empty },
    formats('migrate-and-format', 3, { storedSeed: true }),
  ),
  row({ partitioning: ['two'], seed: ['present'], kms: ['several'], target: ['luks'] }, opens('migrate', 3)),
];

const holds = <Fact>(condition: Condition<Fact>, fact: Fact): boolean =>
  condition === 'any' || condition.includes(fact);

export const matches = ({ when }: Row, facts: Facts): boolean =>
  holds(when.seedSource, facts.seedSource) &&
  holds(when.partitioning, facts.partitioning) &&
  holds(when.seed, facts.seed) &&
  holds(when.kms, facts.kms) &&
  holds(when.target, facts.target);

/** The one row for these facts. Throws when the table is not total: a bug, never a reason to go on. */
export const rowFor = (facts: Facts, rows: readonly Row[] = table): Row => {
  const found = rows.filter((candidate) => matches(candidate, facts));
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new TypeError(`${found.length} rows match ${JSON.stringify(facts)}`);
  return only;
};
