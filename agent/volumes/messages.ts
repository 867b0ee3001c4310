import { message } from '../message.ts';
import { commandMessages } from './command-messages.ts';
import { refusalMessages } from './refusal-messages.ts';

interface OfVolume {
  readonly volume: string;
}
interface Refused {
  readonly volume: string;
  /** What exactly, for people; never a secret. */
  readonly detail: string;
}

/** Messages about disks and volumes. Ids HPL… are HPCR's, TSD07… ours. */
export const volumeMessages = {
  ...refusalMessages,
  ...commandMessages,
  VOLUMES_DONE: message<{ readonly count: number }>({
    id: 'HPL07003I',
    component: 'hpcr-disk-mount',
    text: ({ count }) => `all volumes of the contract are mounted (${count})`,
    systemAction: 'boot goes on',
    userAction: 'none',
  }),
  STORED_SEED_FROM_KEYFILE: message<OfVolume>({
    id: 'TSD07080W',
    component: 'hpcr-disk-mount',
    text: ({ volume }) =>
      `the wrapped seed in the header of volume ${volume} is not the one that belongs to it; the keyfile has it`,
    systemAction: 'the volume is opened with the wrapped seed of the keyfile, which is written into the header again',
    userAction: 'find out what stored it: the key daemon of the boot before, or somebody with access to the disk',
  }),
  VOLUME_ENCRYPTED_WITH_KMS: message<OfVolume>({
    id: 'HPL07004I',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} is encrypted with two contract seeds and a seed wrapped by the root key`,
    systemAction: 'boot goes on',
    userAction: 'none',
  }),
  VOLUME_ENCRYPTED: message<OfVolume>({
    id: 'HPL07005I',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} is encrypted with the two contract seeds`,
    systemAction: 'boot goes on',
    userAction: 'none',
  }),
  VOLUME_MOUNTED: message<{ readonly volume: string; readonly mount: string }>({
    id: 'HPL02002I',
    component: 'hpcr-disk-mount',
    text: ({ volume, mount }) => `volume ${volume} is mounted on ${mount}`,
    systemAction: 'boot goes on',
    userAction: 'none',
  }),
  VOLUME_PLAN: message<{
    readonly volume: string;
    readonly scenario: string;
    readonly steps: string;
    readonly digest: string;
  }>({
    id: 'TSD07001I',
    component: 'hpcr-disk-mount',
    text: ({ volume, scenario, steps, digest }) =>
      `plan for volume ${volume}: ${scenario}: ${steps} (digest ${digest})`,
    systemAction: 'the plan is about to be carried out',
    userAction: 'none',
  }),
  VOLUME_WAITING: message<{ readonly volume: string; readonly secondsLeft: number }>({
    id: 'TSD07002I',
    component: 'hpcr-disk-standby',
    text: ({ volume, secondsLeft }) => `waiting for the disk of volume ${volume}, ${secondsLeft} s left`,
    systemAction: 'nothing was touched',
    userAction: 'attach the disk, or correct volumeID, volumeName or the volume key',
  }),
  VOLUME_DISK_MISSING: message<{ readonly volume: string; readonly wanted: string; readonly seen: string }>({
    id: 'TSD07003E',
    component: 'hpcr-disk-standby',
    text: ({ volume, wanted, seen }) => `no disk for volume ${volume}: wanted ${wanted}, attached are ${seen}`,
    systemAction: 'no disk was touched',
    userAction:
      'attach a disk with this serial number, or name the device in volumes.devices of the agent configuration',
    exit: 1,
  }),
  VOLUME_DISK_AMBIGUOUS: message<{ readonly volume: string; readonly seen: string }>({
    id: 'TSD07004E',
    component: 'hpcr-disk-standby',
    text: ({ volume, seen }) => `several disks fit volume ${volume}: ${seen}`,
    systemAction: 'no disk was touched',
    userAction: 'detach the copy, or name the device in volumes.devices of the agent configuration',
    exit: 1,
  }),
  VOLUME_DISK_IN_USE: message<{ readonly volume: string; readonly path: string; readonly by: string }>({
    id: 'HPL02123E',
    component: 'hpcr-disk-mount',
    text: ({ volume, path, by }) => `disk ${path} of volume ${volume} is in use by ${by}`,
    systemAction: 'the disk was not touched',
    userAction: 'unmount or close what uses it',
    exit: 1,
  }),
  VOLUME_DISK_READ_ONLY: message<{ readonly volume: string; readonly path: string }>({
    id: 'TSD07005E',
    component: 'hpcr-disk-mount',
    text: ({ volume, path }) => `disk ${path} of volume ${volume} is read-only`,
    systemAction: 'the disk was not touched',
    userAction: 'attach it writable',
    exit: 1,
  }),
  VOLUME_PASSPHRASE_CHANGED: message<{ readonly volume: string; readonly why: string; readonly removed: string }>({
    id: 'TSD07060I',
    component: 'hpcr-disk-mount',
    text: ({ volume, why, removed }) =>
      `the passphrase of volume ${volume} was changed (${why}); removed keyslots: ${removed}`,
    systemAction: 'from now on only the present seeds open the volume; its data and volume key are as before',
    userAction: 'for previousSeed: take it out of the contract when every volume has been through this',
  }),
  VOLUME_PARTITION_GROWN: message<{ readonly volume: string; readonly bytes: number }>({
    id: 'TSD07061I',
    component: 'hpcr-disk-mount',
    text: ({ volume, bytes }) => `the disk of volume ${volume} has grown; its data partition now has ${bytes} bytes`,
    systemAction: 'the volume is opened over the whole partition',
    userAction: 'none',
  }),
  VOLUME_PARTITION_NOT_GROWN: message<Refused>({
    id: 'HPL07004E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the data partition of volume ${volume} could not be grown: ${detail}`,
    systemAction: 'the disk holds the old partition table or the new one, whole; the data was not touched',
    userAction: 'see the cause and start the guest again; the next boot goes on from what is there',
    exit: 3,
  }),
  VOLUME_FILESYSTEM_GROWN: message<{ readonly volume: string; readonly bytes: number }>({
    id: 'TSD07062I',
    component: 'hpcr-disk-mount',
    text: ({ volume, bytes }) => `the file system of volume ${volume} was grown to ${bytes} bytes`,
    systemAction: 'boot goes on',
    userAction: 'none',
  }),
  VOLUME_FILESYSTEM_NOT_GROWN: message<Refused>({
    id: 'TSD07063W',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the file system of volume ${volume} could not be grown: ${detail}`,
    systemAction: 'the volume is mounted with its file system as large as before; the next boot tries again',
    userAction: 'see the cause; the tool that grows the file system must be in the image',
  }),
  VOLUME_LEFT_OPEN: message<{ readonly volume: string }>({
    id: 'TSD07079W',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} could not be closed again after an error`,
    systemAction: 'its mapping stays until the guest goes down, which a failed boot makes it do',
    userAction: 'see the error that came before',
  }),
  LUKS_PASSWORD_CHANGE_FAILED: message<Refused>({
    id: 'HPL02125E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the passphrase of volume ${volume} could not be changed: ${detail}`,
    systemAction: 'the disk holds the old header; the seeds that opened it still do',
    userAction: 'see the cause; with the previous seeds in place of the present ones the volume opens as before',
    exit: 3,
  }),
  VOLUME_INTENT_REFUSED: message<{ readonly volume: string; readonly intent: string; readonly scenario: string }>({
    id: 'TSD07022E',
    component: 'hpcr-disk-mount',
    text: ({ volume, intent, scenario }) => `volume ${volume} has intent ${intent}, and the disk calls for ${scenario}`,
    systemAction: 'the disk was not touched',
    userAction: 'check that the right disk is attached; otherwise change the intent',
    exit: 1,
  }),
  VOLUME_BINDING_BROKEN: message<OfVolume>({
    id: 'TSD07025E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `the header of volume ${volume} was changed by somebody who does not hold its seeds`,
    systemAction: 'the volume stays closed and was not touched',
    userAction: 'treat the disk as tampered with; restore the header from a backup you trust',
    exit: 1,
  }),
  LUKS_OPEN_FAILED: message<Refused>({
    id: 'HPL02003E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `volume ${volume} does not open: ${detail}`,
    systemAction: 'the volume stays closed and was not touched',
    userAction: 'check the seeds of both sections and which disk is attached',
    exit: 1,
  }),
  LUKS_FORMAT_FAILED: message<Refused>({
    id: 'HPL02002E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `volume ${volume} could not be formatted: ${detail}`,
    systemAction: 'the partition carries our formatting mark; the next boot starts over',
    userAction: 'see the cause; nothing of value was on the disk',
    exit: 3,
  }),
  CREATE_FILESYSTEM_FAILED: message<Refused>({
    id: 'HPL02005E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `no file system could be made on volume ${volume}: ${detail}`,
    systemAction: 'the partition carries our formatting mark; the next boot starts over',
    userAction: 'see the cause; nothing of value was on the disk',
    exit: 3,
  }),
  MOUNT_FAILED: message<Refused>({
    id: 'HPL02007E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `volume ${volume} could not be mounted: ${detail}`,
    systemAction: 'the volume is closed again; its data was not touched',
    userAction: 'run a file system check on the opened volume',
    exit: 3,
  }),
  MOUNT_NOT_A_FOLDER: message<{ readonly volume: string; readonly mount: string }>({
    id: 'HPL07002E',
    component: 'hpcr-disk-mount',
    text: ({ volume, mount }) => `mount point ${mount} of volume ${volume} is not a plain folder`,
    systemAction: 'the volume was not mounted',
    userAction: 'choose another mount point; links are not followed',
    exit: 1,
  }),
  PARTITIONING_FAILED: message<Refused>({
    id: 'HPL07003E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the disk of volume ${volume} could not be partitioned: ${detail}`,
    systemAction: 'the disk holds a table of ours or a part of it, and nothing else; the next boot goes on from there',
    userAction: 'see the cause',
    exit: 3,
  }),
  METADATA_WRITE_FAILED: message<Refused>({
    id: 'HPL07007E',
    component: 'hpcr-disk-mount',
    text: ({ volume, detail }) => `the keyfile of volume ${volume} could not be rewritten: ${detail}`,
    systemAction: 'the volume header holds the wrapped seed; only the mirror of it is old or missing',
    userAction: 'see the cause; the next boot tries again',
    exit: 3,
  }),
  VOLUME_LOCKED: message<OfVolume>({
    id: 'TSD07028E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `volume ${volume} is being worked on by another triseed process`,
    systemAction: 'this process did not touch it',
    userAction: 'wait for the other process to end',
    exit: 3,
  }),
  METADATA_FOREIGN: message<{ readonly volume: string; readonly path: string }>({
    id: 'TSD07032E',
    component: 'hpcr-disk-mount',
    text: ({ volume, path }) => `the metadata partition ${path} of volume ${volume} holds something that is not ours`,
    systemAction: 'it was not touched; the volume header holds the wrapped seed',
    userAction: 'move what is there elsewhere: the partition is reserved',
    exit: 3,
  }),
  VOLUME_HEADER_CHANGED: message<{ readonly path: string }>({
    id: 'TSD07033E',
    component: 'hpcr-disk-mount',
    text: ({ path }) => `the header on ${path} is not the one that was proven a moment ago`,
    systemAction: 'the disk was not touched',
    userAction: 'find out who else writes to this disk, or whether it was exchanged',
    exit: 1,
  }),
  VOLUME_DISK_SHARED: message<{ readonly volumes: string; readonly path: string }>({
    id: 'TSD07034E',
    component: 'hpcr-disk-mount',
    text: ({ volumes, path }) => `volumes ${volumes} all lead to disk ${path}`,
    systemAction: 'no disk was touched',
    userAction: 'give each volume its own volumeID, volumeName or key; only the first 20 characters count',
    exit: 1,
  }),
  VOLUME_COPIED: message<{ readonly volumes: string; readonly uuid: string }>({
    id: 'TSD07064E',
    component: 'hpcr-disk-mount',
    text: ({ volumes, uuid }) => `the disks of volumes ${volumes} are copies of one another: LUKS UUID ${uuid}`,
    systemAction: 'no disk was touched',
    userAction: 'detach the copy; to keep both, give the copy a UUID of its own with cryptsetup luksUUID',
    exit: 1,
  }),
  MEMORY_NOT_PRIVATE: message<{ readonly detail: string }>({
    id: 'TSD07030E',
    component: 'hpcr-disk-mount',
    text: ({ detail }) => `secrets could reach a disk: ${detail}`,
    systemAction: 'no volume was opened',
    userAction: 'turn the swap off or encrypt it, and keep paths.run on a tmpfs',
    exit: 1,
  }),
  SIGNATURES_UNKNOWN: message<{ readonly path: string; readonly detail: string }>({
    id: 'TSD07031E',
    component: 'hpcr-disk-mount',
    text: ({ path, detail }) => `it could not be found out what is on ${path}: ${detail}`,
    systemAction: 'the disk was not touched',
    userAction: 'check that the disk can be read and that util-linux is installed',
    exit: 3,
  }),
} as const;
