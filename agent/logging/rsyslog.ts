/**
 * Configuration of rsyslogd for a contract's `syslog` target: RFC 5424 records with octet counting over TLS (RFC 5425),
 * both sides proving themselves. Sources: rsyslog documentation, omfwd, imjournal, "ossl network stream driver".
 */
import type { LogTarget } from './settings.ts';

/** Files as the forwarding unit sees them, systemd.exec(5), LoadCredential=. */
export interface RsyslogFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Folder of the daemon's own: where it keeps how far it has read. */
  readonly work: string;
}

export interface Forwarding extends LogTarget {
  /** Names that the server's certificate may have. */
  readonly names: readonly string[];
  readonly files: RsyslogFiles;
}

const isAddress = (hostname: string): boolean => hostname.includes(':') || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(hostname);

/**
 * Whom rsyslog believes: the name of the contract. It matches that with wildcards in a certificate by itself, but knows no
 * addresses in certificates; for an address the names count that the first record has seen beside it.
 */
export const permittedNames = (hostname: string, serverNames: readonly string[]): readonly string[] =>
  isAddress(hostname) ? [...new Set([hostname, ...serverNames])] : [hostname];

/** A RainerScript string constant. Whoever reaches this has checked hostnames; here nothing may end the string early. */
const quoted = (text: string): string => {
  if (/[^\x20-\x7e]|["\\$%`]/.test(text)) throw new TypeError('this text cannot stand in a configuration of rsyslog');
  return `"${text}"`;
};

/**
 * What sends. `ruleset` takes whatever an input gives it. The action has no queue of its own: what cannot be delivered
 * keeps its place in the main queue, then in the journal, and nothing is thrown away here.
 */
export const forwardingConfiguration = ({ hostname, port, names, files }: Forwarding, ruleset: string): string => `\
global(
  workDirectory=${quoted(files.work)}
  maxMessageSize="64k"
  abortOnUncleanConfig="on"
  defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile=${quoted(files.ca)}
  defaultNetstreamDriverCertFile=${quoted(files.cert)}
  defaultNetstreamDriverKeyFile=${quoted(files.key)}
)
main_queue(queue.type="LinkedList" queue.size="10000" queue.timeoutShutdown="5000" queue.timeoutEnqueue="60000")
template(name="rfc5424" type="string"
  string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% %PROCID% %MSGID% %STRUCTURED-DATA% %msg:::drop-last-lf%")
ruleset(name=${quoted(ruleset)}) {
  action(
    type="omfwd" protocol="tcp" target=${quoted(hostname)} port="${port}" keepAlive="on"
    tcp_framing="octet-counted" template="rfc5424"
    streamDriver="ossl" streamDriverMode="1" streamDriverAuthMode="x509/name"
    streamDriverPermittedPeers=${quoted(names.join(','))}
    queue.type="Direct" action.resumeRetryCount="-1" action.resumeInterval="5" action.resumeIntervalMax="60"
  )
}
`;

/** Where records come from in a guest: the journal of this boot, from its first record on, at whatever rate. */
export const journalInput = (bootId: string, ruleset: string): string => `\
module(load="imjournal" stateFile="imjournal.state" persistStateInterval="20" rateLimit.interval="0"
  ignorePreviousMessages="off" ignoreNonValidStatefile="on")
if $!_BOOT_ID == ${quoted(bootId.replaceAll('-', ''))} then {
  call ${ruleset}
}
`;
