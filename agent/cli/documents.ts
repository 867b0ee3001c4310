/** Files that commands take and make: `-`, atomic writes, and never over the input by accident. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import type { CommandIo } from './io.ts';

const maxKeyBytes = 64 * 1024;

/** Everything in `path`, or on standard input for `-`. Throws FILE_UNREADABLE, also when it does not exist. */
export const readInput = async (host: Host, io: CommandIo, path: string, maxBytes: number): Promise<Buffer> => {
  if (path === '-') return io.stdin(maxBytes);
  const bytes = await host.files.read(path, maxBytes);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  return bytes;
};

/** As readInput, into a Secret. */
export const readSecret = async (host: Host, io: CommandIo, path: string): Promise<Secret> =>
  Secret.take(await readInput(host, io, path, maxKeyBytes));

/** A passphrase file's content without the line end that editors add; null when no file was named. */
export const readPassphrase = async (host: Host, path: string | undefined): Promise<Secret | null> => {
  if (path === undefined) return null;
  const bytes = await host.files.read(path, maxKeyBytes);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  const end = bytes.at(-1) === 0x0a ? (bytes.at(-2) === 0x0d ? -2 : -1) : bytes.length;
  const secret = Secret.build(bytes.subarray(0, end).length, (own) => own.set(bytes.subarray(0, end)));
  bytes.fill(0);
  return secret;
};

export interface OutputChoice {
  /** From `-o`; undefined and `-` mean standard output. */
  readonly output: string | undefined;
  readonly input: string;
  /** Every other file that the command reads and the result must not replace: keys, certificates, passphrases. */
  readonly reads: readonly (string | undefined)[];
  /** The input itself is replaced. */
  readonly inPlace: boolean;
  /** Of a new file. One that is replaced stays closed to whom it was closed. */
  readonly mode: number;
}

/**
 * Writes a result. Throws USAGE when it would land on the input without `--in-place`, or on another file that is read, FILE_UNWRITABLE.
 * Checked before anything is computed through `assertOutput`.
 */
export const writeOutput = async (
  host: Host,
  io: CommandIo,
  bytes: string | Uint8Array,
  choice: OutputChoice,
): Promise<void> => {
  const path = await assertOutput(host, choice);
  if (path === null) return io.stdout(bytes);
  const before = await host.files.target(path);
  const mode = before === null ? choice.mode : choice.mode & before.mode;
  await host.files.writeAtomically(path, typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes, mode);
};

/** The folder that `path` lies in, through links; null when it does not exist. */
export const folderOf = (host: Host, path: string): Promise<string | null> => {
  const slash = path.lastIndexOf('/');
  return host.files.resolve(slash === -1 ? '.' : path.slice(0, Math.max(1, slash)));
};

/**
 * Throws FILE_UNWRITABLE for what a new file must not take the place of: a rename(2) replaces devices, pipes and sockets like files.
 * In /dev itself not even a link to a file, as /dev/stdout is one while standard output goes into a file.
 */
const assertReplaceable = async (host: Host, path: string): Promise<void> => {
  const there = await host.files.target(path);
  const isFile = there === null || there.isFile;
  if (isFile && (await folderOf(host, path)) !== '/dev') return;
  throw new AgentError('FILE_UNWRITABLE', { path, reason: 'not a regular file; - is standard output' });
};

const isOneFile = async (host: Host, path: string | undefined, other: string): Promise<boolean> => {
  if (path === undefined || path === '-') return false;
  const resolved = await host.files.resolve(path);
  return resolved !== null && resolved === (await host.files.resolve(other));
};

/** Where a result goes: a path, or null for standard output. Throws USAGE, FILE_UNWRITABLE. */
export const assertOutput = async (
  host: Host,
  { output, input, reads, inPlace }: Omit<OutputChoice, 'mode'>,
): Promise<string | null> => {
  const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });
  if (inPlace && input === '-') throw usage('--in-place needs a file, not standard input');
  if (inPlace && output !== undefined) throw usage('--in-place and -o exclude each other');
  const path = inPlace ? input : output;
  if (path === undefined || path === '-') return null;
  await assertReplaceable(host, path);
  if (!inPlace && (await isOneFile(host, input, path)))
    throw usage(`${path} is the input; give --in-place to replace it`);
  for (const read of reads)
    if (await isOneFile(host, read, path))
      throw usage(`${path} is read, too, and the result would replace it; name another file with -o`);
  return path;
};
