/**
 * sd_notify(3) through systemd-notify(1), because Node cannot send datagrams over unix sockets. The sender is a child
 * process, so the unit needs `NotifyAccess=all`.
 */
import { execa } from 'execa';
import type { Notify, ServiceReport } from '../service-ports.ts';

const program = '/usr/bin/systemd-notify';
const timeoutMs = 5_000;

const assignments = (report: ServiceReport): readonly string[] => [
  ...(report.ready ? ['READY=1'] : []),
  ...(report.alive ? ['WATCHDOG=1'] : []),
  ...(report.watchdogMs === null ? [] : [`WATCHDOG_USEC=${report.watchdogMs * 1000}`]),
  `STATUS=${report.status.replace(/\p{Cc}/gu, ' ')}`,
];

/**
 * `socket` is NOTIFY_SOCKET of the service's environment; null outside systemd, where nobody is told.
 * A report that cannot be sent is not an error of the service: systemd's watchdog draws its own conclusion.
 */
export const notifyOver =
  (socket: string | null): Notify =>
  async (report) => {
    if (socket === null) return;
    await execa(program, assignments(report), {
      env: { NOTIFY_SOCKET: socket },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: timeoutMs,
    });
  };
