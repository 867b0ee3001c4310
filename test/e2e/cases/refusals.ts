/**
 * Every refusal that can be brought about on a disk made by stock tools. Each case is one disk with one fault, and the message that
 * must come; the disk must be the same afterwards, byte for byte.
 */
import type { MessageName } from '../../../agent/messages.ts';
import { mixOfTwo, passphraseOf } from './by-hand.ts';
import { MiB, partition, partitionOf, put, take, tool, zero } from './image.ts';
import { cryptsetup, forge, type LuksJson } from './luks-file.ts';
import { forgeryNamed } from './luks-forgeries.ts';
import { closedInstance, type Stage } from './stage.ts';
import {
  bytesAt,
  type DiskMaker,
  filesystemIn,
  handMadeKms,
  luksIn,
  metadata,
  quick,
  steps,
  table,
  type VolumeCase,
} from './volume-case.ts';

export interface Refusal extends VolumeCase {
  readonly refused: MessageName;
  /** Part of the message, where the id alone would not show that the right thing was seen. */
  readonly because?: RegExp;
}

const twoPartitions = table('metadata', 'data');
const opened = steps(twoPartitions, metadata({}), luksIn(2));
const main = (stage: Stage) => [stage.entry('main')];

/** Edits the LUKS header in the data partition as whoever holds the disk can: both copies, both checksums. */
export const forgedIn =
  (number: number, edit: (json: LuksJson) => unknown): DiskMaker =>
  ({ file }) => {
    const { offset } = number === 0 ? { offset: 0 } : partitionOf(file, number);
    const area = take(file, offset, 16 * MiB);
    forge(area, 0, edit);
    put(file, offset, area.subarray(0, MiB));
  };

/** A header forged in one place: it must be recognised before any passphrase is tried. */
const forged = (name: string, how: Partial<Refusal> = {}): Refusal => {
  const { make, reason } = forgeryNamed(name);
  const inPlace: DiskMaker = ({ file }) => {
    const { offset } = partitionOf(file, 2);
    const area = take(file, offset, MiB);
    make(area);
    put(file, offset, area);
  };
  return {
    key: name,
    disk: steps(opened, inPlace),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: reason,
    ...how,
  };
};

/** The first `length` bytes of what cryptsetup luksFormat makes of a file as long as the data partition. */
const formatted = (file: string, settings: readonly string[], length: number): Buffer => {
  const luks = `${file}.luks`;
  tool('truncate', ['--size', String(60 * MiB), luks]);
  cryptsetup(['luksFormat', '--batch-mode', ...settings, luks, '-'], 'x'.repeat(16));
  const bytes = take(luks, 0, length);
  tool('rm', [luks]);
  return bytes;
};

const oldLuks: DiskMaker = ({ file }) => {
  const settings = ['--type=luks1', '--iter-time=10', '--cipher=aes-xts-plain64', '--key-size=512'];
  put(file, partitionOf(file, 2).offset, formatted(file, settings, 4 * MiB));
};

