/** The count of restarts on the metadata partitions. Whatever goes wrong with it is told and changes nothing else. */
import { reasonOf } from '../errors.ts';
import type { Clock, Host } from '../ports.ts';
import { afterRestart, noRestarts, parseRestarts, type Restarts, renderRestarts, restartsBytes } from './restarts.ts';

type RecordPorts = Pick<Host, 'disks' | 'journal'>;

const told = (host: RecordPorts, path: string, error: unknown): void =>
  host.journal.message('RESTARTS_NOT_KEPT', { path, reason: reasonOf(error) });

/** Null when something else lies there. Throws FILE_UNREADABLE. */
const recordOn = async ({ disks }: Pick<Host, 'disks'>, path: string): Promise<Restarts | null> => {
  const device = await disks.open(path, 'read');
  try {
    return parseRestarts(await device.read(0, restartsBytes));
  } finally {
    await device.close();
  }
};

/** The count on the metadata partition `path`; none when it cannot be read, or when something else lies there. */
export const readRestarts = async (host: RecordPorts, path: string): Promise<Restarts> => {
  try {
    return (await recordOn(host, path)) ?? noRestarts;
  } catch (error) {
    told(host, path, error);
    return noRestarts;
  }
};

/** Whether it is certain that no restart by the daemon goes before: `path` can be read, and something of ours or nothing lies there. */
export const followsNoRestart = async (host: Pick<Host, 'disks'>, path: string): Promise<boolean> => {
  try {
    return (await recordOn(host, path))?.pending === false;
  } catch {
    return false;
  }
};

/** Puts `next` of what is there in its place, unless something else than a count is. Null when it could not be done. */
const replace = async (
  host: RecordPorts,
  path: string,
  next: (before: Restarts) => Restarts,
): Promise<Restarts | null> => {
  try {
    const device = await host.disks.open(path, 'write');
    try {
      const before = parseRestarts(await device.read(0, restartsBytes));
      if (before === null) return null;
      await device.write(0, renderRestarts(next(before)));
      await device.flush();
      return before;
    } finally {
      await device.close();
    }
  } catch (error) {
    told(host, path, error);
    return null;
  }
};

/** A boot has opened the volume: what follows a restart by the daemon is over, and how often it was stays known. */
export const settleRestarts = async (host: RecordPorts, path: string, known: Restarts): Promise<void> => {
  await replace(host, path, () => ({ ...known, pending: false }));
};

/** The daemon ends a boot that had guarded for `guardedMs`: counted on every one of `paths`. The gravest of them says what follows. */
export const countRestart = async (
  host: RecordPorts & { readonly clock: Clock },
  paths: readonly string[],
  guardedMs: number,
): Promise<'restart' | 'powerOff'> => {
  const counted = await Promise.all(
    paths.map(async (path) => {
      const before = await replace(host, path, (known) => afterRestart(known, guardedMs).record);
      return before === null ? 'restart' : afterRestart(before, guardedMs).action;
    }),
  );
  return counted.includes('powerOff') ? 'powerOff' : 'restart';
};
