/**
 * Encryption certificates: reading files of them, and what can be said of one by itself. What needs its issuer is in
 * chain.ts.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { type FindingDetail, findingOverall } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import { decodePem, fingerprintOf } from './public-key.ts';
import { rsaFault } from './rsa-key.ts';
import { printable } from './shown-name.ts';
import type { Finding } from './types.ts';

/** Files with certificates, in bytes, and certificates in one. */
export const maximumCertificateBytes = 256 * 1024;
const maximumCertificates = 64;
const dayMs = 24 * 60 * 60 * 1000;

/** An encryption certificate with less time left is worth a word; the published tools use the same number of days. */
export const warnDays = 180;

export interface CertificateEntry {
  readonly certificate: X509Certificate;
  /** Line of the file on which it begins, 1-based. */
  readonly line: number;
}

export type CertificateReading =
  | { readonly kind: 'read'; readonly entries: readonly CertificateEntry[] }
  | { readonly kind: 'unreadable'; readonly reason: string };

const unreadable = (reason: string): CertificateReading => ({ kind: 'unreadable', reason });

const blocks = /-----BEGIN (?:X509 )?CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END (?:X509 )?CERTIFICATE-----/g;

/** Certificates of a file: PEM, one or many, base64 of that as contracts carry it, or one in DER. */
export const readCertificates = (bytes: Buffer): CertificateReading => {
  try {
    // A DER certificate is a SEQUENCE with a length of two bytes.
    if (bytes[0] === 0x30 && bytes[1] === 0x82) {
      return { kind: 'read', entries: [{ certificate: new X509Certificate(bytes), line: 1 }] };
    }
    const text = bytes.toString('latin1');
    const pem = decodePem(text);
    const found = [...(pem?.matchAll(blocks) ?? [])];
    if (found.length === 0) return unreadable('it holds no certificate');
    if (found.length > maximumCertificates) return unreadable(`it holds more than ${maximumCertificates} certificates`);
    const lineAt = (offset: number): number => (text === pem ? text.slice(0, offset).split('\n').length : 1);
    return {
      kind: 'read',
      entries: found.map(({ 0: block, index }) => ({ certificate: new X509Certificate(block), line: lineAt(index) })),
    };
  } catch {
    return unreadable('a certificate in it is damaged');
  }
};

/** A distinguished name on one line, safe to print. Names are compared as text, as the published recipe does. */
export const nameText = (name: string | undefined): string =>
  printable((name ?? '').trim().split('\n').join(', ')) || '(empty)';

/** Whole days from `at` to the end of the certificate, negative when it has passed. */
export const daysLeft = ({ validToDate }: X509Certificate, at: Date): number =>
  Math.floor((validToDate.getTime() - at.getTime()) / dayMs);

export const isoSeconds = (date: Date): string =>
  Number.isNaN(date.getTime()) ? 'an unreadable time' : `${date.toISOString().slice(0, 19)}Z`;

/** Lower-case hex SHA-256 of the certificate's DER, as `openssl x509 -fingerprint -sha256` prints it with colons. */
export const certificateFingerprint = ({ raw }: X509Certificate): string =>
  createHash('sha256').update(raw).digest('hex');

/** RSA as `rsa 4096`, other keys by type and curve. */
export const keyText = ({ publicKey }: X509Certificate): string => {
  const { asymmetricKeyType = 'unknown', asymmetricKeyDetails: details } = publicKey;
  return `${asymmetricKeyType} ${details?.modulusLength ?? details?.namedCurve ?? ''}`.trim();
};

/** A finding about one certificate: `role` is who it is, such as `certificate` or `issuer`. */
export const certificateFinding = (
  code: FindingCode,
  role: string,
  { line }: Pick<CertificateEntry, 'line'>,
  detail: FindingDetail,
): Finding => ({ ...findingOverall(code, detail), path: role, line });

/** What its dates say at the time `at`. */
export const dateFindings = (entry: CertificateEntry, role: string, at: Date): readonly Finding[] => {
  const { validFromDate, validToDate } = entry.certificate;
  const found = (code: FindingCode, message: string, hint: string): readonly Finding[] => [
    certificateFinding(code, role, entry, { message, hint }),
  ];
  // Negated comparisons, so that an unreadable date (NaN) refuses.
  if (!(at.getTime() <= validToDate.getTime())) {
    const hint = 'get the certificate of a newer image; a guest whose certificate has passed may refuse contracts';
    return found('CERTIFICATE_EXPIRED', `it expired at ${isoSeconds(validToDate)}`, hint);
  }
  if (!(at.getTime() >= validFromDate.getTime())) {
    const hint = 'check the clock of this machine, or wait';
    return found('CERTIFICATE_NOT_YET_VALID', `it is valid from ${isoSeconds(validFromDate)} only`, hint);
  }
  return [];
};

/** What can be said of an encryption certificate by itself, at the time `at`. */
export const encryptionCertificateFindings = (entry: CertificateEntry, at: Date): readonly Finding[] => {
  const { certificate } = entry;
  const findings = [...dateFindings(entry, 'certificate', at)];
  const left = daysLeft(certificate, at);
  if (findings.length === 0 && left < warnDays) {
    const message = `it expires in ${left} days, at ${isoSeconds(certificate.validToDate)}`;
    const hint = 'plan the move to a newer image: contracts sealed for this one cannot be opened by another';
    findings.push(certificateFinding('CERTIFICATE_EXPIRES_SOON', 'certificate', entry, { message, hint }));
  }
  const fault = rsaFault(certificate.publicKey);
  if (fault !== null) {
    const hint = 'contracts are encrypted with RSA keys of 2048 to 8192 bits';
    findings.push(certificateFinding('CERTIFICATE_KEY_UNUSABLE', 'certificate', entry, { message: fault, hint }));
  }
  return findings;
};

/** What `certs list` shows of one certificate. */
export interface ListedCertificate {
  readonly path: string;
  readonly line: number;
  readonly subject: string;
  readonly notAfter: string;
  readonly daysLeft: number;
  readonly key: string;
  readonly fingerprint: string;
  readonly keyFingerprint: string;
}

export const listed = (path: string, { certificate, line }: CertificateEntry, at: Date): ListedCertificate => ({
  path,
  line,
  subject: nameText(certificate.subject),
  notAfter: isoSeconds(certificate.validToDate),
  daysLeft: daysLeft(certificate, at),
  key: keyText(certificate),
  fingerprint: certificateFingerprint(certificate),
  keyFingerprint: fingerprintOf(certificate.publicKey),
});
