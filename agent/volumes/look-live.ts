/** Reads what `live.ts` judges: mount table, sysfs, `dmsetup table`, the header on the disk. Changes nothing. */
import type { LegacyProfile } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { complaintOf, dmTable } from './commands.ts';
import { gateHeader } from './gate.ts';
import { type Live, mountedAt } from './live.ts';
import { readLuksHeader } from './luks-header.ts';
import { gateLuks1 } from './luks1-gate.ts';
import { readLuks1Header } from './luks1-header.ts';
import { oneLook } from './one-look.ts';
import { type OpenedRecord, openedMaxBytes, openedPath, parseOpened } from './opened-record.ts';

const maxMountInfoBytes = 4 * 1024 * 1024;

/** What boot opened. Throws NOTHING_RECORDED when no boot has come that far. */
export const readOpened = async (host: Pick<Host, 'files'>, run: string): Promise<readonly OpenedRecord[]> => {
  const path = openedPath(run);
  const bytes = await host.files.read(path, openedMaxBytes);
  const opened = bytes === null ? { wrong: 'it does not exist' } : parseOpened(bytes.toString('utf8'));
  if ('wrong' in opened) throw new AgentError('NOTHING_RECORDED', { path, reason: opened.wrong });
  return opened;
};

const textOf = async (host: Pick<Host, 'files'>, path: string): Promise<string | null> =>
  (await host.files.read(path, maxMountInfoBytes))?.toString('latin1').trim() ?? null;

/** `major:minor` of a block device node, through its real name in sysfs. */
const deviceNumber = async (host: Pick<Host, 'files'>, path: string): Promise<string | null> => {
  const node = await host.files.resolve(path);
  return node === null ? null : textOf(host, `/sys/class/block/${node.slice(node.lastIndexOf('/') + 1)}/dev`);
};

/** `major:minor` of the mapping with this name, as sysfs knows it (Documentation/ABI/testing/sysfs-block-dm). */
const mappingNumber = async (host: Pick<Host, 'files'>, mapping: string): Promise<string | null> => {
  const folder = '/sys/class/block';
  for (const name of await host.files.list(folder)) {
    if (!name.startsWith('dm-')) continue;
    if ((await textOf(host, `${folder}/${name}/dm/name`)) === mapping) return textOf(host, `${folder}/${name}/dev`);
  }
  return null;
};

const readTable = async (host: Pick<Host, 'run'>, { mapping, mount }: OpenedRecord): Promise<string> => {
  const result = await host.run(dmTable(mapping));
  if (result.exit !== 0)
    throw new AgentError('ENCRYPTION_UNKNOWN', { mount, detail: `dmsetup ${complaintOf(result)}` });
  return result.stdout.toString('latin1');
};

/** The header on the device as it is now. */
const readHeader = async (
  host: Pick<Host, 'disks'>,
  path: string,
  legacy: readonly LegacyProfile[],
): Promise<Pick<Live, 'header' | 'backingBytes'>> => {
  return oneLook(host, path, async (device) => {
    const backingBytes = device.sizeBytes;
    const found = await readLuksHeader(device.read, backingBytes);
    if (found.kind === 'damaged') return { backingBytes, header: { refused: found.reason } };
    if (found.kind === 'absent') return { backingBytes, header: { refused: 'there is no LUKS header' } };
    const gate =
      found.kind === 'luks2'
        ? gateHeader(found.current, legacy)
        : gateLuks1(await readLuks1Header(device.read, backingBytes), backingBytes, legacy);
    return { backingBytes, header: gate.kind === 'passed' ? gate.header : { refused: gate.reason } };
  });
};

/** `legacy` is `volumes.legacyProfiles`. Throws ENCRYPTION_UNKNOWN, FILE_UNREADABLE and COMMAND_NOT_STARTED when it cannot be found out. */
export const lookLive = async (
  host: Pick<Host, 'files' | 'disks' | 'run'>,
  record: OpenedRecord,
  legacy: readonly LegacyProfile[] = [],
): Promise<Live> => {
  const mountInfo = (await textOf(host, '/proc/self/mountinfo')) ?? '';
  const mappingDevice = await mappingNumber(host, record.mapping);
  const table = mappingDevice === null ? '' : await readTable(host, record);
  const mounted = mountedAt(mountInfo, record.mount);
  return {
    mounted,
    sourceDevice: mounted?.source.startsWith('/dev/') === true ? await deviceNumber(host, mounted.source) : null,
    mappingDevice,
    table,
    backingDevice: await deviceNumber(host, record.device),
    ...(await readHeader(host, record.device, legacy)),
  };
};
