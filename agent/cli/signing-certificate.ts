/** What goes into signingKey: the signer's public key, or a certificate with which the contract expires. */
import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { isoSeconds, maximumCertificateBytes, readCertificates } from '../contract/certificate.ts';
import { maximumRequestBytes, readSubject } from '../contract/certificate-request.ts';
import {
  type Authority,
  type CertificateRequest,
  issuedCertificate,
  type Subject,
  selfSignedCertificate,
} from '../contract/webcrypto.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { readKey } from './contract-options.ts';
import { readInput } from './documents.ts';
import type { CommandIo } from './io.ts';

const serialBytes = 16;

export interface SigningCertificateOptions {
  /** A certificate made elsewhere for the signing key. */
  readonly signerCert?: string;
  /** Makes one that lasts this long, in days. */
  readonly expiresDays?: number;
  readonly caCert?: string;
  readonly caKey?: string;
  /** A certificate request, or fields of a subject. */
  readonly csr?: string;
}

/** What is read for it. */
export const filesOfCertificate = ({ signerCert, caCert, caKey, csr }: SigningCertificateOptions) => [
  signerCert,
  caCert,
  caKey,
  csr,
];

const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });
const unusable = (path: string, reason: string): AgentError => new AgentError('KEY_UNUSABLE', { path, reason });

/** Checked before any file is read. Throws USAGE. */
export const assertCertificateOptions = (options: SigningCertificateOptions): void => {
  const { signerCert, expiresDays, caCert, caKey, csr } = options;
  if ((caCert === undefined) !== (caKey === undefined)) throw usage('--ca-cert and --ca-key go together');
  if (expiresDays === undefined) {
    if (caCert !== undefined) throw usage('--ca-cert needs --expires-days: the certificate is what expires');
    if (csr !== undefined) throw usage('--csr needs --expires-days: its subject goes into the certificate made then');
  } else if (signerCert !== undefined) {
    throw usage('--signer-cert and --expires-days exclude each other: the certificate has its own end');
  }
};

export const certificateRequestFor = (host: Host, subject: Subject, days: number): CertificateRequest => ({
  subject,
  notBefore: host.clock.now(),
  days,
  serial: host.entropy.bytes(serialBytes),
});

const firstCertificate = async (host: Host, io: CommandIo, path: string): Promise<X509Certificate> => {
  const read = readCertificates(await readInput(host, io, path, maximumCertificateBytes));
  if (read.kind === 'unreadable') throw unusable(path, read.reason);
  const [first] = read.entries;
  if (first === undefined) throw unusable(path, 'it holds no certificate');
  return first.certificate;
};

const readAuthority = async (
  host: Host,
  io: CommandIo,
  { caCert, caKey }: SigningCertificateOptions,
): Promise<Authority | null> => {
  if (caCert === undefined || caKey === undefined) return null;
  const certificate = await firstCertificate(host, io, caCert);
  const key = await readKey(host, io, caKey, undefined);
  if (!certificate.checkPrivateKey(key)) throw unusable(caKey, `it is not the key of ${caCert}`);
  if (!certificate.ca)
    io.stderr(`warning: ${caCert} is no certificate authority; who checks the chain will refuse it\n`);
  return { certificate, key };
};

const readSignerCertificate = async (host: Host, io: CommandIo, path: string, signer: KeyObject): Promise<string> => {
  const certificate = await firstCertificate(host, io, path);
  if (!certificate.checkPrivateKey(signer)) throw unusable(path, 'it was not made for the key that signs');
  const now = host.clock.now().getTime();
  const { validFromDate, validToDate } = certificate;
  if (!(now <= validToDate.getTime())) throw unusable(path, `it expired at ${isoSeconds(validToDate)}`);
  if (!(now >= validFromDate.getTime())) {
    io.stderr(`warning: guests refuse the contract until ${isoSeconds(validFromDate)}, when ${path} begins\n`);
  }
  io.stderr(`the contract expires with ${path}, at ${isoSeconds(validToDate)}\n`);
  return certificate.toString();
};

/**
 * signingKey in PEM. Throws KEY_UNUSABLE for files that do not fit the key. `assertCertificateOptions` comes first.
 */
export const signingKeyPem = async (
  host: Host,
  io: CommandIo,
  signer: KeyObject,
  options: SigningCertificateOptions,
): Promise<string> => {
  const { signerCert, expiresDays, csr } = options;
  if (signerCert !== undefined) return readSignerCertificate(host, io, signerCert, signer);
  if (expiresDays === undefined) return createPublicKey(signer).export({ type: 'spki', format: 'pem' }).toString();
  let subject: Subject = { commonName: 'Triseed contract signer' };
  if (csr !== undefined) {
    const read = await readSubject(await readInput(host, io, csr, maximumRequestBytes), signer);
    if (read.kind === 'unusable') throw unusable(csr, read.reason);
    subject = read.subject;
  }
  const authority = await readAuthority(host, io, options);
  const request = certificateRequestFor(host, subject, expiresDays);
  return authority === null ? selfSignedCertificate(signer, request) : issuedCertificate(signer, authority, request);
};
