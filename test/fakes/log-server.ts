/** A syslog server over mutual TLS that keeps every record, and the certificates of everybody who takes part. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createServer, type Server, type TLSSocket } from 'node:tls';

const openssl = (folder: string, ...args: readonly string[]): void => {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
};

export interface Pair {
  /** PEM texts. */
  readonly cert: string;
  readonly key: string;
}

export interface Validity {
  readonly from?: Date;
  readonly until?: Date;
}

const dayMs = 24 * 60 * 60 * 1000;
const asn1Time = (date: Date): string => date.toISOString().replace(/[-:T]|\.\d+/g, '');
/** openssl-ca(1), which alone sets the beginning of a certificate. */
const settings = `[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = named
[named]
commonName = supplied
`;

/** An authority of its own, and what it signs. Made with openssl, in `folder`. */
export class Authority {
  readonly folder: string;
  readonly cert: string;
  #signed = 0;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    const subject = ['-subj', '/CN=authority of log servers', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.crt'];
    openssl(folder, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject);
    this.cert = readFileSync(join(folder, 'ca.crt'), 'latin1');
  }

  /** A pair for `name`, a DNS name or an address, which is also its subjectAltName unless others are given. */
  sign(name: string, alternatives: readonly string[] = [name], valid: Validity = {}): Pair {
    this.#signed += 1;
    const file = `pair-${this.#signed}`;
    const named = alternatives.map((one) => `${isIP(one) === 0 ? 'DNS' : 'IP'}:${one}`).join(',');
    writeFileSync(join(this.folder, `${file}.ext`), named === '' ? '' : `subjectAltName=${named}\n`);
    const request = ['-subj', `/CN=${name}`, '-keyout', `${file}.key`, '-out', `${file}.csr`];
    openssl(this.folder, 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...request);
    writeFileSync(join(this.folder, 'index.txt'), '');
    writeFileSync(join(this.folder, 'ca.cnf'), settings);
    const { from = new Date(Date.now() - 60_000), until = new Date(Date.now() + dayMs) } = valid;
    const dates = ['-startdate', asn1Time(from), '-enddate', asn1Time(until)];
    const by = ['-config', 'ca.cnf', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-create_serial', '-batch', '-notext'];
    const files = ['-in', `${file}.csr`, '-out', `${file}.crt`, '-extfile', `${file}.ext`];
    openssl(this.folder, 'ca', ...by, ...files, ...dates);
    const read = (end: string): string => readFileSync(join(this.folder, `${file}.${end}`), 'latin1');
    return { cert: read('crt'), key: read('key') };
  }
}

export interface LogServer {
  readonly port: number;
  /** Records as they came, RFC 6587 octet counting taken off. */
  readonly records: readonly string[];
  /** Common names in the certificates of those who connected. */
  readonly clients: readonly string[];
  /** Connections, whatever became of them. */
  readonly attempts: () => number;
  /** Resolves with the first record that matches; rejects after `limitMs`. */
  waitFor(pattern: RegExp, limitMs: number): Promise<string>;
  close(): Promise<void>;
}

/** Whole records at the beginning of `bytes`, and what is left. Throws when the framing is not octet counting. */
const framesOf = (bytes: Buffer): { readonly frames: readonly string[]; readonly rest: Buffer } => {
  const frames: string[] = [];
  let rest = bytes;
  for (;;) {
    const space = rest.indexOf(0x20);
    if (space < 0) return { frames, rest };
    const count = rest.subarray(0, space).toString('latin1');
    if (!/^[1-9]\d{0,6}$/.test(count)) throw new Error(`no octet count: ${JSON.stringify(count.slice(0, 80))}`);
    const end = space + 1 + Number(count);
    if (rest.length < end) return { frames, rest };
    frames.push(rest.subarray(space + 1, end).toString('utf8'));
    rest = rest.subarray(end);
  }
};

/** `authority` has to have signed the client. */
export const startLogServer = async (
  { cert, key }: Pair,
  authority: string,
  listen: { readonly host?: string; readonly port?: number } = {},
): Promise<LogServer> => {
  const records: string[] = [];
  const clients: string[] = [];
  let attempts = 0;
  const waiting = new Set<() => void>();
  const sockets = new Set<TLSSocket>();
  const server: Server = createServer(
    { cert, key, ca: authority, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    (socket) => {
      sockets.add(socket);
      clients.push(String(socket.getPeerCertificate().subject?.CN ?? ''));
      let pending: Buffer = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        const { frames, rest } = framesOf(Buffer.concat([pending, chunk]));
        pending = rest;
        records.push(...frames);
        for (const look of waiting) look();
      });
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
    },
  );
  server.on('connection', () => {
    attempts += 1;
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port ?? 0, listen.host ?? '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    port: address.port,
    records,
    clients,
    attempts: () => attempts,
    waitFor: (pattern, limitMs) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = records.find((record) => pattern.test(record));
          if (found === undefined) return;
          settle();
          resolve(found);
        };
        const timer = setTimeout(() => {
          settle();
          reject(new Error(`no record matches ${pattern}; there are ${JSON.stringify(records.slice(-5))}`));
        }, limitMs);
        const settle = (): void => {
          clearTimeout(timer);
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      }),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
