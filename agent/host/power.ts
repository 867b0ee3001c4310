/** Power actions: through systemd, or only told (dry runs, tests on a developer's machine). */
import type { Journal, Power, RunCommand } from '../ports.ts';

const timeoutMs = 30_000;

/** `--no-block`: systemd stops us too, so we must not wait for the job to end. */
export const systemdPower = (run: RunCommand): Power => ({
  restart: async () => {
    await run({ program: '/usr/bin/systemctl', args: ['--no-block', 'reboot'], timeoutMs });
  },
  powerOff: async () => {
    await run({ program: '/usr/bin/systemctl', args: ['--no-block', 'poweroff'], timeoutMs });
  },
});

export const reportedPower = (journal: Journal): Power => ({
  restart: async (reason) => journal.note('triseed', `would restart the machine: ${reason}`),
  powerOff: async (reason) => journal.note('triseed', `would power the machine off: ${reason}`),
});
