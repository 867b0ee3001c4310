/**
 * Argument lists of every program the volumes half runs, and the meaning of their exit statuses. Rehearsal, golden
 * files and the real run share these builders. No cryptsetup call reads a header from a device: each names `--header`.
 */
import type { Filesystem } from '../contract/types.ts';
import type { Command, CommandResult } from '../ports.ts';
import type { Secret } from '../secret.ts';
import { cipherName } from './ciphers.ts';
import { ourKdf } from './gate.ts';

const cryptsetup = '/usr/sbin/cryptsetup';
const seconds = 1000;
/** The slowest allowed key derivation (gate.ts ceilings) with room; beyond it cryptsetup is stuck. */
const keyDerivationLimitMs = 120 * seconds;

export const headerBytes = { copy: 16_384, total: 16_777_216 } as const;
const keyslotsBytes = headerBytes.total - 2 * headerBytes.copy;

/** The passphrase travels on stdin with its exact length, so that no byte of it is taken for a newline. */
const passphraseOnStdin = (passphrase: Secret): readonly string[] => [
  '--key-file=-',
  `--keyfile-size=${passphrase.length}`,
];

export interface Format {
  readonly header: string;
  readonly device: string;
  readonly luksUuid: string;
  readonly sectorBytes: 512 | 4096;
  readonly kdf: 'argon2id' | 'pbkdf2';
}

const kdfArguments: Readonly<Record<Format['kdf'], readonly string[]>> = {
  argon2id: [
    '--pbkdf=argon2id',
    `--pbkdf-memory=${ourKdf.argon2id.memoryKiB}`,
    `--pbkdf-parallel=${ourKdf.argon2id.cpus}`,
    `--pbkdf-force-iterations=${ourKdf.argon2id.time}`,
  ],
  pbkdf2: ['--pbkdf=pbkdf2', `--pbkdf-force-iterations=${ourKdf.pbkdf2.iterations}`],
};

/** Writes a new LUKS2 header into the file `header`; the device is only measured, never written. */
export const luksFormat = (format: Format, passphrase: Secret): Command => ({
  program: cryptsetup,
  args: [
    'luksFormat',
    '--batch-mode',
    '--type=luks2',
    `--header=${format.header}`,
    `--offset=${headerBytes.total / 512}`,
    `--luks2-metadata-size=${headerBytes.copy}`,
    `--luks2-keyslots-size=${keyslotsBytes}`,
    `--cipher=${cipherName}`,
    '--key-size=512',
    '--hash=sha256',
    `--sector-size=${format.sectorBytes}`,
    `--uuid=${format.luksUuid}`,
    ...kdfArguments[format.kdf],
    ...passphraseOnStdin(passphrase),
    '--',
    format.device,
  ],
  stdin: passphrase,
  timeoutMs: keyDerivationLimitMs,
});

/** Opens through the header copy. `name` null only tests the passphrase. */
export const luksOpen = (
  open: {
    readonly header: string;
    readonly device: string;
    readonly name: string | null;
    readonly keyslot: string | null;
    /** Default luks2. */
    readonly type?: 'luks1' | 'luks2';
  },
  passphrase: Secret,
): Command => ({
  program: cryptsetup,
  args: [
    'open',
    `--type=${open.type ?? 'luks2'}`,
    `--header=${open.header}`,
    '--disable-external-tokens',
    ...(open.keyslot === null ? [] : [`--key-slot=${open.keyslot}`]),
    ...(open.name === null ? ['--test-passphrase'] : []),
    ...passphraseOnStdin(passphrase),
    '--',
    open.device,
    ...(open.name === null ? [] : [open.name]),
  ],
  stdin: passphrase,
  timeoutMs: keyDerivationLimitMs,
});

/** Adds a keyslot to H. `both` holds the passphrase that opens H, `presentBytes` long, and then the new one. */
export const luksAddKey = (
  add: { readonly header: string; readonly device: string; readonly kdf: Format['kdf'] },
  both: Secret,
  presentBytes: number,
): Command => ({
  program: cryptsetup,
  args: [
    'luksAddKey',
    '--batch-mode',
    '--type=luks2',
    `--header=${add.header}`,
    ...kdfArguments[add.kdf],
    '--key-file=-',
    `--keyfile-size=${presentBytes}`,
    `--new-keyfile-size=${both.length - presentBytes}`,
    '--',
    add.device,
    '-',
  ],
  stdin: both,
  timeoutMs: 2 * keyDerivationLimitMs,
});

