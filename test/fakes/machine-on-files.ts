/**
 * A machine with one disk for one volume. Its partitions are plain files, so that real cryptsetup, wipefs, mkfs and resize2fs work on
 * them; its partition table is where a real one is. Only device-mapper and mounts are played: a mapping shows the plain file that
 * belongs to the volume's data key, and opens when real cryptsetup says that the passphrase is the right one.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import type { BlockDevice, Clock, Command, CommandResult, DiskEntry, Host, SendHttp } from '../../agent/ports.ts';
import { readPartitionTable } from '../../agent/volumes/partition-table.ts';
import { hostOnFiles, type RecordedHost } from './host-on-files.ts';

export interface Machine {
  readonly host: RecordedHost;
  /** Where H lies while it is needed. */
  readonly run: string;
  readonly diskPath: string;
  /** The paths of its partitions, as the kernel sees them. */
  readonly partitions: () => readonly string[];
  readonly mappings: ReadonlyMap<string, string>;
  /** Mount point → mapping. */
  readonly mounts: ReadonlyMap<string, string>;
  /** What is inside the opened volume: the file that its mapping shows. */
  readonly plainFile: () => string | null;
  /** Reads the partition table again, as at a start; nothing is open or mounted then. */
  readonly restart: () => Promise<void>;
  /** Moves the clock. */
  readonly pass: (ms: number) => void;
}

const sectorBytes = 512;
const done: CommandResult = {
  exit: 0,
  signal: null,
  timedOut: false,
  stdout: Buffer.alloc(0),
  stderr: '',
  elapsedMs: 0,
};
const failed = (exit: number, stderr: string): CommandResult => ({ ...done, exit, stderr });

