/**
 * The status as Prometheus text, for the textfile collector of node_exporter (Prometheus documentation, "Exposition formats", text format
 * 0.0.4). Times are on the monotonic clock and told as ages and remaining times at the moment of writing, since the textfile
 * collector refuses time stamps. Pure.
 */
import type { DaemonStatus } from './status.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** "Exposition formats", Comments, help text and type information: backslash, double quote and line feed are escaped. */
const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const metric = (name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string => {
  const lines = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
  });
  return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
};

const seconds = (ms: number): number => Math.max(0, ms) / 1000;

export const renderMetrics = ({ atMs, state, keys, volumes, pollSeconds }: DaemonStatus): string => {
  const perVolume = (value: (volume: DaemonStatus['volumes'][number]) => number): readonly Sample[] =>
    volumes.map((volume) => ({ labels: { volume: volume.volume }, value: value(volume) }));
  const outcomes = (of: 'rewraps' | 'stores'): readonly Sample[] =>
    volumes.flatMap((volume) =>
      (['done', 'failed'] as const).map((outcome) => ({
        labels: { volume: volume.volume, outcome },
        value: volume[of][outcome],
      })),
    );
  return [
    metric('triseed_keyd_revoking', 'gauge', 'The guest is being ended because a root key was lost.', [
      { labels: {}, value: state === 'revoking' ? 1 : 0 },
    ]),
    metric('triseed_keyd_poll_interval_seconds', 'gauge', 'Longest time between two polls of an active key.', [
      { labels: {}, value: pollSeconds },
    ]),
    metric(
      'triseed_key_active',
      'gauge',
      'The latest poll said that the root key is active.',
      keys.map((key) => ({ labels: { key: key.key }, value: key.state === 'active' ? 1 : 0 })),
    ),
    metric(
      'triseed_key_state_info',
      'gauge',
      'What the latest poll said.',
      keys.map((key) => ({ labels: { key: key.key, state: key.state }, value: 1 })),
    ),
    metric(
      'triseed_key_last_active_age_seconds',
      'gauge',
      'Age of the latest answer that was active, when this was written.',
      keys.map((key) => ({ labels: { key: key.key }, value: seconds(atMs - key.lastActiveMs) })),
    ),
    metric(
      'triseed_key_polls_total',
      'counter',
      'Finished polls since the daemon started.',
      keys.flatMap(({ key, polls }) =>
        (['active', 'other'] as const).map((answer) => ({ labels: { key, answer }, value: polls[answer] })),
      ),
    ),
    metric(
      'triseed_volume_key_info',
      'gauge',
      'Which root key a volume hangs on.',
      volumes.map(({ volume, key }) => ({ labels: { volume, key }, value: 1 })),
    ),
    metric(
      'triseed_volume_grace',
      'gauge',
      'The root key of the volume is not usable and the guest will restart.',
      perVolume((volume) => (volume.deadlineMs === null ? 0 : 1)),
    ),
    metric(
      'triseed_volume_restart_in_seconds',
      'gauge',
      'Time to the restart, when this was written.',
      volumes.flatMap(({ volume, deadlineMs }) =>
        deadlineMs === null ? [] : [{ labels: { volume }, value: seconds(deadlineMs - atMs) }],
      ),
    ),
    metric(
      'triseed_volume_wrapping_current',
      'gauge',
      'The stored seed is wrapped by the current version of the key.',
      perVolume((volume) => (volume.wrapping === 'current' ? 1 : 0)),
    ),
    metric('triseed_volume_rewraps_total', 'counter', 'Renewals of the wrapped seed.', outcomes('rewraps')),
    metric('triseed_volume_stores_total', 'counter', 'Attempts to store a renewed seed.', outcomes('stores')),
  ].join('');
};
