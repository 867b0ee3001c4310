/** What whoever holds the disks can do to volumes that the agent made: each is noticed. And what a boot mends by itself. */
import { copyFileSync, readFileSync } from 'node:fs';
import { MiB, partitionOf, put, tool, zero } from './image.ts';
import type { LuksJson } from './luks-file.ts';
import { forgedIn, type Refusal } from './refusals.ts';
import { bytesAt, type DiskMaker, steps, type VolumeCase } from './volume-case.ts';

const kms: VolumeCase['kms'] = (stage) => [stage.entry('main')];

/** The image of volume `key` as the agent left it. */
export type Originals = (key: string) => string;

const tokenOf = (json: LuksJson): LuksJson['tokens'][string] => {
  const [token] = Object.values(json.tokens);
  if (token === undefined) throw new Error('no token');
  return token;
};

/** The token in the header wraps another seed; what the MAC in it binds is as it was. */
const otherToken: DiskMaker = async (disk) => {
  const { wrapped } = await disk.stage.wrapOnce('main');
  await forgedIn(2, (json) => Object.assign(tokenOf(json), { wrapped }))(disk);
};

/** The keyfile of the metadata partition wraps another seed. */
const otherKeyfile: DiskMaker = async ({ file, stage }) => {
  const image = `${file}.metadata`;
  const { offset, length } = partitionOf(file, 1);
  tool('dd', [`if=${file}`, `of=${image}`, 'bs=1M', `skip=${offset / MiB}`, `count=${length / MiB}`, 'conv=sparse']);
  const text = `${image}.keyfile`;
  tool('tee', [text], (await stage.wrapOnce('main')).wrapped);
  tool('debugfs', ['-w', '-R', 'rm keyfile', image]);
  tool('debugfs', ['-w', '-R', `write ${text} keyfile`, image]);
  put(file, offset, readFileSync(image));
};

interface Tampering extends Omit<Refusal, 'disk'> {
  /** Whose disk it is; default the volume's own. */
  readonly from?: string;
  readonly by?: DiskMaker;
}

const tamperings: readonly Tampering[] = [
  { key: 'swapped', from: 'with_it', kms, refused: 'VOLUME_WRONG_IDENTITY', because: /its record names with_it/ },
  { key: 'with_it', from: 'swapped', kms, refused: 'VOLUME_WRONG_IDENTITY', because: /its record names swapped/ },
  {
    key: 'renamed',
    by: forgedIn(2, (json) => Object.assign(tokenOf(json), { volume: 'other' })),
    refused: 'VOLUME_WRONG_IDENTITY',
  },
  {
    key: 'mac',
    kms,
    by: forgedIn(2, (json) => {
      const token = tokenOf(json);
      token.mac = (token.mac ?? '').replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    }),
    refused: 'VOLUME_BINDING_BROKEN',
  },
  {
    key: 'iterations',
    kms,
    by: forgedIn(2, (json) => {
      for (const slot of Object.values(json.keyslots)) slot.kdf.iterations = 2000;
    }),
    refused: 'VOLUME_BINDING_BROKEN',
  },
  {
    key: 'moved',
    kms,
    by: ({ file }) => tool('sgdisk', ['--partition-guid=2:00000000-1111-4222-8333-444444444444', file]),
    refused: 'VOLUME_BINDING_BROKEN',
  },
  {
    key: 'other_seed',
    kms,
    by: steps(otherToken, otherKeyfile),
    refused: 'VOLUME_BINDING_BROKEN',
  },
  { key: 'keyslot', kms, by: bytesAt(2, 32_768 + 5000, 'scratched'), refused: 'LUKS_OPEN_FAILED' },
  {
    key: 'no_header',
    from: 'mac',
    kms,
    by: ({ file }) => zero(file, partitionOf(file, 2).offset, 16 * MiB),
    // An emptied header must not look like a new disk.
    refused: 'VOLUME_FOREIGN_DATA',
  },
  {
    key: 'emptied',
    from: 'mac',
    kms,
    contract: { intent: 'open' },
    by: ({ file, sizeBytes }) => {
      tool('truncate', ['--size', '0', file]);
      tool('truncate', ['--size', String(sizeBytes), file]);
    },
    refused: 'VOLUME_INTENT_REFUSED',
  },
];

export const tamperedWith = (originals: Originals): readonly Refusal[] =>
  tamperings.map(({ from, by, ...refusal }) => ({
    ...refusal,
    disk: steps(({ file }) => copyFileSync(originals(from ?? refusal.key), file), by ?? (() => undefined)),
  }));

/** Damage that the next boot repairs, on fresh copies of the same disks: the volume opens, and afterwards all is as it was made. */
const damages: readonly (VolumeCase & { readonly by: DiskMaker })[] = [
  // Named like the originals they are copies of.
  { key: 'mac', kms, by: bytesAt(2, 5000, 'scratched') },
  { key: 'iterations', kms, by: bytesAt(2, 16_384 + 5000, 'scratched') },
  { key: 'moved', kms, by: ({ file }) => zero(file, MiB, MiB) },
  {
    key: 'other_seed',
    kms,
    by: otherKeyfile,
  },
  // Named like a volume whose header is damaged otherwise, too.
  { key: 'keyslot', kms, by: otherToken },
];

export const damagedFrom = (originals: Originals): readonly VolumeCase[] =>
  damages.map(({ by, ...volume }) => ({
    ...volume,
    disk: steps(({ file }) => copyFileSync(originals(volume.key), file), by),
  }));

/** What the agent has to make first. */
export const originals: readonly VolumeCase[] = tamperings
  .filter(({ key, from }) => from === undefined || tamperings.some((other) => other.from === key))
  .map(({ key, kms: entries }) => ({ key, ...(entries === undefined ? {} : { kms: entries }) }));
