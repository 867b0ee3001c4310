import { message } from '../message.ts';

interface Refused {
  readonly volume: string;
  /** What exactly, for people; never a secret. */
  readonly detail: string;
}

/** Why a volume is left as it is: the refusals of the scenario table, of the proof and of the guard. */
export const refusalMessages = {
  VOLUME_SEED_SOURCE_NOT_BUILT: message<Refused>({
    id: 'TSD07010E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `volume ${volume} takes its seed from ${detail}, which this version cannot use`,
    systemAction: 'no disk was read or touched',
    userAction: 'use seed in the env section, or an image that supports this source',
    exit: 1,
  }),
  VOLUME_PARTITIONS_UNSUPPORTED: message<Refused>({
    id: 'HPL07006E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk of volume ${volume} has an unsupported number of partitions: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'attach a blank disk, or one with the partitions metadata and data',
    exit: 1,
  }),
  VOLUME_PARTITIONS_FOREIGN: message<Refused>({
    id: 'TSD07011E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) =>
      `the disk of volume ${volume} has two partitions that are not metadata and data: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'attach the right disk; the partitions must be named metadata and data, in that order, in a GPT',
    exit: 1,
  }),
  VOLUME_TABLE_DAMAGED: message<Refused>({
    id: 'TSD07012E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the partition table of the disk of volume ${volume} is damaged: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'look at it with sgdisk -v on a copy; a blank disk has no table at all',
    exit: 1,
  }),
  VOLUME_FOREIGN_DATA: message<Refused>({
    id: 'TSD07013E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk of volume ${volume} holds data that is not ours: ${detail}`,
    systemAction: 'the disk was not touched; it is never formatted while anything is on it',
    userAction: 'attach the right disk, or make this one blank yourself if its data is not needed',
    exit: 1,
  }),
  VOLUME_HEADER_DAMAGED: message<Refused>({
    id: 'TSD07014E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the LUKS header of volume ${volume} cannot be trusted: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'work on a copy of the disk; docs/volumes.md tells how to open a volume by hand',
    exit: 1,
  }),
  VOLUME_SEED_UNUSABLE: message<Refused>({
    id: 'TSD07015E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the stored wrapped seed of volume ${volume} cannot be used: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'restore the file keyfile of the metadata partition from a backup',
    exit: 1,
  }),
  VOLUME_METADATA_MISSING: message<Refused>({
    id: 'TSD07016E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) =>
      `the metadata partition of volume ${volume} holds no file system, yet its data partition is encrypted: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'restore the metadata partition from a backup',
    exit: 1,
  }),
  VOLUME_STATE_CONTRADICTORY: message<Refused>({
    id: 'TSD07017E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk of volume ${volume} is in a state no step of ours leaves behind: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'attach the right disk',
    exit: 1,
  }),
  VOLUME_KMS_NOT_WANTED: message<Refused>({
    id: 'TSD07018E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} is a whole-disk LUKS volume and cannot take a third seed`,
    systemAction: 'the disk was not touched',
    userAction: 'remove the kms details of this volume from the contract',
    exit: 1,
  }),
  VOLUME_KMS_NEEDED: message<Refused>({
    id: 'TSD07019E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} has a wrapped seed and the contract has no kms details`,
    systemAction: 'the disk was not touched',
    userAction: 'put the kms details of this volume back into the contract',
    exit: 1,
  }),
  VOLUME_LUKS1_WITH_KMS: message<Refused>({
    id: 'TSD07035E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) =>
      `volume ${volume} is LUKS1 and has kms details or a wrapped seed: LUKS1 volumes are opened with two seeds only`,
    systemAction: 'the disk was not touched',
    userAction: 'remove the kms details if the seeds alone open it, and move the data to a new volume with kms details',
    exit: 1,
  }),
  VOLUME_LUKS1_UNCHANGED: message<Refused>({
    id: 'TSD07036E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `volume ${volume} is LUKS1, which is never changed: ${detail}`,
    systemAction: 'the disk was not touched; it opens with the seeds it was made with',
    userAction: 'put the old seed back into seed, or move the data to a new volume',
    exit: 1,
  }),
  VOLUME_DISK_TOO_SMALL: message<Refused>({
    id: 'TSD07023E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk of volume ${volume} is too small: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'attach a larger disk',
    exit: 1,
  }),
  VOLUME_WRONG_IDENTITY: message<Refused>({
    id: 'TSD07024E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk found for volume ${volume} belongs to another volume: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'attach the right disk, or use the volume key it was made with',
    exit: 1,
  }),
  VOLUME_TABLE_MISMATCH: message<Refused>({
    id: 'TSD07026E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the opened volume ${volume} is not what its header promised: ${detail}`,
    systemAction: 'the volume was closed again before anything was mounted',
    userAction: 'treat the disk as tampered with',
    exit: 1,
  }),
  VOLUME_GUARD_OBJECTS: message<Refused>({
    id: 'TSD07027E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the plan for volume ${volume} was stopped by the guard: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'report this: table and guard disagree about what is on the disk',
    exit: 1,
  }),
  VOLUME_COMMIT_FAILED: message<Refused>({
    id: 'TSD07029E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the new header of volume ${volume} could not be committed: ${detail}`,
    systemAction: 'the disk holds the old header or the new one, whole',
    userAction: 'see the cause; the next boot sees which',
    exit: 3,
  }),
} as const;
