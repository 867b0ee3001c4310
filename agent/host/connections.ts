/** Connections that are not HTTP: whether a server can be reached, and one delivery over TLS with a client certificate. */
import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { ConnectionFailure, Connections, TlsDelivery } from '../service-ports.ts';

/**
 * How long a server may take to object to our certificate once it has everything: a few round trips, which the handshake has
 * measured. A syslog server that accepts says nothing and closes nothing.
 */
const objectionMs = (handshakeMs: number): number => Math.min(2_000, Math.max(250, 4 * handshakeMs));
const lookupCodes: ReadonlySet<string> = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME']);
/** openssl-verify(1): X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED. */
const dateCodes: ReadonlySet<string> = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED']);
const maxNames = 16;

const codeOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : 'unknown error';
};

const failed = (failure: ConnectionFailure['failure'], detail: string): ConnectionFailure => ({
  kind: 'failure',
  failure,
  detail,
});

/** An error that no system call gave comes from TLS: a certificate that one of the two sides refuses. */
const classify = (error: unknown, connected: boolean): ConnectionFailure => {
  const code = codeOf(error);
  if (lookupCodes.has(code)) return failed('lookup', code);
  if (dateCodes.has(code)) return failed('dates', code);
  if (connected && !/^E[A-Z]+$/.test(code)) return failed('refused', code);
  return failed(connected ? 'interrupted' : 'connect', code);
};

const reach: Connections['reach'] = ({ hostname, port }, timeoutMs) =>
  new Promise((resolve) => {
    let found = isIP(hostname) !== 0;
    const socket: Socket = connectTcp({ host: hostname, port });
    const settle = (outcome: Awaited<ReturnType<Connections['reach']>>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(
      () => settle(found ? failed('timeout', 'no connection in time') : failed('lookup', 'no address in time')),
      timeoutMs,
    );
    socket.once('lookup', (error) => {
      found ||= error === null;
    });
    socket.once('connect', () => settle({ kind: 'reached' }));
    socket.once('error', (error) => settle(classify(error, false)));
  });

/** DNS names and the common name of the server's certificate, RFC 6125. */
const namesOf = (raw: Buffer | undefined): readonly string[] => {
  if (raw === undefined) return [];
  const { subjectAltName = '', subject = '' } = new X509Certificate(raw);
  const alternative = [...subjectAltName.matchAll(/(?:^|, )DNS:([A-Za-z0-9*._-]{1,253})(?=,|$)/g)];
  const common = [...(subject ?? '').matchAll(/^CN=([A-Za-z0-9*.:_-]{1,253})$/gm)];
  return [...new Set([...alternative, ...common].map(([, name = '']) => name))].slice(0, maxNames);
};

const deliver = ({
  hostname,
  port,
  ca,
  cert,
  key,
  bytes,
  timeoutMs,
}: TlsDelivery): ReturnType<Connections['deliver']> =>
  new Promise((resolve) => {
    let connectedAtMs: number | null = null;
    let names: readonly string[] | null = null;
    let objection: NodeJS.Timeout | undefined;
    const socket: TLSSocket = key.expose((pem) =>
      connectTls({
        host: hostname,
        port,
        ca,
        cert,
        // OpenSSL takes a copy of its own; whoever lent the key wipes it.
        key: pem,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
      }),
    );
    const settle = (outcome: Awaited<ReturnType<Connections['deliver']>>): void => {
      clearTimeout(timer);
      clearTimeout(objection);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle(failed('timeout', 'no complete delivery in time')), timeoutMs);
    socket.once('connect', () => {
      connectedAtMs = performance.now();
    });
    socket.once('secureConnect', () => {
      const proved = namesOf(socket.getPeerCertificate().raw);
      names = proved;
      const handshakeMs = performance.now() - (connectedAtMs ?? 0);
      socket.write(bytes, () => {
        objection = setTimeout(() => {
          // Said goodbye, so that nothing of the record is cut off.
          socket.end(() => settle({ kind: 'delivered', names: proved }));
        }, objectionMs(handshakeMs));
      });
    });
    socket.on('error', (error) => settle(classify(error, connectedAtMs !== null)));
    socket.once('end', () => {
      if (names !== null) settle(failed('refused', 'the server closed right after TLS was set up'));
    });
    socket.once('close', () => settle(failed('interrupted', 'closed before TLS was set up')));
    socket.resume();
  });

export const connections: Connections = { reach, deliver };
