/** Effects that only some commands need, as types: connections that are not requests, servers, the journal, calendars, the service manager. */

import type { Secret } from './secret.ts';

/** Where a connection goes to: a name or an address without brackets. */
export interface ConnectionTarget {
  readonly hostname: string;
  readonly port: number;
}

export interface TlsDelivery extends ConnectionTarget {
  /** PEM texts: who may have signed the server's certificate, and the client's own certificate. */
  readonly ca: string;
  readonly cert: string;
  /** PEM of the client's private key. */
  readonly key: Secret;
  readonly bytes: Uint8Array;
  readonly timeoutMs: number;
}

export type ConnectionFailure = {
  readonly kind: 'failure';
  /**
   * `refused`: TLS verification failed on either side; trying again changes nothing by itself. `dates`: the server's certificate
   * is not valid yet, or no longer, by a clock that nobody may have set so far.
   */
  readonly failure: 'lookup' | 'connect' | 'timeout' | 'refused' | 'dates' | 'interrupted';
  readonly detail: string;
};

/** Connections that are not HTTP. Neither throws for what the network does. */
export interface Connections {
  /** Whether the name has an address and a TCP connection comes about; it is closed at once. */
  reach(target: ConnectionTarget, timeoutMs: number): Promise<{ readonly kind: 'reached' } | ConnectionFailure>;
  /**
   * Sends `bytes` over TLS with a client certificate, to a server that proves `hostname`; `names` are those in its
   * certificate. Done when the server has not objected for a while: TLS 1.3 tells a client only afterwards that its
   * certificate was refused (RFC 8446, 4.4.2.4).
   */
  deliver(
    delivery: TlsDelivery,
  ): Promise<{ readonly kind: 'delivered'; readonly names: readonly string[] } | ConnectionFailure>;
}

/**
 * Records of this boot from the journal as `journalctl --output=json` writes them, one a line, from behind `cursor` on or
 * from the first; goes on until `signal` aborts. Null stands for a line that is longer than `maxLineBytes`. Throws
 * COMMAND_NOT_STARTED, and JOURNAL_READER_ENDED when the reader ends by itself.
 */
export type FollowJournal = (
  cursor: string | null,
  maxLineBytes: number,
  signal: AbortSignal,
) => AsyncIterable<string | null>;

/** A request to a server of ours (the local key service). */
export interface ServerRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Address of the other side. */
  readonly remote: string;
}

export type ServerReply =
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    }
  /** Closes the connection without an answer. */
  | { readonly kind: 'drop' }
  /** Keeps the connection open and silent. */
  | { readonly kind: 'hang' }
  /** Announces the whole body and sends half of it, then closes. */
  | { readonly kind: 'truncate'; readonly body: string };

export interface ServerOptions {
  readonly host: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  /** PEM texts; null serves plain http. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly maxBodyBytes: number;
  readonly handle: (request: ServerRequest) => Promise<ServerReply>;
  /** Told of exceptions in `handle`; the client gets 500. */
  readonly onError: (error: unknown) => void;
}

export interface RunningServer {
  /** With the address and port it listens on. */
  readonly url: string;
  readonly port: number;
  /** Stops listening and ends every connection, hanging ones too. */
  close(): Promise<void>;
}

/** Starts a server; rejects with the system's error when it cannot listen. */
export type ServeHttp = (options: ServerOptions) => Promise<RunningServer>;

/** Runs `work` whenever the wall clock matches the cron expression in UTC, until it is stopped. Keeps no process alive. */
export type Calendar = (expression: string, work: () => void) => Promise<{ stop(): void }>;

/** A file that only grows; made with mode 0600 when it does not exist. */
export interface LineFile {
  /** Writes the line and its end before it returns. Throws FILE_UNWRITABLE. */
  append(line: string): void;
  close(): void;
}

/** Throws FILE_UNWRITABLE. */
export type OpenLineFile = (path: string) => Promise<LineFile>;

/** What a service tells its service manager, sd_notify(3). */
export interface ServiceReport {
  /** Start-up is complete. Saying so twice is harmless. */
  readonly ready: boolean;
  /** Feeds the watchdog. */
  readonly alive: boolean;
  /** New length of the watchdog, or null to leave it. */
  readonly watchdogMs: number | null;
  /** One line for `systemctl status`. */
  readonly status: string;
}

/** Never rejects: whether the service manager listens is its own affair. */
export type Notify = (report: ServiceReport) => Promise<void>;

/**
 * Asks a service of this machine over a stream socket with a path, unix(7): sends `question`, closes its half, and resolves to everything
 * the other side says. With `maxAnswerBytes` 0 it resolves once the question is handed over. Throws SOCKET_NO_ANSWER.
 */
export type AskSocket = (
  path: string,
  question: Uint8Array,
  limits: { readonly timeoutMs: number; readonly maxAnswerBytes: number },
) => Promise<Buffer>;

/**
 * Gives what `answer` returns to whoever connects to a stream socket with a path, unix(7), for as long as it is not closed, and reads
 * nothing from anybody. Bounded in connections and in answers a second. Throws SOCKET_NO_ANSWER when it cannot listen.
 */
export type ServeSocket = (path: string, answer: () => Uint8Array) => Promise<{ close(): Promise<void> }>;
