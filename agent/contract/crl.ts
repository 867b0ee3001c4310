/**
 * Certificate revocation lists, given as files: nothing is fetched. A list counts when the issuer of the certificate
 * signed it. That key may belong to an end-entity certificate, as it does for IBM's encryption certificates (IBM
 * Cloud docs, "Validating the encryption certificate"), so the signature is checked by itself.
 */
import type { X509Certificate } from 'node:crypto';
import { type CertificateEntry, certificateFinding, isoSeconds, nameText } from './certificate.ts';
import type { FindingCode } from './finding-rules.ts';
import type { Finding } from './types.ts';
import { loadX509, source, type X509Library } from './webcrypto.ts';

/** In bytes. Lists of code-signing authorities hold some thousands of entries of about 40 bytes. */
export const maximumCrlBytes = 2 * 1024 * 1024;
const parseLimits = { berOptions: { maxDepth: 32, maxNodes: 500_000, maxContentLength: maximumCrlBytes } };

type ParsedCrl = InstanceType<X509Library['X509Crl']>;

export interface Crl {
  /** File it came from, for findings. */
  readonly path: string;
  readonly parsed: ParsedCrl;
}

/** A list in PEM or DER, or null when it cannot be read. */
export const readCrl = async (bytes: Buffer, path: string): Promise<Crl | null> => {
  const { x509 } = await loadX509();
  try {
    const pem = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/.exec(bytes.toString('latin1'));
    const der = pem === null ? bytes : Buffer.from(pem[1] ?? '', 'base64');
    return { path, parsed: new x509.X509Crl(source(der), parseLimits) };
  } catch {
    return null;
  }
};

interface Issued {
  readonly entry: CertificateEntry;
  readonly role: string;
  readonly issuer: X509Certificate;
}

export interface RevocationCheck {
  readonly findings: readonly Finding[];
  /** Lists that were about this certificate. */
  readonly used: readonly Crl[];
  /** True when a list of the issuer answered the question. */
  readonly isAnswered: boolean;
}

const removeFromCrl = 8;

const isSignedBy = async ({ parsed }: Crl, issuer: X509Certificate): Promise<boolean> => {
  const { x509 } = await loadX509();
  const key = new x509.X509Certificate(source(issuer.raw)).publicKey;
  return parsed.verify({ publicKey: key }).catch(() => false);
};

const datesFault = ({ parsed: { thisUpdate, nextUpdate } }: Crl, at: Date): string | null => {
  if (!(thisUpdate.getTime() <= at.getTime())) return `it is from the future, ${isoSeconds(thisUpdate)}`;
  if (nextUpdate === undefined) return 'it does not say until when it counts';
  return at.getTime() <= nextUpdate.getTime() ? null : `a newer one was due at ${isoSeconds(nextUpdate)}`;
};

/** Looks for `entry` in the lists its issuer signed, at the time `at`. */
export const checkRevocation = async (
  { entry, role, issuer }: Issued,
  crls: readonly Crl[],
  at: Date,
): Promise<RevocationCheck> => {
  const { x509 } = await loadX509();
  const issuerName = new x509.X509Certificate(source(issuer.raw)).subject;
  const used = crls.filter(({ parsed }) => parsed.issuer === issuerName);
  const findings: Finding[] = [];
  const report = (code: FindingCode, message: string, hint: string): void =>
    void findings.push(certificateFinding(code, role, entry, { message, hint }));
  let isAnswered = false;
  for (const crl of used) {
    const again = 'download it again from the distribution point that contract certs show prints';
    if (!(await isSignedBy(crl, issuer))) {
      report('CRL_SIGNATURE_INVALID', `${crl.path} was not signed by ${nameText(issuer.subject)}`, again);
      continue;
    }
    const critical = crl.parsed.extensions.find((extension) => extension.critical);
    if (critical !== undefined) {
      const message = `${crl.path} covers certificates in part only (critical extension ${critical.type})`;
      report('CRL_UNSUPPORTED', message, 'give the complete list of this issuer');
      continue;
    }
    const entryFound = crl.parsed.findRevoked(new x509.X509Certificate(source(entry.certificate.raw)));
    if (entryFound !== null && entryFound.reason !== removeFromCrl) {
      const message = `it was revoked at ${isoSeconds(entryFound.revocationDate)}, says ${crl.path}`;
      report('CERTIFICATE_REVOKED', message, 'do not encrypt for it; take the certificate of a newer image');
    }
    const outdated = datesFault(crl, at);
    if (outdated !== null) report('CRL_OUTDATED', `${crl.path} does not count: ${outdated}`, again);
    isAnswered = true;
  }
  return { findings, used, isAnswered };
};
