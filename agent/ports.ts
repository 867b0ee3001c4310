/**
 * Every way the agent touches the world, as types. A function is effectful exactly when its first parameter is
 * `host` (or one of these ports); reading this file is reading the list of all effects. host/ implements them.
 */

import type { FactsOf } from './errors.ts';
import type { MessageName } from './messages.ts';
import type { Secret } from './secret.ts';

/** A child process. No shell, no inherited environment; secrets only through `stdin`. */
export interface Command {
  /** Absolute path of the program. */
  readonly program: string;
  readonly args: readonly string[];
  /** Bytes written to the child's stdin, which is then closed; a Secret is never logged or copied. */
  readonly stdin?: Secret | Uint8Array;
  readonly timeoutMs: number;
}

export interface CommandResult {
  /** Exit status, or null when a signal or the time limit ended the child. */
  readonly exit: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly elapsedMs: number;
}

/**
 * Runs a command to its end. Never rejects for a non-zero exit; throws COMMAND_NOT_STARTED when the program could
 * not be started at all. What an exit status means is decided by the caller's pure table.
 */
export type RunCommand = (command: Command) => Promise<CommandResult>;

export interface Files {
  /** Reads a regular file of at most `maxBytes`; null when it does not exist. Throws FILE_TOO_LARGE, FILE_UNREADABLE. */
  read(path: string, maxBytes: number): Promise<Buffer | null>;
  /** Temporary file, fsync, rename, fsync of the folder: the old content or the new one. Throws FILE_UNWRITABLE. */
  writeAtomically(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** Creates the file with `mode`, flushed with its name; throws FILE_UNWRITABLE when anything is there already. */
  writeNew(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** Creates a sparse file of `sizeBytes` holding `pieces`; meant for memory-backed folders, so without fsync. */
  writeSparse(
    path: string,
    sizeBytes: number,
    pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[],
    mode: number,
  ): Promise<void>;
  makeFolder(path: string, mode: number): Promise<void>;
  /** What is at `path` without following a final symbolic link. */
  kind(path: string): Promise<'absent' | 'file' | 'folder' | 'link' | 'other'>;
  list(path: string): Promise<readonly string[]>;
  /** True when the owner of the file may run it. Throws FILE_UNREADABLE, also when it does not exist. */
  isExecutable(path: string): Promise<boolean>;
  remove(path: string): Promise<void>;
  /** Target of a symbolic link chain as an absolute path, or null when it leads nowhere. */
  resolve(path: string): Promise<string | null>;
  /** True when the file system holding `path` lives in memory (tmpfs, ramfs). */
  isInMemory(path: string): Promise<boolean>;
}

/** The persistent side of a volume: all writes to disks go through `write` and `flush`, so tests can replay them. */
export interface BlockDevice {
  readonly path: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; throws when the device ends before. */
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Returns once everything written before is on stable storage. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface DiskEntry {
  /** Kernel name such as vdb. */
  readonly name: string;
  /** Device node such as /dev/vdb. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Serial number as the hypervisor gave it, or null. */
  readonly serial: string | null;
  readonly readOnly: boolean;
  /** Logical sector size: the unit of partition tables. */
  readonly sectorBytes: 512 | 4096;
  /** Kernel names of the partitions the kernel knows, with number and byte range. */
  readonly partitions: readonly {
    readonly name: string;
    readonly path: string;
    readonly number: number;
    readonly startBytes: number;
    readonly sizeBytes: number;
  }[];
  /** Names of device-mapper or other devices stacked on the disk or one of its partitions. */
  readonly holders: readonly string[];
  /** Mount points of the disk or its partitions themselves. */
  readonly mountPoints: readonly string[];
}

export interface Disks {
  /**
   * Whole disks, not loop, ram or device-mapper ones. With `path` no more than the disk whose entry has this path: looking at one
   * costs a guest less than looking at all.
   */
  list(path?: string): Promise<readonly DiskEntry[]>;
  /**
   * `exclusive` writes, and the kernel refuses while anything uses the device or one of its partitions, and keeps others
   * out until it is closed (open(2), O_EXCL on a block device). Throws FILE_UNREADABLE.
   */
  open(path: string, access: 'read' | 'write' | 'exclusive'): Promise<BlockDevice>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'HEAD' | 'DELETE' | 'PUT' | 'PATCH';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Secret | Uint8Array | string;
  /** Whole-request limit, from name lookup to the last byte. */
  readonly timeoutMs: number;
  /** Limit until the connection is there and secured, when it is shorter: an address that swallows packets is left early. */
  readonly connectTimeoutMs?: number;
  /** Answers longer than this are a failure. */
  readonly maxBodyBytes: number;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The caller wipes it when it holds a secret. */
  readonly body: Buffer;
}

/** Why no complete answer came. `lookup` name resolution, `connect` no connection, `tls` handshake or certificate. */
export type TransportFailure = 'lookup' | 'connect' | 'tls' | 'timeout' | 'interrupted' | 'tooLarge' | 'protocol';

export type HttpOutcome =
  | { readonly kind: 'answer'; readonly response: HttpResponse }
  | { readonly kind: 'failure'; readonly failure: TransportFailure; readonly detail: string };

/** One request. Never throws for what the network does; no redirects are followed; plain http only to loopback. */
export type SendHttp = (request: HttpRequest) => Promise<HttpOutcome>;

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

export interface Clock {
  /** Wall-clock time: untrusted, for certificate dates and texts only. */
  now(): Date;
  /** Milliseconds on a clock that never goes back and goes on during a restart of the daemon (CLOCK_MONOTONIC). */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Entropy {
  bytes(length: number): Buffer;
  /** Uniform in [0, 1): for jitter only. */
  fraction(): number;
  uuid(): string;
}

export interface Power {
  restart(reason: string): Promise<void>;
  powerOff(reason: string): Promise<void>;
}

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

export interface Journal {
  /** One catalogue message, journalled under its component's identifier. */
  message<Name extends MessageName>(name: Name, facts: FactsOf<Name>): void;
  /** A plain progress line without an id of the catalogue. `component` is a SYSLOG_IDENTIFIER. */
  note(component: string, text: string, severity?: 'warning' | 'note'): void;
}

export interface Locks {
  /**
   * Takes the machine-wide lock `name`; null when another process holds it. The kernel releases it when the holder
   * ends, however it ends.
   */
  acquire(name: string): Promise<{ release(): Promise<void> } | null>;
}

/** Loads what the first program or the first request over https would load, and asks nobody: while something else is awaited. */
export type Preload = (what: 'programs' | 'requests') => Promise<void>;

export interface Host {
  readonly locks: Locks;
  /** Absent where there is nothing to load. */
  readonly preload?: Preload;
  readonly run: RunCommand;
  readonly files: Files;
  readonly disks: Disks;
  readonly http: SendHttp;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly power: Power;
  readonly journal: Journal;
}
