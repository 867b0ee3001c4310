/** Who a contract is encrypted for: a certificate or public key file, and what there is to say about it. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  type CertificateEntry,
  certificateFingerprint,
  encryptionCertificateFindings,
  maximumCertificateBytes,
  readCertificates,
} from '../contract/certificate.ts';
import { parseCarriedKey } from '../contract/public-key.ts';
import { rsaFault } from '../contract/rsa-key.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { readInput } from './documents.ts';
import type { CommandIo } from './io.ts';

export interface Recipient {
  readonly key: KeyObject;
  /** Lower-case hex SHA-256 of the certificate, or null when the file holds a bare public key. */
  readonly certificateFingerprint: string | null;
}

const unusable = (path: string, reason: string): AgentError => new AgentError('KEY_UNUSABLE', { path, reason });

/** Refuses a certificate that cannot be encrypted for, and warns of one that will not last. */
const accepted = (host: Host, io: CommandIo, path: string, entry: CertificateEntry): Recipient => {
  for (const { severity, id, message, hint } of encryptionCertificateFindings(entry, host.clock.now())) {
    if (severity === 'error') throw unusable(path, `the encryption certificate cannot be encrypted for: ${message}`);
    io.stderr(`${severity} ${id}: the encryption certificate ${path}: ${message} (${hint})\n`);
  }
  const { certificate } = entry;
  return { key: certificate.publicKey, certificateFingerprint: certificateFingerprint(certificate) };
};

const publicKeyOfDer = (bytes: Buffer): KeyObject | null => {
  try {
    return createPublicKey({ key: bytes, format: 'der', type: 'spki' });
  } catch {
    return null;
  }
};

/**
 * The RSA key in `path`: a certificate or public key, in PEM, DER or base64. Of several certificates the first
 * counts. Throws KEY_UNUSABLE, also for a certificate outside its dates.
 */
export const readRecipient = async (host: Host, io: CommandIo, path: string): Promise<Recipient> => {
  const bytes = await readInput(host, io, path, maximumCertificateBytes);
  const certificates = readCertificates(bytes);
  const [first] = certificates.kind === 'read' ? certificates.entries : [];
  if (first !== undefined) return accepted(host, io, path, first);
  const der = bytes[0] === 0x30 ? publicKeyOfDer(bytes) : null;
  if (der !== null) {
    const fault = rsaFault(der);
    if (fault !== null) throw unusable(path, fault);
    return { key: der, certificateFingerprint: null };
  }
  const carried = parseCarriedKey(bytes.toString('latin1'));
  if (carried.kind === 'unusable') throw unusable(path, carried.reason);
  return { key: carried.value.key, certificateFingerprint: null };
};
