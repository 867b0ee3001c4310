/** A volume as a case: what its disk is before, what the contract says about it. */
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { type Disk, handOver, type Scratch } from '../guest/scratch.ts';
import type { VolumeText } from '../world/deployment.ts';
import { mixOfTwo, type SeedTexts } from './by-hand.ts';
import { blank, breathe, type Content, ext4, MiB, partition, partitionOf, put } from './image.ts';
import { makeLuks } from './luks-file.ts';
import type { KmsEntry, Stage } from './stage.ts';

/** The disk of a case while it is being made. */
export interface DiskBeingMade {
  readonly file: string;
  readonly sizeBytes: number;
  readonly stage: Stage;
  readonly seeds: SeedTexts;
  /** Volume key of the contract. */
  readonly key: string;
}

/** Makes the disk, which is blank before; a string that it answers (or promises) is the volume's third seed. */
export type DiskMaker = (disk: DiskBeingMade) => unknown;

export interface VolumeCase {
  /** Volume key of the contract, and the disk's serial number unless `serial` says otherwise. */
  readonly key: string;
  /** Default 132: 31 MiB of it are the data partition. */
  readonly sizeMiB?: number;
  /** Absent: the disk stays blank. */
  readonly disk?: DiskMaker;
  /** Serial numbers of the disks attached for this volume; default one, named like the volume. */
  readonly serials?: readonly string[];
  readonly readOnly?: boolean;
  /** The env half has no seed; `contract.env` says where it comes from. */
  readonly seedElsewhere?: boolean;
  readonly kms?: (stage: Stage) => readonly KmsEntry[];
  readonly contract?: Partial<VolumeText>;
}

/** The same for every volume: a disk that is refused is not refused because it has other seeds. */
export const seeds: SeedTexts = { env: 'seed:of(the)deployer#7Qy', workload: 'seed_of_the.workload?m2%', third: null };

export const volumeText = (stage: Stage, volume: VolumeCase): VolumeText => {
  const kms = volume.kms?.(stage) ?? [];
  return {
    key: volume.key,
    mount: `/mnt/${volume.key}`,
    ...(volume.seedElsewhere === true ? {} : { envSeed: seeds.env }),
    workloadSeed: seeds.workload,
    ...(kms.length === 0 ? {} : { kms, kmsTimeout: 0 }),
    ...volume.contract,
  };
};

export interface MadeVolume {
  readonly volume: VolumeCase;
  readonly file: string;
  readonly seeds: SeedTexts;
  readonly disks: readonly Disk[];
}

export const makeVolume = async (stage: Stage, scratch: Scratch, volume: VolumeCase): Promise<MadeVolume> => {
  const serials = volume.serials ?? [volume.key];
  const files = serials.map((_, at) => scratch.path(`${volume.key}${at === 0 ? '' : `-${at}`}.img`));
  let third: string | null = null;
  for (const file of files) {
    const sizeBytes = (volume.sizeMiB ?? 132) * MiB;
    await breathe();
    blank(file, sizeBytes);
    const answer = await volume.disk?.({ file, sizeBytes, stage, seeds, key: volume.key });
    third = typeof answer === 'string' ? answer : null;
    chmodSync(file, 0o600);
    handOver(file);
  }
  return {
    volume,
    file: files[0] ?? '',
    seeds: { ...seeds, third },
    disks: files.map((file, at) => ({ file, serial: serials[at] ?? null, readOnly: volume.readOnly === true })),
  };
};

/** Settings of cryptsetup luksFormat that are quick in a guest; what HPCR's own volumes look like otherwise. */
export const quick = [
  '--type=luks2',
  '--pbkdf=pbkdf2',
  '--pbkdf-force-iterations=2000',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--sector-size=4096',
];

/** Of every file system that is made by stock tools. */
export const fsBytes = 8 * MiB;

export const contentMadeElsewhere: Content = { 'made-elsewhere': 'by mkfs.ext4 and cryptsetup\n' };

const made = new Map<string, Buffer>();

/** The same bytes for the same `name`: making them takes a second. */
const once = (name: string, make: () => Buffer): Buffer => {
  const known = made.get(name) ?? make();
  made.set(name, known);
  return known;
};

/** A partition table by sgdisk with these names. */
export const table =
  (...names: readonly string[]): DiskMaker =>
  ({ file }) =>
    partition(file, names);

/** One after the other. */
export const steps =
  (...makers: readonly DiskMaker[]): DiskMaker =>
  async (disk) => {
    for (const maker of makers) {
      await breathe();
      await maker(disk);
    }
  };

/** An ext4 file system with these files in partition `number`, or on the whole disk for 0. */
export const filesystemIn =
  (number: number, content: Content): DiskMaker =>
  ({ file }) => {
    const at = number === 0 ? { offset: 0 } : partitionOf(file, number);
    put(
      file,
      at.offset,
      once(JSON.stringify(content), () => ext4(`${file}.fs`, fsBytes, content)),
    );
  };

export const metadata = (content: Content): DiskMaker => filesystemIn(1, content);

/** LUKS by stock cryptsetup in partition `number`, or on the whole disk for 0, with a file system inside. */
export const luksIn =
  (
    number: number,
    settings: readonly string[] = quick,
    passphrase: (seeds: SeedTexts) => string = mixOfTwo,
    content: Content = contentMadeElsewhere,
  ): DiskMaker =>
  ({ file, seeds }) => {
    const at = number === 0 ? { offset: 0 } : partitionOf(file, number);
    const secret = passphrase(seeds);
    const bytes = once(JSON.stringify([settings, secret, content]), () => {
      const luks = `${file}.luks`;
      makeLuks(luks, 16 * MiB + fsBytes, secret, settings, ext4(`${file}.fs`, fsBytes, content));
      const made = readFileSync(luks);
      rmSync(luks);
      return made;
    });
    put(file, at.offset, bytes);
  };

/** The disk of a volume with three seeds as a person makes it: keyfile, then LUKS under the passphrase of all three. */
export const handMadeKms =
  (
    keyName: string,
    passphrase: (seeds: SeedTexts) => string,
    settings: readonly string[] = quick,
    keyfileText: (wrapped: string) => string = (wrapped) => `${wrapped}\n`,
  ): DiskMaker =>
  async (disk) => {
    const { wrapped, seed3 } = await disk.stage.wrapOnce(keyName);
    const withThird = (seeds: SeedTexts): string => passphrase({ ...seeds, third: seed3 });
    await steps(
      table('metadata', 'data'),
      metadata({ keyfile: keyfileText(wrapped) }),
      luksIn(2, settings, withThird),
    )(disk);
    return seed3;
  };

/** Bytes at an offset: from the start of partition `number`, or of the disk for 0. */
export const bytesAt =
  (number: number, offset: number, bytes: Uint8Array | string): DiskMaker =>
  ({ file }) => {
    const start = number === 0 ? 0 : partitionOf(file, number).offset;
    put(file, start + offset, Buffer.from(bytes as Uint8Array));
  };
