/**
 * Every way the agent touches the world, as types: here what every boot needs, in service-ports.ts what servers, daemons and senders
 * of records need besides. A function is effectful exactly when its first parameter is `host` (or one of these ports); reading both files is
 * reading the list of all effects. host/ implements them.
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
  /** What `path` leads to through links; null when that is nothing. `mode` holds the permission bits. */
  target(path: string): Promise<{ readonly isFile: boolean; readonly mode: number } | null>;
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
  /**
   * Exactly `length` bytes from `offset`; throws when the device ends before. Of a device that was opened to be read, what begins it is
   * the same until it is closed: who needs to know what is there now opens it anew.
   */
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

/** Loads what the first program and the first request over https would load, and asks nobody: while something else is awaited. */
export type Preload = () => Promise<void>;

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
