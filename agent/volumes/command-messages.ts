import { message } from '../message.ts';

interface AtPath {
  readonly path: string;
  /** For people; never a secret. */
  readonly detail: string;
}

/** Messages of the commands that people and timers run on volumes. Ids HPL… are HPCR's. */
export const commandMessages = {
  ENCRYPTION_CHECK_STARTED: message<{ readonly count: number }>({
    id: 'HPL13000I',
    component: 'verify-disk-encryption',
    text: ({ count }) => `checking the encryption of the mounted data volumes (${count})`,
    systemAction: 'each volume that boot opened is compared with its header',
    userAction: 'none',
  }),
  VOLUMES_ARE_ENCRYPTED: message<{ readonly count: number }>({
    id: 'HPL13001I',
    component: 'verify-disk-encryption',
    text: ({ count }) => `all mounted data volumes are encrypted (${count})`,
    systemAction: 'none; the boot disk is no part of this check',
    userAction: 'none',
  }),
  VOLUME_IS_ENCRYPTED: message<{ readonly mount: string; readonly keyslots: number }>({
    id: 'HPL13003I',
    component: 'verify-disk-encryption',
    text: ({ mount, keyslots }) => `mount point ${mount} is encrypted with LUKS, key slots: ${keyslots}`,
    systemAction: 'none',
    userAction: 'none',
  }),
  VOLUME_NOT_ENCRYPTED: message<{ readonly mount: string; readonly detail: string }>({
    id: 'TSD07070E',
    component: 'verify-disk-encryption',
    text: ({ mount, detail }) => `mount point ${mount} is not encrypted as it should be: ${detail}`,
    systemAction: 'nothing was changed; the check ends with status 1',
    userAction: 'stop what writes there, keep the journal, and find out who changed mount, mapping or header',
    exit: 1,
  }),
  ENCRYPTION_UNKNOWN: message<{ readonly mount: string; readonly detail: string }>({
    id: 'TSD07071E',
    component: 'verify-disk-encryption',
    text: ({ mount, detail }) => `whether mount point ${mount} is encrypted could not be found out: ${detail}`,
    systemAction: 'nothing was changed; the check ends with status 3',
    userAction: 'see the cause; the command needs root and dmsetup',
    exit: 3,
  }),
  NOTHING_RECORDED: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD07072E',
    component: 'verify-disk-encryption',
    text: ({ path, reason }) => `there is no record of what this boot opened in ${path}: ${reason}`,
    systemAction: 'nothing was looked at',
    userAction: 'run it as root in a guest whose boot has mounted its volumes; before that triseed volume plan answers',
    exit: 3,
  }),
  HEADER_NOT_BACKED_UP: message<AtPath>({
    id: 'TSD07073E',
    component: 'triseed',
    text: ({ path, detail }) => `the header of ${path} was not backed up: ${detail}`,
    systemAction: 'the disk was only read',
    userAction:
      'name the data partition, or the whole disk of an old volume; a header that cannot be trusted needs a copy of the disk',
    exit: 1,
  }),
  OBSERVATION_UNUSABLE: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD07074E',
    component: 'triseed',
    text: ({ path, reason }) => `${path} is not an observation of triseed volume plan: ${reason}`,
    systemAction: 'nothing was planned',
    userAction: 'take the file as --save-observation wrote it',
    exit: 1,
  }),
  DISK_NOT_WIPED: message<AtPath>({
    id: 'TSD07075E',
    component: 'triseed',
    text: ({ path, detail }) => `${path} was not wiped: ${detail}`,
    systemAction: 'nothing was written',
    userAction: 'see the reason; when it is the right disk, close what uses it and give the name that was asked for',
    exit: 1,
  }),
  DISK_NOT_BLANK: message<AtPath>({
    id: 'TSD07076E',
    component: 'triseed',
    text: ({ path, detail }) => `${path} is not blank after it was overwritten: ${detail}`,
    systemAction: 'every byte was written; the disk gives back something else',
    userAction: 'find out who else writes to it, or whether it is defective',
    exit: 3,
  }),
  READ_ONLY_VIEW: message<{ readonly path: string }>({
    id: 'TSD07077E',
    component: 'triseed',
    text: ({ path }) => `a rehearsal tried to write to ${path}`,
    systemAction: 'nothing was written: a rehearsal cannot',
    userAction: 'report this with the command you typed',
    exit: 3,
  }),
} as const;
