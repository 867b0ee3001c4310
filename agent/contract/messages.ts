/** Messages of contract. Wording is not tested; names and ids are stable. */
import { message } from '../message.ts';
import type { Finding } from './types.ts';

interface Findings {
  readonly findings: readonly Finding[];
}

const summary = (findings: readonly Finding[]): string => {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return '';
  const where = `${first.path === '' ? 'contract' : first.path} (line ${first.line}, column ${first.column})`;
  const more = errors.length === 1 ? '' : `, and ${errors.length - 1} more`;
  return ` -> ${where}: ${first.message}${more}`;
};

const notUsed = 'no disk was read, nothing was started';

export const contractMessages = {
  CONTRACT_NOT_EXISTS: message<{ readonly sources: readonly string[] }>({
    id: 'HPL05002E',
    component: 'hpcr-contract',
    text: ({ sources }) =>
      `no contract found; looked at ${sources.length === 0 ? 'no source at all' : sources.join(', ')}`,
    systemAction: notUsed,
    userAction: 'attach the contract as user-data of a NoCloud disk labelled cidata, or as a systemd credential',
    exit: 3,
  }),
  CONTRACT_NOT_OPENED: message<Findings & { readonly reason: string }>({
    id: 'HPL11001E',
    component: 'bootloader',
    text: ({ reason, findings }) => `the contract cannot be parsed or decrypted: ${reason}${summary(findings)}`,
    systemAction: notUsed,
    userAction:
      'seal the contract for the encryption certificate of this very image; triseed contract validate shows each fault',
    exit: 1,
  }),
  CONTRACT_INVALID: message<Findings>({
    id: 'HPL05001E',
    component: 'hpcr-contract',
    text: ({ findings }) => `the contract breaks its schema${summary(findings)}`,
    systemAction: notUsed,
    userAction: 'correct the contract; triseed contract validate shows each fault with its line',
    exit: 1,
  }),
  VOLUMES_NAMING_INVALID: message<Findings>({
    id: 'HPL07015E',
    component: 'hpcr-disk-mount',
    text: ({ findings }) => `the volume keys of env and workload do not match${summary(findings)}`,
    systemAction: notUsed,
    userAction: 'give every volume the same key in both sections',
    exit: 1,
  }),
  CONTRACT_SIGNATURE_INVALID: message<{ readonly reason: string }>({
    id: 'HPL12001E',
    component: 'hpcr-signature',
    text: ({ reason }) => `the contract signature does not verify: ${reason}`,
    systemAction: notUsed,
    userAction: 'seal the contract again; the signature covers workload and env exactly as they are delivered',
    exit: 1,
  }),
  CONTRACT_SIGNATURE_INCOMPLETE: message<{ readonly missing: 'env.signingKey' | 'envWorkloadSignature' }>({
    id: 'HPL12004E',
    component: 'hpcr-signature',
    text: ({ missing }) => `${missing} is missing while its counterpart is there`,
    systemAction: notUsed,
    userAction: 'give both env.signingKey and envWorkloadSignature, or neither',
    exit: 1,
  }),
  CONTRACT_EXPIRED: message<{ readonly notAfter: string; readonly at: string }>({
    id: 'HPL12007E',
    component: 'hpcr-signature',
    text: ({ notAfter, at }) => `the contract expired at ${notAfter}; it is ${at} now`,
    systemAction: notUsed,
    userAction: 'seal the contract again with a signing certificate that is still valid',
    exit: 1,
  }),
  CONTRACT_NOT_YET_VALID: message<{ readonly notBefore: string; readonly at: string }>({
    id: 'TSD05001E',
    component: 'hpcr-signature',
    text: ({ notBefore, at }) => `the signing certificate is valid from ${notBefore} only; it is ${at} now`,
    systemAction: notUsed,
    userAction: 'check the clock of the guest and the dates of the signing certificate',
    exit: 1,
  }),
  CONTRACT_SIGNER_UNTRUSTED: message<{ readonly fingerprint: string }>({
    id: 'TSD05002E',
    component: 'hpcr-signature',
    text: ({ fingerprint }) => `the signer ${fingerprint} is not one of trustedSigners`,
    systemAction: notUsed,
    userAction: 'sign with a pinned key, or add this fingerprint to contract.trustedSigners of the image',
    exit: 1,
  }),
  CONTRACT_UNSIGNED: message<Record<never, never>>({
    id: 'TSD05003E',
    component: 'hpcr-signature',
    text: () => 'the contract is unsigned, and this image accepts pinned signers only',
    systemAction: notUsed,
    userAction: 'sign the contract with a key listed in contract.trustedSigners',
    exit: 1,
  }),
  CONTRACT_OUTDATED: message<{ readonly serial: number; readonly minimumSerial: number }>({
    id: 'TSD05004E',
    component: 'hpcr-contract',
    text: ({ serial, minimumSerial }) =>
      `contract serial ${serial} is below the minimum ${minimumSerial} of this image`,
    systemAction: notUsed,
    userAction: 'deploy the newest contract, or raise triseed.serial and seal it again',
    exit: 1,
  }),
  CONTRACT_TOO_LARGE: message<{ readonly source: string; readonly limitBytes: number }>({
    id: 'TSD05005E',
    component: 'hpcr-contract',
    text: ({ source, limitBytes }) => `${source} holds more than ${limitBytes} bytes`,
    systemAction: notUsed,
    userAction: 'move large content out of the contract',
    exit: 1,
  }),
  CONTRACT_DISK_AMBIGUOUS: message<{ readonly label: string; readonly devices: readonly string[] }>({
    id: 'TSD05006E',
    component: 'hpcr-contract',
    text: ({ label, devices }) => `${devices.length} devices carry the label ${label}: ${devices.join(', ')}`,
    systemAction: notUsed,
    userAction: 'attach exactly one disk with this label',
    exit: 3,
  }),
  CONTRACT_CHANGED: message<{ readonly source: string }>({
    id: 'TSD05012E',
    component: 'hpcr-contract',
    text: ({ source }) =>
      `the contract from ${source} is not the one that remote logging was set up from at this start`,
    systemAction: notUsed,
    userAction:
      'restart the guest: each start takes one contract; when it happens again, somebody changes the contract while the guest starts',
    exit: 3,
  }),
  CONTRACT_DISK_UNUSABLE: message<{ readonly device: string; readonly reason: string }>({
    id: 'TSD05007E',
    component: 'hpcr-contract',
    text: ({ device, reason }) => `the NoCloud disk ${device} is not usable: ${reason}`,
    systemAction: 'the disk was only read, never mounted; nothing was started',
    userAction: 'make the disk again: genisoimage -V cidata -J -R user-data meta-data vendor-data',
    exit: 3,
  }),
  CRYPTOGRAPHY_UNSUITABLE: message<{ readonly reason: string }>({
    id: 'TSD05008E',
    component: 'triseed',
    text: ({ reason }) => `this Node cannot open tokens safely: ${reason}`,
    systemAction: 'nothing was decrypted',
    userAction: 'run on Node 24 or later as released, whose OpenSSL does implicit rejection',
    exit: 3,
  }),
  OPENPGP_NOT_LOADED: message<{ readonly file: string }>({
    id: 'TSD05098E',
    component: 'triseed',
    text: ({ file }) => `${file}, which reads the keys of image signers, cannot be loaded`,
    systemAction: 'the contract was not checked to its end; nothing was written',
    userAction:
      'put openpgp.mjs beside the program again: it is in the same package, and dist/ has it after npm run build',
    exit: 3,
  }),
  KEY_UNUSABLE: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD05009E',
    component: 'triseed',
    text: ({ path, reason }) => `${path} cannot be used: ${reason}`,
    systemAction: 'nothing was decrypted, signed or written',
    userAction: 'check the file, and --key-passphrase-file when the key is protected',
    exit: 3,
  }),
  ARCHIVE_NOT_WRITTEN: message<{ readonly reason: string }>({
    id: 'TSD05049E',
    component: 'triseed',
    text: ({ reason }) => `the archive that was made does not read back: ${reason}`,
    systemAction: 'no archive was written',
    userAction: 'report this with the names of the files in the folder; until then pack with tar and gzip',
    exit: 3,
  }),
  CONTRACT_NOT_SEALABLE: message<{ readonly reason: string }>({
    id: 'TSD05011E',
    component: 'triseed',
    text: ({ reason }) => `the contract cannot be sealed: ${reason}`,
    systemAction: 'nothing was written',
    userAction: 'see the reason',
    exit: 1,
  }),
  CONTRACT_NOT_ENCRYPTABLE: message<{ readonly reason: string }>({
    id: 'TSD05088E',
    component: 'triseed',
    text: ({ reason }) => `the document cannot be encrypted: ${reason}`,
    systemAction: 'nothing was written',
    userAction: 'see the reason',
    exit: 1,
  }),
  CONTRACT_NOT_SIGNABLE: message<{ readonly reason: string }>({
    id: 'TSD05089E',
    component: 'triseed',
    text: ({ reason }) => `the contract cannot be signed: ${reason}`,
    systemAction: 'nothing was written',
    userAction: 'see the reason',
    exit: 1,
  }),
} as const;
