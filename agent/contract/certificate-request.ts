/**
 * Certificate requests (PKCS #10, RFC 2986): a contract expires with its signing certificate, and that may come from
 * the team's own authority. Made here for the signing key, or taken for its subject.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { fingerprintOf } from './public-key.ts';
import { isMapping, parseStrictYaml } from './strict-yaml.ts';
import { certifying, loadX509, pkcs8, type Subject, source, spki } from './webcrypto.ts';

/** Requests and subject files, in bytes. */
export const maximumRequestBytes = 64 * 1024;

/** Fields of a subject as published tools name them, with their attribute type and upper bound (RFC 5280 appendix A.1). */
const subjectFields = {
  country: { type: 'C', maximum: 2 },
  state: { type: 'ST', maximum: 128 },
  location: { type: 'L', maximum: 128 },
  org: { type: 'O', maximum: 64 },
  unit: { type: 'OU', maximum: 64 },
  domain: { type: 'CN', maximum: 64 },
  mail: { type: 'E', maximum: 255 },
} as const;

export type SubjectReading =
  | { readonly kind: 'subject'; readonly subject: Subject }
  | { readonly kind: 'unusable'; readonly reason: string };

const unusable = (reason: string): SubjectReading => ({ kind: 'unusable', reason });

const subjectOfFields = async (text: string): Promise<SubjectReading> => {
  const read = parseStrictYaml(text);
  const value = read.kind === 'parsed' ? read.document.value : null;
  const names = Object.keys(subjectFields).join(', ');
  if (!isMapping(value)) return unusable(`it is neither a certificate request nor JSON or YAML with ${names}`);
  const parts: Record<string, string[]>[] = [];
  for (const key of Object.keys(value)) {
    if (!(key in subjectFields)) return unusable(`it has the unknown field ${JSON.stringify(key)}; there are ${names}`);
  }
  for (const [key, { type, maximum }] of Object.entries(subjectFields)) {
    const field = value[key];
    if (field === undefined || field === '') continue;
    if (typeof field !== 'string') return unusable(`its ${key} is no text`);
    if ([...field].length > maximum) return unusable(`its ${key} has more than ${maximum} characters`);
    if (key === 'country' && !/^[A-Z]{2}$/.test(field)) return unusable('its country is not two capital letters');
    if (key === 'mail' && !/^[\x21-\x7e]+@[\x21-\x7e]+$/.test(field)) return unusable('its mail is no mail address');
    parts.push({ [type]: [field] });
  }
  if (parts.length === 0) return unusable(`it names nobody; give at least one of ${names}`);
  const { x509 } = await loadX509();
  return { kind: 'subject', subject: { der: new Uint8Array(new x509.Name(parts).toArrayBuffer()) } };
};

const pemRequest =
  /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----/;

/**
 * The subject that a file asks for: a certificate request for `key` (PEM or DER, signed by it), or JSON or YAML with
 * the fields country, state, location, org, unit, domain, mail.
 */
export const readSubject = async (bytes: Buffer, key: KeyObject): Promise<SubjectReading> => {
  const text = bytes.toString('utf8');
  const pem = pemRequest.exec(text);
  if (pem === null && bytes[0] !== 0x30) return subjectOfFields(text);
  const { x509 } = await loadX509();
  try {
    const der = pem === null ? bytes : Buffer.from(pem[1] ?? '', 'base64');
    const request = new x509.Pkcs10CertificateRequest(source(der));
    const requested = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
    if (fingerprintOf(requested) !== fingerprintOf(createPublicKey(key))) {
      return unusable('it is a certificate request of another key than the one that signs');
    }
    if (!(await request.verify())) return unusable('its own signature does not verify');
    return { kind: 'subject', subject: { der: new Uint8Array(request.subjectName.toArrayBuffer()) } };
  } catch {
    return unusable('the certificate request is damaged');
  }
};

/** A certificate request for `key`, signed by it, in PEM. */
export const makeRequest = async (key: KeyObject, subject: Subject): Promise<string> => {
  const { x509, crypto } = await loadX509();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name('der' in subject ? source(subject.der) : [{ CN: [subject.commonName] }]),
    keys: {
      privateKey: await crypto.subtle.importKey('pkcs8', pkcs8(key), certifying, false, ['sign']),
      publicKey: await crypto.subtle.importKey('spki', spki(createPublicKey(key)), certifying, true, ['verify']),
    },
    signingAlgorithm: certifying,
  });
  return `${request.toString('pem')}\n`;
};