/** Removes a keyslot from H; `passphrase` must open another one. */
export const luksKillSlot = (
  kill: { readonly header: string; readonly device: string; readonly keyslot: string },
  passphrase: Secret,
): Command => ({
  program: cryptsetup,
  args: [
    'luksKillSlot',
    '--batch-mode',
    '--type=luks2',
    `--header=${kill.header}`,
    ...passphraseOnStdin(passphrase),
    '--',
    kill.device,
    kill.keyslot,
  ],
  stdin: passphrase,
  timeoutMs: keyDerivationLimitMs,
});

/** Whether a command takes as much memory and time as a key derivation does. */
export const derivesKeys = ({ program }: Command): boolean => program === cryptsetup;

/** cryptsetup(8) RETURN CODES. */
export const cryptsetupMeaning = (
  exit: number | null,
): 'done' | 'wrongPassphrase' | 'outOfMemory' | 'deviceProblem' | 'busy' | 'failed' => {
  const meanings = { 0: 'done', 2: 'wrongPassphrase', 3: 'outOfMemory', 4: 'deviceProblem', 5: 'busy' } as const;
  return meanings[exit as keyof typeof meanings] ?? 'failed';
};

/** The live table with the volume key hidden: --showkeys is never used. */
export const dmTable = (name: string): Command => ({
  program: '/usr/sbin/dmsetup',
  args: ['table', '--', name],
  timeoutMs: 30 * seconds,
});

/** Removes a mapping without looking at any header. */
export const dmRemove = (name: string): Command => ({
  program: '/usr/sbin/dmsetup',
  args: ['remove', '--retry', '--', name],
  timeoutMs: 60 * seconds,
});

const makers: Readonly<Record<Filesystem, { readonly program: string; readonly args: readonly string[] }>> = {
  ext4: { program: '/usr/sbin/mkfs.ext4', args: ['-q', '-F'] },
  xfs: { program: '/usr/sbin/mkfs.xfs', args: ['-q', '-f'] },
  btrfs: { program: '/usr/sbin/mkfs.btrfs', args: ['-q', '-f'] },
};

export const makeFilesystem = (filesystem: Filesystem, device: string): Command => {
  const { program, args } = makers[filesystem];
  return { program, args: [...args, device], timeoutMs: 600 * seconds };
};

export const mountVolume = (filesystem: Filesystem, device: string, mount: string): Command => ({
  program: '/usr/bin/mount',
  args: ['--types', filesystem, '--options', 'nosuid,nodev', '--source', device, '--target', mount],
  timeoutMs: 600 * seconds,
});

/** Grows a mounted file system to its device: resize2fs(8), xfs_growfs(8), btrfs-filesystem(8). */
export const growFilesystem = (filesystem: Filesystem, device: string, mount: string): Command => {
  const growers = {
    ext4: { program: '/usr/sbin/resize2fs', args: [device] },
    xfs: { program: '/usr/sbin/xfs_growfs', args: ['-d', mount] },
    btrfs: { program: '/usr/bin/btrfs', args: ['filesystem', 'resize', 'max', mount] },
  } as const;
  return { ...growers[filesystem], timeoutMs: 3600 * seconds };
};

export const unmountVolume = (mount: string): Command => ({
  program: '/usr/bin/umount',
  args: ['--', mount],
  timeoutMs: 60 * seconds,
});

export const readPartitionsAgain = (disk: string): Command => ({
  program: '/usr/sbin/blockdev',
  args: ['--rereadpt', disk],
  timeoutMs: 60 * seconds,
});

const udevadm = '/usr/bin/udevadm';

export const settleDevices = (): Command => ({
  program: udevadm,
  args: ['settle', '--timeout=30'],
  timeoutMs: 60 * seconds,
});

/** Whether it is settleDevices(). */
export const waitsForDevices = ({ program }: Command): boolean => program === udevadm;

/**
 * Why a program failed, for people: its exit status and its last line of complaint; mount(8)'s advice to look into the
 * kernel log is none. None of these programs repeats what it reads on stdin.
 */
export const complaintOf = ({ exit, signal, timedOut, stderr }: CommandResult): string => {
  const ended = timedOut ? 'took too long' : `ended with ${exit === null ? signal : `status ${exit}`}`;
  const line =
    stderr
      .replace(/[^\x20-\x7e\n]/g, ' ')
      .trim()
      .split('\n')
      .filter((text) => !/^\s*dmesg\(1\) may have more/.test(text))
      .at(-1)
      ?.slice(0, 200) ?? '';
  return line === '' ? ended : `${ended}: ${line}`;
};