export const partitioning: readonly Refusal[] = [
  { key: 'one_partition', disk: table('data'), refused: 'VOLUME_PARTITIONS_UNSUPPORTED', because: /1 partition$/ },
  { key: 'three_partitions', disk: table('metadata', 'data', 'more'), refused: 'VOLUME_PARTITIONS_UNSUPPORTED' },
  {
    key: 'other_names',
    disk: table('boot', 'root'),
    refused: 'VOLUME_PARTITIONS_FOREIGN',
    because: /"boot" and "root"/,
  },
  { key: 'wrong_order', disk: table('data', 'metadata'), refused: 'VOLUME_PARTITIONS_FOREIGN' },
  {
    key: 'mbr',
    disk: steps(twoPartitions, ({ file }) => tool('sgdisk', ['--gpttombr=1:2', file])),
    refused: 'VOLUME_PARTITIONS_FOREIGN',
    because: /MBR/,
  },
  {
    key: 'damaged_table',
    // A partition name in the primary table: its checksum no longer fits.
    disk: steps(opened, bytesAt(0, 1024 + 56, 'M')),
    refused: 'VOLUME_TABLE_DAMAGED',
  },
  {
    key: 'half_table_over_luks',
    // Our own table, cut off before its primary header, and behind it what is left of a whole-disk LUKS volume.
    disk: ({ file }) => {
      partition(file, ['metadata', 'data']);
      zero(file, 0, 34 * 512);
      const header = formatted(file, [...quick, '--luks2-metadata-size=64k'], 128 * 1024);
      put(file, 64 * 1024, header.subarray(64 * 1024));
    },
    refused: 'VOLUME_STATE_CONTRADICTORY',
  },
  {
    key: 'hsm',
    // Refused before any disk is looked for.
    serials: [],
    contract: {
      env: [
        'grep11: { address: "hsm.example:9876", clientCert: QUJD, clientKey: QUJD, caCert: QUJD, metadata: { aesKeyBlob: QUJD } }',
      ],
    },
    refused: 'VOLUME_SEED_SOURCE_NOT_BUILT',
  },
  {
    key: 'ultravisor',
    seedElsewhere: true,
    contract: { env: ['uv-secret-id: index-1'] },
    refused: 'VOLUME_SEED_SOURCE_NOT_BUILT',
  },
  { key: 'read_only', readOnly: true, refused: 'VOLUME_DISK_READ_ONLY' },
  {
    key: 'twice',
    serials: ['twice', 'twice'],
    refused: 'VOLUME_DISK_AMBIGUOUS',
    because: /\/dev\/ubd\w.*\/dev\/ubd\w/,
  },
  { key: 'small', sizeMiB: 127, refused: 'VOLUME_DISK_TOO_SMALL', because: /at least 134217728 are needed/ },
  {
    key: 'small_partition',
    sizeMiB: 124,
    disk: twoPartitions,
    refused: 'VOLUME_DISK_TOO_SMALL',
    because: /at least/,
  },
];

/** By itself: for a disk nobody waits once another volume is refused. */
export const absent: readonly Refusal[] = [
  { key: 'missing', serials: [], refused: 'VOLUME_DISK_MISSING', because: /wanted a disk with serial number missing/ },
];

export const content: readonly Refusal[] = [
  {
    key: 'foreign_disk',
    disk: filesystemIn(0, { precious: 'data' }),
    refused: 'VOLUME_FOREIGN_DATA',
    because: /data at byte/,
  },
  {
    key: 'foreign_data',
    disk: steps(twoPartitions, filesystemIn(2, { precious: 'data' })),
    refused: 'VOLUME_FOREIGN_DATA',
  },
  {
    key: 'one_byte',
    disk: bytesAt(0, 3 * MiB + 17, 'x'),
    refused: 'VOLUME_FOREIGN_DATA',
    because: /data at byte 3145745/,
  },
  { key: 'last_byte', disk: bytesAt(0, 132 * MiB - 1, 'x'), refused: 'VOLUME_FOREIGN_DATA' },
  {
    key: 'others_mark',
    // A formatting mark as the agent writes it, of another volume.
    disk: steps(twoPartitions, bytesAt(2, 0, 'TRISEED FORMATTING 1\nother\n')),
    refused: 'VOLUME_FOREIGN_DATA',
  },
  { key: 'intent_open', contract: { intent: 'open' }, refused: 'VOLUME_INTENT_REFUSED', because: /intent open.*fresh/ },
  { key: 'intent_create', disk: opened, contract: { intent: 'create' }, refused: 'VOLUME_INTENT_REFUSED' },
  { key: 'no_metadata', disk: steps(twoPartitions, luksIn(2)), refused: 'VOLUME_METADATA_MISSING' },
  {
    key: 'bad_keyfile',
    kms: main,
    disk: handMadeKms('main', passphraseOf, quick, () => 'no base64 at all!'),
    refused: 'VOLUME_SEED_UNUSABLE',
  },
  {
    key: 'bad_metadata',
    kms: main,
    // Fields of the superblock: its magic is still there, its checksum no longer fits.
    disk: steps(handMadeKms('main', passphraseOf), bytesAt(1, 1024 + 200, Buffer.alloc(16, 0xff))),
    refused: 'VOLUME_SEED_UNUSABLE',
  },
  { key: 'kms_removed', disk: handMadeKms('main', passphraseOf), refused: 'VOLUME_KMS_NEEDED' },
  { key: 'kms_on_whole', sizeMiB: 32, kms: main, disk: luksIn(0), refused: 'VOLUME_KMS_NOT_WANTED' },
];

