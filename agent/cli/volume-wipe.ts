/** `triseed volume wipe`: a disk becomes blank. */
import { Command } from 'commander';
import { AgentError } from '../errors.ts';
import type { BlockDevice, DiskEntry, Host } from '../ports.ts';
import { sizeText } from '../volumes/drawing.ts';
import { readSignatures } from '../volumes/signatures.ts';
import {
  forgetPartitions,
  insistBlank,
  nameToType,
  volumeOn,
  type Wiped,
  wipeObjection,
  zeroDevice,
} from '../volumes/wipe.ts';
import { printJson, type VolumeContext, withJson } from './volume-context.ts';

interface Options {
  readonly name?: string;
  readonly json?: true;
}

const progressMs = 5_000;

const refuse = (path: string, detail: string): AgentError => new AgentError('DISK_NOT_WIPED', { path, detail });

/** A whole disk of this machine, or a plain file that stands for one. */
const diskAt = async (host: Host, path: string): Promise<DiskEntry | null> => {
  if ((await host.files.kind(path)) === 'file') return null;
  const node = (await host.files.resolve(path)) ?? path;
  const disks = await host.disks.list();
  const parent = disks.find(({ partitions }) => partitions.some((partition) => partition.path === node));
  if (parent !== undefined) throw refuse(path, `it is a partition; wipe the whole disk, ${parent.path}`);
  const found = disks.find((disk) => disk.path === node);
  if (found === undefined) throw refuse(path, 'it is neither a whole disk nor a plain file');
  const objection = wipeObjection(found);
  if (objection !== null) throw refuse(path, objection);
  return found;
};

const openExclusively = async (host: Host, path: string): Promise<BlockDevice> => {
  try {
    return await host.disks.open(path, 'exclusive');
  } catch (error) {
    if (error instanceof AgentError && /EBUSY/.test(error.message)) throw refuse(path, 'the kernel says it is in use');
    throw error;
  }
};

/** Throws DISK_NOT_WIPED unless the name was given or is typed now. */
const insistNamed = async (
  { io, ask, signal }: VolumeContext,
  path: string,
  expected: string,
  given: string | undefined,
): Promise<void> => {
  const typed =
    given ?? (io.isTerminal ? await ask(`Type ${expected} to destroy everything on ${path}: `, signal) : undefined);
  if (typed === undefined) throw refuse(path, `nobody can be asked; give --name ${expected}`);
  if (typed !== expected) throw refuse(path, `the name is ${expected}, not ${JSON.stringify(typed.slice(0, 64))}`);
};

const wipe = async ({ io }: VolumeContext, host: Host, device: BlockDevice): Promise<Wiped> => {
  const startedMs = host.clock.monotonicMs();
  let nextMs = startedMs + progressMs;
  const { sizeBytes } = device;
  return zeroDevice(device, (bytes) => {
    const nowMs = host.clock.monotonicMs();
    if (nowMs < nextMs) return;
    nextMs = nowMs + progressMs;
    const leftSeconds = Math.round((((nowMs - startedMs) / bytes) * (sizeBytes - bytes)) / 1000);
    io.stderr(`${sizeText(bytes)} of ${sizeText(sizeBytes)}, about ${leftSeconds} s left\n`);
  });
};

const help = `
The whole disk is read, and written wherever it is not zero: minutes for 100 GiB on a fast disk, hours on a slow one. When
it is cut off the disk stays refused; run it again. Storage below the guest may keep old blocks: data that must never be
read again is protected by its key (for a volume with a root key: triseed kms key delete).

The name is that of the volume on the disk, else the serial number of the disk, else its path. It is asked for on a
terminal; a script gives it:
  triseed volume wipe /dev/vdb --name data`;

export const wipeCommand = (context: VolumeContext): Command =>
  withJson(new Command('wipe'))
    .description('destroy everything on a whole disk, so that a boot finds it blank')
    .argument('<disk>', 'a whole disk, or a plain file that stands for one')
    .option('--name <name>', 'what would be typed on the terminal')
    .addHelpText('after', help)
    .action(async (path: string, { name, json }: Options) => {
      const { host, io } = context;
      const disk = await diskAt(host, path);
      const device = await openExclusively(host, disk?.path ?? path);
      try {
        const volume = await volumeOn(device, disk?.sectorBytes ?? 512);
        const expected = nameToType(volume, disk ?? { serial: null, path });
        const signatures = await readSignatures(host, device.path);
        const holds = volume === null ? signatures.join(', ') || 'nothing that is recognised' : `volume ${volume}`;
        const serial = disk?.serial ?? null;
        io.stderr(
          `${device.path}, ${sizeText(device.sizeBytes)}, ${serial === null ? 'no serial number' : `serial number ${serial}`}: ${holds}\n`,
        );
        await insistNamed(context, path, expected, name);
        const wiped = await wipe(context, host, device);
        await insistBlank(host, device);
        if (json === true) printJson(io, { disk: device.path, held: volume ?? signatures, ...wiped });
        else
          io.stdout(
            `${device.path} is blank; ${sizeText(wiped.writtenBytes)} of ${sizeText(wiped.sizeBytes)} were written\n`,
          );
      } finally {
        await device.close();
      }
      if (disk !== null) await forgetPartitions(host, disk.path);
    });
