/** What a certificate's extensions say it may be used for (RFC 5280 section 4.2). Loads the X.509 library on demand. */
import type { X509Certificate } from 'node:crypto';
import { AgentError } from '../errors.ts';
import { nameText } from './certificate.ts';
import { printable } from './shown-name.ts';
import { loadX509, source, type X509Library } from './webcrypto.ts';

export interface CertificateShape {
  readonly isAuthority: boolean;
  /** Authorities that may follow below; null when there is no limit. */
  readonly pathLength: number | null;
  /** False only when a key usage extension leaves it out. */
  readonly maySignCertificates: boolean;
  readonly isForCodeSigning: boolean;
  /** Object identifiers of critical extensions that are not understood here. */
  readonly unknownCritical: readonly string[];
  /** Such as `RSASSA-PKCS1-v1_5 SHA-512`. */
  readonly signatureAlgorithm: string;
  readonly crlUrls: readonly string[];
  /** Where the issuer's certificate is published. */
  readonly issuerUrls: readonly string[];
}

const codeSigning = '1.3.6.1.5.5.7.3.3';
/** Key identifiers, key usage, alternative names, basic constraints, CRL points, policies, extended key usage, AIA. */
const understood: ReadonlySet<string> = new Set([
  ...[14, 15, 17, 18, 19, 31, 32, 35, 37].map((arc) => `2.5.29.${arc}`),
  '1.3.6.1.5.5.7.1.1',
]);

const weakHashes = /\b(?:MD2|MD5|SHA-?1)\b/i;
export const isWeakAlgorithm = (name: string): boolean => weakHashes.test(name) || name === 'unknown';

const algorithmText = (algorithm: { readonly name?: string; readonly hash?: unknown }): string => {
  const { name = 'unknown', hash } = algorithm;
  const digest = typeof hash === 'string' ? hash : (hash as { name?: string } | undefined)?.name;
  return digest === undefined ? name : `${name} ${digest}`;
};

/** Throws KEY_UNUSABLE when an extension is damaged. */
export const shapeOf = async ({ raw, subject }: X509Certificate): Promise<CertificateShape> => {
  const { x509 } = await loadX509();
  try {
    return readShape(x509, raw);
  } catch (cause) {
    const reason = 'an extension of the certificate is damaged';
    throw new AgentError('KEY_UNUSABLE', { path: nameText(subject), reason }, { cause });
  }
};

const readShape = (x509: X509Library, raw: Buffer): CertificateShape => {
  const certificate = new x509.X509Certificate(source(raw));
  const constraints = certificate.getExtension(x509.BasicConstraintsExtension);
  const usage = certificate.getExtension(x509.KeyUsagesExtension);
  const extended = certificate.getExtension(x509.ExtendedKeyUsageExtension);
  const points = certificate.getExtension(x509.CRLDistributionPointsExtension)?.distributionPoints ?? [];
  const access = certificate.getExtension(x509.AuthorityInfoAccessExtension);
  let signatureAlgorithm = 'unknown';
  try {
    signatureAlgorithm = algorithmText(certificate.signatureAlgorithm);
  } catch {
    // An algorithm without a name here is one that is not accepted either.
  }
  return {
    isAuthority: constraints?.ca === true,
    pathLength: constraints?.pathLength ?? null,
    maySignCertificates: usage === null || (usage.usages & x509.KeyUsageFlags.keyCertSign) !== 0,
    isForCodeSigning: extended?.usages.includes(codeSigning) === true,
    unknownCritical: certificate.extensions
      .filter(({ critical, type }) => critical && !understood.has(type))
      .map(({ type }) => type),
    signatureAlgorithm,
    crlUrls: points.flatMap(({ distributionPoint }) =>
      (distributionPoint?.fullName ?? []).flatMap(({ uniformResourceIdentifier: url }) =>
        url === undefined ? [] : [printable(url)],
      ),
    ),
    issuerUrls: (access?.caIssuers ?? []).filter(({ type }) => type === 'url').map(({ value }) => printable(value)),
  };
};
