/**
 * Public-key work of the authoring side: key pairs, certificates, wrapping and signing. Loaded on demand, as the
 * guest needs none of it. Opening tokens is not here: it works on buffers that can be wiped (open-token.ts).
 */
import { createPrivateKey, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { Secret } from '../secret.ts';

const modulusBits = 4096;
const publicExponent = new Uint8Array([1, 0, 1]);
const wrapping = { name: 'RSAES-PKCS1-v1_5' } as const;
const signing = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
/** What certificates and requests are signed with. */
export const certifying = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-512' } as const;

const load = async () => {
  const { Crypto } = await import('@peculiar/webcrypto');
  return new Crypto();
};

/** The X.509 library, over the same cryptography. */
export const loadX509 = async () => {
  // @peculiar/x509 needs this before its own import.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const crypto = await load();
  x509.cryptoProvider.set(crypto);
  return { x509, crypto };
};

type Source = Uint8Array<ArrayBuffer>;
/** Nothing here lies in shared memory, which the types of buffers leave open. */
export const source = (bytes: Uint8Array): Source => bytes as Source;
export const spki = (key: KeyObject): Source => source(key.export({ type: 'spki', format: 'der' }));
export const pkcs8 = (key: KeyObject): Source => source(key.export({ type: 'pkcs8', format: 'der' }));

/** A fresh RSA-4096 private key. */
export const generateKey = async (): Promise<KeyObject> => {
  const { subtle } = await load();
  const { privateKey } = await subtle.generateKey({ ...signing, modulusLength: modulusBits, publicExponent }, true, [
    'sign',
    'verify',
  ]);
  const der = Secret.take(new Uint8Array(await subtle.exportKey('pkcs8', privateKey)));
  try {
    return der.expose((bytes) => createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }));
  } finally {
    der.wipe();
  }
};

/** RSA PKCS#1 v1.5 encryption of a passphrase, as `openssl pkeyutl -encrypt` does. */
export const wrapPassphrase = async (passphrase: Secret, recipient: KeyObject): Promise<Buffer> => {
  const { subtle } = await load();
  const key = await subtle.importKey('spki', spki(recipient), wrapping, false, ['encrypt']);
  return Buffer.from(await passphrase.expose((bytes) => subtle.encrypt(wrapping, key, source(bytes))));
};

/** RSASSA-PKCS1-v1_5 with SHA-256, as `openssl dgst -sha256 -sign` does. */
export const sign = async (message: Uint8Array, signer: KeyObject): Promise<Buffer> => {
  const { subtle } = await load();
  const key = await subtle.importKey('pkcs8', pkcs8(signer), signing, false, ['sign']);
  return Buffer.from(await subtle.sign(signing, key, source(message)));
};

/** The subject of a certificate: a plain name, or DER of a Name (RFC 5280 section 4.1.2.4). */
export type Subject = { readonly commonName: string } | { readonly der: Uint8Array };

export interface CertificateRequest {
  readonly subject: Subject;
  readonly notBefore: Date;
  readonly days: number;
  /** Random bytes for the serial number. */
  readonly serial: Buffer;
}

const dayMs = 24 * 60 * 60 * 1000;

/** RFC 5280 section 4.1.2.2: a positive number of at most 20 octets. */
const serialNumber = (random: Buffer): string => {
  const bytes = Buffer.from(random);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
};

export type X509Library = Awaited<ReturnType<typeof loadX509>>['x509'];

const nameOf = (x509: X509Library, subject: Subject) =>
  new x509.Name('der' in subject ? source(subject.der) : [{ CN: [subject.commonName] }]);

/** A certificate for the key itself, in PEM. */
export const selfSignedCertificate = async (key: KeyObject, request: CertificateRequest): Promise<string> => {
  const { x509, crypto } = await loadX509();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(request.serial),
    name: nameOf(x509, request.subject),
    notBefore: request.notBefore,
    notAfter: new Date(request.notBefore.getTime() + request.days * dayMs),
    keys: {
      privateKey: await crypto.subtle.importKey('pkcs8', pkcs8(key), certifying, false, ['sign']),
      publicKey: await crypto.subtle.importKey('spki', spki(createPublicKey(key)), certifying, true, ['verify']),
    },
    signingAlgorithm: certifying,
  });
  return `${certificate.toString('pem')}\n`;
};

export interface Authority {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

/** A certificate for `key` issued by `authority`, in PEM. */
export const issuedCertificate = async (
  key: KeyObject,
  authority: Authority,
  request: CertificateRequest,
): Promise<string> => {
  const { x509, crypto } = await loadX509();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(request.serial),
    subject: nameOf(x509, request.subject),
    // The very bytes: RFC 5280 section 7.1 compares names after normalisation that not every reader does.
    issuer: new x509.X509Certificate(source(authority.certificate.raw)).subjectName,
    notBefore: request.notBefore,
    notAfter: new Date(request.notBefore.getTime() + request.days * dayMs),
    publicKey: await crypto.subtle.importKey('spki', spki(createPublicKey(key)), certifying, true, ['verify']),
    signingKey: await crypto.subtle.importKey('pkcs8', pkcs8(authority.key), certifying, false, ['sign']),
    signingAlgorithm: certifying,
  });
  return `${certificate.toString('pem')}\n`;
};
