import { message } from '../message.ts';

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
} as const;
