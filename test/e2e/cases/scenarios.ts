/** Every row of the scenario table that makes or opens a volume: the disk before, and what the plan is called at first and later. */
import { flatRawPassphrase, mixOfTwo, passphraseOf, type SeedTexts } from './by-hand.ts';
import { partition } from './image.ts';
import type { Expected } from './judge.ts';
import { handMadeKms, luksIn, metadata, quick, steps, table, type VolumeCase } from './volume-case.ts';

export interface Scenario extends VolumeCase {
  /** Scenario of the first boot, and of the boot after it. */
  readonly before: string;
  readonly after: string;
  readonly madeElsewhere: boolean;
  readonly judged: Partial<Expected>;
  /** LUKS1: whatever happens, only its data changes. */
  readonly isLuks1?: true;
}

const main: VolumeCase['kms'] = (stage) => [stage.entry('main')];
const here = { madeElsewhere: false, judged: {} };
const elsewhere = { madeElsewhere: true };
/** As HPCR's own header looks, short of its memory: argon2id, 512-byte sectors, two lanes. */
const asTheProduct = [
  '--type=luks2',
  '--pbkdf=argon2id',
  '--pbkdf-memory=32768',
  '--pbkdf-parallel=2',
  '--pbkdf-force-iterations=4',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--sector-size=512',
];

export const scenarios: readonly Scenario[] = [
  { key: 'fresh', before: 'fresh', after: 'open', ...here },
  {
    key: 'fresh_kms',
    kms: main,
    before: 'fresh-kms',
    after: 'open-kms',
    madeElsewhere: false,
    judged: { keyName: 'main' },
  },
  {
    key: 'format',
    // Ends at an odd sector: no 4096-byte sectors fit.
    disk: ({ file }) => partition(file, ['metadata', 'data'], 0),
    before: 'format',
    after: 'open',
    madeElsewhere: false,
    judged: { sectorBytes: 512 },
  },
  {
    key: 'format_kms',
    disk: table('metadata', 'data'),
    kms: main,
    before: 'format-kms',
    after: 'open-kms',
    madeElsewhere: false,
    judged: { keyName: 'main' },
  },
  {
    key: 'open',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, asTheProduct)),
    before: 'open',
    after: 'open',
    ...elsewhere,
    judged: { token: false },
  },
  {
    key: 'adopted',
    disk: handMadeKms('main', passphraseOf, asTheProduct),
    kms: main,
    before: 'open-kms',
    after: 'open-kms',
    ...elsewhere,
    judged: { keyName: 'main' },
  },
  {
    key: 'adopted_flat',
    disk: handMadeKms('main', flatRawPassphrase, quick),
    kms: main,
    before: 'open-kms',
    after: 'open-kms',
    ...elsewhere,
    judged: { keyName: 'main', passphrase: flatRawPassphrase, scheme: 'flat-raw' },
  },
  {
    key: 'migrated',
    disk: handMadeKms('other', passphraseOf, quick),
    kms: (stage) => [stage.entry('main'), stage.entry('other')],
    before: 'migrate',
    after: 'migrate',
    ...elsewhere,
    judged: { keyName: 'main' },
  },
  {
    key: 'whole',
    sizeMiB: 32,
    disk: luksIn(0, [...quick.slice(0, -2), '--key-size=256', '--sector-size=512']),
    before: 'legacy-whole-disk',
    after: 'legacy-whole-disk',
    ...elsewhere,
    judged: { whole: true, token: false },
  },
];

const oldEnv = 'an_older_seed_of_the_env';
const oldWorkload = 'an_older_seed_of_the_workload';
const rollsEnv = { env: [`previousSeed: ${oldEnv}`] };
const rollsWorkload = { workload: [`previousSeed: ${oldWorkload}`] };
const beforeEnv = (seeds: SeedTexts): string => passphraseOf({ ...seeds, env: oldEnv });
const beforeWorkload = (seeds: SeedTexts): string => passphraseOf({ ...seeds, workload: oldWorkload });
const beforeBoth = (seeds: SeedTexts): string => passphraseOf({ ...seeds, env: oldEnv, workload: oldWorkload });
const storedSeed = steps(table('metadata', 'data'), async (disk) => {
  const { wrapped, seed3 } = await disk.stage.wrapOnce('main');
  await metadata({ keyfile: wrapped })(disk);
  return seed3;
});
const changed = { ...elsewhere, after: 'open' };

