/**
 * From an encryption certificate to an authority that is trusted, offline (IBM Cloud docs, "Validating the encryption
 * certificate"). IBM signs its certificates with a code-signing certificate that is no authority, so the path
 * validation of RFC 5280 refuses them: the first signature is checked by itself, with the issuer's name compared as
 * text, and only the path above it has to consist of authorities.
 */
import type { X509Certificate } from 'node:crypto';
import { type CertificateEntry, certificateFinding, dateFindings, nameText } from './certificate.ts';
import { type CertificateShape, isWeakAlgorithm, shapeOf } from './certificate-shape.ts';
import { type Crl, checkRevocation } from './crl.ts';
import { findingOverall } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import type { Finding } from './types.ts';

const maximumLinks = 8;

export interface ChainRequest {
  readonly leaf: CertificateEntry;
  /** Certificates that may lie between, in any order. */
  readonly chain: readonly CertificateEntry[];
  /** What is trusted; empty leaves the question open whether the top of the path deserves it. */
  readonly anchors: readonly CertificateEntry[];
  readonly crls: readonly Crl[];
  readonly at: Date;
}

export interface ChainCheck {
  readonly findings: readonly Finding[];
  /** Subjects from the certificate upwards, as far as the path goes. */
  readonly path: readonly string[];
  /** True when the path ends at a given anchor. */
  readonly isAnchored: boolean;
}

interface Link {
  readonly entry: CertificateEntry;
  readonly shape: CertificateShape;
  readonly role: string;
}

const isSignedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean => {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
};

const isSame = (a: CertificateEntry, b: CertificateEntry): boolean => a.certificate.raw.equals(b.certificate.raw);

const hintChain = 'give the issuing certificates with --chain, and what you trust with --ca';

/** Why nobody among `candidates` issued `entry`. */
const missingIssuer = (link: Link, candidates: readonly CertificateEntry[]): Finding => {
  const { certificate } = link.entry;
  const issuer = nameText(certificate.issuer);
  const named = candidates.some((candidate) => candidate.certificate.subject === certificate.issuer);
  const signer = candidates.find((candidate) => isSignedBy(certificate, candidate.certificate));
  const found = (code: FindingCode, message: string, hint: string): Finding =>
    certificateFinding(code, link.role, link.entry, { message, hint });
  if (named) {
    const hint = 'do not use this certificate: it was changed, or made by somebody else under the name of its issuer';
    return found('CERTIFICATE_SIGNATURE_INVALID', `${issuer} did not sign it`, hint);
  }
  if (signer !== undefined) {
    const message = `it names ${issuer} as its issuer, but ${nameText(signer.certificate.subject)} signed it`;
    return found('CERTIFICATE_ISSUER_DIFFERS', message, 'do not use this certificate before its origin is clear');
  }
  return found('CERTIFICATE_ISSUER_MISSING', `the certificate of its issuer, ${issuer}, was not given`, hintChain);
};

/** Why `issuer` may not have issued what is below it. `authoritiesBelow` counts towards its path length. */
const notAllowed = (issuer: Link, isFirst: boolean, authoritiesBelow: number): string | null => {
  const { isAuthority, pathLength, maySignCertificates, isForCodeSigning } = issuer.shape;
  if (isFirst && !isAuthority) {
    return isForCodeSigning ? null : 'it is neither an authority nor a certificate for code signing';
  }
  if (!isAuthority) return 'it is no certificate authority';
  if (!maySignCertificates) return 'its key usage leaves out signing certificates';
  return pathLength !== null && authoritiesBelow > pathLength ? 'its path length allows fewer authorities' : null;
};

const linkFindings = (link: Link, isAnchor: boolean): readonly Finding[] => {
  const { entry, role, shape } = link;
  const findings: Finding[] = [];
  if (shape.unknownCritical.length > 0) {
    const message = `it has critical extensions that are not understood: ${shape.unknownCritical.join(', ')}`;
    const hint = 'have it checked by other means, such as openssl x509 -text';
    findings.push(certificateFinding('CERTIFICATE_EXTENSION_UNKNOWN', role, entry, { message, hint }));
  }
  // The signature of an anchor proves nothing, so its algorithm does not matter.
  if (!isAnchor && isWeakAlgorithm(shape.signatureAlgorithm)) {
    const message = `it was signed with ${shape.signatureAlgorithm}, which can be forged or is not known here`;
    const hint = 'ask its issuer for one that is signed with SHA-256 or stronger';
    findings.push(certificateFinding('CERTIFICATE_ALGORITHM_WEAK', role, entry, { message, hint }));
  }
  return findings;
};

const isSelfSigned = ({ certificate }: CertificateEntry): boolean =>
  certificate.subject === certificate.issuer && isSignedBy(certificate, certificate);