export const headers: readonly Refusal[] = [
  forged('null_segment'),
  forged('null_keyslot'),
  forged('shifted_tweak'),
  forged('costly_kdf'),
  forged('other_case'),
  forged('twice_the_field'),
  forged('reencryption'),
  forged('newer_second_copy'),
  // A volume key that the host knows must not get a keyslot of the owner's.
  forged('null_keyslot', { key: 'forged_rekey', kms: main }),
  forged('null_keyslot', { key: 'forged_roll', contract: { env: ['previousSeed: an_older_seed_of_the_env'] } }),
  {
    key: 'no_magic',
    // Neither copy can be recognised any more: it might be anybody's data.
    disk: steps(opened, bytesAt(2, 0, 'XXXX'), bytesAt(2, 16_384, 'XXXX')),
    refused: 'VOLUME_FOREIGN_DATA',
  },
  {
    key: 'no_checksum',
    disk: steps(opened, bytesAt(2, 5000, 'X'), bytesAt(2, 16_384 + 5000, 'X')),
    refused: 'VOLUME_HEADER_DAMAGED',
  },
  {
    key: 'luks1',
    disk: steps(twoPartitions, metadata({}), oldLuks),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: /LUKS1/,
  },
  {
    key: 'other_env_seed',
    disk: opened,
    contract: { envSeed: 'not_the_seed_of_this_volume' },
    refused: 'LUKS_OPEN_FAILED',
    because: /the seeds do not open it/,
  },
];

const luks1 = ['--type=luks1', '--pbkdf-force-iterations=2000'];
const wholeLuks1 = luksIn(0, luks1);
/** Overwrites fields of a whole-disk LUKS1 header, which has no checksum. */
const luks1With = (offset: number, bytes: Uint8Array | string): DiskMaker =>
  steps(wholeLuks1, bytesAt(0, offset, bytes));
const keyslot = (at: number): number => 208 + at * 48;
const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** With the setting that lets LUKS1 be opened: sound volumes that would have to change, and forged ones. */
export const luks1Refusals: readonly Refusal[] = [
  {
    key: 'luks1_rolled',
    sizeMiB: 24,
    disk: luksIn(0, luks1, (seeds) => mixOfTwo({ ...seeds, env: 'an_older_seed_of_the_env' })),
    contract: { env: ['previousSeed: an_older_seed_of_the_env'] },
    refused: 'VOLUME_LUKS1_UNCHANGED',
  },
  {
    key: 'luks1_rekey',
    sizeMiB: 120,
    disk: steps(twoPartitions, metadata({}), luksIn(2, luks1)),
    kms: main,
    refused: 'VOLUME_LUKS1_WITH_KMS',
  },
  { key: 'luks1_kms', disk: handMadeKms('main', passphraseOf, luks1), kms: main, refused: 'VOLUME_LUKS1_WITH_KMS' },
  { key: 'luks1_kms_whole', sizeMiB: 24, disk: wholeLuks1, kms: main, refused: 'VOLUME_KMS_NOT_WANTED' },
  {
    key: 'luks1_other_seed',
    sizeMiB: 24,
    disk: wholeLuks1,
    contract: { envSeed: 'not_the_seed_of_this_volume' },
    refused: 'LUKS_OPEN_FAILED',
  },
  {
    key: 'luks1_null',
    sizeMiB: 24,
    disk: luks1With(8, `${'cipher_null'.padEnd(32, '\0')}${'ecb'.padEnd(32, '\0')}`),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: /cipher_null-ecb/,
  },
  {
    key: 'luks1_costly',
    sizeMiB: 24,
    disk: luks1With(keyslot(0) + 4, word(400_000_000)),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: /iterations/,
  },
  {
    key: 'luks1_overlap',
    sizeMiB: 24,
    disk: luks1With(keyslot(1) + 40, word(8)),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: /overlaps/,
  },
  {
    key: 'luks1_moved',
    sizeMiB: 24,
    disk: luks1With(104, word(8)),
    refused: 'VOLUME_HEADER_DAMAGED',
    because: /into the data/,
  },
];

