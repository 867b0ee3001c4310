/**
 * Certificate revocation lists (RFC 5280 section 5), given as files: nothing is fetched. A list counts when the
 * issuer of the certificate signed it. That key may belong to an end-entity certificate, as it does for IBM's
 * encryption certificates (IBM Cloud docs, "Validating the encryption certificate"), so the signature is checked by
 * itself. Lists are read here and not by the X.509 library, which takes 7 s and 0.5 GB for 2 MiB.
 */
import { verify, type X509Certificate } from 'node:crypto';
import { type CertificateEntry, certificateFinding, isoSeconds, nameText } from './certificate.ts';
import { DerFault, type DerNode, derAt, derChildren, derOid, derSerial, derTime, expectTag, tags } from './der.ts';
import type { FindingCode } from './finding-rules.ts';
import type { Finding } from './types.ts';
import { loadX509, source } from './webcrypto.ts';

/** In bytes. Lists of public code-signing authorities hold some ten thousand entries of about 45 bytes. */
export const maximumCrlBytes = 16 * 1024 * 1024;

export interface Revocation {
  readonly at: Date;
  /** RFC 5280 section 5.3.1; null when the list does not say. */
  readonly reason: number | null;
}

export interface Crl {
  /** File it came from, for findings. */
  readonly path: string;
  readonly issuer: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | null;
  /** Serial number in lower-case hex without leading zeros. */
  readonly revoked: ReadonlyMap<string, Revocation>;
  /** Critical extensions, of the list or of an entry: with one, the list does not mean what it seems to. */
  readonly critical: readonly string[];
  readonly signed: { readonly bytes: Buffer; readonly hash: string | null; readonly signature: Buffer };
}

/** RSA PKCS #1 v1.5 and ECDSA; what SHA-1 signed does not count. */
const hashes: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const reasonCode = '2.5.29.21';

interface Extension {
  readonly oid: string;
  readonly isCritical: boolean;
  readonly value: Buffer;
}

const readExtensions = (list: DerNode | undefined): readonly Extension[] => {
  if (list === undefined) return [];
  return [...derChildren(expectTag(list, tags.sequence))].map((extension) => {
    const [oid, ...rest] = derChildren(expectTag(extension, tags.sequence));
    const isCritical = rest[0]?.tag === tags.boolean && rest[0].content[0] !== 0;
    return { oid: derOid(oid), isCritical, value: expectTag(rest.at(-1), tags.octetString).content };
  });
};

const readEntries = (list: DerNode | undefined) => {
  const revoked = new Map<string, Revocation>();
  const critical = new Set<string>();
  for (const entry of list === undefined ? [] : derChildren(list)) {
    const [serial, date, extensions] = derChildren(expectTag(entry, tags.sequence));
    let reason: number | null = null;
    for (const { oid, isCritical, value } of readExtensions(extensions)) {
      if (oid === reasonCode) reason = expectTag(derAt(value, 0), tags.enumerated).content[0] ?? null;
      else if (isCritical) critical.add(oid);
    }
    revoked.set(derSerial(serial), { at: derTime(date), reason });
  }
  return { revoked, critical: [...critical] };
};

const isTime = (node: DerNode | undefined): boolean => node?.tag === tags.utcTime || node?.tag === tags.generalizedTime;

/** The first byte of a bit string counts the unused bits at its end, of which signatures have none. */
const wholeBytes = ({ content }: DerNode): Buffer => {
  if (content[0] !== 0) throw new DerFault('the signature is not made of whole bytes');
  return content.subarray(1);
};

