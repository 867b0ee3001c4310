/**
 * A copy of a volume's LUKS2 header in a file: both copies and the keyslot areas of a header that passes the gate, and
 * zeros where the header says that nothing is. The device is only read. Put back with dd(1) (docs/volumes.md).
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../errors.ts';
import type { BlockDevice, Host } from '../ports.ts';
import { mebibyte, type ReadAt } from './device-bytes.ts';
import { type GatedHeader, gateHeader } from './gate.ts';
import { imageOf } from './header-file.ts';
import { withVolumeLock } from './lock.ts';
import { readLuksHeader } from './luks-header.ts';
import { oneLook } from './one-look.ts';
import { readPartitionTable } from './partition-table.ts';

/** Two copies of at most 4 MiB and a keyslot area of at most 128 MiB (LUKS2 On-Disk Format 1.1.2, §2.1 and §3.1). */
const maxHeaderBytes = 136 * mebibyte;

/** What stands beside the backup, for people and scripts. */
export interface BackupManifest {
  readonly version: 1;
  readonly file: string;
  /** Lower-case hex SHA-256 of the file. */
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly takenAt: string;
  readonly device: string;
  readonly deviceBytes: number;
  readonly luksUuid: string;
  readonly sequence: string;
  readonly keyslots: readonly string[];
  /** From our token; null for a volume made elsewhere. */
  readonly volume: string | null;
  readonly scheme: string | null;
  readonly keyVersion: string | null;
  /** How to put it back, to be pasted with the right FILE and DEVICE. */
  readonly restore: readonly string[];
}

/** Bytes from the start of the device that belong to the header: both copies and the whole keyslot area. */
const headerBytesOf = ({ copy, segment }: GatedHeader): number => {
  const { config } = copy.json;
  const area = config !== null && typeof config === 'object' && 'keyslots_size' in config ? config.keyslots_size : 0;
  // The gate has compared it with the offset of the data.
  return Math.min(2 * copy.headerSizeBytes + Number(area), segment.offsetBytes);
};

/** The header as a backup holds it. Throws HEADER_NOT_BACKED_UP. */
const bytesOf = async (read: ReadAt, path: string, header: GatedHeader): Promise<Buffer> => {
  const size = headerBytesOf(header);
  if (size > maxHeaderBytes) throw new AgentError('HEADER_NOT_BACKED_UP', { path, detail: `it takes ${size} bytes` });
  const { primary, secondary, areas } = await imageOf(read, header);
  const bytes = Buffer.alloc(size);
  for (const piece of [{ offset: 0, bytes: primary }, { offset: primary.length, bytes: secondary }, ...areas])
    piece.bytes.copy(bytes, piece.offset);
  return bytes;
};

const whereInstead = async ({ read, sizeBytes }: BlockDevice): Promise<string> => {
  const table = await readPartitionTable(read, sizeBytes);
  const data = table.kind === 'gpt' ? table.partitions.find(({ name }) => name === 'data') : undefined;
  return data === undefined ? 'there is no LUKS2 header' : `it is a whole disk; its volume is partition ${data.number}`;
};

/** The gated header on a device. Throws HEADER_NOT_BACKED_UP. */
const gatedOn = async (device: BlockDevice): Promise<GatedHeader> => {
  const { path } = device;
  const refuse = (detail: string): AgentError => new AgentError('HEADER_NOT_BACKED_UP', { path, detail });
  const found = await readLuksHeader(device.read, device.sizeBytes);
  if (found.kind === 'damaged') throw refuse(found.reason);
  if (found.kind === 'luks1')
    throw refuse('it is LUKS1, whose header is never changed; cryptsetup luksHeaderBackup keeps it');
  if (found.kind === 'absent') throw refuse(await whereInstead(device));
  // Copied, not opened: what may be opened is for the agent configuration to say.
  const gate = gateHeader(found.current, ['cbc-essiv']);
  if (gate.kind === 'refused') throw refuse(gate.reason);
  return gate.header;
};

const restoreLines = (file: string, device: string): readonly string[] => [
  `sha256sum ${file}`,
  `dd if=${file} of=${device} bs=1M conv=notrunc,fsync`,
];

const manifestOf = (
  header: GatedHeader,
  bytes: Buffer,
  about: { readonly file: string; readonly device: BlockDevice; readonly at: Date },
): BackupManifest => {
  const { token, copy, keyslots } = header;
  const { file, device, at } = about;
  return {
    version: 1,
    file: file.slice(file.lastIndexOf('/') + 1),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sizeBytes: bytes.length,
    takenAt: at.toISOString(),
    device: device.path,
    deviceBytes: device.sizeBytes,
    luksUuid: copy.uuid,
    sequence: String(copy.sequence),
    keyslots: keyslots.map(({ id }) => id),
    volume: token?.volume ?? null,
    scheme: token?.scheme ?? null,
    keyVersion: token?.stored?.keyVersion ?? null,
    restore: restoreLines(file, device.path),
  };
};

/** The backup must pass the gate by itself, and be the header that was asked for. */
const insistReadable = async (host: Host, file: string, header: GatedHeader, sha256: string): Promise<void> => {
  await oneLook(host, file, async (written) => {
    const bytes = await written.read(0, written.sizeBytes);
    const again = await gatedOn(written);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256 || again.copy.uuid !== header.copy.uuid)
      throw new AgentError('HEADER_NOT_BACKED_UP', { path: file, detail: 'the backup reads back differently' });
  });
};

export const manifestPath = (file: string): string => `${file}.json`;

/**
 * Writes the backup to the new file `file` and its manifest beside it, both of mode 0600, while no other triseed process
 * may change the header. Throws HEADER_NOT_BACKED_UP, FILE_UNREADABLE, FILE_UNWRITABLE (also when a file is there
 * already), VOLUME_LOCKED.
 */
export const backUpHeader = async (host: Host, path: string, file: string): Promise<BackupManifest> => {
  const { token, copy } = await oneLook(host, path, gatedOn);
  const work = async (device: BlockDevice): Promise<BackupManifest> => {
    const header = await gatedOn(device);
    if (header.copy.uuid !== copy.uuid)
      throw new AgentError('HEADER_NOT_BACKED_UP', { path, detail: 'another volume came in its place meanwhile' });
    const bytes = await bytesOf(device.read, path, header);
    const manifest = manifestOf(header, bytes, { file, device, at: host.clock.now() });
    await host.files.writeNew(file, bytes, 0o600);
    await insistReadable(host, file, header, manifest.sha256);
    const text = `${JSON.stringify(manifest, null, 2)}\n`;
    await host.files.writeNew(manifestPath(file), Buffer.from(text), 0o600);
    return manifest;
  };
  // A look of its own: who held the lock may have changed the header.
  return withVolumeLock(host, copy.uuid, token?.volume ?? copy.uuid, () => oneLook(host, path, work));
};
