/**
 * Looks for planted secrets everywhere a guest could have left them: arguments and environments of recorded and of running
 * programs, the journal, the consoles, and every byte of disk images. Found as they are, in base64 and in hex.
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Guest } from './guest.ts';

export interface Finding {
  /** The planted secret's name. */
  readonly secret: string;
  readonly form: 'plain' | 'base64' | 'hex';
  /** A file, or the place inside the guest: `journal`, `process FILE`, `guest FILE`. */
  readonly where: string;
  readonly offset: number;
}

export interface SweepOptions {
  /** Name → the secret, at least 8 bytes. */
  readonly secrets: Readonly<Record<string, string | Uint8Array>>;
  /** Its consoles and records are searched, and its processes and journal, for which it has to be running. */
  readonly guest?: Guest;
  /** The guest has ended on purpose: leave its processes and journal out (`searched` shows it). */
  readonly ended?: boolean;
  /** Disk images and other files. */
  readonly files?: readonly string[];
  /** Folders of the running guest: every file below them. */
  readonly folders?: readonly string[];
}

export interface Sweep {
  readonly findings: readonly Finding[];
  /** Every place that was searched, so that a test can see that nothing was left out. */
  readonly searched: readonly string[];
}

interface Pattern {
  readonly secret: string;
  readonly form: Finding['form'];
  readonly bytes: Buffer;
}

/** The characters of a base64 text that depend on the secret alone when it starts 0, 1 or 2 bytes into a group of three. */
const base64Forms = (bytes: Buffer): readonly string[] =>
  [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const last = (before + bytes.length) % 3 === 0 ? text.length : text.length - 1;
    return text.slice([0, 2, 3][before], last);
  });

const patternsOf = (secret: string, value: string | Uint8Array): readonly Pattern[] => {
  const bytes = Buffer.from(value as Uint8Array);
  if (bytes.length < 8) throw new Error(`${secret} is too short to be told from chance`);
  const base64 = base64Forms(bytes);
  const urlSafe = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  const hex = bytes.toString('hex');
  return [
    { secret, form: 'plain', bytes },
    ...[...new Set([...base64, ...urlSafe])].map((text) => ({
      secret,
      form: 'base64' as const,
      bytes: Buffer.from(text),
    })),
    ...[hex, hex.toUpperCase()].map((text) => ({ secret, form: 'hex' as const, bytes: Buffer.from(text) })),
  ];
};

const searchBytes = (bytes: Buffer, patterns: readonly Pattern[], where: string, base: number): readonly Finding[] =>
  patterns.flatMap(({ secret, form, bytes: pattern }) => {
    const at = bytes.indexOf(pattern);
    return at < 0 ? [] : [{ secret, form, where, offset: base + at }];
  });

const chunkBytes = 4 << 20;
const zeros = Buffer.alloc(chunkBytes);

const searchFile = (file: string, patterns: readonly Pattern[]): readonly Finding[] => {
  const overlap = Math.max(...patterns.map((pattern) => pattern.bytes.length)) - 1;
  const chunk = Buffer.alloc(chunkBytes);
  const findings: Finding[] = [];
  const descriptor = openSync(file, 'r');
  try {
    for (let offset = 0; ; offset += chunkBytes - overlap) {
      const count = readSync(descriptor, chunk, 0, chunkBytes, offset);
      const bytes = chunk.subarray(0, count);
      if (!bytes.equals(zeros.subarray(0, count))) findings.push(...searchBytes(bytes, patterns, file, offset));
      if (count < chunkBytes) return findings;
    }
  } finally {
    closeSync(descriptor);
  }
};

interface Named {
  readonly name: string;
  readonly bytes: Buffer;
}

/** The files that `command`, an execution of `head -v`, prints: it puts the name before each file's bytes. */
const filesBy = async (guest: Guest, command: string): Promise<readonly Named[]> => {
  const { bytes } = await guest.run(command, { timeoutMs: 60_000 });
  const text = bytes.toString('latin1');
  return text.split(/(?:^|\n)==> (?=\/[^\n]+ <==\n)/).flatMap((part) => {
    const end = part.indexOf(' <==\n');
    return end < 0 ? [] : [{ name: part.slice(0, end), bytes: Buffer.from(part.slice(end + 5), 'latin1') }];
  });
};

const processes = (guest: Guest): Promise<readonly Named[]> =>
  filesBy(guest, 'head -v -c 1048576 /proc/[0-9]*/cmdline /proc/[0-9]*/environ');

const filesBelow = async (guest: Guest, folders: readonly string[]): Promise<readonly Named[]> => {
  const found = await filesBy(guest, `find ${folders.join(' ')} -type f -exec head -v -c 16777216 {} +`);
  const marker = '/run/e2e-sweep';
  if (folders.includes('/run') && !found.some(({ name }) => name === marker)) throw new Error(`${marker} was not seen`);
  return found;
};

/**
 * Reports the first occurrence of each form of each secret in each place (offset in bytes). Throws an Error when `guest`
 * no longer runs and `ended` was not said, or when a place cannot be read.
 */
export const sweep = async (options: SweepOptions): Promise<Sweep> => {
  const patterns = Object.entries(options.secrets).flatMap(([name, value]) => patternsOf(name, value));
  if (patterns.length === 0) throw new Error('a sweep without secrets finds nothing');
  const findings: Finding[] = [];
  const searched: string[] = [];
  const { guest } = options;
  if (guest !== undefined && options.ended !== true) {
    const snapshot = await processes(guest);
    if (!snapshot.some(({ name }) => name === '/proc/1/environ')) throw new Error('no snapshot of the processes');
    for (const { name, bytes } of snapshot) findings.push(...searchBytes(bytes, patterns, `process ${name}`, 0));
    const journal = await guest.run('journalctl -b --all -o export --no-pager', { timeoutMs: 60_000 });
    if (journal.status !== 0 || journal.bytes.length === 0) throw new Error(`no journal: ${journal.stderr}`);
    findings.push(...searchBytes(journal.bytes, patterns, 'journal', 0));
    searched.push('processes', 'journal');
    if (options.folders !== undefined) {
      await guest.check('echo seen >/run/e2e-sweep');
      for (const { name, bytes } of await filesBelow(guest, options.folders))
        findings.push(...searchBytes(bytes, patterns, `guest ${name}`, 0));
      searched.push(...options.folders);
    }
  }
  const records = guest?.records
    ? readdirSync(guest.recordedFolder).map((name) => join(guest.recordedFolder, name))
    : [];
  const files = [...(guest?.consoleFiles ?? []), ...records, ...(options.files ?? [])];
  for (const file of files) findings.push(...searchFile(file, patterns));
  return { findings, searched: [...searched, ...files] };
};
