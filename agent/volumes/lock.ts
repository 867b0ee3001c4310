/** One at a time: boot, key daemon and command line take turns at a volume's header, and two boots do not happen beside each other. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';

type LockPorts = Pick<Host, 'locks' | 'clock'>;

const lockWaitMs = 250;
const lockTries = 40;

const holding = async <T>(host: LockPorts, name: string, held: AgentError, work: () => Promise<T>): Promise<T> => {
  for (let tries = 0; tries < lockTries; tries += 1) {
    const lock = await host.locks.acquire(name);
    if (lock !== null) {
      try {
        return await work();
      } finally {
        await lock.release();
      }
    }
    await host.clock.sleep(lockWaitMs);
  }
  throw held;
};

/** Runs `work` while holding the lock of the volume with this LUKS UUID. Waits up to 10 s; throws VOLUME_LOCKED then. */
export const withVolumeLock = <T>(
  host: LockPorts,
  luksUuid: string,
  volume: string,
  work: () => Promise<T>,
): Promise<T> => holding(host, `luks/${luksUuid}`, new AgentError('VOLUME_LOCKED', { volume }), work);

/**
 * Runs `work`, in which volumes are looked at and changed, as the only boot. A second one would take the mark of a format that the first
 * is at for one that was cut, and start over. Waits up to 10 s; throws BOOT_UNDERWAY then.
 */
export const withBootLock = <T>(host: LockPorts, work: () => Promise<T>): Promise<T> =>
  holding(host, 'boot', new AgentError('BOOT_UNDERWAY', {}), work);
