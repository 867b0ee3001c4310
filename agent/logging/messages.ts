/** Messages of the connectivity check and of remote logging. Wording is not tested; names and ids are stable. */
import { message } from '../message.ts';

interface Reason {
  readonly reason: string;
}
interface Target {
  readonly target: string;
}

const goesDown = 'no log leaves the guest, nothing after this stage is started, no disk was read; the guest powers off';

export const loggingMessages = {
  NETWORK_READY: message<{ readonly targets: string }>({
    id: 'HPL14000I',
    component: 'hpcr-networkcheck',
    text: ({ targets }) => `network connectivity check succeeded: ${targets}`,
    systemAction: 'remote logging is set up next',
    userAction: 'none',
  }),
  NETWORK_WAITING: message<Target & Reason>({
    id: 'HPL14001I',
    component: 'hpcr-networkcheck',
    text: ({ target, reason }) => `network connectivity check goes on: ${target}: ${reason}`,
    systemAction: 'the check is repeated until its time is over',
    userAction: 'none',
  }),
  NETWORK_FAILED: message<Target & Reason>({
    id: 'HPL14001E',
    component: 'hpcr-networkcheck',
    text: ({ target, reason }) => `network connectivity check failed: ${target}: ${reason}`,
    systemAction: goesDown,
    userAction: 'check name service, routes and firewalls between the guest and the log server of the contract',
    exit: 1,
  }),
  NETWORK_TIMEOUT: message<Target & Reason & { readonly seconds: number }>({
    id: 'HPL14002E',
    component: 'hpcr-networkcheck',
    text: ({ target, reason, seconds }) =>
      `network connectivity check timed out after ${seconds} s: ${target}: ${reason}`,
    systemAction: goesDown,
    userAction:
      'check name service, routes and firewalls between the guest and the log server; logging.waitSeconds sets the time',
    exit: 1,
  }),
  LOGGING_INVALID: message<Reason>({
    id: 'HPL01001E',
    component: 'hpcr-logging',
    text: ({ reason }) => `the logging section of the contract is not valid -> ${reason}`,
    systemAction: goesDown,
    userAction: 'correct env.logging; triseed contract validate shows each fault with its line',
    exit: 1,
  }),
  LOGGING_ABSENT: message<Record<never, never>>({
    id: 'HPL01002W',
    component: 'hpcr-logging',
    text: () => 'the contract has no logging section',
    systemAction: 'the start goes on; records stay in the journal of the guest',
    userAction: 'give env.logging when records have to outlive the guest',
  }),
  LOG_PEM_MISSING: message<{ readonly field: string }>({
    id: 'HPL01005E',
    component: 'hpcr-logging',
    text: ({ field }) => `env.logging.syslog.${field} holds no PEM block, and no base64 of one`,
    systemAction: goesDown,
    userAction: 'give PEM text, or base64 of the whole PEM text',
    exit: 1,
  }),
  LOG_KEY_TYPE_UNKNOWN: message<{ readonly found: string }>({
    id: 'HPL01006E',
    component: 'hpcr-logging',
    text: ({ found }) =>
      `env.logging.syslog.key holds a PEM block of type ${found}, which is no private key to use here`,
    systemAction: goesDown,
    userAction: 'give the client key as PKCS#8 without a passphrase (BEGIN PRIVATE KEY)',
    exit: 1,
  }),
  LOG_SERVER_CERTIFICATE_MISSING: message<Reason>({
    id: 'HPL01007E',
    component: 'hpcr-logging',
    text: ({ reason }) => `env.logging.syslog.server holds no usable certificate: ${reason}`,
    systemAction: goesDown,
    userAction: 'give the certificate of the authority that signed the log server, or the whole chain',
    exit: 1,
  }),
  LOG_CLIENT_CERTIFICATE_MISSING: message<Reason>({
    id: 'HPL01008E',
    component: 'hpcr-logging',
    text: ({ reason }) => `env.logging.syslog.cert holds no usable certificate: ${reason}`,
    systemAction: goesDown,
    userAction: 'give the client certificate; client and server prove themselves to each other',
    exit: 1,
  }),
  LOG_KEY_MISSING: message<Reason>({
    id: 'HPL01009E',
    component: 'hpcr-logging',
    text: ({ reason }) => `env.logging.syslog.key holds no usable private key: ${reason}`,
    systemAction: goesDown,
    userAction: 'give the private key that belongs to env.logging.syslog.cert, without a passphrase',
    exit: 1,
  }),
  LOG_SERVER_NOT_USABLE: message<{ readonly hostname: string } & Reason>({
    id: 'HPL01011E',
    component: 'hpcr-logging',
    text: ({ hostname, reason }) => `log server ${hostname} does not take our records: ${reason}`,
    systemAction: goesDown,
    userAction: 'check hostname, port, certificates or API key of env.logging, and the log server itself',
    exit: 1,
  }),
  LOGGING_SET_UP: message<{ readonly hostname: string }>({
    id: 'HPL01010I',
    component: 'hpcr-logging',
    text: ({ hostname }) => `logging has been set up: ${hostname} took a first record`,
    systemAction: 'every record of this boot is sent there, those before this one included',
    userAction: 'none',
  }),
  LOG_SERVER_WAITING: message<{ readonly hostname: string } & Reason>({
    id: 'TSD01001W',
    component: 'hpcr-logging',
    text: ({ hostname, reason }) => `log server ${hostname} is not ready: ${reason}`,
    systemAction: 'it is tried again until the time of logging.waitSeconds or kmsTimeout is over',
    userAction: 'bring the log server or the way to it up',
  }),
  REMOTE_LOGGING_OFF: message<Record<never, never>>({
    id: 'TSD01002W',
    component: 'hpcr-logging',
    text: () => 'the agent configuration switches remote logging off; the logging section of the contract is not used',
    systemAction: 'the start goes on; records stay in the journal of the guest',
    userAction: 'set logging.remote: required in the image when records have to leave the guest',
  }),
  LOG_DELIVERY_DELAYED: message<Reason>({
    id: 'TSD01003W',
    component: 'hpcr-logging',
    text: ({ reason }) => `records cannot be delivered: ${reason}`,
    systemAction: 'they stay in the journal and are sent later; the workload goes on',
    userAction: 'check the log service, its API key and the way to it',
  }),
  LOG_DELIVERY_RESUMED: message<Record<never, never>>({
    id: 'TSD01004I',
    component: 'hpcr-logging',
    text: () => 'records are delivered again',
    systemAction: 'what stayed behind in the journal follows',
    userAction: 'none',
  }),
  LOG_RECORD_REFUSED: message<{ readonly count: number; readonly status: number }>({
    id: 'TSD01005W',
    component: 'hpcr-logging',
    text: ({ count, status }) => `records that the log service refuses for good: ${count}, HTTP status ${status}`,
    systemAction: 'they stay in the journal of the guest only; the others are sent; told at most once a minute',
    userAction: 'tell the operator of the log service',
  }),
  LOG_RECORD_TOO_LONG: message<{ readonly count: number; readonly maxBytes: number }>({
    id: 'TSD01008W',
    component: 'hpcr-logging',
    text: ({ count, maxBytes }) =>
      `records of the journal that are longer than ${maxBytes} bytes and not sent: ${count}`,
    systemAction: 'they stay in the journal of the guest only; the others are sent; told at most once a minute',
    userAction: 'make the workload write shorter records',
  }),
  JOURNAL_READER_ENDED: message<Record<never, never>>({
    id: 'TSD01007E',
    component: 'hpcr-logging',
    text: () => 'journalctl ended although nobody asked it to',
    systemAction: 'no record is forwarded until systemd has started this process again',
    userAction: 'read its status in the journal; records that stayed behind follow',
    exit: 3,
  }),
  LOG_HAND_OVER_INVALID: message<Reason>({
    id: 'TSD01006E',
    component: 'hpcr-logging',
    text: ({ reason }) => `what the boot has left for log forwarding is not usable: ${reason}`,
    systemAction: 'no record is forwarded by this process',
    userAction: 'restart the guest; the file is made anew at every boot',
    exit: 3,
  }),
} as const;