const readDer = async (der: Buffer, path: string): Promise<Crl> => {
  const { x509 } = await loadX509();
  const whole = expectTag(derAt(der, 0), tags.sequence);
  if (whole.raw.length !== der.length) throw new DerFault('something follows the list');
  const [tbs, algorithm, signature] = derChildren(whole);
  const parts = [...derChildren(expectTag(tbs, tags.sequence))];
  if (parts[0]?.tag === tags.integer) parts.shift();
  const [inner, issuer, thisUpdate, ...rest] = parts;
  const nextUpdate = isTime(rest[0]) ? rest.shift() : undefined;
  const entries = rest[0]?.tag === tags.sequence ? rest.shift() : undefined;
  const [extensions] = rest[0]?.tag === tags.explicit0 ? derChildren(rest[0]) : [];
  if (inner === undefined || algorithm === undefined || !inner.raw.equals(algorithm.raw)) {
    throw new DerFault('its two names of the signature algorithm differ');
  }
  const [oid] = derChildren(expectTag(algorithm, tags.sequence));
  const { revoked, critical } = readEntries(entries);
  return {
    path,
    issuer: new x509.Name(source(expectTag(issuer, tags.sequence).raw)).toString(),
    thisUpdate: derTime(thisUpdate),
    nextUpdate: nextUpdate === undefined ? null : derTime(nextUpdate),
    revoked,
    critical: [
      ...readExtensions(extensions)
        .filter(({ isCritical }) => isCritical)
        .map((extension) => extension.oid),
      ...critical,
    ],
    signed: {
      bytes: expectTag(tbs, tags.sequence).raw,
      hash: hashes[derOid(oid)] ?? null,
      signature: wholeBytes(expectTag(signature, tags.bitString)),
    },
  };
};

/** A list in PEM or DER, or null when it cannot be read. */
export const readCrl = async (bytes: Buffer, path: string): Promise<Crl | null> => {
  try {
    const isDer = bytes[0] === tags.sequence;
    const pem = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/;
    const body = isDer ? null : pem.exec(bytes.toString('latin1'));
    if (!isDer && body === null) return null;
    return await readDer(isDer ? bytes : Buffer.from(body?.[1] ?? '', 'base64'), path);
  } catch {
    // The X.509 library reads the name of the issuer and throws errors of its own.
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

const isSignedBy = ({ signed: { bytes, hash, signature } }: Crl, issuer: X509Certificate): boolean => {
  if (hash === null) return false;
  try {
    return verify(hash, bytes, issuer.publicKey, signature);
  } catch {
    return false;
  }
};

const datesFault = ({ thisUpdate, nextUpdate }: Crl, at: Date): string | null => {
  if (!(thisUpdate.getTime() <= at.getTime())) return `it is from the future, ${isoSeconds(thisUpdate)}`;
  if (nextUpdate === null) return 'it does not say until when it counts';
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
  const serial = entry.certificate.serialNumber.toLowerCase().replace(/^0+/, '');
  const used = crls.filter((crl) => crl.issuer === issuerName);
  const findings: Finding[] = [];
  const report = (code: FindingCode, message: string, hint: string): void =>
    void findings.push(certificateFinding(code, role, entry, { message, hint }));
  let isAnswered = false;
  for (const crl of used) {
    const again = 'download it again from the distribution point that contract certs show prints';
    if (!isSignedBy(crl, issuer)) {
      report('CRL_SIGNATURE_INVALID', `${crl.path} was not signed by ${nameText(issuer.subject)}`, again);
      continue;
    }
    if (crl.critical.length > 0) {
      const message = `${crl.path} covers certificates in part only (critical extension ${crl.critical.join(', ')})`;
      report('CRL_UNSUPPORTED', message, 'give the complete list of this issuer');
      continue;
    }
    const revocation = crl.revoked.get(serial);
    if (revocation !== undefined && revocation.reason !== removeFromCrl) {
      const message = `it was revoked at ${isoSeconds(revocation.at)}, says ${crl.path}`;
      report('CERTIFICATE_REVOKED', message, 'do not encrypt for it; take the certificate of a newer image');
    }
    const outdated = datesFault(crl, at);
    if (outdated !== null) report('CRL_OUTDATED', `${crl.path} does not count: ${outdated}`, again);
    isAnswered = true;
  }
  return { findings, used, isAnswered };
};
