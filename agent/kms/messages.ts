import { message } from '../message.ts';

interface Reason {
  readonly reason: string;
}

/** What the support of a key service asks for; null when no request was made. */
interface Traceable {
  readonly correlationId: string | null;
}

const traced = (correlationId: string | null): string =>
  correlationId === null ? '' : `, correlation id ${correlationId}`;

interface OfVolume {
  /** Volume key of the contract. */
  readonly volume: string;
}

/** Messages of key management: the boot's and the daemon's key work, the `kms` commands and the local service. */
export const kmsMessages = {
  KMS_UNREACHABLE: message<OfVolume & { readonly seconds: number }>({
    id: 'HPL07010E',
    component: 'hpcr-disk-mount',
    text: ({ volume, seconds }) => `no usable answer from the key service of volume ${volume} within ${seconds} s`,
    systemAction: 'the volume stays closed; its disk was not written',
    userAction: 'check the route, the name service and the certificate of the key service, then start the guest again',
    exit: 3,
  }),
  KMS_WRAP_FAILED: message<OfVolume & Reason>({
    id: 'HPL07011E',
    component: 'hpcr-disk-mount',
    text: ({ volume, reason }) => `the key service did not wrap a seed for volume ${volume}: ${reason}`,
    systemAction: 'no seed was stored and nothing was formatted or re-keyed',
    userAction: 'check that the first kms entry names a root key that may wrap, then start the guest again',
    exit: 3,
  }),
  KMS_UNWRAP_FAILED: message<OfVolume & Reason>({
    id: 'HPL07012E',
    component: 'hpcr-disk-mount',
    text: ({ volume, reason }) => `the stored seed of volume ${volume} was not unwrapped: ${reason}`,
    systemAction: 'the volume stays closed; the stored seed was left as it is',
    userAction:
      'check that one kms entry names the root key which wrapped the seed; keep older keys as further entries',
    exit: 1,
  }),
  KMS_KEY_NOT_ACTIVE: message<OfVolume & { readonly state: string }>({
    id: 'TSD06001E',
    component: 'hpcr-disk-mount',
    text: ({ volume, state }) => `the root key of volume ${volume} is ${state}, not active`,
    systemAction: 'the volume stays closed; its disk was not written',
    userAction: 'enable the root key of the first kms entry and start the guest again',
    exit: 1,
  }),
  KMS_ACCESS_DENIED: message<OfVolume>({
    id: 'TSD06002E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `the first kms entry of volume ${volume} is refused: API key or rights`,
    systemAction: 'the volume stays closed; its disk was not written',
    userAction: 'check the API key and its Reader role on the root key, and network rules of the service instance',
    exit: 1,
  }),
  KMS_REFERENCE_INVALID: message<Reason>({
    id: 'TSD06003E',
    component: 'hpcr-disk-mount',
    text: ({ reason }) => `the reference to a root key is not usable: ${reason}`,
    systemAction: 'no key service was contacted and no disk was touched',
    userAction: 'correct crn, type or kms.endpoints; the CRN of a root key has ten segments and ends with key:<id>',
    exit: 1,
  }),
  KMS_CONFIGURATION_REFUSED: message<OfVolume & Reason & { readonly entry: number }>({
    id: 'TSD06004E',
    component: 'hpcr-disk-mount',
    text: ({ volume, entry, reason }) => `kms entry ${entry} of volume ${volume} can never work: ${reason}`,
    systemAction: 'the volume stays closed; its disk was not written',
    userAction: 'correct this kms entry in the contract',
    exit: 1,
  }),
  KMS_SEED_CHANGED: message<OfVolume>({
    id: 'TSD06005E',
    component: 'hpcr-disk-mount',
    text: ({ volume }) => `what the key service wrapped for volume ${volume} does not unwrap to the same seed`,
    systemAction: 'the new wrapping was thrown away; the disk was not written',
    userAction: 'the key service is broken or not what it claims to be: report it to its operator',
    exit: 1,
  }),
  KMS_ATTEMPT_FAILED: message<
    Reason & {
      readonly entry: number;
      readonly operation: string;
      readonly times: number;
    } & Traceable
  >({
    id: 'TSD06006E',
    component: 'hpcr-disk-mount',
    text: ({ entry, operation, reason, times, correlationId }) =>
      `kms entry ${entry}, ${operation}: ${reason}${times > 1 ? ` (${times} times)` : ''}${traced(correlationId)}`,
    systemAction: 'the attempt changed nothing',
    userAction: 'give the correlation id to the support of the key service',
    exit: 3,
  }),
  KMS_WAITING: message<OfVolume & Reason & Traceable & { readonly secondsLeft: number }>({
    id: 'TSD06007W',
    component: 'hpcr-disk-mount',
    text: ({ volume, reason, secondsLeft, correlationId }) =>
      `volume ${volume} waits for its root key, ${secondsLeft} s left: ${reason}${traced(correlationId)}`,
    systemAction: 'the key service is asked again until kmsTimeout is over; then the guest shuts down',
    userAction: 'enable the root key, or mend the way to the key service',
  }),
  KMS_SEED_MIGRATED: message<OfVolume & Traceable & { readonly entry: number }>({
    id: 'TSD06008I',
    component: 'hpcr-disk-mount',
    text: ({ volume, entry, correlationId }) =>
      `kms entry ${entry} opened volume ${volume}; its seed is now wrapped by entry 1 as well${traced(correlationId)}`,
    systemAction: 'the new wrapping was unwrapped and compared before it is stored',
    userAction: `remove the older kms entries once the volume has been opened with the first one`,
  }),
  KMS_PROXY_INVALID: message<Record<never, never>>({
    id: 'TSD06009E',
    component: 'triseed',
    text: () => 'kms.proxy is no address of an HTTP proxy',
    systemAction: 'no key service was contacted',
    userAction: 'give http://HOST:PORT or https://HOST:PORT, or null for none',
    exit: 2,
  }),
  KMS_CA_UNUSABLE: message<Reason>({
    id: 'TSD06010E',
    component: 'triseed',
    text: ({ reason }) => `an extra CA certificate is not usable: ${reason}`,
    systemAction: 'no key service was contacted',
    userAction: 'give PEM files that hold certificates and nothing else',
    exit: 2,
  }),
  KMS_COMMAND_REFUSED: message<
    Traceable & {
      readonly action: string;
      readonly status: number;
      readonly code: string | null;
      readonly explanation: string;
    }
  >({
    id: 'TSD06020E',
    component: 'triseed',
    text: ({ action, status, code, explanation, correlationId }) =>
      `the key service refuses to ${action}: HTTP ${status}${code === null ? '' : ` ${code}`}` +
      `${explanation === '' ? '' : `, ${explanation}`}${traced(correlationId)}`,
    systemAction: 'the key is as it was',
    userAction: 'see the state of the key with triseed kms key show',
    exit: 1,
  }),
  KMS_COMMAND_UNANSWERED: message<Reason & Traceable & { readonly action: string }>({
    id: 'TSD06021E',
    component: 'triseed',
    text: ({ action, reason, correlationId }) => `could not ${action}: ${reason}${traced(correlationId)}`,
    systemAction: 'whether the service carried it out is not known',
    userAction: 'check the address and certificate of the key service, then look at the key with triseed kms key show',
    exit: 3,
  }),
  KMS_NOT_CONFIRMED: message<{ readonly action: string }>({
    id: 'TSD06022E',
    component: 'triseed',
    text: ({ action }) => `not confirmed: ${action}`,
    systemAction: 'nothing was changed',
    userAction: 'answer yes, or give --yes',
    exit: 1,
  }),
  KMS_SERVE_FAILED: message<Reason>({
    id: 'TSD06030E',
    component: 'triseed',
    text: ({ reason }) => `the local key service cannot start: ${reason}`,
    systemAction: 'no key was touched',
    userAction: 'choose another address, or correct the option named above',
    exit: 3,
  }),
  KMS_STORE_UNUSABLE: message<Reason & { readonly path: string }>({
    id: 'TSD06031E',
    component: 'triseed',
    text: ({ path, reason }) => `the key store ${path} is not usable: ${reason}`,
    systemAction: 'the store was left as it is',
    userAction: 'give the database and the key file that belong together, or start with a new path',
    exit: 3,
  }),
} as const;
