/** What the key daemon of a running guest says of itself. */
import { type DaemonStatus, parseStatus } from '../../../agent/keyd/status.ts';
import type { Guest } from '../guest/guest.ts';

export const statusIn = async (guest: Guest): Promise<DaemonStatus> => {
  const text = await guest.check('cat /run/triseed-keyd/status.json');
  const status = parseStatus(Buffer.from(text));
  if (status === null) throw new Error(`not a status: ${text}`);
  return status;
};

/** The status as soon as it fulfils `isWanted`: it is written after each poll. */
export const untilStatus = async (guest: Guest, isWanted: (status: DaemonStatus) => boolean): Promise<DaemonStatus> => {
  for (let tried = 0; tried < 300; tried += 1) {
    const status = await statusIn(guest);
    if (isWanted(status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`the daemon's status did not come about\n${guest.lastLines()}`);
};

export const activePolls = ({ keys }: DaemonStatus): number => keys.reduce((sum, { polls }) => sum + polls.active, 0);

/** Waits until the daemon has found the key active `count` times more. */
export const untilPolled = async (guest: Guest, count: number): Promise<DaemonStatus> => {
  const wanted = activePolls(await statusIn(guest)) + count;
  return untilStatus(guest, (status) => activePolls(status) >= wanted);
};

/** Resident memory of the daemon. */
export const residentKiB = async (guest: Guest): Promise<number> =>
  Number(
    await guest.check(
      "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$(systemctl show -p MainPID --value triseed-keyd)/status",
    ),
  );