/** Nothing sleeps: time passes when somebody waits. A wait that can be called off is a time limit, which never comes by itself. */
const clockOf = (): Clock & { readonly pass: (ms: number) => void } => {
  let nowMs = 1_000_000;
  return {
    now: () => new Date(1_800_000_000_000 + nowMs),
    monotonicMs: () => nowMs,
    pass: (ms) => {
      nowMs += ms;
    },
    sleep: async (ms, signal) => {
      if (signal === undefined) nowMs += ms;
      else await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  };
};

/** The first copy of every header that is made here: binary header and JSON area. */
const luksCopyBytes = 16_384;

/** The data key and what it encrypts, by the header's own digest of the key (LUKS2 on-disk format specification §3.5). */
export const dataKeyOf = (headerFile: string): string => {
  const bytes = Buffer.alloc(luksCopyBytes);
  const descriptor = openSync(headerFile, 'r');
  try {
    readSync(descriptor, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(descriptor);
  }
  const json = JSON.parse(bytes.toString('utf8', 4096, bytes.indexOf(0, 4096))) as {
    digests: Record<string, { digest: string }>;
  };
  return createHash('sha256')
    .update(json.digests['0']?.digest ?? '')
    .digest('hex')
    .slice(0, 16);
};

interface Part {
  readonly path: string;
  readonly start: number;
  readonly size: number;
}

/** `folder` holds the disk: made before by `blankDisk`, copied, or left by an earlier boot. */
export const machineOnFiles = async (folder: string, http: SendHttp): Promise<Machine> => {
  const base = hostOnFiles();
  const clock = clockOf();
  const run = `${folder}/run`;
  const diskPath = `${folder}/vdb`;
  const mappings = new Map<string, string>();
  const mounts = new Map<string, string>();
  let parts: readonly Part[] = [];
  mkdirSync(`${run}/headers`, { recursive: true });
  mkdirSync(`${folder}/plain`, { recursive: true });

  /** The whole disk: what lies in a partition is in its file. */
  const wholeDisk = async (access: 'read' | 'write' | 'exclusive'): Promise<BlockDevice> => {
    const own = await base.disks.open(diskPath, access);
    const others = await Promise.all(parts.map(({ path }) => base.disks.open(path, access)));
    /** Cuts a range where a partition begins or ends. */
    const spans = (offset: number, length: number) => {
      const found: { device: BlockDevice; at: number; from: number; length: number }[] = [];
      for (let at = offset; at < offset + length; ) {
        const inside = parts.findIndex(({ start, size }) => start <= at && at < start + size);
        const part = parts[inside];
        const next = Math.min(...parts.map(({ start }) => start).filter((start) => start > at), offset + length);
        const end = part === undefined ? next : Math.min(part.start + part.size, offset + length);
        const device = others[inside] ?? own;
        found.push({ device, at: at - (part?.start ?? 0), from: at - offset, length: end - at });
        at = end;
      }
      return found;
    };
    return {
      path: diskPath,
      sizeBytes: own.sizeBytes,
      read: async (offset, length) => {
        if (offset + length > own.sizeBytes) return own.read(offset, length);
        const pieces = spans(offset, length).map((span) => span.device.read(span.at, span.length));
        return Buffer.concat(await Promise.all(pieces));
      },
      write: async (offset, bytes) => {
        for (const { device, at, from, length } of spans(offset, bytes.length))
          await device.write(at, bytes.subarray(from, from + length));
      },
      flush: () => own.flush(),
      close: async () => {
        for (const device of [own, ...others]) await device.close();
      },
    };
  };

  const readTable = async (): Promise<void> => {
    const disk = await wholeDisk('read');
    const table = await readPartitionTable(disk.read, disk.sizeBytes, sectorBytes);
    await disk.close();
    const found = table.kind === 'gpt' ? table.partitions : [];
    parts = found.map(({ number, startBytes, sizeBytes }) => {
      const path = `${diskPath}${number}`;
      // Where a partition is new nothing has been written; one that has grown keeps what it holds.
      if (!existsSync(path)) writeFileSync(path, '');
      if (statSync(path).size !== sizeBytes) truncateSync(path, sizeBytes);
      return { path, start: startBytes, size: sizeBytes };
    });
  };

  const entry = (): DiskEntry => ({
    name: 'vdb',
    path: diskPath,
    sizeBytes: statSync(diskPath).size,
    serial: 'data',
    readOnly: false,
    sectorBytes,
    partitions: parts.map(({ path, start, size }, at) => ({
      name: basename(path),
      path,
      number: at + 1,
      startBytes: start,
      sizeBytes: size,
    })),
    holders: [...mappings.keys()],
    mountPoints: [],
  });

  const mappedFile = (path: string): string => mappings.get(path.replace('/dev/mapper/', '')) ?? path;

  const openMapping = async (command: Command): Promise<CommandResult> => {
    const name = command.args.at(-1) ?? '';
    const device = command.args.at(-2) ?? '';
    const tested = [...command.args.slice(0, -3), '--test-passphrase', '--', device];
    const result = await base.run({ ...command, args: tested });
    if (result.exit !== 0) return result;
    if (mappings.size > 0) return failed(5, `Device ${name} already exists.`);
    const header = command.args.find((arg) => arg.startsWith('--header='))?.slice('--header='.length) ?? '';
    const plain = `${folder}/plain/${dataKeyOf(header)}`;
    if (!existsSync(plain)) writeFileSync(plain, '');
    const room = statSync(device).size - (16 << 20);
    truncateSync(plain, room - (room % 4096));
    mappings.set(name, plain);
    return done;
  };

  const liveTable = (name: string): CommandResult => {
    const plain = mappings.get(name);
    if (plain === undefined) return failed(1, `device-mapper: table ioctl on ${name} failed: No such device`);
    const length = statSync(plain).size / 512;
    const key = ':64:logon:cryptsetup:11111111-2222-4333-8444-555555555555-d0';
    const line = `0 ${length} crypt aes-xts-plain64 ${key} 0 254:18 32768 1 sector_size:4096\n`;
    return { ...done, stdout: Buffer.from(line) };
  };

  const played: Readonly<Record<string, (command: Command) => Promise<CommandResult> | CommandResult>> = {
    '/usr/sbin/dmsetup': ({ args }) => {
      const name = args.at(-1) ?? '';
      if (args[0] === 'table') return liveTable(name);
      if ([...mounts.values()].includes(name)) return failed(1, `device-mapper: remove ioctl on ${name} failed: busy`);
      return mappings.delete(name) ? done : failed(1, `Device ${name} not found`);
    },
    '/usr/sbin/blockdev': async () => {
      if (mappings.size > 0) return failed(1, 'blockdev: ioctl error on BLKRRPART: Device or resource busy');
      await readTable();
      return done;
    },
    '/usr/bin/udevadm': () => done,
    '/usr/bin/mount': async ({ args }) => {
      const name = (args[args.indexOf('--source') + 1] ?? '').replace('/dev/mapper/', '');
      const file = mappings.get(name);
      if (file === undefined) return failed(32, `mount: special device ${name} does not exist.`);
      const check = await base.run({ program: '/usr/sbin/dumpe2fs', args: ['-h', file], timeoutMs: 10_000 });
      if (check.exit !== 0) return failed(32, 'mount: wrong fs type, bad superblock');
      mounts.set(args.at(-1) ?? '', name);
      return done;
    },
    '/usr/bin/umount': ({ args }) => {
      const what = args.at(-1) ?? '';
      const found = [...mounts].find(([mount, name]) => mount === what || `/dev/mapper/${name}` === what);
      return found !== undefined && mounts.delete(found[0]) ? done : failed(32, `umount: ${what}: not mounted.`);
    },
  };

  const runCommand: Host['run'] = async (command) => {
    const play = played[command.program];
    if (play !== undefined) return play(command);
    const opens = command.program === '/usr/sbin/cryptsetup' && command.args[0] === 'open';
    if (opens && !command.args.includes('--test-passphrase')) return openMapping(command);
    const args = command.args.map(mappedFile);
    // Here the file system is not mounted, and resize2fs wants to hear that it need not be checked first.
    return base.run({ ...command, args: command.program === '/usr/sbin/resize2fs' ? ['-f', ...args] : args });
  };

  await readTable();
  const host: RecordedHost = {
    ...base,
    clock,
    http,
    run: (command) => {
      base.commands.push(command);
      return runCommand(command);
    },
    disks: {
      list: async () => [entry()],
      open: (path, access) => (path === diskPath ? wholeDisk(access) : base.disks.open(mappedFile(path), access)),
    },
  };
  return {
    host,
    run,
    diskPath,
    partitions: () => parts.map(({ path }) => path),
    mappings,
    mounts,
    plainFile: () => [...mappings.values()][0] ?? null,
    restart: async () => {
      mounts.clear();
      mappings.clear();
      for (const left of readdirSync(`${run}/headers`)) rmSync(`${run}/headers/${left}`);
      await readTable();
    },
    pass: clock.pass,
  };
};

/** A blank disk in `folder`, which is made. */
export const blankDisk = (folder: string, sizeBytes: number): void => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/vdb`, '');
  truncateSync(`${folder}/vdb`, sizeBytes);
};

/** Every file below `folder`, with its size and when it was written. */
const filesBelow = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => {
      const { size, mtimeNs } = statSync(`${parentPath}/${name}`, { bigint: true });
      return `${parentPath.slice(folder.length)}/${name} ${size} ${mtimeNs}`;
    })
    .sort()
    .join('\n');

/** The disk of another machine, holes kept; nothing to do where `to` is such a copy that nobody has written to. */
export const copyDisk = (from: string, to: string): void => {
  if (existsSync(to) && filesBelow(to) === filesBelow(from)) return;
  rmSync(to, { recursive: true, force: true });
  execFileSync('cp', ['--recursive', '--sparse=always', '--preserve=timestamps', from, to]);
};
