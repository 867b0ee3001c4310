/** The times of docs/kms-outages.md, worked out by the key daemon's own rule. */
import { parseConfiguration } from '../agent/configuration-parse.ts';
import { deadlineOf } from '../agent/keyd/grace.ts';
import type { VolumeState } from '../agent/keyd/state.ts';

/** systemd/triseed-forced-restart.timer: what hangs is restarted by the kernel then. */
const closingMs = 120_000;
const minuteMs = 60_000;

const shown = (ms: number): string => {
  const [hours, minutes, seconds] = [Math.floor(ms / 3_600_000), Math.floor(ms / minuteMs) % 60, (ms / 1000) % 60];
  const parts = [hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : '', seconds > 0 ? `${seconds} s` : ''];
  return parts.filter((part) => part !== '').join(' ') || '0';
};

/** Of a key that the service does not answer for, at the default poll interval. */
export const outageTable = (): string => {
  const pollMs = parseConfiguration('').kms.pollSeconds * 1000;
  const rows = [0, 1, 5, 10, 20, 60, 1000].map((kmsTimeout) => {
    const volume = { grace: null, kmsTimeoutMs: kmsTimeout * minuteMs } as VolumeState;
    const latestMs = deadlineOf(volume, { lastGoodMs: 0, intervalMs: pollMs });
    const cells = [
      String(kmsTimeout),
      shown(latestMs - pollMs),
      shown(latestMs),
      shown(latestMs + closingMs),
      shown(latestMs + closingMs + kmsTimeout * minuteMs),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const head = [
    'kmsTimeout',
    'every shorter outage passes',
    'closing begins at the latest',
    'no key in the kernel',
    'powered off',
  ];
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...rows].join('\n');
};
