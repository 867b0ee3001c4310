/** Messages about the end of contracts and encryption certificates. Wording is not tested; names and ids are stable. */
import { message } from '../message.ts';

interface End {
  /** DD Month YYYY at HH:MM:SS UTC. */
  readonly end: string;
  /** Such as `over 12 days`. */
  readonly left: string;
}
type Past = Pick<End, 'end'>;

const goesOn = 'the workload goes on; nothing is closed for it';

export const noticeMessages = {
  // HPCR's ids of contract expiry end in E, whatever they tell.
  CONTRACT_VALID: message<End>({
    id: 'HPL12005E',
    severity: 'I',
    component: 'hpcr-signature',
    text: ({ end, left }) => `the contract is valid -> information: it ends on ${end}, in ${left}`,
    systemAction: 'none',
    userAction: 'nothing yet; before that day, seal it again with a newer signing certificate',
  }),
  CONTRACT_WILL_EXPIRE: message<End>({
    id: 'HPL12006E',
    severity: 'W',
    component: 'hpcr-signature',
    text: ({ end, left }) => `the contract will expire -> warning: it ends on ${end}, in ${left}`,
    systemAction: `${goesOn}, but a boot after that day is refused`,
    userAction: 'seal the contract again with a newer signing certificate, and start the guest with it',
  }),
  CONTRACT_HAS_EXPIRED: message<Past>({
    id: 'TSD12001W',
    component: 'hpcr-signature',
    text: ({ end }) => `the contract has expired -> warning: it ended on ${end} (a boot would say HPL12007E)`,
    systemAction: `${goesOn}, but the next boot is refused`,
    userAction: 'seal the contract again with a newer signing certificate before the guest restarts',
  }),
  CERTIFICATE_WILL_EXPIRE: message<End>({
    id: 'HPL12011W',
    component: 'hpcr-signature',
    text: ({ end, left }) => `the encryption certificate will expire -> warning: it ends on ${end}, in ${left}`,
    systemAction: goesOn,
    userAction: 'plan the move to a newer image; contracts have to be sealed for its certificate',
  }),
  CERTIFICATE_HAS_EXPIRED: message<Past>({
    id: 'HPL12013W',
    component: 'hpcr-signature',
    text: ({ end }) => `the encryption certificate has expired -> warning: it ended on ${end}`,
    systemAction: goesOn,
    userAction: 'move to a newer image; tools refuse to seal for a certificate that has ended',
  }),
  CERTIFICATE_NOT_READ: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD12002W',
    component: 'hpcr-signature',
    text: ({ path, reason }) => `the encryption certificate ${path} cannot be read: ${reason}`,
    systemAction: 'the boot goes on; there will be no notice about the end of that certificate',
    userAction: 'correct contract.certificate in the agent configuration of the image',
  }),
  EXPIRY_NOT_LEFT: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD12004W',
    component: 'hpcr-signature',
    text: ({ path, reason }) => `the dates of expiry could not be left in ${path}: ${reason}`,
    systemAction: 'the boot goes on; there will be no notices about expiry in this boot',
    userAction: 'check the run folder: it has to be a writable file system in memory with room left',
  }),
  EXPIRY_FILE_INVALID: message<{ readonly reason: string }>({
    id: 'TSD12003E',
    component: 'hpcr-signature',
    text: ({ reason }) => `what the boot has left about dates of expiry is not usable: ${reason}`,
    systemAction: 'there are no notices about expiry in this boot',
    userAction: 'restart the guest; the file is made anew at every boot',
    exit: 3,
  }),
} as const;