const unanchored = (top: Link, { anchors, chain }: ChainRequest, isAlone: boolean): readonly Finding[] => {
  if (!isSelfSigned(top.entry)) return [];
  const subject = nameText(top.entry.certificate.subject);
  if (anchors.length > 0) {
    const detail = { message: `${subject} signed itself and is not among what --ca trusts`, hint: hintChain };
    return [certificateFinding('CERTIFICATE_ISSUER_MISSING', top.role, top.entry, detail)];
  }
  if (isAlone && chain.length === 0) return [];
  const message = `the path ends at ${subject}, which signed itself; nothing says that it can be trusted`;
  const hint = 'give the root certificate, from a source of its own, with --ca';
  return [certificateFinding('CERTIFICATE_UNANCHORED', top.role, top.entry, { message, hint })];
};

const buildPath = async (request: ChainRequest) => {
  const { leaf, chain, anchors, at } = request;
  const findings: Finding[] = [];
  const links: Link[] = [{ entry: leaf, shape: await shapeOf(leaf.certificate), role: 'certificate' }];
  const isAnchor = (entry: CertificateEntry): boolean => anchors.some((anchor) => isSame(anchor, entry));
  for (;;) {
    const current = links.at(-1) as Link;
    if (isAnchor(current.entry)) return { links, findings, isAnchored: true };
    const candidates = [...anchors, ...chain].filter((one) => !links.some(({ entry }) => isSame(entry, one)));
    const issuer = candidates.find(
      ({ certificate }) =>
        certificate.subject === current.entry.certificate.issuer && isSignedBy(current.entry.certificate, certificate),
    );
    if (issuer === undefined || links.length > maximumLinks) {
      const isOpen = isSelfSigned(current.entry) || (candidates.length === 0 && links.length === 1);
      findings.push(
        ...(isOpen ? unanchored(current, request, links.length === 1) : [missingIssuer(current, candidates)]),
      );
      return { links, findings, isAnchored: false };
    }
    const link: Link = { entry: issuer, shape: await shapeOf(issuer.certificate), role: `issuer ${links.length}` };
    const below = links.slice(1).filter(({ shape, entry }) => shape.isAuthority && !isSelfSigned(entry)).length;
    const reason = notAllowed(link, links.length === 1, below);
    if (reason !== null) {
      const message = `${nameText(issuer.certificate.subject)} may not have issued it: ${reason}`;
      const hint = 'get the chain that is published with the certificate';
      findings.push(certificateFinding('CERTIFICATE_ISSUER_NOT_ALLOWED', link.role, issuer, { message, hint }));
    }
    findings.push(...dateFindings(issuer, link.role, at));
    links.push(link);
  }
};

/** Checks the path above `leaf`, and revocation in the lists that were given. The leaf's own dates are not checked. */
export const checkChain = async (request: ChainRequest): Promise<ChainCheck> => {
  const { crls, at, anchors, chain } = request;
  const { links, findings, isAnchored } = await buildPath(request);
  links.forEach((link, index) => {
    findings.push(...linkFindings(link, isAnchored && index === links.length - 1));
  });
  if (links.length === 1 && !isAnchored && anchors.length === 0 && chain.length === 0) {
    const message = isSelfSigned(request.leaf)
      ? 'it signed itself: only its fingerprint, compared by other means, says whose it is'
      : `who issued it was not checked: it names ${nameText(request.leaf.certificate.issuer)}`;
    findings.push(certificateFinding('CHAIN_NOT_CHECKED', 'certificate', request.leaf, { message, hint: hintChain }));
  }
  const open: string[] = [];
  const used = new Set<Crl>();
  for (const [index, { entry, role }] of links.entries()) {
    const issuer = links[index + 1]?.entry.certificate;
    // An anchor is trusted as it is, and nobody above the end of the path is known.
    if (issuer === undefined) {
      if (!isAnchored && !isSelfSigned(entry)) open.push(nameText(entry.certificate.subject));
      continue;
    }
    const revocation = await checkRevocation({ entry, role, issuer }, crls, at);
    findings.push(...revocation.findings);
    for (const crl of revocation.used) used.add(crl);
    if (!revocation.isAnswered) open.push(nameText(entry.certificate.subject));
  }
  if (open.length > 0) {
    const message = `whether these were revoked was not checked: ${open.join('; ')}`;
    const hint = 'download the lists that contract certs show names, and give them with --crl; nothing is fetched here';
    findings.push(findingOverall('REVOCATION_NOT_CHECKED', { message, hint }));
  }
  for (const crl of crls) {
    if (used.has(crl)) continue;
    const message = `${crl.path} is the list of ${nameText(crl.issuer)}, who issued nothing here`;
    findings.push(findingOverall('CRL_UNUSED', { message, hint: 'give the lists of the issuers of this path' }));
  }
  return { findings, path: links.map(({ entry }) => nameText(entry.certificate.subject)), isAnchored };
};
