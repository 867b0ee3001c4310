/**
 * The logging section of an opened contract as settings to act on. Source of the grammar: IBM Cloud documentation,
 * "Logging for Hyper Protect Virtual Servers for VPC". Where it and the page of error messages disagree about what a
 * wrong section does, the former counts: nothing starts without the log server that the contract names.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { decodePem } from '../contract/public-key.ts';
import { sectionFindings } from '../contract/rules.ts';
import { isMapping, type YamlMapping } from '../contract/strict-yaml.ts';
import type { Finding, OpenedContract, Profile } from '../contract/types.ts';
import { mappingAt } from '../contract/volume-rules.ts';
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';

export interface LogTarget {
  /** Name or address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

export interface SyslogSettings extends LogTarget {
  readonly kind: 'syslog';
  /** PEM texts. */
  readonly ca: string;
  readonly cert: string;
  /** PKCS#8 PEM. */
  readonly key: Secret;
}

export interface LogRouterSettings extends LogTarget {
  readonly kind: 'logRouter';
  readonly apiKey: Secret;
  readonly tags: readonly string[];
}

export type LoggingSettings = SyslogSettings | LogRouterSettings;

/** RFC 5425 §4.1; the schema's 514 is the port of plain syslog, which is not spoken. */
const syslogPort = 6514;
const logRouterPort = 443;
const defaultKmsTimeoutMinutes = 10;

/** A name or an address; anything else could leave its place in a configuration or a URL. */
const hostnameForm = /^[A-Za-z0-9](?:[A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?$|^::1$/;
const certificateBlock = /-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const anyBlock = /-----BEGIN ([A-Z0-9 ]{1,40})-----/;
const keyLabels = new Set(['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY']);

const pemOf = (field: string, text: string): string => {
  const pem = decodePem(text);
  if (pem === null || !anyBlock.test(pem)) throw new AgentError('LOG_PEM_MISSING', { field });
  return pem;
};

/** The certificates in a PEM text, written anew; a text where there are none to use is a reason. */
const certificatesIn = (pem: string): readonly X509Certificate[] | string => {
  const blocks = pem.match(certificateBlock);
  if (blocks === null) return 'there is no complete CERTIFICATE block in it';
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return 'a certificate in it is damaged';
  }
};

const serverCertificates = (text: string): string => {
  const found = certificatesIn(pemOf('server', text));
  if (typeof found === 'string') throw new AgentError('LOG_SERVER_CERTIFICATE_MISSING', { reason: found });
  return found.map((certificate) => certificate.toString()).join('');
};

const clientCertificate = (text: string | undefined): X509Certificate => {
  if (text === undefined) throw new AgentError('LOG_CLIENT_CERTIFICATE_MISSING', { reason: 'it is absent' });
  const found = certificatesIn(pemOf('cert', text));
  if (typeof found === 'string') throw new AgentError('LOG_CLIENT_CERTIFICATE_MISSING', { reason: found });
  const [first] = found;
  if (first === undefined) throw new AgentError('LOG_CLIENT_CERTIFICATE_MISSING', { reason: 'it is empty' });
  return first;
};

const clientKey = (text: string | undefined, certificate: X509Certificate): Secret => {
  if (text === undefined) throw new AgentError('LOG_KEY_MISSING', { reason: 'it is absent' });
  const pem = pemOf('key', text);
  const [, label = ''] = anyBlock.exec(pem) ?? [];
  if (!keyLabels.has(label)) throw new AgentError('LOG_KEY_TYPE_UNKNOWN', { found: label });
  let key: ReturnType<typeof createPrivateKey>;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw new AgentError('LOG_KEY_MISSING', { reason: 'the PEM text is damaged or protected by a passphrase' });
  }
  if (!certificate.checkPrivateKey(key))
    throw new AgentError('LOG_KEY_MISSING', { reason: 'it does not belong to env.logging.syslog.cert' });
  return Secret.fromText(key.export({ type: 'pkcs8', format: 'pem' }).toString());
};

const whereAndWhat = ({ path, line, column, message }: Finding): string =>
  `${path} (line ${line}, column ${column}): ${message}`;

const assertHostname = (hostname: string): void => {
  if (!hostnameForm.test(hostname))
    throw new AgentError('LOGGING_INVALID', { reason: 'hostname is neither a host name nor an address' });
};