/** Volumes whose passphrase changes when they are opened, and those that are made with a seed that was there before. */
export const changes: readonly Scenario[] = [
  {
    key: 'rolled_env',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, asTheProduct, beforeEnv)),
    contract: rollsEnv,
    before: 'open',
    ...changed,
    judged: { token: true, keyslot: '1', closedTo: beforeEnv },
  },
  {
    key: 'rolled_both',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, quick, beforeBoth)),
    contract: { ...rollsEnv, ...rollsWorkload },
    before: 'open',
    ...changed,
    judged: { token: true, keyslot: '1', closedTo: beforeBoth },
  },
  {
    key: 'rolled_already',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2)),
    contract: { ...rollsEnv, ...rollsWorkload },
    before: 'open',
    ...changed,
    judged: { token: false, closedTo: beforeBoth },
  },
  {
    key: 'rolled_kms',
    disk: handMadeKms('main', beforeWorkload, quick),
    kms: main,
    contract: { ...rollsEnv, ...rollsWorkload },
    before: 'open-kms',
    ...elsewhere,
    after: 'open-kms',
    judged: { keyName: 'main', keyslot: '1', closedTo: beforeWorkload },
  },
  {
    key: 'rolled_migrated',
    disk: handMadeKms('other', beforeEnv, quick),
    kms: (stage) => [stage.entry('main'), stage.entry('other')],
    contract: rollsEnv,
    before: 'migrate',
    ...elsewhere,
    after: 'migrate',
    judged: { keyName: 'main', keyslot: '1', closedTo: beforeEnv },
  },
  {
    key: 'rolled_whole',
    sizeMiB: 32,
    disk: luksIn(0, [...quick.slice(0, -2), '--key-size=256', '--sector-size=512'], beforeEnv),
    contract: rollsEnv,
    before: 'legacy-whole-disk',
    ...elsewhere,
    after: 'legacy-whole-disk',
    judged: { whole: true, token: true, keyslot: '1', closedTo: beforeEnv },
  },
  {
    key: 'rekey',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, asTheProduct)),
    kms: main,
    before: 'rekey',
    ...elsewhere,
    after: 'open-kms',
    judged: { keyName: 'main', keyslot: '1', closedTo: mixOfTwo },
  },
  {
    key: 'rekey_rolled',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, quick, beforeWorkload)),
    kms: main,
    contract: rollsWorkload,
    before: 'rekey',
    ...elsewhere,
    after: 'open-kms',
    judged: { keyName: 'main', keyslot: '1', closedTo: (seeds) => mixOfTwo({ ...seeds, workload: oldWorkload }) },
  },
  {
    key: 'stored_seed',
    disk: storedSeed,
    kms: main,
    before: 'format-stored-seed',
    after: 'open-kms',
    madeElsewhere: false,
    judged: { keyName: 'main' },
  },
  {
    key: 'migrate_blank',
    disk: steps(table('metadata', 'data'), async (disk) => {
      await metadata({ keyfile: (await disk.stage.wrapOnce('other')).wrapped })(disk);
    }),
    kms: (stage) => [stage.entry('main'), stage.entry('other')],
    before: 'migrate-and-format',
    after: 'migrate',
    madeElsewhere: false,
    judged: { keyName: 'main' },
  },
];

const luks1 = ['--type=luks1', '--pbkdf-force-iterations=2000'];
const essiv = [...quick.slice(0, -3), '--cipher=aes-cbc-essiv:sha256', '--key-size=256'];

/** What only `legacyProfiles: [luks1, cbc-essiv]` lets open. Sizes so that no file system is to be grown. */
export const legacyForms: readonly Scenario[] = [
  {
    key: 'luks1_whole',
    sizeMiB: 24,
    disk: luksIn(0, luks1),
    before: 'open-luks1',
    after: 'open-luks1',
    ...elsewhere,
    judged: { whole: true },
    isLuks1: true,
  },
  {
    key: 'luks1_essiv',
    sizeMiB: 120,
    // As cryptsetup 1.5 made it by itself.
    disk: steps(
      table('metadata', 'data'),
      metadata({}),
      luksIn(2, [...luks1, '--cipher=aes-cbc-essiv:sha256', '--key-size=256', '--hash=sha1']),
    ),
    before: 'open-luks1',
    after: 'open-luks1',
    ...elsewhere,
    judged: {},
    isLuks1: true,
  },
  {
    key: 'essiv',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, [...essiv, '--sector-size=512'])),
    before: 'open',
    after: 'open',
    ...elsewhere,
    judged: { token: false },
  },
  {
    key: 'essiv_4096',
    sizeMiB: 32,
    disk: luksIn(0, [...essiv.slice(0, -1), '--key-size=128', '--sector-size=4096']),
    before: 'legacy-whole-disk',
    after: 'legacy-whole-disk',
    ...elsewhere,
    judged: { whole: true, token: false },
  },
  {
    key: 'essiv_rolled',
    disk: steps(table('metadata', 'data'), metadata({}), luksIn(2, [...essiv, '--sector-size=512'], beforeEnv)),
    contract: rollsEnv,
    before: 'open',
    ...changed,
    judged: { token: true, keyslot: '1', closedTo: beforeEnv },
  },
  {
    key: 'essiv_adopted',
    disk: handMadeKms('main', passphraseOf, essiv),
    kms: main,
    before: 'open-kms',
    after: 'open-kms',
    ...elsewhere,
    judged: { keyName: 'main' },
  },
];