const withKey = (name: string) => (stage: Stage) => [stage.entry(name)];

export const keys: readonly Refusal[] = [
  { key: 'suspended', kms: withKey('suspended'), refused: 'KMS_KEY_NOT_ACTIVE', because: /suspended/ },
  { key: 'deleted', kms: withKey('deleted'), refused: 'KMS_KEY_NOT_ACTIVE' },
  {
    key: 'suspended_open',
    kms: withKey('suspended'),
    disk: handMadeKms('suspended', passphraseOf),
    refused: 'KMS_KEY_NOT_ACTIVE',
    because: /suspended/,
  },
  {
    key: 'unknown_key',
    kms: (stage) => [
      stage.entry('main', { crn: stage.key('main').crn.replace(/[^:]+$/, '00000000-0000-4000-8000-000000000000') }),
    ],
    refused: 'KMS_KEY_NOT_ACTIVE',
    because: /deleted or unknown/,
  },
  {
    key: 'wrong_api_key',
    kms: (stage) => [stage.entry('main', { apiKey: 'somebody-elses-api-key' })],
    refused: 'KMS_ACCESS_DENIED',
  },
  {
    key: 'unreachable',
    kms: (stage) => [
      stage.entry('main', { crn: stage.key('main').crn.replace(stage.service.instance, closedInstance) }),
    ],
    refused: 'KMS_UNREACHABLE',
  },
  {
    key: 'wrapped_by_other',
    kms: main,
    disk: handMadeKms('other', passphraseOf),
    refused: 'KMS_UNWRAP_FAILED',
    because: /every kms entry refuses/,
  },
  {
    key: 'wrong_seed_kms',
    kms: main,
    disk: handMadeKms('main', passphraseOf),
    contract: { workloadSeed: 'not_the_seed_of_this_volume' },
    refused: 'LUKS_OPEN_FAILED',
  },
  {
    key: 'others_keyfile',
    kms: main,
    // Wrapped by the same root key, for another volume.
    disk: async (disk) => {
      await handMadeKms('main', passphraseOf)(disk);
      const { wrapped } = await disk.stage.wrap('main');
      await metadata({ keyfile: wrapped })(disk);
    },
    refused: 'LUKS_OPEN_FAILED',
  },
  {
    key: 'rekey_wrong',
    kms: main,
    disk: opened,
    contract: { workloadSeed: 'not_the_seed_of_this_volume' },
    refused: 'LUKS_OPEN_FAILED',
  },
  {
    key: 'rolled_wrong',
    contract: { env: ['previousSeed: an_older_seed_of_the_env'], workloadSeed: 'not_the_seed_of_this_volume' },
    disk: opened,
    refused: 'LUKS_OPEN_FAILED',
  },
  {
    key: 'bypass',
    // The older key would still unwrap it; the owner's decision about the first one counts.
    kms: (stage) => [stage.entry('suspended'), stage.entry('other')],
    disk: handMadeKms('other', passphraseOf),
    refused: 'KMS_KEY_NOT_ACTIVE',
    because: /suspended/,
  },
];

/** Both find the disk of the first one. */
export const shared: readonly Refusal[] = [
  // Two names, and one disk, since virtio passes on twenty characters of a serial number.
  {
    key: 'shared',
    serials: ['a-name-of-twenty-and'],
    contract: { env: ['volumeName: a-name-of-twenty-and-one'] },
    refused: 'VOLUME_DISK_SHARED',
  },
  {
    key: 'sharing',
    serials: [],
    contract: { env: ['volumeName: a-name-of-twenty-and-two'] },
    refused: 'VOLUME_DISK_SHARED',
  },
];

export const copies: readonly Refusal[] = [
  { key: 'original', disk: opened, refused: 'VOLUME_COPIED' },
  { key: 'copy', disk: opened, refused: 'VOLUME_COPIED' },
];
