/** One writer at a time for a volume's header: boot, key daemon and command line take turns. */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';

const lockWaitMs = 250;
const lockTries = 40;

/** Runs `work` while holding the lock of the volume with this LUKS UUID. Waits up to 10 s; throws VOLUME_LOCKED then. */
export const withVolumeLock = async <T>(
  host: Pick<Host, 'locks' | 'clock'>,
  luksUuid: string,
  volume: string,
  work: () => Promise<T>,
): Promise<T> => {
  for (let tries = 0; tries < lockTries; tries += 1) {
    const lock = await host.locks.acquire(`luks/${luksUuid}`);
    if (lock !== null) {
      try {
        return await work();
      } finally {
        await lock.release();
      }
    }
    await host.clock.sleep(lockWaitMs);
  }
  throw new AgentError('VOLUME_LOCKED', { volume });
};