/** Fields as the schema has them. It has judged the section, so that another type is a fault of ours; it ends the start, too. */
const otherType = (field: string): never => {
  throw new AgentError('LOGGING_INVALID', { reason: `${field} has a type that the schema should not have let pass` });
};
const optionalText = (section: YamlMapping, field: string): string | undefined => {
  const value = section[field];
  return value === undefined || typeof value === 'string' ? value : otherType(field);
};
const text = (section: YamlMapping, field: string): string => optionalText(section, field) ?? otherType(field);
const portOf = ({ port }: YamlMapping, otherwise: number): number =>
  port === undefined ? otherwise : typeof port === 'number' ? port : otherType('port');
const tagsOf = ({ tags = [] }: YamlMapping): readonly string[] =>
  Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : otherType('tags');

const syslogSettings = (section: YamlMapping): SyslogSettings => {
  const hostname = text(section, 'hostname');
  assertHostname(hostname);
  const ca = serverCertificates(text(section, 'server'));
  const certificate = clientCertificate(optionalText(section, 'cert'));
  const key = clientKey(optionalText(section, 'key'), certificate);
  return { kind: 'syslog', hostname, port: portOf(section, syslogPort), ca, cert: certificate.toString(), key };
};

const logRouterSettings = (section: YamlMapping): LogRouterSettings => {
  const hostname = text(section, 'hostname');
  assertHostname(hostname);
  const apiKey = text(section, 'iamApiKey');
  if (apiKey === '') throw new AgentError('LOGGING_INVALID', { reason: 'env.logging.logRouter.iamApiKey is empty' });
  const [port, tags] = [portOf(section, logRouterPort), tagsOf(section)];
  return { kind: 'logRouter', hostname, port, apiKey: Secret.fromText(apiKey), tags };
};

/** True when the contract says anything about logging. */
export const hasLogging = (opened: OpenedContract): boolean => 'logging' in opened.sections.env.value;

/**
 * Settings of the contract's logging section. Only that section is judged here: whatever else is wrong with a contract is
 * told by the boot, to the log server. Null when there is none. Throws LOGGING_INVALID (HPL01001E), LOG_PEM_MISSING
 * (HPL01005E), LOG_KEY_TYPE_UNKNOWN (HPL01006E), LOG_SERVER_CERTIFICATE_MISSING (HPL01007E),
 * LOG_CLIENT_CERTIFICATE_MISSING (HPL01008E), LOG_KEY_MISSING (HPL01009E).
 */
export const loggingSettings = (opened: OpenedContract, profile: Profile): LoggingSettings | null => {
  if (!hasLogging(opened)) return null;
  const { env } = opened.sections;
  const [fault] = sectionFindings({ env: env.ground, workload: null }, { profile, minimumSerial: 0 }).filter(
    ({ path, severity }) => severity === 'error' && (path === 'env.logging' || path.startsWith('env.logging.')),
  );
  if (fault !== undefined) throw new AgentError('LOGGING_INVALID', { reason: whereAndWhat(fault) });
  const { syslog, logRouter } = mappingAt(env.value, 'logging');
  if (isMapping(syslog)) return syslogSettings(syslog);
  if (isMapping(logRouter)) return logRouterSettings(logRouter);
  throw new AgentError('LOGGING_INVALID', { reason: 'env.logging names neither syslog nor logRouter' });
};

export const wipeSettings = (settings: LoggingSettings | null): void => {
  if (settings?.kind === 'syslog') settings.key.wipe();
  if (settings?.kind === 'logRouter') settings.apiKey.wipe();
};

/**
 * How long network and log server may stay away, in milliseconds: as long as a root key may (the largest kmsTimeout of a
 * volume with `kms`), and at least `waitSeconds`. The section is not validated yet: what is no number within bounds is
 * left to the boot to refuse.
 */
export const patienceMs = (opened: OpenedContract, waitSeconds: number): number => {
  const volumes = mappingAt(opened.sections.env.value, 'volumes');
  const minutes = Object.keys(volumes).map((name) => {
    const { kms, kmsTimeout = defaultKmsTimeoutMinutes } = mappingAt(volumes, name);
    const within = typeof kmsTimeout === 'number' && kmsTimeout >= 0 && kmsTimeout <= 1000;
    return kms === undefined || !within ? 0 : kmsTimeout;
  });
  return Math.max(waitSeconds * 1000, ...minutes.map((count) => count * 60_000));
};
