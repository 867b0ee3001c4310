/** Messages of attestation. Wording is not tested; names and ids are stable. */
import { message } from '../message.ts';

export const attestationMessages = {
  ATTESTATION_NOT_OPENED: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD11001E',
    component: 'triseed',
    text: ({ path, reason }) => `the attestation record ${path} cannot be opened: ${reason}`,
    systemAction: 'nothing was written',
    userAction: 'use the private half of the attestationPublicKey that was in the contract of this very guest',
    exit: 1,
  }),
  ATTESTATION_UNREADABLE: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD11002E',
    component: 'triseed',
    text: ({ path, reason }) => `${path} is no attestation record: ${reason}`,
    systemAction: 'nothing was verified',
    userAction: 'give the file se-checksums.txt or se-checksums.txt.enc of the guest, byte for byte',
    exit: 1,
  }),
} as const;
