/** Every row of the scenario table that makes or opens a volume: the disk before, and what the plan is called at first and later. */
import { flatRawPassphrase, passphraseOf } from './by-hand.ts';
import { partition } from './image.ts';
import type { Expected } from './judge.ts';
import { handMadeKms, luksIn, metadata, quick, steps, table, type VolumeCase } from './volume-case.ts';

export interface Scenario extends VolumeCase {
  /** Scenario of the first boot, and of the boot after it. */
  readonly before: string;
  readonly after: string;
  readonly madeElsewhere: boolean;
  readonly judged: Partial<Expected>;
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
